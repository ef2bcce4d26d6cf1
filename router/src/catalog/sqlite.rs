//! The catalog in one SQLite file: for the embedded form and for tests without a server.
//!
//! One connection per process, one step at a time; a second process on the same file waits its turn.
//! Steps that write begin as writers (BEGIN IMMEDIATE), so nothing they decide from can change.

mod connection;
mod moves;
mod operations;
mod schema;

pub use connection::{Memory, SqliteCatalog};

use super::lease::{Held, Lease, until_ms};
use super::moves::HeldSlot;
use super::rows::{ShardColumns, granted, held_slots, news, no_shard, refused, shard_row};
use super::{
    CatalogError, CatalogStore, LanePosition, Leadership, NewShard, Report, Router, RouterList,
    ShardRow, ShardState, SlotNews, WriterBid, WriterGrant,
};
use async_trait::async_trait;
use rusqlite::{OptionalExtension, Row, Transaction, params};
use shardline_daemon::clock::now_ms;
use shardline_domain::{id::ShardId, placement::transfer::Mark, slot::Slot};
use std::time::Duration;

const COORDINATOR: &str = "coordinator";
/// Of routers that left the list.
const FORGET_BOOTS: &str =
    "DELETE FROM router_boots WHERE router NOT IN (SELECT router FROM routers)";

#[async_trait]
impl CatalogStore for SqliteCatalog {
    async fn lead(&self, holder: &str, lasts: Duration) -> Result<Leadership, CatalogError> {
        let holder = holder.to_owned();
        self.run(move |tx| {
            let sql = "SELECT term, holder, until_ms FROM leaders WHERE role = ?";
            let lease = tx.query_row(sql, [COORDINATOR], lease)?;
            let Some(next) = lease.lead(&holder, now_ms(), lasts) else {
                return Ok(Leadership { mine: false, term: lease.term, holder: lease.holder });
            };
            let sql = "UPDATE leaders SET term = ?, holder = ?, until_ms = ? WHERE role = ?";
            tx.execute(sql, params![next.term, next.holder, next.until_ms, COORDINATOR])?;
            Ok(Leadership { mine: true, term: next.term, holder: next.holder })
        })
        .await
    }

    async fn resign(&self, term: u64) -> Result<(), CatalogError> {
        self.run(move |tx| {
            let sql = "UPDATE leaders SET until_ms = 0 WHERE role = ? AND term = ?";
            tx.execute(sql, params![COORDINATOR, term])?;
            Ok(())
        })
        .await
    }

    async fn found(
        &self,
        term: u64,
        shards: &[NewShard],
        slots: &[(Slot, ShardId)],
    ) -> Result<bool, CatalogError> {
        let (shards, slots) = (shards.to_vec(), slots.to_vec());
        self.run(move |tx| {
            check_leader(tx, term)?;
            if tx.query_row("SELECT COUNT(*) FROM shards", [], |row| row.get::<_, u64>(0))? != 0 {
                return Ok(false);
            }
            let version = counter(tx, "slots")? + 1;
            set_counter(tx, "slots", version)?;
            let mut insert = tx.prepare(
                "INSERT INTO shards \
                (shard, weight, state, writer_term, writer, address, until_ms, durability) \
                VALUES (?, ?, ?, 0, '', '', 0, '')",
            )?;
            for new in shards {
                insert.execute(params![new.shard.0, new.weight, ShardState::Active as u8])?;
            }
            let mut insert =
                tx.prepare("INSERT INTO slots (slot, shard, epoch, version) VALUES (?, ?, 1, ?)")?;
            for (slot, shard) in slots {
                insert.execute(params![slot.get(), shard.0, version])?;
            }
            Ok(true)
        })
        .await
    }

    async fn shards(&self) -> Result<Vec<ShardRow>, CatalogError> {
        self.run(|tx| {
            let now = now_ms();
            let sql = "SELECT shard, weight, state, writer_term, writer, address, until_ms, \
                reported_ms, durability FROM shards WHERE state <> 4 ORDER BY shard";
            let rows: Vec<ShardColumns> = all(tx, sql, [], |row| row.try_into())?;
            rows.into_iter().map(|columns| shard_row(columns, now)).collect()
        })
        .await
    }

    async fn slots_since(&self, version: u64) -> Result<SlotNews, CatalogError> {
        self.run(move |tx| {
            let sql = "SELECT slot, shard, epoch, version FROM slots WHERE version > ?";
            news(version, all(tx, sql, [version], |row| row.try_into())?)
        })
        .await
    }

    async fn owned_slots(&self, shard: ShardId) -> Result<Vec<HeldSlot>, CatalogError> {
        self.run(move |tx| {
            let sql = "SELECT slot, shard, epoch FROM slots WHERE shard = ?";
            let rows = all(tx, sql, [shard.0], |row| row.try_into())?;
            let sql = "SELECT h.slot, m.move, m.attempt, m.phase, m.source, m.target \
                FROM moves m JOIN holds h ON h.move = m.move \
                WHERE m.source = ? OR m.target = ?";
            held_slots(rows, all(tx, sql, [shard.0, shard.0], |row| row.try_into())?)
        })
        .await
    }

    async fn locate_slot(&self, slot: Slot) -> Result<Option<HeldSlot>, CatalogError> {
        self.run(move |tx| {
            let sql = "SELECT slot, shard, epoch FROM slots WHERE slot = ?";
            let rows = all(tx, sql, [slot.get()], |row| row.try_into())?;
            let sql = "SELECT h.slot, m.move, m.attempt, m.phase, m.source, m.target \
                FROM holds h JOIN moves m ON m.move = h.move WHERE h.slot = ?";
            let holds = all(tx, sql, [slot.get()], |row| row.try_into())?;
            Ok(held_slots(rows, holds)?.pop())
        })
        .await
    }

    async fn locate_slots(&self, slots: &[Slot]) -> Result<Vec<HeldSlot>, CatalogError> {
        let slots = slots.to_vec();
        self.run(move |tx| {
            let mut read = tx.prepare("SELECT slot, shard, epoch FROM slots WHERE slot = ?")?;
            let mut rows = Vec::with_capacity(slots.len());
            for slot in slots {
                let row: Option<(u32, u32, u64)> =
                    read.query_row([slot.get()], |row| row.try_into()).optional()?;
                rows.extend(row);
            }
            let sql = "SELECT h.slot, m.move, m.attempt, m.phase, m.source, m.target \
                FROM holds h JOIN moves m ON m.move = h.move";
            held_slots(rows, all(tx, sql, [], |row| row.try_into())?)
        })
        .await
    }

    async fn acquire_writer(&self, bid: &WriterBid) -> Result<WriterGrant, CatalogError> {
        let bid = bid.clone();
        self.run(move |tx| {
            let lease = writer(tx, bid.shard)?;
            let Some(next) = lease.acquire(&bid.node, now_ms(), bid.lasts) else {
                return Ok(refused(lease));
            };
            set_writer(tx, &bid, &next)?;
            Ok(granted(next))
        })
        .await
    }

    async fn renew_writer(&self, bid: &WriterBid, term: u64) -> Result<WriterGrant, CatalogError> {
        let bid = bid.clone();
        self.run(move |tx| {
            let lease = writer(tx, bid.shard)?;
            let Some(next) = lease.renew(term, &bid.node, now_ms(), bid.lasts) else {
                return Ok(refused(lease));
            };
            set_writer(tx, &bid, &next)?;
            Ok(granted(next))
        })
        .await
    }

    async fn release_writer(&self, shard: ShardId, term: u64) -> Result<(), CatalogError> {
        self.run(move |tx| {
            let sql = "UPDATE shards SET until_ms = 0 WHERE shard = ? AND writer_term = ?";
            tx.execute(sql, params![shard.0, term])?;
            Ok(())
        })
        .await
    }

    async fn report(&self, report: &Report) -> Result<bool, CatalogError> {
        let report = report.clone();
        self.run(move |tx| {
            if writer(tx, report.shard)?.term != report.term {
                return Ok(false);
            }
            let sql = "UPDATE shards SET reported_ms = ?, durability = ? WHERE shard = ?";
            tx.execute(sql, params![now_ms(), report.durability, report.shard.0])?;
            let mut upsert = tx.prepare(
                "INSERT INTO positions (shard, lane, committed, relayed) VALUES (?, ?, ?, ?) \
                ON CONFLICT (shard, lane) DO UPDATE SET \
                committed = MAX(committed, excluded.committed), \
                relayed = MAX(relayed, excluded.relayed)",
            )?;
            for lane in &report.lanes {
                upsert.execute(params![report.shard.0, lane.lane, lane.committed, lane.relayed])?;
            }
            let sql = "INSERT INTO marks (shard, term, tally) VALUES (?, ?, 0) \
                ON CONFLICT (shard) DO UPDATE SET term = MAX(term, excluded.term)";
            tx.execute(sql, params![report.shard.0, report.term])?;
            Ok(true)
        })
        .await
    }

    async fn lane_positions(&self, shard: ShardId) -> Result<Vec<LanePosition>, CatalogError> {
        self.run(move |tx| {
            let sql =
                "SELECT lane, committed, relayed FROM positions WHERE shard = ? ORDER BY lane";
            all(tx, sql, [shard.0], |row| {
                let (lane, committed, relayed) = row.try_into()?;
                Ok(LanePosition { lane, committed, relayed })
            })
        })
        .await
    }

    async fn mark(&self, shard: ShardId) -> Result<Mark, CatalogError> {
        self.run(move |tx| {
            let sql = "SELECT term, tally FROM marks WHERE shard = ?";
            let read = |row: &rusqlite::Row<'_>| Ok(Mark { term: row.get(0)?, tally: row.get(1)? });
            Ok(tx.query_row(sql, [shard.0], read).optional()?.unwrap_or_default())
        })
        .await
    }

    async fn heartbeat(
        &self,
        router: &Router,
        boot: u64,
        lasts: Duration,
    ) -> Result<RouterList, CatalogError> {
        let router = router.clone();
        self.run(move |tx| {
            let now = now_ms();
            let held = held(tx, &router.id)?;
            if let Some(held) = held.filter(|held| held.is_held_from(boot, now)) {
                return Err(CatalogError::IdTaken { address: held.address });
            }
            let before = router_rows(tx)?;
            let sql = "DELETE FROM routers WHERE until_ms <= ? AND router <> ?";
            tx.execute(sql, params![now, router.id])?;
            let sql = "INSERT INTO routers (router, address, until_ms) VALUES (?, ?, ?) \
                ON CONFLICT (router) DO UPDATE SET \
                address = excluded.address, until_ms = excluded.until_ms";
            tx.execute(sql, params![router.id, router.address, until_ms(now, lasts)])?;
            let sql = "INSERT INTO router_boots (router, boot) VALUES (?, ?) \
                ON CONFLICT (router) DO UPDATE SET boot = excluded.boot";
            tx.execute(sql, params![router.id, boot])?;
            tx.execute(FORGET_BOOTS, [])?;
            numbered(tx, before)
        })
        .await
    }

    async fn leave(&self, router: &str, boot: u64) -> Result<(), CatalogError> {
        let router = router.to_owned();
        self.run(move |tx| {
            if held(tx, &router)?.and_then(|held| held.boot).is_some_and(|other| other != boot) {
                return Ok(());
            }
            let before = router_rows(tx)?;
            tx.execute("DELETE FROM routers WHERE router = ?", [router])?;
            tx.execute(FORGET_BOOTS, [])?;
            numbered(tx, before).map(drop)
        })
        .await
    }

    async fn routers(&self) -> Result<RouterList, CatalogError> {
        self.run(|tx| Ok(RouterList { number: counter(tx, "routers")?, routers: router_rows(tx)? }))
            .await
    }
}

fn all<T>(
    tx: &Transaction<'_>,
    sql: &str,
    values: impl rusqlite::Params,
    read: impl FnMut(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, CatalogError> {
    Ok(tx.prepare(sql)?.query_map(values, read)?.collect::<Result<_, _>>()?)
}

fn lease(row: &Row<'_>) -> rusqlite::Result<Lease> {
    let (term, holder, until_ms) = row.try_into()?;
    Ok(Lease { term, holder, until_ms })
}

fn check_leader(tx: &Transaction<'_>, term: u64) -> Result<(), CatalogError> {
    let sql = "SELECT term FROM leaders WHERE role = ?";
    let newest: u64 = tx.query_row(sql, [COORDINATOR], |row| row.get(0))?;
    if newest != term || term == 0 {
        return Err(CatalogError::NotLeader { term: newest });
    }
    Ok(())
}

fn counter(tx: &Transaction<'_>, name: &str) -> Result<u64, CatalogError> {
    Ok(tx.query_row("SELECT value FROM counters WHERE name = ?", [name], |row| row.get(0))?)
}

fn set_counter(tx: &Transaction<'_>, name: &str, value: u64) -> Result<(), CatalogError> {
    tx.execute("UPDATE counters SET value = ? WHERE name = ?", params![value, name])?;
    Ok(())
}

fn writer(tx: &Transaction<'_>, shard: ShardId) -> Result<Lease, CatalogError> {
    let sql = "SELECT writer_term, writer, until_ms FROM shards \
        WHERE shard = ? AND state <> 4";
    tx.query_row(sql, [shard.0], lease).optional()?.ok_or_else(|| no_shard(shard))
}

fn set_writer(tx: &Transaction<'_>, bid: &WriterBid, lease: &Lease) -> Result<(), CatalogError> {
    let sql = "UPDATE shards SET writer_term = ?, writer = ?, address = ?, until_ms = ? \
        WHERE shard = ?";
    let values = params![lease.term, lease.holder, bid.address, lease.until_ms, bid.shard.0];
    tx.execute(sql, values)?;
    Ok(())
}

fn held(tx: &Transaction<'_>, router: &str) -> Result<Option<Held>, CatalogError> {
    let sql = "SELECT address, until_ms, boot FROM routers \
        LEFT JOIN router_boots ON router_boots.router = routers.router WHERE routers.router = ?";
    let read = |row: &Row<'_>| {
        let (address, until_ms, boot) = row.try_into()?;
        Ok(Held { address, until_ms, boot })
    };
    Ok(tx.query_row(sql, [router], read).optional()?)
}

fn router_rows(tx: &Transaction<'_>) -> Result<Vec<Router>, CatalogError> {
    let sql = "SELECT router, address FROM routers ORDER BY router";
    all(tx, sql, [], |row| Ok(Router { id: row.get(0)?, address: row.get(1)? }))
}

/// The list after a change, with the next number if it is not as before.
fn numbered(tx: &Transaction<'_>, before: Vec<Router>) -> Result<RouterList, CatalogError> {
    let routers = router_rows(tx)?;
    let number = counter(tx, "routers")? + u64::from(routers != before);
    set_counter(tx, "routers", number)?;
    Ok(RouterList { number, routers })
}
