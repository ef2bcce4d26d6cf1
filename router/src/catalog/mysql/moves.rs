//! Moves in a MySQL or MariaDB catalog. Slots are locked in their order, then who holds them, then the
//! move: so do those who only read (`owned_slots`, `locate_slot`).

mod rows;

pub(super) use rows::put_rebuilt;

use super::session::Tx;
use super::{MysqlCatalog, ROWS_PER_INSERT, check_leader, counter, now_ms, set_counter};
use crate::catalog::CatalogError;
use crate::catalog::moves::{
    COPIED, CopiedColumns, Course, MOVE_COLUMNS, MoveRow, MoveStore, NewMove, Step, StepColumns,
    Which, copied, cut, holds, may_hold, millis, move_row, reversed, step, stepped,
};
use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Params, Row, Value};
use rows::{
    columns, entries, find, insert, keep_tallies, newest_writers, next_id, note, present, wanted,
};
use shardline_domain::placement::pace::Copied;
use shardline_domain::placement::transfer::{
    Arrow, Attempt, Kind, Move, MoveId, MovingSlot, NotAsExpected, Phase, SlotEffect, Terms, Wish,
};
use shardline_domain::slot::Slot;
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
