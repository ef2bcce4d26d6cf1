//! Transactions that change slot rows, or write into slots that are on their way. They run beside the
//! lanes on connections of their own, and hold lane rows only as long as one of them takes.

use crate::store::mysql::control::count;
use crate::store::mysql::pool::Pool;
use crate::store::mysql::rows;
use crate::store::mysql::session::{Connector, LaneLock, Session, must_be};
use crate::store::mysql::write;
use crate::store::*;
use mysql_async::prelude::Queryable;
use parking_lot::Mutex;
use shardline_domain::slot::Slot;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::time::timeout;

/// Enough that steps of several slots overlap; each may hold its lane's row for some milliseconds.
const CONNECTIONS: usize = 4;

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

/// Heads first; what is left of the limit goes on to the next table.
const PURGES: [&str; 10] = [
    "DELETE FROM heads WHERE ? <= entity AND entity <= ? ORDER BY entity LIMIT ?",
    "DELETE FROM outbox WHERE ? <= chat AND chat <= ? ORDER BY chat, ver, user LIMIT ?",
    "DELETE FROM messages WHERE ? <= chat AND chat <= ? ORDER BY chat, seq LIMIT ?",
    "DELETE FROM changes WHERE ? <= entity AND entity <= ? ORDER BY entity, ver LIMIT ?",
    "DELETE FROM members WHERE ? <= chat AND chat <= ? ORDER BY chat, user LIMIT ?",
    "DELETE FROM chats WHERE ? <= chat AND chat <= ? ORDER BY chat LIMIT ?",
    "DELETE FROM lists WHERE ? <= user AND user <= ? ORDER BY user, chat LIMIT ?",
    "DELETE FROM sessions WHERE ? <= user AND user <= ? ORDER BY user, session LIMIT ?",
    "DELETE FROM users WHERE ? <= user AND user <= ? ORDER BY user LIMIT ?",
    "DELETE FROM names WHERE ? <= entity AND entity <= ? ORDER BY entity LIMIT ?",
];

pub(super) async fn purge(
    session: &mut Session,
    me: Writer,
    lane: u16,
    fence: MoveFence,
    epoch: u64,
    limit: u64,
) -> Result<Result<Option<SlotRow>, TransferError>, StoreError> {
    // Exclusively: it may change, and two purges that held it in share mode would block each other.
    must_be(session.begin_with_lane(lane, LaneLock::Shared).await?, me)?;
    let found = session.rows(include_str!("lock_slot.sql"), 1, vec![fence.slot.into()]).await?;
    let stands = found.into_iter().next().map(rows::slot).transpose()?;
    let slot = Slot::new(fence.slot.into()).zip(fence.emptied(stands, epoch));
    let Some((slot, emptied)) = slot else {
        return refuse(session, TransferError::Refused { stands }).await;
    };
    if stands == Some(emptied) {
        session.conn.query_drop("ROLLBACK").await?;
        return Ok(Ok(Some(emptied)));
    }
    let ids = slot.ids();
    let mut left = limit.max(1);
    for sql in PURGES {
        let values = vec![(*ids.start()).into(), (*ids.end()).into(), left.into()];
        left = left.saturating_sub(session.write(sql, 1, values).await?);
        if left == 0 {
            session.conn.query_drop("COMMIT").await?;
            return Ok(Ok(None));
        }
    }
    session.write("DELETE FROM imports WHERE slot = ?", 1, vec![fence.slot.into()]).await?;
    write::put(session, include_str!("put_slots.sql"), &[emptied], rows::put_slot).await?;
    count(session, lane).await?;
    session.conn.query_drop("COMMIT").await?;
    Ok(Ok(Some(emptied)))
}
