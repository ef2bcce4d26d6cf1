//! Transactions that change slot rows, or write into slots that are on their way. They run beside the
//! lanes on connections of their own, and hold lane rows only as long as one of them takes.

use crate::store::merge::{Keys, Standing, merge};
use crate::store::mysql::pool::Pool;
use crate::store::mysql::rows::{self, Columns};
use crate::store::mysql::session::{Connector, LaneLock, Session, must_be};
use crate::store::mysql::{read, write};
use crate::store::transfer::StepVerdict;
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

/// Begins a transaction with the lane's row in share mode and the slot's by `lock`.
async fn begin(
    session: &mut Session,
    me: Writer,
    lane: u16,
    slot: u16,
    lock: &'static str,
) -> Result<Option<SlotRow>, StoreError> {
    must_be(session.begin_with_lane(lane, LaneLock::Shared).await?, me)?;
    let found = session.rows(lock, 1, vec![slot.into()]).await?;
    found.into_iter().next().map(rows::slot).transpose()
}

async fn refuse<T>(
    session: &mut Session,
    error: TransferError,
) -> Result<Result<T, TransferError>, StoreError> {
    session.conn.query_drop("ROLLBACK").await?;
    Ok(Err(error))
}

pub(super) async fn import(
    session: &mut Session,
    me: Writer,
    lane: u16,
    import: &Import,
) -> Result<Result<(), TransferError>, StoreError> {
    let stands =
        begin(session, me, lane, import.fence.slot, include_str!("share_slot.sql")).await?;
    if !import.fence.may_import(stands) {
        return refuse(session, TransferError::Refused { stands }).await;
    }
    let slot = vec![import.fence.slot.into()];
    let progress = session.rows(include_str!("lock_progress.sql"), 1, slot).await?;
    let progress = progress.into_iter().next().map(rows::progress).transpose()?;
    let next = match import.judge(progress.as_ref()) {
        StepVerdict::Apply(next) => next,
        StepVerdict::DoneBefore => {
            session.conn.query_drop("ROLLBACK").await?;
            return Ok(Ok(()));
        }
        StepVerdict::OutOfOrder { stands } => {
            return refuse(session, TransferError::OutOfOrder { stands }).await;
        }
    };
    // First of all rows: another step of this slot waits here, and then fails.
    let put = match progress {
        Some(_) => include_str!("update_progress.sql"),
        None => include_str!("insert_progress.sql"),
    };
    session.write(put, 1, rows::put_progress(&next)).await?;
    let standing = standing(session, &Keys::of(&import.parts)).await?;
    let writes = merge(&import.parts, &import.cursors, &standing);
    write::write_rows(session, &writes).await.map_err(not_importable)?;
    session.conn.query_drop("COMMIT").await?;
    Ok(Ok(()))
}

fn not_importable(error: CommitError) -> StoreError {
    match error {
        CommitError::Duplicate => {
            StoreError::Corrupt("an imported client id stands at another seq".to_owned())
        }
        error => StoreError::Unavailable(error.to_string()),
    }
}

/// Plain reads: only steps of this slot write these rows, and they run one after another.
async fn standing(session: &mut Session, keys: &Keys) -> Result<Standing, StoreError> {
    let mut standing = Standing::default();
    let heads: Vec<u64> = keys.heads.iter().copied().collect();
    let heads = read::heads_within(session, &heads).await?;
    standing.heads = heads.into_iter().map(|head| (head.entity, head)).collect();
    let numbers = |row| {
        let mut columns = Columns::of(row);
        Ok((columns.take::<u64>()?, columns.take::<u64>()?))
    };
    for (chat, seqs) in &keys.messages {
        let seqs: Vec<u64> = seqs.iter().copied().collect();
        let sql = "SELECT seq, changed_ver FROM messages WHERE chat = ? AND seq IN ([[?]])";
        let found = read::of_one(session, sql, *chat, &seqs, numbers).await?;
        standing.messages.extend(found.into_iter().map(|(seq, ver)| ((*chat, seq), ver)));
    }
    for (chat, users) in &keys.members {
        let users: Vec<u64> = users.iter().copied().collect();
        let found = read::members_named(session, *chat, &users).await?;
        standing.members.extend(found.into_iter().map(|row| ((row.chat, row.user), row)));
    }
    for (user, chats) in &keys.list {
        let chats: Vec<u64> = chats.iter().copied().collect();
        let sql = "SELECT chat, list_ver FROM lists WHERE user = ? AND chat IN ([[?]])";
        let found = read::of_one(session, sql, *user, &chats, numbers).await?;
        standing.list.extend(found.into_iter().map(|(chat, ver)| ((*user, chat), ver)));
    }
    for user in &keys.users {
        let sessions = read::sessions(session, *user).await?;
        let sessions = sessions.into_iter().map(|row| row.session).collect();
        standing.sessions.insert(*user, sessions);
    }
    Ok(standing)
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
    let stands = begin(session, me, lane, fence.slot, include_str!("lock_slot.sql")).await?;
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
    session.conn.query_drop("COMMIT").await?;
    Ok(Ok(Some(emptied)))
}
