//! The catalog in MySQL or MariaDB.
//!
//! Every writing step is one transaction at READ COMMITTED that locks what it decides from before it
//! reads the server's clock. A deadlock or a lock wait that took too long rolls the step back, and it
//! is tried again.

mod moves;
mod operations;
mod schema;
mod session;

pub use schema::describe;

use super::lease::{Held, Lease, until_ms};
use super::migrate::Migrate;
use super::moves::{HeldColumns, HeldSlot};
use super::rows::{ShardColumns, granted, held_slots, news, no_shard, refused, shard_row};
use super::{
    CatalogError, CatalogStore, LanePosition, Leadership, NewShard, Report, Router, RouterList,
    ShardRow, ShardState, SlotNews, WriterBid, WriterGrant,
};
use async_trait::async_trait;
use mysql_async::{Conn, Params, Value, prelude::Queryable};
use session::{Failure, Sessions, Tx};
use shardline_domain::{id::ShardId, placement::transfer::Mark, slot::Slot};
use std::time::Duration;

const COORDINATOR: &str = "coordinator";
/// Of routers that left the list.
const FORGET_BOOTS: &str =
    "DELETE FROM router_boots WHERE router NOT IN (SELECT router FROM routers)";
/// Rows in one statement: well under any packet limit.
const ROWS_PER_INSERT: usize = 1024;

pub struct MysqlCatalog {
    sessions: Sessions,
}

impl MysqlCatalog {
    /// Connects to `mysql://user:password@host:port/database`; makes the database if it is not there
    /// and its tables as `migrate` says.
    pub async fn open(url: &str, migrate: Migrate) -> Result<MysqlCatalog, CatalogError> {
        let sessions = Sessions::open(url).await?;
        schema::prepare(&sessions, migrate).await?;
        Ok(MysqlCatalog { sessions })
    }

    /// Closes all connections; steps under way fail.
    pub async fn close(self) {
        self.sessions.close().await;
    }
}

#[async_trait]
impl CatalogStore for MysqlCatalog {
    async fn lead(&self, holder: &str, lasts: Duration) -> Result<Leadership, CatalogError> {
        let step = |mut tx: Tx| async move {
            let lease = leader(&mut tx).await?;
            let now = now_ms(&mut tx).await?;
            let Some(next) = lease.lead(holder, now, lasts) else {
                let leads = Leadership { mine: false, term: lease.term, holder: lease.holder };
                return Ok((tx, leads));
            };
            let sql = "UPDATE leaders SET term = ?, holder = ?, until_ms = ? WHERE role = ?";
            tx.exec_drop(sql, (next.term, &next.holder, next.until_ms, COORDINATOR)).await?;
            Ok((tx, Leadership { mine: true, term: next.term, holder: next.holder }))
        };
        self.sessions.run(step).await
    }

    async fn resign(&self, term: u64) -> Result<(), CatalogError> {
        let step = |mut tx: Tx| async move {
            let sql = "UPDATE leaders SET until_ms = 0 WHERE role = ? AND term = ?";
            tx.exec_drop(sql, (COORDINATOR, term)).await?;
            Ok((tx, ()))
        };
        self.sessions.run(step).await
    }

    async fn found(
        &self,
        term: u64,
        shards: &[NewShard],
        slots: &[(Slot, ShardId)],
    ) -> Result<bool, CatalogError> {
        let step = |mut tx: Tx| async move {
            check_leader(&mut tx, term).await?;
            let version = counter(&mut tx, "slots").await? + 1;
            if tx.query_first::<u64, _>("SELECT COUNT(*) FROM shards").await? != Some(0) {
                return Ok((tx, false));
            }
            set_counter(&mut tx, "slots", version).await?;
            let sql = "INSERT INTO shards \
                (shard, weight, state, writer_term, writer, address, until_ms, durability) \
                VALUES (?, ?, ?, 0, '', '', 0, '')";
            let rows = shards.iter().map(|new| (new.shard.0, new.weight, ShardState::Active as u8));
            tx.exec_batch(sql, rows).await?;
            for part in slots.chunks(ROWS_PER_INSERT) {
                let rows = vec!["(?, ?, 1, ?)"; part.len()].join(", ");
                let sql = format!("INSERT INTO slots (slot, shard, epoch, version) VALUES {rows}");
                let values = part.iter().flat_map(|(slot, shard)| {
                    [Value::from(slot.get()), shard.0.into(), version.into()]
                });
                tx.exec_drop(sql, Params::Positional(values.collect())).await?;
            }
            Ok((tx, true))
        };
        self.sessions.run(step).await
    }

    async fn shards(&self) -> Result<Vec<ShardRow>, CatalogError> {
        let step = |mut db: Conn| async move {
            let now = now_ms(&mut db).await?;
            let sql = "SELECT shard, weight, state, writer_term, writer, address, until_ms, \
                reported_ms, durability FROM shards WHERE state <> 4 ORDER BY shard";
            let rows: Vec<ShardColumns> = db.query(sql).await?;
            let rows = rows.into_iter().map(|columns| shard_row(columns, now));
            Ok(rows.collect::<Result<_, _>>()?)
        };
        self.sessions.read(step).await
    }

    async fn slots_since(&self, version: u64) -> Result<SlotNews, CatalogError> {
        let step = |mut db: Conn| async move {
            let sql = "SELECT slot, shard, epoch, version FROM slots WHERE version > ?";
            let rows: Vec<(u32, u32, u64, u64)> = db.exec(sql, (version,)).await?;
            Ok(news(version, rows)?)
        };
        self.sessions.read(step).await
    }

    async fn owned_slots(&self, shard: ShardId) -> Result<Vec<HeldSlot>, CatalogError> {
        let step = |mut tx: Tx| async move {
            let sql = "SELECT slot, shard, epoch FROM slots WHERE shard = ? LOCK IN SHARE MODE";
            let rows: Vec<(u32, u32, u64)> = tx.exec(sql, (shard.0,)).await?;
            // With its slots locked, no move of theirs begins, flips or ends.
            let sql = "SELECT h.slot, m.move, m.attempt, m.phase, m.source, m.target \
                FROM moves m STRAIGHT_JOIN holds h ON h.move = m.move \
                WHERE m.source = ? OR m.target = ? LOCK IN SHARE MODE";
            let holds: Vec<HeldColumns> = tx.exec(sql, (shard.0, shard.0)).await?;
            Ok((tx, held_slots(rows, holds)?))
        };
        self.sessions.run(step).await
    }

    async fn locate_slot(&self, slot: Slot) -> Result<Option<HeldSlot>, CatalogError> {
        let step = |mut tx: Tx| async move {
            let sql = "SELECT slot, shard, epoch FROM slots WHERE slot = ? LOCK IN SHARE MODE";
            let rows: Vec<(u32, u32, u64)> = tx.exec(sql, (slot.get(),)).await?;
            let sql = "SELECT h.slot, m.move, m.attempt, m.phase, m.source, m.target \
                FROM holds h STRAIGHT_JOIN moves m ON m.move = h.move \
                WHERE h.slot = ? LOCK IN SHARE MODE";
            let holds: Vec<HeldColumns> = tx.exec(sql, (slot.get(),)).await?;
            Ok((tx, held_slots(rows, holds)?.pop()))
        };
        self.sessions.run(step).await
    }

    async fn locate_slots(&self, slots: &[Slot]) -> Result<Vec<HeldSlot>, CatalogError> {
        // In one order, whoever locks them.
        let mut slots: Vec<u16> = slots.iter().map(|slot| slot.get()).collect();
        slots.sort_unstable();
        let slots: &Vec<Value> = &slots.into_iter().map(Value::from).collect();
        let step = |mut tx: Tx| async move {
            let (mut rows, mut holds) = (Vec::new(), Vec::new());
            for part in slots.chunks(ROWS_PER_INSERT) {
                let marks = vec!["?"; part.len()].join(", ");
                let sql = format!(
                    "SELECT slot, shard, epoch FROM slots WHERE slot IN ({marks}) \
                    ORDER BY slot LOCK IN SHARE MODE"
                );
                let of_part: Vec<(u32, u32, u64)> =
                    tx.exec(sql, Params::Positional(part.to_vec())).await?;
                rows.extend(of_part);
            }
            for part in slots.chunks(ROWS_PER_INSERT) {
                let marks = vec!["?"; part.len()].join(", ");
                let sql = format!(
                    "SELECT h.slot, m.move, m.attempt, m.phase, m.source, m.target \
                    FROM holds h STRAIGHT_JOIN moves m ON m.move = h.move \
                    WHERE h.slot IN ({marks}) LOCK IN SHARE MODE"
                );
                let of_part: Vec<HeldColumns> =
                    tx.exec(sql, Params::Positional(part.to_vec())).await?;
                holds.extend(of_part);
            }
            Ok((tx, held_slots(rows, holds)?))
        };
        self.sessions.run(step).await
    }

    async fn acquire_writer(&self, bid: &WriterBid) -> Result<WriterGrant, CatalogError> {
        let step = |mut tx: Tx| async move {
            let lease = writer(&mut tx, bid.shard).await?;
            let now = now_ms(&mut tx).await?;
            let Some(next) = lease.acquire(&bid.node, now, bid.lasts) else {
                return Ok((tx, refused(lease)));
            };
            set_writer(&mut tx, bid, &next).await?;
            Ok((tx, granted(next)))
        };
        self.sessions.run(step).await
    }

    async fn renew_writer(&self, bid: &WriterBid, term: u64) -> Result<WriterGrant, CatalogError> {
        let step = |mut tx: Tx| async move {
            let lease = writer(&mut tx, bid.shard).await?;
            let now = now_ms(&mut tx).await?;
            let Some(next) = lease.renew(term, &bid.node, now, bid.lasts) else {
                return Ok((tx, refused(lease)));
            };
            set_writer(&mut tx, bid, &next).await?;
            Ok((tx, granted(next)))
        };
        self.sessions.run(step).await
    }

    async fn release_writer(&self, shard: ShardId, term: u64) -> Result<(), CatalogError> {
        let step = |mut tx: Tx| async move {
            let sql = "UPDATE shards SET until_ms = 0 WHERE shard = ? AND writer_term = ?";
            tx.exec_drop(sql, (shard.0, term)).await?;
            Ok((tx, ()))
        };
        self.sessions.run(step).await
    }

    async fn report(&self, report: &Report) -> Result<bool, CatalogError> {
        let step = |mut tx: Tx| async move {
            let lease = writer(&mut tx, report.shard).await?;
            if lease.term != report.term {
                return Ok((tx, false));
            }
            let now = now_ms(&mut tx).await?;
            let sql = "UPDATE shards SET reported_ms = ?, durability = ? WHERE shard = ?";
            tx.exec_drop(sql, (now, &report.durability, report.shard.0)).await?;
            let sql = "INSERT INTO positions (shard, lane, committed, relayed) VALUES (?, ?, ?, ?) \
                ON DUPLICATE KEY UPDATE committed = GREATEST(committed, VALUES(committed)), \
                relayed = GREATEST(relayed, VALUES(relayed))";
            let shard = report.shard.0;
            let rows =
                report.lanes.iter().map(|lane| (shard, lane.lane, lane.committed, lane.relayed));
            tx.exec_batch(sql, rows).await?;
            let sql = "INSERT INTO marks (shard, term, tally) VALUES (?, ?, 0) \
                ON DUPLICATE KEY UPDATE term = GREATEST(term, VALUES(term))";
            tx.exec_drop(sql, (shard, report.term)).await?;
            Ok((tx, true))
        };
        self.sessions.run(step).await
    }

    async fn lane_positions(&self, shard: ShardId) -> Result<Vec<LanePosition>, CatalogError> {
        let step = |mut db: Conn| async move {
            let sql =
                "SELECT lane, committed, relayed FROM positions WHERE shard = ? ORDER BY lane";
            let rows: Vec<(u16, u64, u64)> = db.exec(sql, (shard.0,)).await?;
            Ok(rows
                .into_iter()
                .map(|(lane, committed, relayed)| LanePosition { lane, committed, relayed })
                .collect())
        };
        self.sessions.read(step).await
    }

    async fn mark(&self, shard: ShardId) -> Result<Mark, CatalogError> {
        let step = |mut db: Conn| async move {
            let sql = "SELECT term, tally FROM marks WHERE shard = ?";
            let row: Option<(u64, u64)> = db.exec_first(sql, (shard.0,)).await?;
            Ok(row.map(|(term, tally)| Mark { term, tally }).unwrap_or_default())
        };
        self.sessions.read(step).await
    }

    async fn heartbeat(
        &self,
        router: &Router,
        boot: u64,
        lasts: Duration,
    ) -> Result<RouterList, CatalogError> {
        let step = |mut tx: Tx| async move {
            // Locked first: heartbeats go one by one, and their lists are numbered in that order.
            let number = counter(&mut tx, "routers").await?;
            let now = now_ms(&mut tx).await?;
            let held = held(&mut tx, &router.id).await?;
            if let Some(held) = held.filter(|held| held.is_held_from(boot, now)) {
                return Err(CatalogError::IdTaken { address: held.address }.into());
            }
            let before = router_rows(&mut tx).await?;
            tx.exec_drop(
                "DELETE FROM routers WHERE until_ms <= ? AND router <> ?",
                (now, &router.id),
            )
            .await?;
            let sql = "INSERT INTO routers (router, address, until_ms) VALUES (?, ?, ?) \
                ON DUPLICATE KEY UPDATE address = VALUES(address), until_ms = VALUES(until_ms)";
            tx.exec_drop(sql, (&router.id, &router.address, until_ms(now, lasts))).await?;
            let sql = "INSERT INTO router_boots (router, boot) VALUES (?, ?) \
                ON DUPLICATE KEY UPDATE boot = VALUES(boot)";
            tx.exec_drop(sql, (&router.id, boot)).await?;
            tx.query_drop(FORGET_BOOTS).await?;
            numbered(tx, number, before).await
        };
        self.sessions.run(step).await
    }

    async fn leave(&self, router: &str, boot: u64) -> Result<(), CatalogError> {
        let step = |mut tx: Tx| async move {
            let number = counter(&mut tx, "routers").await?;
            let held = held(&mut tx, router).await?;
            if held.and_then(|held| held.boot).is_some_and(|other| other != boot) {
                return Ok((tx, ()));
            }
            let before = router_rows(&mut tx).await?;
            tx.exec_drop("DELETE FROM routers WHERE router = ?", (router,)).await?;
            tx.query_drop(FORGET_BOOTS).await?;
            let (tx, _) = numbered(tx, number, before).await?;
            Ok((tx, ()))
        };
        self.sessions.run(step).await
    }

    async fn routers(&self) -> Result<RouterList, CatalogError> {
        let step = |mut tx: Tx| async move {
            let number = counter(&mut tx, "routers").await?;
            let routers = router_rows(&mut tx).await?;
            Ok((tx, RouterList { number, routers }))
        };
        self.sessions.run(step).await
    }
}

/// The server's time, asked after the locks of this step are held.
async fn now_ms(db: &mut impl Queryable) -> Result<i64, Failure> {
    let now = db.query_first("SELECT CAST(UNIX_TIMESTAMP(SYSDATE(3)) * 1000 AS SIGNED)").await?;
    now.ok_or_else(|| Failure::corrupt("the server has no time"))
}

async fn leader(tx: &mut Tx) -> Result<Lease, Failure> {
    let sql = "SELECT term, holder, until_ms FROM leaders WHERE role = ? FOR UPDATE";
    let row: Option<(u64, String, i64)> = tx.exec_first(sql, (COORDINATOR,)).await?;
    let (term, holder, until_ms) =
        row.ok_or_else(|| Failure::corrupt("the coordinator's row is missing"))?;
    Ok(Lease { term, holder, until_ms })
}

/// Keeps the leader from changing until the transaction ends.
async fn check_leader(tx: &mut Tx, term: u64) -> Result<(), Failure> {
    let sql = "SELECT term FROM leaders WHERE role = ? LOCK IN SHARE MODE";
    let newest: Option<u64> = tx.exec_first(sql, (COORDINATOR,)).await?;
    match newest {
        Some(newest) if newest == term && term != 0 => Ok(()),
        Some(term) => Err(CatalogError::NotLeader { term }.into()),
        None => Err(Failure::corrupt("the coordinator's row is missing")),
    }
}

/// A counter's value, locked until the transaction ends.
async fn counter(tx: &mut Tx, name: &str) -> Result<u64, Failure> {
    let sql = "SELECT value FROM counters WHERE name = ? FOR UPDATE";
    let value: Option<u64> = tx.exec_first(sql, (name,)).await?;
    value.ok_or_else(|| Failure::corrupt("a counter is missing"))
}

async fn set_counter(tx: &mut Tx, name: &str, value: u64) -> Result<(), Failure> {
    Ok(tx.exec_drop("UPDATE counters SET value = ? WHERE name = ?", (value, name)).await?)
}

async fn writer(tx: &mut Tx, shard: ShardId) -> Result<Lease, Failure> {
    let sql = "SELECT writer_term, writer, until_ms FROM shards \
        WHERE shard = ? AND state <> 4 FOR UPDATE";
    let row: Option<(u64, String, i64)> = tx.exec_first(sql, (shard.0,)).await?;
    let (term, holder, until_ms) = row.ok_or_else(|| no_shard(shard))?;
    Ok(Lease { term, holder, until_ms })
}

async fn set_writer(tx: &mut Tx, bid: &WriterBid, lease: &Lease) -> Result<(), Failure> {
    let sql = "UPDATE shards SET writer_term = ?, writer = ?, address = ?, until_ms = ? \
        WHERE shard = ?";
    let values = (lease.term, &lease.holder, &bid.address, lease.until_ms, bid.shard.0);
    Ok(tx.exec_drop(sql, values).await?)
}

async fn held(tx: &mut Tx, router: &str) -> Result<Option<Held>, Failure> {
    let sql = "SELECT address, until_ms, boot FROM routers \
        LEFT JOIN router_boots ON router_boots.router = routers.router WHERE routers.router = ?";
    let row: Option<(String, i64, Option<u64>)> = tx.exec_first(sql, (router,)).await?;
    Ok(row.map(|(address, until_ms, boot)| Held { address, until_ms, boot }))
}

async fn router_rows(tx: &mut Tx) -> Result<Vec<Router>, Failure> {
    let rows: Vec<(String, String)> =
        tx.query("SELECT router, address FROM routers ORDER BY router").await?;
    Ok(rows.into_iter().map(|(id, address)| Router { id, address }).collect())
}

/// The list after a change, with the next number if it is not as before.
async fn numbered(
    mut tx: Tx,
    number: u64,
    before: Vec<Router>,
) -> Result<(Tx, RouterList), Failure> {
    let routers = router_rows(&mut tx).await?;
    let number = if routers == before { number } else { number + 1 };
    set_counter(&mut tx, "routers", number).await?;
    Ok((tx, RouterList { number, routers }))
}
