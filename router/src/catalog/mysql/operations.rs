//! What operators change in a MySQL or MariaDB catalog. Who changes shards holds the lock that protects
//! slots: no move begins meanwhile.

use super::moves::put_rebuilt;
use super::session::{Failure, Tx};
use super::{MysqlCatalog, ROWS_PER_INSERT, check_leader, counter, leader, now_ms, set_counter};
use crate::catalog::moves::{cut, millis};
use crate::catalog::operations::{
    ChangeRow, EMPTY_IF_NONE, Holdings, JoiningShard, Keep, OperationStore, Rebalance,
    RebalanceColumns, RebalanceState, ShardChange, ShardFacts, THROTTLE, WEIGHT_OF_REBUILT, added,
    change, drained, facts, not_empty, rebalance, rebuilt_words, removed, reweighted, runs,
};
use crate::catalog::{CatalogError, Rebuilt, RebuiltShard, ShardState};
use async_trait::async_trait;
use mysql_async::{Conn, Params, Value, prelude::Queryable};
use shardline_domain::id::ShardId;
use std::time::Duration;

#[async_trait]
impl OperationStore for MysqlCatalog {
    async fn add_shard(&self, new: &JoiningShard, by: &str) -> Result<ShardChange, CatalogError> {
        let step = |mut tx: Tx| async move {
            let Some(next) = added(&shards(&mut tx).await?, new)? else {
                return Ok((tx, change(new.shard, new.weight, ShardState::Joining, true)));
            };
            let sql = "INSERT INTO shards \
                (shard, weight, state, writer_term, writer, address, until_ms, durability) \
                VALUES (?, ?, ?, 0, '', ?, 0, '') ON DUPLICATE KEY UPDATE \
                weight = VALUES(weight), state = VALUES(state), address = VALUES(address)";
            let values = (next.shard.0, next.weight, next.state as u8, &next.address);
            tx.exec_drop(sql, values).await?;
            let what = format!("shard {} joins, weight {}", next.shard, next.weight);
            changed(&mut tx, by, &what).await?;
            Ok((tx, change(next.shard, next.weight, next.state, false)))
        };
        self.sessions.run(step).await
    }

    async fn activate_shard(&self, shard: ShardId) -> Result<bool, CatalogError> {
        let step = |mut tx: Tx| async move {
            let sql = "UPDATE shards SET state = 1 WHERE shard = ? AND state = 3";
            tx.exec_drop(sql, (shard.0,)).await?;
            if tx.affected_rows() == 0 {
                return Ok((tx, false));
            }
            changed(&mut tx, "coordinator", &format!("shard {shard} is active")).await?;
            Ok((tx, true))
        };
        self.sessions.run(step).await
    }

    async fn set_weight(
        &self,
        shard: ShardId,
        weight: u32,
        by: &str,
    ) -> Result<ShardChange, CatalogError> {
        let step = |mut tx: Tx| async move {
            let before = shards(&mut tx).await?;
            let next = reweighted(&before, shard, weight)?;
            let what = format!("shard {shard} has weight {weight}");
            put(tx, &before, &next, by, &what).await
        };
        self.sessions.run(step).await
    }

    async fn set_draining(
        &self,
        shard: ShardId,
        draining: bool,
        by: &str,
    ) -> Result<ShardChange, CatalogError> {
        let step = |mut tx: Tx| async move {
            let before = shards(&mut tx).await?;
            let next = drained(&before, shard, draining)?;
            let what = format!("shard {shard} is {}", next.state.name());
            put(tx, &before, &next, by, &what).await
        };
        self.sessions.run(step).await
    }

    async fn remove_shard(&self, shard: ShardId, by: &str) -> Result<ShardChange, CatalogError> {
        let step = |mut tx: Tx| async move {
            let before = shards(&mut tx).await?;
            let holds = holdings(&mut tx, shard).await?;
            let Some(next) = removed(&before, shard, &holds)? else {
                return Ok((tx, change(shard, 0, ShardState::Removed, true)));
            };
            let sql = "UPDATE shards SET state = ?, writer = '', address = '', until_ms = 0, \
                reported_ms = NULL WHERE shard = ?";
            tx.exec_drop(sql, (next.state as u8, shard.0)).await?;
            tx.exec_drop("DELETE FROM positions WHERE shard = ?", (shard.0,)).await?;
            tx.exec_drop("DELETE FROM marks WHERE shard = ?", (shard.0,)).await?;
            changed(&mut tx, by, &format!("shard {shard} is removed")).await?;
            Ok((tx, change(shard, next.weight, next.state, false)))
        };
        self.sessions.run(step).await
    }

    async fn begin_rebalance(&self, window: Duration, by: &str) -> Result<Rebalance, CatalogError> {
        let step = |mut tx: Tx| async move {
            // Locked first: of two that begin at once, the second finds the first.
            let id = counter(&mut tx, "rebalances").await? + 1;
            let now = now_ms(&mut tx).await?;
            runs(newest(&mut tx, now).await?)?;
            set_counter(&mut tx, "rebalances", id).await?;
            let sql = "INSERT INTO rebalances \
                (rebalance, state, window_ms, started_by, started_ms, note) \
                VALUES (?, ?, ?, ?, ?, '')";
            let state = RebalanceState::Running;
            tx.exec_drop(sql, (id, state as u8, millis(window), by, now)).await?;
            changed(&mut tx, by, &format!("rebalance {id} begins")).await?;
            let (by, age, note) = (by.to_owned(), Duration::ZERO, String::new());
            Ok((tx, Rebalance { id, state, window, by, age, note }))
        };
        self.sessions.run(step).await
    }

    async fn end_rebalance(
        &self,
        id: u64,
        state: RebalanceState,
        note: &str,
        by: &str,
    ) -> Result<bool, CatalogError> {
        let step = |mut tx: Tx| async move {
            let sql = "UPDATE rebalances SET state = ?, note = ? WHERE rebalance = ? AND state = 1";
            tx.exec_drop(sql, (state as u8, cut(note), id)).await?;
            if tx.affected_rows() == 0 {
                return Ok((tx, false));
            }
            let what = format!("rebalance {id} is {}: {note}", state.name());
            changed(&mut tx, by, &what).await?;
            Ok((tx, true))
        };
        self.sessions.run(step).await
    }

    async fn note_rebalance(&self, id: u64, note: &str) -> Result<(), CatalogError> {
        let step = |mut tx: Tx| async move {
            let sql = "UPDATE rebalances SET note = ? WHERE rebalance = ? AND state = 1";
            tx.exec_drop(sql, (cut(note), id)).await?;
            Ok((tx, ()))
        };
        self.sessions.run(step).await
    }

    async fn rebalance(&self) -> Result<Option<Rebalance>, CatalogError> {
        let step = |mut db: Conn| async move {
            let now = now_ms(&mut db).await?;
            newest(&mut db, now).await
        };
        self.sessions.read(step).await
    }

    async fn throttle(&self) -> Result<u64, CatalogError> {
        let step = |mut db: Conn| async move {
            let sql = "SELECT value FROM settings WHERE name = ?";
            Ok(db.exec_first(sql, (THROTTLE,)).await?.unwrap_or(0))
        };
        self.sessions.read(step).await
    }

    async fn set_throttle(&self, bytes_per_second: u64, by: &str) -> Result<(), CatalogError> {
        let step = |mut tx: Tx| async move {
            let sql = "INSERT INTO settings (name, value) VALUES (?, ?) \
                ON DUPLICATE KEY UPDATE value = VALUES(value)";
            tx.exec_drop(sql, (THROTTLE, bytes_per_second)).await?;
            let what = format!("moves copy at most {bytes_per_second} bytes a second");
            changed(&mut tx, by, &what).await?;
            Ok((tx, ()))
        };
        self.sessions.run(step).await
    }

    async fn rebuild(&self, rebuilt: &Rebuilt, by: &str) -> Result<(), CatalogError> {
        let step = |mut tx: Tx| async move {
            // Who leads and who founds wait for this, and find it done.
            leader(&mut tx).await?;
            let version = counter(&mut tx, "slots").await? + 1;
            if tx.query_first::<u64, _>(EMPTY_IF_NONE).await? != Some(0) {
                return Err(not_empty().into());
            }
            let sql = "UPDATE leaders SET term = GREATEST(term, ?), until_ms = 0";
            tx.exec_drop(sql, (rebuilt.leader_term,)).await?;
            set_counter(&mut tx, "slots", version).await?;
            put_shards(&mut tx, &rebuilt.shards).await?;
            for part in rebuilt.slots.chunks(ROWS_PER_INSERT) {
                let rows = vec!["(?, ?, ?, ?)"; part.len()].join(", ");
                let sql = format!("INSERT INTO slots (slot, shard, epoch, version) VALUES {rows}");
                let values = part.iter().flat_map(|row| {
                    let (slot, shard, epoch) = (row.slot.get(), row.shard.0, row.epoch.0);
                    [Value::from(slot), shard.into(), epoch.into(), version.into()]
                });
                tx.exec_drop(sql, Params::Positional(values.collect())).await?;
            }
            let last = counter(&mut tx, "moves").await?.max(rebuilt.last_move.0);
            set_counter(&mut tx, "moves", last).await?;
            let now = now_ms(&mut tx).await?;
            for left in &rebuilt.moves {
                put_rebuilt(&mut tx, left, now).await?;
            }
            changed(&mut tx, by, &rebuilt_words(rebuilt)).await?;
            Ok((tx, ()))
        };
        self.sessions.run(step).await
    }

    async fn note_change(&self, by: &str, what: &str) -> Result<(), CatalogError> {
        let step = |mut tx: Tx| async move {
            changed(&mut tx, by, what).await?;
            Ok((tx, ()))
        };
        self.sessions.run(step).await
    }

    async fn trim(&self, term: u64, keep: &Keep, at_once: u32) -> Result<u64, CatalogError> {
        let step = |mut tx: Tx| async move {
            check_leader(&mut tx, term).await?;
            let (moves_before, changes_before) = keep.before(now_ms(&mut tx).await?);
            let sql = "SELECT move FROM moves WHERE phase IN (12, 14) ORDER BY move DESC \
                LIMIT 1 OFFSET ?";
            let beyond: Option<u64> = tx.exec_first(sql, (keep.moves,)).await?;
            let sql = "SELECT move FROM moves WHERE phase IN (12, 14) \
                AND (move <= ? OR phase_ms < ?) ORDER BY move LIMIT ? FOR UPDATE";
            let ended: Vec<u64> =
                tx.exec(sql, (beyond.unwrap_or(0), moves_before, at_once)).await?;
            for id in &ended {
                for table in ["move_log", "move_slots", "moves"] {
                    tx.exec_drop(format!("DELETE FROM {table} WHERE move = ?"), (id,)).await?;
                }
            }
            let sql = "SELECT CAST(COALESCE(MAX(rebalance), 0) AS UNSIGNED) FROM rebalances";
            let newest: u64 = tx.query_first(sql).await?.unwrap_or(0);
            let beyond = newest.saturating_sub(keep.rebalances.into());
            let sql = "DELETE FROM rebalances WHERE state <> 1 AND rebalance < ? \
                AND (rebalance <= ? OR started_ms < ?) ORDER BY rebalance LIMIT ?";
            tx.exec_drop(sql, (newest, beyond, moves_before, at_once)).await?;
            let mut trimmed = ended.len() as u64 + tx.affected_rows();
            // Whoever adds one holds this, too.
            let newest = counter(&mut tx, "changes").await?;
            let beyond = newest.saturating_sub(keep.changes.into());
            let sql = "DELETE FROM changes WHERE n < ? AND (n <= ? OR at_ms < ?) \
                ORDER BY n LIMIT ?";
            tx.exec_drop(sql, (newest, beyond, changes_before, at_once)).await?;
            trimmed += tx.affected_rows();
            Ok((tx, trimmed))
        };
        self.sessions.run(step).await
    }

    async fn changes(&self, limit: u32) -> Result<Vec<ChangeRow>, CatalogError> {
        let step = |mut db: Conn| async move {
            let sql = "SELECT n, at_ms, who, what FROM changes ORDER BY n DESC LIMIT ?";
            let rows: Vec<(u64, i64, String, String)> = db.exec(sql, (limit,)).await?;
            let row = |(number, at_ms, by, what)| ChangeRow { number, at_ms, by, what };
            Ok(rows.into_iter().map(row).collect())
        };
        self.sessions.read(step).await
    }
}

async fn put_shards(tx: &mut Tx, shards: &[RebuiltShard]) -> Result<(), Failure> {
    for new in shards {
        let sql = "INSERT INTO shards \
            (shard, weight, state, writer_term, writer, address, until_ms, durability) \
            VALUES (?, ?, ?, ?, ?, ?, 0, '')";
        let (shard, state) = (new.shard.0, ShardState::Active as u8);
        let values = (shard, WEIGHT_OF_REBUILT, state, new.writer_term, &new.writer, &new.address);
        tx.exec_drop(sql, values).await?;
        let sql = "INSERT INTO positions (shard, lane, committed, relayed) VALUES (?, ?, ?, ?)";
        let rows = new.lanes.iter().map(|lane| (shard, lane.lane, lane.committed, lane.relayed));
        tx.exec_batch(sql, rows).await?;
    }
    Ok(())
}

/// All of them, removed ones too, locked.
async fn shards(tx: &mut Tx) -> Result<Vec<ShardFacts>, Failure> {
    counter(tx, "slots").await?;
    let sql = "SELECT shard, weight, state, address FROM shards ORDER BY shard FOR UPDATE";
    let rows: Vec<(u32, u32, u8, String)> = tx.query(sql).await?;
    Ok(rows.into_iter().map(facts).collect::<Result<_, _>>()?)
}

/// True as long as the shards are locked: slots and moves begin and flip under the same lock.
async fn holdings(tx: &mut Tx, shard: ShardId) -> Result<Holdings, Failure> {
    let sql = "SELECT COUNT(*) FROM slots WHERE shard = ?";
    let slots = tx.exec_first(sql, (shard.0,)).await?.unwrap_or(0);
    let sql = "SELECT move FROM moves WHERE phase NOT IN (12, 14) AND (source = ? OR target = ?) \
        ORDER BY move";
    let moves = tx.exec(sql, (shard.0, shard.0)).await?;
    let sql = "SELECT committed, relayed FROM positions WHERE shard = ?";
    let lanes: Vec<(u64, u64)> = tx.exec(sql, (shard.0,)).await?;
    let unrelayed = lanes.into_iter().map(|(done, relayed)| done.saturating_sub(relayed)).sum();
    Ok(Holdings { slots, moves, unrelayed })
}

/// Weight and state; journaled if they are others than before.
async fn put(
    mut tx: Tx,
    before: &[ShardFacts],
    next: &ShardFacts,
    by: &str,
    what: &str,
) -> Result<(Tx, ShardChange), Failure> {
    let unchanged = before.contains(next);
    if !unchanged {
        let sql = "UPDATE shards SET weight = ?, state = ? WHERE shard = ?";
        tx.exec_drop(sql, (next.weight, next.state as u8, next.shard.0)).await?;
        changed(&mut tx, by, what).await?;
    }
    Ok((tx, change(next.shard, next.weight, next.state, unchanged)))
}

/// The row that says who did it; locked last of all.
pub(super) async fn changed(tx: &mut Tx, by: &str, what: &str) -> Result<(), Failure> {
    let number = counter(tx, "changes").await? + 1;
    set_counter(tx, "changes", number).await?;
    let now = now_ms(tx).await?;
    let sql = "INSERT INTO changes (n, at_ms, who, what) VALUES (?, ?, ?, ?)";
    Ok(tx.exec_drop(sql, (number, now, by, cut(what))).await?)
}

async fn newest(db: &mut impl Queryable, now: i64) -> Result<Option<Rebalance>, Failure> {
    let sql = "SELECT rebalance, state, window_ms, started_by, started_ms, note FROM rebalances \
        ORDER BY rebalance DESC LIMIT 1";
    let row: Option<RebalanceColumns> = db.query_first(sql).await?;
    Ok(row.map(|columns| rebalance(columns, now)).transpose()?)
}
