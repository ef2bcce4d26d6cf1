//! Moves in a MySQL or MariaDB catalog. Slots are locked in their order, then who holds them, then the
//! move: so do those who only read (`owned_slots`, `locate_slot`).

use super::session::{Failure, Tx};
use super::{MysqlCatalog, ROWS_PER_INSERT, check_leader, counter, now_ms, set_counter};
use crate::catalog::CatalogError;
use crate::catalog::moves::{
    COPIED, CopiedColumns, Course, MOVE_COLUMNS, MoveColumns, MoveRow, MoveStore, NewMove, Step,
    StepColumns, Which, copied, cut, holds, may_hold, millis, move_row, moving_slots, no_move,
    reversed, step, stepped,
};
use crate::catalog::operations::first_epoch;
use crate::catalog::rows::slot_row;
use async_trait::async_trait;
use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{Conn, Params, Row, Value};
use shardline_domain::placement::pace::Copied;
use shardline_domain::placement::transfer::{
    Arrow, Attempt, Entry, Kind, Move, MoveId, MovingSlot, NotAsExpected, Phase, Proof, SlotEffect,
    Terms, Wish,
};
use shardline_domain::slot::{Epoch, Slot};
use std::collections::{BTreeMap, BTreeSet};

#[async_trait]
impl MoveStore for MysqlCatalog {
    async fn create_moves(
        &self,
        term: u64,
        rebalance: Option<u64>,
        moves: &[NewMove],
    ) -> Result<Vec<MoveId>, CatalogError> {
        let run = |mut tx: Tx| async move {
            check_leader(&mut tx, term).await?;
            // Moves get their numbers in the order in which they take slots.
            let version = counter(&mut tx, "slots").await?;
            set_counter(&mut tx, "slots", version).await?;
            let targets: BTreeSet<_> = moves.iter().map(|new| new.target).collect();
            for target in targets {
                let sql = "SELECT shard FROM shards WHERE shard = ? AND state IN (1, 3) \
                    LOCK IN SHARE MODE";
                if tx.exec_first::<u32, _, _>(sql, (target.0,)).await?.is_none() {
                    let message = format!("shard {target} takes no slots");
                    return Err(CatalogError::Refused(message).into());
                }
            }
            let entries = wanted(&mut tx, moves).await?;
            may_hold(moves, &entries)?;
            let now = now_ms(&mut tx).await?;
            let mut ids = Vec::with_capacity(moves.len());
            for new in moves {
                let id = next_id(&mut tx).await?;
                let made = Move {
                    id,
                    kind: Kind::Normal,
                    source: new.source,
                    target: new.target,
                    phase: Phase::Planned,
                    attempt: Attempt::FIRST,
                    slots: new.slots.clone(),
                    window: new.window,
                    wish: Wish::Proceed,
                    aborted: None,
                };
                insert(&mut tx, &made, rebalance, now).await?;
                for part in made.slots.chunks(ROWS_PER_INSERT) {
                    let rows = vec!["(?, ?)"; part.len()].join(", ");
                    let values = part
                        .iter()
                        .flat_map(|moving| [Value::from(moving.slot.get()), id.0.into()]);
                    let sql = format!("INSERT INTO holds (slot, move) VALUES {rows}");
                    tx.exec_drop(sql, Params::Positional(values.collect())).await?;
                }
                note(&mut tx, &made, None, term, "", now).await?;
                ids.push(id);
            }
            Ok((tx, ids))
        };
        self.sessions.run(run).await
    }

    async fn advance(&self, term: u64, arrow: &Arrow, detail: &str) -> Result<Move, CatalogError> {
        let run = |mut tx: Tx| async move {
            check_leader(&mut tx, term).await?;
            let id = arrow.move_id;
            let effect = arrow.effect();
            let changes_map = matches!(effect, SlotEffect::Flip | SlotEffect::Renew);
            let version = match changes_map {
                true => counter(&mut tx, "slots").await? + 1,
                false => 0,
            };
            let newest = match effect {
                SlotEffect::Flip => newest_writers(&mut tx, id).await?,
                _ => Terms::default(),
            };
            // Of an arrow that keeps them as they are, slots are not looked at: only this move's
            // arrows change them, and its row is locked.
            let entries = match effect {
                SlotEffect::Keep => Vec::new(),
                _ => entries(&mut tx, id).await?,
            };
            let present = present(&mut tx, id).await?;
            let next = stepped(arrow, &present, &entries, newest)?;
            let now = now_ms(&mut tx).await?;
            match effect {
                SlotEffect::Keep => {}
                SlotEffect::Flip => {
                    let sql = "UPDATE move_slots m JOIN slots s ON s.slot = m.slot \
                        SET s.shard = ?, s.epoch = s.epoch + 1, s.version = ? WHERE m.move = ?";
                    tx.exec_drop(sql, (present.target.0, version, id.0)).await?;
                    keep_tallies(&mut tx, &present, arrow).await?;
                }
                SlotEffect::Renew => {
                    let sql = "UPDATE move_slots m JOIN slots s ON s.slot = m.slot \
                        SET s.epoch = s.epoch + 1, s.version = ? WHERE m.move = ?";
                    tx.exec_drop(sql, (version, id.0)).await?;
                }
                SlotEffect::Release => {
                    tx.exec_drop("DELETE FROM holds WHERE move = ?", (id.0,)).await?;
                }
            }
            if changes_map {
                set_counter(&mut tx, "slots", version).await?;
            }
            let sql = "UPDATE moves SET phase = ?, attempt = ?, aborted = ?, phase_ms = ? \
                WHERE move = ?";
            let aborted = next.aborted.map(|reason| reason as u8);
            let values = (next.phase as u8, next.attempt.0, aborted, now, id.0);
            tx.exec_drop(sql, values).await?;
            note(&mut tx, &next, Some(arrow.from), term, detail, now).await?;
            Ok((tx, next))
        };
        self.sessions.run(run).await
    }

    async fn reverse(&self, term: u64, expected: &Move) -> Result<Move, CatalogError> {
        let (id, attempt) = (expected.id, expected.attempt);
        let run = |mut tx: Tx| async move {
            check_leader(&mut tx, term).await?;
            let version = counter(&mut tx, "slots").await?;
            set_counter(&mut tx, "slots", version).await?;
            let entries = entries(&mut tx, id).await?;
            let present = present(&mut tx, id).await?;
            if present.attempt != attempt {
                let Move { id, phase, attempt, .. } = present;
                return Err(CatalogError::from(NotAsExpected::Moved {
                    move_id: id,
                    phase,
                    attempt,
                })
                .into());
            }
            let next = reversed(&present, &entries, next_id(&mut tx).await?)?;
            let now = now_ms(&mut tx).await?;
            insert(&mut tx, &next, None, now).await?;
            let sql = "UPDATE holds SET move = ? WHERE move = ?";
            tx.exec_drop(sql, (next.id.0, id.0)).await?;
            let sql = "UPDATE moves SET phase = ?, phase_ms = ?, reversed_by = ? WHERE move = ?";
            tx.exec_drop(sql, (Phase::Done as u8, now, next.id.0, id.0)).await?;
            let ended = Move { phase: Phase::Done, ..present };
            let detail = format!("reversed by move {}", next.id);
            note(&mut tx, &ended, Some(Phase::Following), term, &detail, now).await?;
            note(&mut tx, &next, None, term, &format!("reverses move {id}"), now).await?;
            Ok((tx, next))
        };
        self.sessions.run(run).await
    }

    async fn wish(&self, id: MoveId, wish: Wish, by: &str) -> Result<(), CatalogError> {
        let run = |mut tx: Tx| async move {
            let present = present(&mut tx, id).await?;
            present.may_wish(wish).map_err(|error| CatalogError::Refused(error.to_string()))?;
            if present.wish == wish {
                return Ok((tx, ()));
            }
            let now = now_ms(&mut tx).await?;
            let sql = "UPDATE moves SET wish = ? WHERE move = ?";
            tx.exec_drop(sql, (wish as u8, id.0)).await?;
            let detail = format!("{by} wishes: {}", wish.name());
            note(&mut tx, &present, Some(present.phase), 0, &detail, now).await?;
            let what = format!("move {id}: {}", wish.name());
            super::operations::changed(&mut tx, by, &what).await?;
            Ok((tx, ()))
        };
        self.sessions.run(run).await
    }

    async fn moves(&self, which: Which) -> Result<Vec<MoveRow>, CatalogError> {
        let run = |mut db: Conn| async move {
            let now = now_ms(&mut db).await?;
            let sql = format!("SELECT {MOVE_COLUMNS} FROM moves WHERE phase NOT IN (12, 14)");
            let mut rows: Vec<Row> = db.query(sql).await?;
            if let Which::All { ended } = which {
                let sql = format!(
                    "SELECT {MOVE_COLUMNS} FROM moves WHERE phase IN (12, 14) \
                    ORDER BY move DESC LIMIT ?"
                );
                rows.extend(db.exec::<Row, _, _>(sql, (ended,)).await?);
            }
            let mut moves = BTreeMap::new();
            for row in rows {
                // One that ended between the two statements is in both: the later word counts.
                let row = move_row(columns(row)?, now)?;
                moves.insert(row.id, row);
            }
            Ok(moves.into_values().collect())
        };
        self.sessions.read(run).await
    }

    async fn find_move(
        &self,
        id: MoveId,
    ) -> Result<Option<(MoveRow, Vec<MovingSlot>)>, CatalogError> {
        let run = |mut db: Conn| async move { find(&mut db, id, "").await };
        self.sessions.read(run).await
    }

    async fn holds(&self) -> Result<Vec<(Slot, MoveId)>, CatalogError> {
        let run = |mut db: Conn| async move {
            let rows: Vec<(u32, u64)> =
                db.query("SELECT slot, move FROM holds ORDER BY slot").await?;
            Ok(holds(rows)?)
        };
        self.sessions.read(run).await
    }

    async fn journal(&self, id: MoveId) -> Result<Vec<Step>, CatalogError> {
        let run = |mut db: Conn| async move {
            let sql = "SELECT n, at_ms, from_phase, to_phase, attempt, term, detail \
                FROM move_log WHERE move = ? ORDER BY n";
            let rows: Vec<StepColumns> = db.exec(sql, (id.0,)).await?;
            Ok(rows.into_iter().map(step).collect::<Result<_, _>>()?)
        };
        self.sessions.read(run).await
    }

    async fn copied(&self, latest: u32) -> Result<Vec<Copied>, CatalogError> {
        let run = |mut db: Conn| async move {
            let rows: Vec<CopiedColumns> = db.exec(COPIED, (latest,)).await?;
            Ok(copied(rows))
        };
        self.sessions.read(run).await
    }

    async fn note_progress(&self, id: MoveId, course: &Course) -> Result<(), CatalogError> {
        let run = |mut tx: Tx| async move {
            let sql = "UPDATE moves SET blocked = ?, note = ?, entities = ?, entities_total = ?, \
                copied_rows = ?, copied_bytes = ?, lag_entities = ?, pause_ms = ? WHERE move = ?";
            let values = (
                &course.blocked,
                cut(&course.note),
                course.entities,
                course.entities_total,
                course.rows,
                course.bytes,
                course.lag_entities,
                course.pause.map(millis),
                id.0,
            );
            tx.exec_drop(sql, values).await?;
            Ok((tx, ()))
        };
        self.sessions.run(run).await
    }
}

/// A move of a catalog that was lost, in the phase in which it goes on, holding its slots.
pub(super) async fn put_rebuilt(tx: &mut Tx, left: &Move, now: i64) -> Result<(), Failure> {
    let first = |moving: &MovingSlot| MovingSlot {
        epoch: Epoch(first_epoch(left.attempt, moving.epoch)),
        ..*moving
    };
    let kept = Move { slots: left.slots.iter().map(first).collect(), ..left.clone() };
    insert(tx, &kept, None, now).await?;
    let aborted = left.aborted.map(|reason| reason as u8);
    tx.exec_drop("UPDATE moves SET aborted = ? WHERE move = ?", (aborted, left.id.0)).await?;
    for part in left.slots.chunks(ROWS_PER_INSERT) {
        let rows = vec!["(?, ?)"; part.len()].join(", ");
        let values =
            part.iter().flat_map(|moving| [Value::from(moving.slot.get()), left.id.0.into()]);
        let sql = format!("INSERT INTO holds (slot, move) VALUES {rows}");
        tx.exec_drop(sql, Params::Positional(values.collect())).await?;
    }
    note(tx, left, None, 0, "found when the catalog was rebuilt", now).await
}

fn columns(mut row: Row) -> Result<MoveColumns, Failure> {
    let row = &mut row;
    let mut counts = [0; 5];
    for (index, count) in (16..).zip(&mut counts) {
        *count = take(row, index)?;
    }
    Ok(MoveColumns {
        id: take(row, 0)?,
        kind: take(row, 1)?,
        source: take(row, 2)?,
        target: take(row, 3)?,
        phase: take(row, 4)?,
        attempt: take(row, 5)?,
        wish: take(row, 6)?,
        aborted: take(row, 7)?,
        slots: take(row, 8)?,
        window_ms: take(row, 9)?,
        rebalance: take(row, 10)?,
        reversed_by: take(row, 11)?,
        created_ms: take(row, 12)?,
        phase_ms: take(row, 13)?,
        blocked: take(row, 14)?,
        note: take(row, 15)?,
        counts,
        pause_ms: take(row, 21)?,
    })
}

fn take<T: FromValue>(row: &mut Row, index: usize) -> Result<T, Failure> {
    let value = row.take_opt(index).and_then(Result::ok);
    value.ok_or_else(|| Failure::corrupt("a move's row has other columns"))
}

/// `lock`: what follows the statement that reads the move's row.
async fn find(
    db: &mut impl Queryable,
    id: MoveId,
    lock: &str,
) -> Result<Option<(MoveRow, Vec<MovingSlot>)>, Failure> {
    let sql = format!("SELECT {MOVE_COLUMNS} FROM moves WHERE move = ? {lock}");
    let Some(row) = db.exec_first::<Row, _, _>(sql, (id.0,)).await? else { return Ok(None) };
    let row = move_row(columns(row)?, now_ms(db).await?)?;
    let sql = "SELECT slot, epoch FROM move_slots WHERE move = ? ORDER BY slot";
    let slots: Vec<(u32, u64)> = db.exec(sql, (id.0,)).await?;
    let slots = moving_slots(slots, row.attempt)?;
    Ok(Some((row, slots)))
}

/// Locked until the transaction ends.
async fn present(tx: &mut Tx, id: MoveId) -> Result<Move, Failure> {
    let (row, slots) = find(tx, id, "FOR UPDATE").await?.ok_or_else(|| no_move(id))?;
    Ok(row.present(slots))
}

/// The move's slots and who holds them, locked in that order.
async fn entries(tx: &mut Tx, id: MoveId) -> Result<Vec<(Slot, Entry)>, Failure> {
    let sql = "SELECT s.slot, s.shard, s.epoch FROM move_slots m \
        STRAIGHT_JOIN slots s ON s.slot = m.slot WHERE m.move = ? ORDER BY m.slot FOR UPDATE";
    let rows: Vec<(u32, u32, u64)> = tx.exec(sql, (id.0,)).await?;
    let sql = "SELECT h.slot, h.move FROM move_slots m \
        STRAIGHT_JOIN holds h ON h.slot = m.slot WHERE m.move = ? FOR UPDATE";
    let holds: Vec<(u32, u64)> = tx.exec(sql, (id.0,)).await?;
    with_holds(rows, holds)
}

fn with_holds(
    rows: Vec<(u32, u32, u64)>,
    holds: Vec<(u32, u64)>,
) -> Result<Vec<(Slot, Entry)>, Failure> {
    let holds: BTreeMap<u32, u64> = holds.into_iter().collect();
    let entry = |columns| {
        let row = slot_row(columns)?;
        let held_by = holds.get(&row.slot.get().into()).copied().map(MoveId);
        Ok((row.slot, Entry { owner: row.shard, epoch: row.epoch, held_by }))
    };
    rows.into_iter().map(entry).collect()
}

/// Of both shards, locked: no other writer is let in meanwhile.
async fn newest_writers(tx: &mut Tx, id: MoveId) -> Result<Terms, Failure> {
    // These never change.
    let sql = "SELECT source, target FROM moves WHERE move = ?";
    let shards: Option<(u32, u32)> = tx.exec_first(sql, (id.0,)).await?;
    let (source, target) = shards.ok_or_else(|| no_move(id))?;
    let sql = "SELECT shard, writer_term FROM shards WHERE shard IN (?, ?) ORDER BY shard \
        LOCK IN SHARE MODE";
    let terms: BTreeMap<u32, u64> =
        tx.exec::<(u32, u64), _, _>(sql, (source, target)).await?.into_iter().collect();
    let of = |shard| terms.get(&shard).copied().unwrap_or(0);
    Ok(Terms { source: of(source), target: of(target) })
}

async fn keep_tallies(tx: &mut Tx, flipped: &Move, arrow: &Arrow) -> Result<(), Failure> {
    let Some(Proof { source, target }) = arrow.proof else { return Ok(()) };
    let mut marks = [(flipped.source, source), (flipped.target, target)];
    marks.sort_unstable();
    for (shard, mark) in marks {
        let sql = "INSERT INTO marks (shard, term, tally) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE \
            term = GREATEST(term, VALUES(term)), tally = GREATEST(tally, VALUES(tally))";
        tx.exec_drop(sql, (shard.0, mark.term, mark.tally)).await?;
    }
    Ok(())
}

/// Every slot that the moves want, locked.
async fn wanted(tx: &mut Tx, moves: &[NewMove]) -> Result<BTreeMap<Slot, Entry>, Failure> {
    let slots: BTreeSet<u16> =
        moves.iter().flat_map(|new| &new.slots).map(|moving| moving.slot.get()).collect();
    let slots: Vec<Value> = slots.into_iter().map(Value::from).collect();
    let mut entries = BTreeMap::new();
    for part in slots.chunks(ROWS_PER_INSERT) {
        let marks = vec!["?"; part.len()].join(", ");
        let sql = format!(
            "SELECT slot, shard, epoch FROM slots WHERE slot IN ({marks}) ORDER BY slot FOR UPDATE"
        );
        let rows = tx.exec(sql, Params::Positional(part.to_vec())).await?;
        let sql = format!("SELECT slot, move FROM holds WHERE slot IN ({marks}) FOR UPDATE");
        let holds = tx.exec(sql, Params::Positional(part.to_vec())).await?;
        entries.extend(with_holds(rows, holds)?);
    }
    Ok(entries)
}

async fn next_id(tx: &mut Tx) -> Result<MoveId, Failure> {
    let id = counter(tx, "moves").await? + 1;
    set_counter(tx, "moves", id).await?;
    Ok(MoveId(id))
}

async fn insert(tx: &mut Tx, new: &Move, rebalance: Option<u64>, now: i64) -> Result<(), Failure> {
    let sql = format!(
        "INSERT INTO moves ({MOVE_COLUMNS}) VALUES \
        (?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, NULL, ?, ?, '', '', 0, 0, 0, 0, 0, NULL)"
    );
    let values: Vec<Value> = vec![
        new.id.0.into(),
        (new.kind as u8).into(),
        new.source.0.into(),
        new.target.0.into(),
        (new.phase as u8).into(),
        new.attempt.0.into(),
        (new.wish as u8).into(),
        new.slots.len().into(),
        millis(new.window).into(),
        rebalance.into(),
        now.into(),
        now.into(),
    ];
    tx.exec_drop(sql, Params::Positional(values)).await?;
    for part in new.slots.chunks(ROWS_PER_INSERT) {
        let rows = vec!["(?, ?, ?)"; part.len()].join(", ");
        let sql = format!("INSERT INTO move_slots (move, slot, epoch) VALUES {rows}");
        let values = part.iter().flat_map(|moving| {
            [Value::from(new.id.0), moving.slot.get().into(), moving.epoch.0.into()]
        });
        tx.exec_drop(sql, Params::Positional(values.collect())).await?;
    }
    Ok(())
}

/// The journal's row of a step that led to `next`, whose row is locked.
async fn note(
    tx: &mut Tx,
    next: &Move,
    from: Option<Phase>,
    term: u64,
    detail: &str,
    now: i64,
) -> Result<(), Failure> {
    let sql = "SELECT CAST(COALESCE(MAX(n), 0) + 1 AS UNSIGNED) FROM move_log WHERE move = ?";
    let number: Option<u32> = tx.exec_first(sql, (next.id.0,)).await?;
    let sql = "INSERT INTO move_log (move, n, at_ms, from_phase, to_phase, attempt, term, detail) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let from = from.map(|phase| phase as u8);
    let (id, to, attempt) = (next.id.0, next.phase as u8, next.attempt.0);
    let values = (id, number.unwrap_or(1), now, from, to, attempt, term, cut(detail));
    Ok(tx.exec_drop(sql, values).await?)
}
