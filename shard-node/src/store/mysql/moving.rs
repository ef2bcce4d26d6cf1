//! Transactions that change slot rows, or write into slots that are on their way. They run beside the
//! lanes on connections of their own, and hold lane rows only as long as one of them takes.

use crate::store::mysql::control::count;
use crate::store::mysql::dialect::runs;
use crate::store::mysql::import::locked;
use crate::store::mysql::pool::Pool;
use crate::store::mysql::rows;
use crate::store::mysql::session::{Connector, LaneLock, Session, must_be};
use crate::store::mysql::write;
use crate::store::slot::all_emptied;
use crate::store::*;
use mysql_async::Value;
use mysql_async::prelude::Queryable;
use parking_lot::Mutex;
use shardline_domain::id::EntityId;
use shardline_domain::slot::Slot;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::time::timeout;

/// Enough that steps of several slots overlap; each may hold its lane's row for some milliseconds.
const CONNECTIONS: usize = 4;
/// Slots that one statement looks into.
const SLOTS_FOUND_AT_ONCE: usize = 64;

pub(super) struct Moving {
    connector: Arc<Connector>,
    pool: Pool,
    /// Sessions of steps that run, and of those that ended without a clean answer: the server may hold
    /// their locks, or carry out a COMMIT that is still on its way.
    unanswered: Mutex<BTreeSet<u32>>,
}

impl Moving {
    pub(super) fn new(connector: Arc<Connector>) -> Moving {
        let pool = Pool::new(connector.clone(), CONNECTIONS);
        Moving { connector, pool, unanswered: Mutex::default() }
    }

    /// Sessions that nobody uses now are closed.
    pub(super) fn forget(&self) {
        self.pool.forget();
    }

    /// One transaction. Those that were lost before it are over when it begins.
    pub(super) async fn step<T>(
        &self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.end_lost().await?;
        let mut lease = self.pool.take().await?;
        let id = lease.id();
        self.unanswered.lock().insert(id);
        let answer = timeout(self.pool.answer_within(), work(&mut lease)).await;
        if matches!(answer, Ok(Ok(_))) {
            self.unanswered.lock().remove(&id);
        }
        lease.give_back(answer)
    }

    /// Ends the sessions whose answer did not come, and waits until the server has none of them.
    pub(super) async fn end_lost(&self) -> Result<(), StoreError> {
        let lost: Vec<u32> = {
            let unanswered = self.unanswered.lock();
            unanswered.iter().copied().filter(|id| !self.connector.is_own(*id)).collect()
        };
        if lost.is_empty() {
            return Ok(());
        }
        self.connector.end(&lost).await?;
        self.unanswered.lock().retain(|id| !lost.contains(id));
        Ok(())
    }
}

pub(super) async fn refuse<T>(
    session: &mut Session,
    error: TransferError,
) -> Result<Result<T, TransferError>, StoreError> {
    session.conn.query_drop("ROLLBACK").await?;
    Ok(Err(error))
}

/// Of each table: the statement that finds rows of slots, and the one that deletes some of one slot. A
/// DELETE with a condition on several slots might wait for rows of others.
const PURGES: [(&str, &str); 10] = [
    (
        "SELECT entity FROM heads WHERE [[? <= entity AND entity <= ?| OR ]] LIMIT ?",
        "DELETE FROM heads WHERE ? <= entity AND entity <= ? ORDER BY entity LIMIT ?",
    ),
    (
        "SELECT chat FROM outbox WHERE [[? <= chat AND chat <= ?| OR ]] LIMIT ?",
        "DELETE FROM outbox WHERE ? <= chat AND chat <= ? ORDER BY chat, ver, user LIMIT ?",
    ),
    (
        "SELECT chat FROM messages WHERE [[? <= chat AND chat <= ?| OR ]] LIMIT ?",
        "DELETE FROM messages WHERE ? <= chat AND chat <= ? ORDER BY chat, seq LIMIT ?",
    ),
    (
        "SELECT entity FROM changes WHERE [[? <= entity AND entity <= ?| OR ]] LIMIT ?",
        "DELETE FROM changes WHERE ? <= entity AND entity <= ? ORDER BY entity, ver LIMIT ?",
    ),
    (
        "SELECT chat FROM members WHERE [[? <= chat AND chat <= ?| OR ]] LIMIT ?",
        "DELETE FROM members WHERE ? <= chat AND chat <= ? ORDER BY chat, user LIMIT ?",
    ),
    (
        "SELECT chat FROM chats WHERE [[? <= chat AND chat <= ?| OR ]] LIMIT ?",
        "DELETE FROM chats WHERE ? <= chat AND chat <= ? ORDER BY chat LIMIT ?",
    ),
    (
        "SELECT user FROM lists WHERE [[? <= user AND user <= ?| OR ]] LIMIT ?",
        "DELETE FROM lists WHERE ? <= user AND user <= ? ORDER BY user, chat LIMIT ?",
    ),
    (
        "SELECT user FROM sessions WHERE [[? <= user AND user <= ?| OR ]] LIMIT ?",
        "DELETE FROM sessions WHERE ? <= user AND user <= ? ORDER BY user, session LIMIT ?",
    ),
    (
        "SELECT user FROM users WHERE [[? <= user AND user <= ?| OR ]] LIMIT ?",
        "DELETE FROM users WHERE ? <= user AND user <= ? ORDER BY user LIMIT ?",
    ),
    (
        "SELECT entity FROM names WHERE [[? <= entity AND entity <= ?| OR ]] LIMIT ?",
        "DELETE FROM names WHERE ? <= entity AND entity <= ? ORDER BY entity LIMIT ?",
    ),
];
/// Rows that one statement finds.
const FOUND_MAX: usize = 500;

pub(super) async fn purge(
    session: &mut Session,
    me: Writer,
    lane: u16,
    purges: &[Purge],
    limit: u64,
) -> Result<Result<Option<Vec<SlotRow>>, TransferError>, StoreError> {
    must_be(session.begin_with_lane(lane, LaneLock::Shared).await?, me)?;
    let slots: Vec<u16> = purges.iter().map(|purge| purge.fence.slot).collect();
    // Exclusively: they may change, and two purges that held one in share mode would block each other.
    let stand = locked(session, include_str!("lock_slots.sql"), &slots, rows::slot).await?;
    let emptied = match all_emptied(purges, &stand) {
        Ok(emptied) => emptied,
        Err(stands) => return refuse(session, TransferError::Refused { stands }).await,
    };
    let left: Vec<SlotRow> =
        emptied.iter().filter(|(_, done)| !done).map(|(row, _)| *row).collect();
    let emptied = emptied.into_iter().map(|(row, _)| row).collect();
    if left.is_empty() {
        session.conn.query_drop("ROLLBACK").await?;
        return Ok(Ok(Some(emptied)));
    }
    let slots: Vec<Slot> = left.iter().filter_map(|row| Slot::new(row.slot.into())).collect();
    let mut may_delete = limit.max(1);
    for (find, delete) in PURGES {
        while !delete_some(session, (find, delete), &slots, &mut may_delete).await? {
            if may_delete == 0 {
                session.conn.query_drop("COMMIT").await?;
                return Ok(Ok(None));
            }
        }
    }
    write::put(session, "DELETE FROM imports WHERE slot IN ([[?]])", &left, |row, values| {
        values.push(row.slot.into());
    })
    .await?;
    write::put(session, include_str!("put_slots.sql"), &left, rows::put_slot).await?;
    count(session, lane).await?;
    session.conn.query_drop("COMMIT").await?;
    Ok(Ok(Some(emptied)))
}

/// Whether nothing of these slots is left in the table. No one writes there meanwhile.
async fn delete_some(
    session: &mut Session,
    (find, delete): (&'static str, &'static str),
    slots: &[Slot],
    may_delete: &mut u64,
) -> Result<bool, StoreError> {
    let mut found_all = true;
    for run in runs(slots.len(), SLOTS_FOUND_AT_ONCE) {
        let ranges = slots[run.clone()].iter().flat_map(|slot| {
            let ids = slot.ids();
            [Value::from(*ids.start()), (*ids.end()).into()]
        });
        let values = ranges.chain([FOUND_MAX.into()]).collect();
        let mut found = BTreeSet::new();
        let mut count = 0;
        for row in session.rows(find, run.len(), values).await? {
            let id: u64 = rows::Columns::of(row).take()?;
            found.extend(EntityId::new(id).map(Slot::of));
            count += 1;
        }
        found_all &= count < FOUND_MAX;
        for slot in found {
            if *may_delete == 0 {
                return Ok(false);
            }
            let ids = slot.ids();
            let values = vec![(*ids.start()).into(), (*ids.end()).into(), (*may_delete).into()];
            *may_delete = may_delete.saturating_sub(session.write(delete, 1, values).await?);
        }
    }
    Ok(found_all && 0 < *may_delete)
}
