//! What operators change in a SQLite catalog.

use super::moves::put_rebuilt;
use super::{SqliteCatalog, all, check_leader, counter, set_counter};
use crate::catalog::moves::{cut, millis};
use crate::catalog::operations::{
    ChangeRow, EMPTY_IF_NONE, Holdings, JoiningShard, Keep, OperationStore, Rebalance,
    RebalanceColumns, RebalanceState, ShardChange, ShardFacts, THROTTLE, WEIGHT_OF_REBUILT, added,
    change, drained, facts, not_empty, rebalance, rebuilt_words, removed, reweighted, runs,
};
use crate::catalog::{CatalogError, Rebuilt, RebuiltShard, ShardState};
use async_trait::async_trait;
use rusqlite::{OptionalExtension, Transaction, params};
use shardline_daemon::clock::now_ms;
use shardline_domain::id::ShardId;
use std::time::Duration;

#[async_trait]
impl OperationStore for SqliteCatalog {
    async fn add_shard(&self, new: &JoiningShard, by: &str) -> Result<ShardChange, CatalogError> {
        let (new, by) = (new.clone(), by.to_owned());
        self.run(move |tx| {
            let Some(next) = added(&shards(tx)?, &new)? else {
                return Ok(change(new.shard, new.weight, ShardState::Joining, true));
            };
            let sql = "INSERT INTO shards \
                (shard, weight, state, writer_term, writer, address, until_ms, durability) \
                VALUES (?, ?, ?, 0, '', ?, 0, '') ON CONFLICT (shard) DO UPDATE SET \
                weight = excluded.weight, state = excluded.state, address = excluded.address";
            let values = params![next.shard.0, next.weight, next.state as u8, next.address];
            tx.execute(sql, values)?;
            let what = format!("shard {} joins, weight {}", next.shard, next.weight);
            changed(tx, &by, &what)?;
            Ok(change(next.shard, next.weight, next.state, false))
        })
        .await
    }

    async fn activate_shard(&self, shard: ShardId) -> Result<bool, CatalogError> {
        self.run(move |tx| {
            let sql = "UPDATE shards SET state = 1 WHERE shard = ? AND state = 3";
            if tx.execute(sql, [shard.0])? == 0 {
                return Ok(false);
            }
            changed(tx, "coordinator", &format!("shard {shard} is active"))?;
            Ok(true)
        })
        .await
    }

    async fn set_weight(
        &self,
        shard: ShardId,
        weight: u32,
        by: &str,
    ) -> Result<ShardChange, CatalogError> {
        let by = by.to_owned();
        self.run(move |tx| {
            let before = shards(tx)?;
            let next = reweighted(&before, shard, weight)?;
            put(tx, &before, &next, &by, &format!("shard {shard} has weight {weight}"))
        })
        .await
    }

    async fn set_draining(
        &self,
        shard: ShardId,
        draining: bool,
        by: &str,
    ) -> Result<ShardChange, CatalogError> {
        let by = by.to_owned();
        self.run(move |tx| {
            let before = shards(tx)?;
            let next = drained(&before, shard, draining)?;
            put(tx, &before, &next, &by, &format!("shard {shard} is {}", next.state.name()))
        })
        .await
    }

    async fn remove_shard(&self, shard: ShardId, by: &str) -> Result<ShardChange, CatalogError> {
        let by = by.to_owned();
        self.run(move |tx| {
            let before = shards(tx)?;
            let Some(next) = removed(&before, shard, &holdings(tx, shard)?)? else {
                return Ok(change(shard, 0, ShardState::Removed, true));
            };
            let sql = "UPDATE shards SET state = ?, writer = '', address = '', until_ms = 0, \
                reported_ms = NULL WHERE shard = ?";
            tx.execute(sql, params![next.state as u8, shard.0])?;
            tx.execute("DELETE FROM positions WHERE shard = ?", [shard.0])?;
            tx.execute("DELETE FROM marks WHERE shard = ?", [shard.0])?;
            changed(tx, &by, &format!("shard {shard} is removed"))?;
            Ok(change(shard, next.weight, next.state, false))
        })
        .await
    }

    async fn begin_rebalance(&self, window: Duration, by: &str) -> Result<Rebalance, CatalogError> {
        let by = by.to_owned();
        self.run(move |tx| {
            let now = now_ms();
            runs(newest(tx, now)?)?;
            let id = counter(tx, "rebalances")? + 1;
            set_counter(tx, "rebalances", id)?;
            let sql = "INSERT INTO rebalances \
                (rebalance, state, window_ms, started_by, started_ms, note) \
                VALUES (?, ?, ?, ?, ?, '')";
            let state = RebalanceState::Running as u8;
            tx.execute(sql, params![id, state, millis(window), by, now])?;
            changed(tx, &by, &format!("rebalance {id} begins"))?;
            Ok(Rebalance {
                id,
                state: RebalanceState::Running,
                window,
                by,
                age: Duration::ZERO,
                note: String::new(),
            })
        })
        .await
    }

    async fn end_rebalance(
        &self,
        id: u64,
        state: RebalanceState,
        note: &str,
        by: &str,
    ) -> Result<bool, CatalogError> {
        let (note, by) = (note.to_owned(), by.to_owned());
        self.run(move |tx| {
            let sql = "UPDATE rebalances SET state = ?, note = ? WHERE rebalance = ? AND state = 1";
            if tx.execute(sql, params![state as u8, cut(&note), id])? == 0 {
                return Ok(false);
            }
            changed(tx, &by, &format!("rebalance {id} is {}: {note}", state.name()))?;
            Ok(true)
        })
        .await
    }

    async fn note_rebalance(&self, id: u64, note: &str) -> Result<(), CatalogError> {
        let note = note.to_owned();
        self.run(move |tx| {
            let sql = "UPDATE rebalances SET note = ? WHERE rebalance = ? AND state = 1";
            tx.execute(sql, params![cut(&note), id])?;
            Ok(())
        })
        .await
    }

    async fn rebalance(&self) -> Result<Option<Rebalance>, CatalogError> {
        self.run(|tx| newest(tx, now_ms())).await
    }

    async fn throttle(&self) -> Result<u64, CatalogError> {
        self.run(|tx| {
            let sql = "SELECT value FROM settings WHERE name = ?";
            Ok(tx.query_row(sql, [THROTTLE], |row| row.get(0)).optional()?.unwrap_or(0))
        })
        .await
    }

    async fn set_throttle(&self, bytes_per_second: u64, by: &str) -> Result<(), CatalogError> {
        let by = by.to_owned();
        self.run(move |tx| {
            let sql = "INSERT INTO settings (name, value) VALUES (?, ?) \
                ON CONFLICT (name) DO UPDATE SET value = excluded.value";
            tx.execute(sql, params![THROTTLE, bytes_per_second])?;
            changed(tx, &by, &format!("moves copy at most {bytes_per_second} bytes a second"))
        })
        .await
    }

    async fn rebuild(&self, rebuilt: &Rebuilt, by: &str) -> Result<(), CatalogError> {
        let (rebuilt, by) = (rebuilt.clone(), by.to_owned());
        self.run(move |tx| {
            if tx.query_row(EMPTY_IF_NONE, [], |row| row.get::<_, u64>(0))? != 0 {
                return Err(not_empty());
            }
            let sql = "UPDATE leaders SET term = MAX(term, ?), until_ms = 0";
            tx.execute(sql, [rebuilt.leader_term])?;
            let version = counter(tx, "slots")? + 1;
            set_counter(tx, "slots", version)?;
            put_shards(tx, &rebuilt.shards)?;
            let mut insert =
                tx.prepare("INSERT INTO slots (slot, shard, epoch, version) VALUES (?, ?, ?, ?)")?;
            for row in &rebuilt.slots {
                insert.execute(params![row.slot.get(), row.shard.0, row.epoch.0, version])?;
            }
            let last = counter(tx, "moves")?.max(rebuilt.last_move.0);
            set_counter(tx, "moves", last)?;
            let now = now_ms();
            for left in &rebuilt.moves {
                put_rebuilt(tx, left, now)?;
            }
            changed(tx, &by, &rebuilt_words(&rebuilt))
        })
        .await
    }

    async fn trim(&self, term: u64, keep: &Keep, at_once: u32) -> Result<u64, CatalogError> {
        let keep = *keep;
        self.run(move |tx| {
            check_leader(tx, term)?;
            let (moves_before, changes_before) = keep.before(now_ms());
            let sql = "SELECT move FROM moves WHERE phase IN (12, 14) ORDER BY move DESC \
                LIMIT 1 OFFSET ?";
            let beyond: Option<u64> =
                tx.query_row(sql, [keep.moves], |row| row.get(0)).optional()?;
            let sql = "SELECT move FROM moves WHERE phase IN (12, 14) \
                AND (move <= ? OR phase_ms < ?) ORDER BY move LIMIT ?";
            let values = params![beyond.unwrap_or(0), moves_before, at_once];
            let ended: Vec<u64> = all(tx, sql, values, |row| row.get(0))?;
            for id in &ended {
                for table in ["move_log", "move_slots", "moves"] {
                    tx.execute(&format!("DELETE FROM {table} WHERE move = ?"), [id])?;
                }
            }
            let sql = "SELECT COALESCE(MAX(rebalance), 0) FROM rebalances";
            let newest: u64 = tx.query_row(sql, [], |row| row.get(0))?;
            let beyond = newest.saturating_sub(keep.rebalances.into());
            let sql = "DELETE FROM rebalances WHERE rebalance IN (SELECT rebalance FROM rebalances \
                WHERE state <> 1 AND rebalance < ? AND (rebalance <= ? OR started_ms < ?) \
                ORDER BY rebalance LIMIT ?)";
            let rebalances = tx.execute(sql, params![newest, beyond, moves_before, at_once])?;
            let newest = counter(tx, "changes")?;
            let beyond = newest.saturating_sub(keep.changes.into());
            let sql = "DELETE FROM changes WHERE n IN (SELECT n FROM changes \
                WHERE n < ? AND (n <= ? OR at_ms < ?) ORDER BY n LIMIT ?)";
            let changes = tx.execute(sql, params![newest, beyond, changes_before, at_once])?;
            Ok((ended.len() + rebalances + changes) as u64)
        })
        .await
    }

    async fn note_change(&self, by: &str, what: &str) -> Result<(), CatalogError> {
        let (by, what) = (by.to_owned(), what.to_owned());
        self.run(move |tx| changed(tx, &by, &what)).await
    }

    async fn changes(&self, limit: u32) -> Result<Vec<ChangeRow>, CatalogError> {
        self.run(move |tx| {
            let sql = "SELECT n, at_ms, who, what FROM changes ORDER BY n DESC LIMIT ?";
            all(tx, sql, [limit], |row| {
                let (number, at_ms, by, what) = row.try_into()?;
                Ok(ChangeRow { number, at_ms, by, what })
            })
        })
        .await
    }
}

fn put_shards(tx: &Transaction<'_>, shards: &[RebuiltShard]) -> Result<(), CatalogError> {
    for new in shards {
        let sql = "INSERT INTO shards \
            (shard, weight, state, writer_term, writer, address, until_ms, durability) \
            VALUES (?, ?, ?, ?, ?, ?, 0, '')";
        let state = ShardState::Active as u8;
        let values = params![
            new.shard.0,
            WEIGHT_OF_REBUILT,
            state,
            new.writer_term,
            new.writer,
            new.address
        ];
        tx.execute(sql, values)?;
        for lane in &new.lanes {
            let sql = "INSERT INTO positions (shard, lane, committed, relayed) VALUES (?, ?, ?, ?)";
            tx.execute(sql, params![new.shard.0, lane.lane, lane.committed, lane.relayed])?;
        }
    }
    Ok(())
}

/// All of them, removed ones too.
fn shards(tx: &Transaction<'_>) -> Result<Vec<ShardFacts>, CatalogError> {
    let sql = "SELECT shard, weight, state, address FROM shards ORDER BY shard";
    all(tx, sql, [], |row| row.try_into())?.into_iter().map(facts).collect()
}

fn holdings(tx: &Transaction<'_>, shard: ShardId) -> Result<Holdings, CatalogError> {
    let one = |sql: &str| tx.query_row(sql, [shard.0], |row| row.get::<_, u64>(0));
    let sql = "SELECT move FROM moves WHERE phase NOT IN (12, 14) AND (source = ?1 OR target = ?1) \
        ORDER BY move";
    Ok(Holdings {
        slots: one("SELECT COUNT(*) FROM slots WHERE shard = ?")?,
        moves: all(tx, sql, [shard.0], |row| row.get(0))?,
        unrelayed: one(
            "SELECT COALESCE(SUM(MAX(committed - relayed, 0)), 0) FROM positions WHERE shard = ?",
        )?,
    })
}

/// Weight and state; journaled if they are others than before.
fn put(
    tx: &Transaction<'_>,
    before: &[ShardFacts],
    next: &ShardFacts,
    by: &str,
    what: &str,
) -> Result<ShardChange, CatalogError> {
    let unchanged = before.contains(next);
    if !unchanged {
        let sql = "UPDATE shards SET weight = ?, state = ? WHERE shard = ?";
        tx.execute(sql, params![next.weight, next.state as u8, next.shard.0])?;
        changed(tx, by, what)?;
    }
    Ok(change(next.shard, next.weight, next.state, unchanged))
}

/// The row that says who did it.
pub(super) fn changed(tx: &Transaction<'_>, by: &str, what: &str) -> Result<(), CatalogError> {
    let number = counter(tx, "changes")? + 1;
    set_counter(tx, "changes", number)?;
    let sql = "INSERT INTO changes (n, at_ms, who, what) VALUES (?, ?, ?, ?)";
    tx.execute(sql, params![number, now_ms(), by, cut(what)])?;
    Ok(())
}

fn newest(tx: &Transaction<'_>, now: i64) -> Result<Option<Rebalance>, CatalogError> {
    let sql = "SELECT rebalance, state, window_ms, started_by, started_ms, note FROM rebalances \
        ORDER BY rebalance DESC LIMIT 1";
    let row: Option<RebalanceColumns> = tx.query_row(sql, [], |row| row.try_into()).optional()?;
    row.map(|columns| rebalance(columns, now)).transpose()
}
