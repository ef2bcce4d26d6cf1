//! Moves in a SQLite catalog.

use super::{SqliteCatalog, all, check_leader, counter, set_counter};
use crate::catalog::CatalogError;
use crate::catalog::moves::{
    COPIED, CopiedColumns, Course, MOVE_COLUMNS, MoveColumns, MoveRow, MoveStore, NewMove, Step,
    StepColumns, Which, copied, cut, holds, may_hold, millis, move_row, moving_slots, no_move,
    reversed, step, stepped,
};
use crate::catalog::operations::first_epoch;
use crate::catalog::rows::slot_row;
use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, Transaction, params};
use shardline_daemon::clock::now_ms;
use shardline_domain::id::ShardId;
use shardline_domain::placement::pace::Copied;
use shardline_domain::placement::transfer::{
    Arrow, Attempt, Entry, Kind, Move, MoveId, MovingSlot, NotAsExpected, Phase, Proof, SlotEffect,
    Terms, Wish,
};
use shardline_domain::slot::{Epoch, Slot};
use std::collections::BTreeMap;

#[async_trait]
impl MoveStore for SqliteCatalog {
    async fn create_moves(
        &self,
        term: u64,
        rebalance: Option<u64>,
        moves: &[NewMove],
    ) -> Result<Vec<MoveId>, CatalogError> {
        let moves = moves.to_vec();
        self.run(move |tx| {
            check_leader(tx, term)?;
            for new in &moves {
                takes_slots(tx, new)?;
            }
            may_hold(&moves, &wanted(tx, &moves)?)?;
            let now = now_ms();
            let mut ids = Vec::with_capacity(moves.len());
            for new in moves {
                let id = next_id(tx)?;
                let made = Move {
                    id,
                    kind: Kind::Normal,
                    source: new.source,
                    target: new.target,
                    phase: Phase::Planned,
                    attempt: Attempt::FIRST,
                    slots: new.slots,
                    window: new.window,
                    wish: Wish::Proceed,
                    aborted: None,
                };
                insert(tx, &made, rebalance, now)?;
                let mut hold = tx.prepare("INSERT INTO holds (slot, move) VALUES (?, ?)")?;
                for moving in &made.slots {
                    hold.execute(params![moving.slot.get(), id.0])?;
                }
                note(tx, &made, None, term, "", now)?;
                ids.push(id);
            }
            Ok(ids)
        })
        .await
    }

    async fn advance(&self, term: u64, arrow: &Arrow, detail: &str) -> Result<Move, CatalogError> {
        let (arrow, detail) = (*arrow, detail.to_owned());
        self.run(move |tx| {
            check_leader(tx, term)?;
            let present = present(tx, arrow.move_id)?;
            let newest = Terms {
                source: writer_term(tx, present.source)?,
                target: writer_term(tx, present.target)?,
            };
            let next = stepped(&arrow, &present, &entries(tx, arrow.move_id)?, newest)?;
            let now = now_ms();
            let id = arrow.move_id.0;
            let held = "slot IN (SELECT slot FROM holds WHERE move = ?)";
            match arrow.effect() {
                SlotEffect::Keep => {}
                SlotEffect::Flip => {
                    let version = next_version(tx)?;
                    let sql = format!(
                        "UPDATE slots SET shard = ?, epoch = epoch + 1, version = ? WHERE {held}"
                    );
                    tx.execute(&sql, params![present.target.0, version, id])?;
                    keep_tallies(tx, &present, &arrow)?;
                }
                SlotEffect::Renew => {
                    let version = next_version(tx)?;
                    let sql =
                        format!("UPDATE slots SET epoch = epoch + 1, version = ? WHERE {held}");
                    tx.execute(&sql, params![version, id])?;
                }
                SlotEffect::Release => {
                    tx.execute("DELETE FROM holds WHERE move = ?", [id])?;
                }
            }
            let sql = "UPDATE moves SET phase = ?, attempt = ?, aborted = ?, phase_ms = ? \
                WHERE move = ?";
            let aborted = next.aborted.map(|reason| reason as u8);
            tx.execute(sql, params![next.phase as u8, next.attempt.0, aborted, now, id])?;
            note(tx, &next, Some(arrow.from), term, &detail, now)?;
            Ok(next)
        })
        .await
    }

    async fn reverse(&self, term: u64, expected: &Move) -> Result<Move, CatalogError> {
        let (id, attempt) = (expected.id, expected.attempt);
        self.run(move |tx| {
            check_leader(tx, term)?;
            let present = present(tx, id)?;
            if present.attempt != attempt {
                let Move { id, phase, attempt, .. } = present;
                return Err(NotAsExpected::Moved { move_id: id, phase, attempt }.into());
            }
            let next = reversed(&present, &entries(tx, id)?, next_id(tx)?)?;
            let now = now_ms();
            insert(tx, &next, None, now)?;
            let sql = "UPDATE holds SET move = ? WHERE move = ?";
            tx.execute(sql, params![next.id.0, id.0])?;
            let sql = "UPDATE moves SET phase = ?, phase_ms = ?, reversed_by = ? WHERE move = ?";
            tx.execute(sql, params![Phase::Done as u8, now, next.id.0, id.0])?;
            let ended = Move { phase: Phase::Done, ..present };
            let detail = format!("reversed by move {}", next.id);
            note(tx, &ended, Some(Phase::Following), term, &detail, now)?;
            note(tx, &next, None, term, &format!("reverses move {id}"), now)?;
            Ok(next)
        })
        .await
    }

    async fn wish(&self, id: MoveId, wish: Wish, by: &str) -> Result<(), CatalogError> {
        let by = by.to_owned();
        self.run(move |tx| {
            let present = present(tx, id)?;
            present.may_wish(wish).map_err(|error| CatalogError::Refused(error.to_string()))?;
            if present.wish == wish {
                return Ok(());
            }
            let now = now_ms();
            let sql = "UPDATE moves SET wish = ? WHERE move = ?";
            tx.execute(sql, params![wish as u8, id.0])?;
            let detail = format!("{by} wishes: {}", wish.name());
            note(tx, &present, Some(present.phase), 0, &detail, now)?;
            super::operations::changed(tx, &by, &format!("move {id}: {}", wish.name()))
        })
        .await
    }

    async fn moves(&self, which: Which) -> Result<Vec<MoveRow>, CatalogError> {
        self.run(move |tx| {
            let ended = match which {
                Which::Live => 0,
                Which::All { ended } => ended,
            };
            let sql = format!(
                "SELECT {MOVE_COLUMNS} FROM moves WHERE phase NOT IN (12, 14) OR move IN \
                (SELECT move FROM moves WHERE phase IN (12, 14) ORDER BY move DESC LIMIT ?) \
                ORDER BY move"
            );
            let now = now_ms();
            let rows = all(tx, &sql, [ended], columns)?;
            rows.into_iter().map(|columns| move_row(columns, now)).collect()
        })
        .await
    }

    async fn find_move(
        &self,
        id: MoveId,
    ) -> Result<Option<(MoveRow, Vec<MovingSlot>)>, CatalogError> {
        self.run(move |tx| find(tx, id)).await
    }

    async fn holds(&self) -> Result<Vec<(Slot, MoveId)>, CatalogError> {
        self.run(|tx| {
            let sql = "SELECT slot, move FROM holds ORDER BY slot";
            holds(all(tx, sql, [], |row| row.try_into())?)
        })
        .await
    }

    async fn journal(&self, id: MoveId) -> Result<Vec<Step>, CatalogError> {
        self.run(move |tx| {
            let sql = "SELECT n, at_ms, from_phase, to_phase, attempt, term, detail \
                FROM move_log WHERE move = ? ORDER BY n";
            let rows: Vec<StepColumns> = all(tx, sql, [id.0], |row| row.try_into())?;
            rows.into_iter().map(step).collect()
        })
        .await
    }

    async fn copied(&self, latest: u32) -> Result<Vec<Copied>, CatalogError> {
        self.run(move |tx| {
            let rows: Vec<CopiedColumns> = all(tx, COPIED, [latest], |row| row.try_into())?;
            Ok(copied(rows))
        })
        .await
    }

    async fn note_progress(&self, id: MoveId, course: &Course) -> Result<(), CatalogError> {
        let course = course.clone();
        self.run(move |tx| {
            let sql = "UPDATE moves SET blocked = ?, note = ?, entities = ?, entities_total = ?, \
                copied_rows = ?, copied_bytes = ?, lag_entities = ?, pause_ms = ? WHERE move = ?";
            let values = params![
                course.blocked,
                cut(&course.note),
                course.entities,
                course.entities_total,
                course.rows,
                course.bytes,
                course.lag_entities,
                course.pause.map(millis),
                id.0,
            ];
            tx.execute(sql, values)?;
            Ok(())
        })
        .await
    }
}

/// A move of a catalog that was lost, in the phase in which it goes on, holding its slots.
pub(super) fn put_rebuilt(tx: &Transaction<'_>, left: &Move, now: i64) -> Result<(), CatalogError> {
    let first = |moving: &MovingSlot| MovingSlot {
        epoch: Epoch(first_epoch(left.attempt, moving.epoch)),
        ..*moving
    };
    let kept = Move { slots: left.slots.iter().map(first).collect(), ..left.clone() };
    insert(tx, &kept, None, now)?;
    let aborted = left.aborted.map(|reason| reason as u8);
    tx.execute("UPDATE moves SET aborted = ? WHERE move = ?", params![aborted, left.id.0])?;
    for moving in &left.slots {
        let sql = "INSERT INTO holds (slot, move) VALUES (?, ?)";
        tx.execute(sql, params![moving.slot.get(), left.id.0])?;
    }
    note(tx, left, None, 0, "found when the catalog was rebuilt", now)
}

fn columns(row: &Row<'_>) -> rusqlite::Result<MoveColumns> {
    Ok(MoveColumns {
        id: row.get(0)?,
        kind: row.get(1)?,
        source: row.get(2)?,
        target: row.get(3)?,
        phase: row.get(4)?,
        attempt: row.get(5)?,
        wish: row.get(6)?,
        aborted: row.get(7)?,
        slots: row.get(8)?,
        window_ms: row.get(9)?,
        rebalance: row.get(10)?,
        reversed_by: row.get(11)?,
        created_ms: row.get(12)?,
        phase_ms: row.get(13)?,
        blocked: row.get(14)?,
        note: row.get(15)?,
        counts: [row.get(16)?, row.get(17)?, row.get(18)?, row.get(19)?, row.get(20)?],
        pause_ms: row.get(21)?,
    })
}

fn find(
    tx: &Transaction<'_>,
    id: MoveId,
) -> Result<Option<(MoveRow, Vec<MovingSlot>)>, CatalogError> {
    let sql = format!("SELECT {MOVE_COLUMNS} FROM moves WHERE move = ?");
    let Some(row) = tx.query_row(&sql, [id.0], columns).optional()? else { return Ok(None) };
    let row = move_row(row, now_ms())?;
    let sql = "SELECT slot, epoch FROM move_slots WHERE move = ? ORDER BY slot";
    let slots = moving_slots(all(tx, sql, [id.0], |row| row.try_into())?, row.attempt)?;
    Ok(Some((row, slots)))
}

fn present(tx: &Transaction<'_>, id: MoveId) -> Result<Move, CatalogError> {
    let (row, slots) = find(tx, id)?.ok_or_else(|| no_move(id))?;
    Ok(row.present(slots))
}

/// The move's slots as they are.
fn entries(tx: &Transaction<'_>, id: MoveId) -> Result<Vec<(Slot, Entry)>, CatalogError> {
    let sql = "SELECT s.slot, s.shard, s.epoch, h.move FROM move_slots m \
        JOIN slots s ON s.slot = m.slot LEFT JOIN holds h ON h.slot = m.slot \
        WHERE m.move = ? ORDER BY m.slot";
    let rows: Vec<(u32, u32, u64, Option<u64>)> = all(tx, sql, [id.0], |row| row.try_into())?;
    rows.into_iter().map(entry).collect()
}

fn entry(columns: (u32, u32, u64, Option<u64>)) -> Result<(Slot, Entry), CatalogError> {
    let (slot, shard, epoch, held) = columns;
    let row = slot_row((slot, shard, epoch))?;
    let held_by = held.map(MoveId);
    Ok((row.slot, Entry { owner: row.shard, epoch: row.epoch, held_by }))
}

/// Every slot that the moves want, as it is.
fn wanted(tx: &Transaction<'_>, moves: &[NewMove]) -> Result<BTreeMap<Slot, Entry>, CatalogError> {
    let mut read = tx.prepare(
        "SELECT s.slot, s.shard, s.epoch, h.move FROM slots s LEFT JOIN holds h ON h.slot = s.slot \
        WHERE s.slot = ?",
    )?;
    let mut entries = BTreeMap::new();
    for moving in moves.iter().flat_map(|new| &new.slots) {
        let row = read.query_row([moving.slot.get()], |row| row.try_into()).optional()?;
        if let Some(row) = row {
            let (slot, entry) = entry(row)?;
            entries.insert(slot, entry);
        }
    }
    Ok(entries)
}

fn writer_term(tx: &Transaction<'_>, shard: ShardId) -> Result<u64, CatalogError> {
    let sql = "SELECT writer_term FROM shards WHERE shard = ?";
    Ok(tx.query_row(sql, [shard.0], |row| row.get(0)).optional()?.unwrap_or(0))
}

fn keep_tallies(tx: &Transaction<'_>, flipped: &Move, arrow: &Arrow) -> Result<(), CatalogError> {
    let Some(Proof { source, target }) = arrow.proof else { return Ok(()) };
    for (shard, mark) in [(flipped.source, source), (flipped.target, target)] {
        let sql = "INSERT INTO marks (shard, term, tally) VALUES (?, ?, ?) ON CONFLICT (shard) DO UPDATE SET \
            term = MAX(term, excluded.term), tally = MAX(tally, excluded.tally)";
        tx.execute(sql, params![shard.0, mark.term, mark.tally])?;
    }
    Ok(())
}

fn takes_slots(tx: &Transaction<'_>, new: &NewMove) -> Result<(), CatalogError> {
    let sql = "SELECT COUNT(*) FROM shards WHERE shard = ? AND state IN (1, 3)";
    if tx.query_row(sql, [new.target.0], |row| row.get::<_, u64>(0))? == 0 {
        return Err(CatalogError::Refused(format!("shard {} takes no slots", new.target)));
    }
    Ok(())
}

fn next_id(tx: &Transaction<'_>) -> Result<MoveId, CatalogError> {
    let id = counter(tx, "moves")? + 1;
    set_counter(tx, "moves", id)?;
    Ok(MoveId(id))
}

fn next_version(tx: &Transaction<'_>) -> Result<u64, CatalogError> {
    let version = counter(tx, "slots")? + 1;
    set_counter(tx, "slots", version)?;
    Ok(version)
}

fn insert(
    tx: &Transaction<'_>,
    new: &Move,
    rebalance: Option<u64>,
    now: i64,
) -> Result<(), CatalogError> {
    let sql = format!(
        "INSERT INTO moves ({MOVE_COLUMNS}) VALUES \
        (?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, NULL, ?, ?, '', '', 0, 0, 0, 0, 0, NULL)"
    );
    let values = params![
        new.id.0,
        new.kind as u8,
        new.source.0,
        new.target.0,
        new.phase as u8,
        new.attempt.0,
        new.wish as u8,
        new.slots.len(),
        millis(new.window),
        rebalance,
        now,
        now,
    ];
    tx.execute(&sql, values)?;
    let mut insert = tx.prepare("INSERT INTO move_slots (move, slot, epoch) VALUES (?, ?, ?)")?;
    for moving in &new.slots {
        insert.execute(params![new.id.0, moving.slot.get(), moving.epoch.0])?;
    }
    Ok(())
}

/// The journal's row of a step that led to `next`.
fn note(
    tx: &Transaction<'_>,
    next: &Move,
    from: Option<Phase>,
    term: u64,
    detail: &str,
    now: i64,
) -> Result<(), CatalogError> {
    let sql = "INSERT INTO move_log (move, n, at_ms, from_phase, to_phase, attempt, term, detail) \
        SELECT ?1, COALESCE(MAX(n), 0) + 1, ?2, ?3, ?4, ?5, ?6, ?7 FROM move_log WHERE move = ?1";
    let from = from.map(|phase| phase as u8);
    let (id, to, attempt) = (next.id.0, next.phase as u8, next.attempt.0);
    tx.execute(sql, params![id, now, from, to, attempt, term, cut(detail)])?;
    Ok(())
}
