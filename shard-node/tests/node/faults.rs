//! A store that fails on demand, that holds commits back so that a test can fill a batch, and that keeps
//! what was read so that a test can change it meanwhile.

use crate::node::eventually;
use async_trait::async_trait;
use parking_lot::Mutex;
use shardline_domain::check::history::Span;
use shardline_shard_node::store::*;
use std::collections::VecDeque;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// What becomes of the next commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Fault {
    /// Not stored, and nobody says so.
    LostBefore,
    /// Stored, and nobody says so.
    LostAfter,
    NotStored,
}

pub(crate) struct FaultyStore {
    inner: Arc<dyn Store>,
    faults: Mutex<VecDeque<Fault>>,
    /// Commits pass while this has permits.
    pass: Semaphore,
    /// Chats and pages of messages are given out while this has permits; they are read before.
    read_pass: Semaphore,
    /// Chats and pages of messages that were asked for.
    pub(crate) reads: AtomicU64,
    /// Commits that were asked for, held back or not.
    pub(crate) arrived: AtomicU64,
    pub(crate) commits: AtomicU64,
    /// Nothing is stored after so many commits.
    pub(crate) commits_max: AtomicU64,
    pub(crate) settled: AtomicU64,
    /// The database does not answer while this is true.
    pub(crate) down: AtomicBool,
    /// Settling fails while this is true.
    pub(crate) no_settling: AtomicBool,
    /// A message with this text cannot be stored.
    pub(crate) poison: Mutex<Option<String>>,
}

impl FaultyStore {
    pub(crate) fn new(inner: Arc<dyn Store>) -> Arc<FaultyStore> {
        Arc::new(FaultyStore {
            inner,
            faults: Mutex::default(),
            pass: Semaphore::new(1_000_000),
            read_pass: Semaphore::new(1_000_000),
            reads: AtomicU64::new(0),
            arrived: AtomicU64::new(0),
            commits: AtomicU64::new(0),
            commits_max: AtomicU64::new(u64::MAX),
            settled: AtomicU64::new(0),
            down: AtomicBool::new(false),
            no_settling: AtomicBool::new(false),
            poison: Mutex::default(),
        })
    }

    pub(crate) fn fail_next(&self, fault: Fault) {
        self.faults.lock().push_back(fault);
    }

    /// From now on commits wait until `let_pass`. Returns how many arrived before.
    pub(crate) fn hold(&self) -> u64 {
        self.pass.forget_permits(1_000_000);
        self.arrived.load(Ordering::SeqCst)
    }

    /// Waits for one more commit than `before`, which is held back.
    pub(crate) async fn is_holding(&self, before: u64) {
        eventually("a commit is held back", async || before < self.arrived.load(Ordering::SeqCst))
            .await;
    }

    pub(crate) fn let_pass(&self) {
        self.pass.add_permits(1_000_000);
    }

    /// From now on what was read is kept until `let_reads_pass`. Returns how many reads began before.
    pub(crate) fn hold_reads(&self) -> u64 {
        self.read_pass.forget_permits(1_000_000);
        self.reads.load(Ordering::SeqCst)
    }

    pub(crate) fn let_reads_pass(&self) {
        self.read_pass.add_permits(1_000_000);
    }

    /// What was read goes out when reads may pass.
    async fn give_out<T>(&self, read: T) -> T {
        self.reads.fetch_add(1, Ordering::SeqCst);
        drop(self.read_pass.acquire().await.expect("never closed"));
        read
    }

    fn check(&self) -> Result<(), StoreError> {
        if self.down.load(Ordering::SeqCst) {
            return Err(StoreError::Unavailable("on purpose".to_owned()));
        }
        Ok(())
    }

    pub(crate) fn count(&self) -> u64 {
        self.commits.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl Store for FaultyStore {
    async fn take_over(&self, writer: Writer, lanes: u16) -> Result<(), StoreError> {
        self.inner.take_over(writer, lanes).await
    }
    async fn found(&self) -> Result<Found, StoreError> {
        self.inner.found().await
    }
    async fn keep_origin(&self) -> Result<(), StoreError> {
        self.inner.keep_origin().await
    }
    async fn tally(&self) -> Result<u64, StoreError> {
        self.inner.tally().await
    }
    async fn raise_tally(&self, to: u64) -> Result<(), StoreError> {
        self.inner.raise_tally(to).await
    }
    async fn writer(&self) -> Result<Option<Writer>, StoreError> {
        self.check()?;
        self.inner.writer().await
    }
    async fn slots(&self) -> Result<Vec<SlotRow>, StoreError> {
        self.inner.slots().await
    }
    async fn put_slots(
        &self,
        lanes: &[u16],
        changes: &[SlotChange],
    ) -> Result<SlotsPut, StoreError> {
        self.inner.put_slots(lanes, changes).await
    }

    async fn commit(&self, lane: u16, writes: &WriteSet) -> Result<(), CommitError> {
        self.arrived.fetch_add(1, Ordering::SeqCst);
        drop(self.pass.acquire().await.expect("never closed"));
        let poison = self.poison.lock().clone();
        if writes.messages.iter().any(|message| Some(&message.text) == poison.as_ref()) {
            return Err(CommitError::NotStored("poison".to_owned()));
        }
        self.check().map_err(|error| CommitError::NotStored(error.to_string()))?;
        let fault = self.faults.lock().pop_front();
        let before = self.commits.fetch_add(1, Ordering::SeqCst);
        if self.commits_max.load(Ordering::SeqCst) <= before {
            return Err(CommitError::NotStored("on purpose".to_owned()));
        }
        match fault {
            None => self.inner.commit(lane, writes).await,
            Some(Fault::NotStored) => Err(CommitError::NotStored("on purpose".to_owned())),
            Some(Fault::LostBefore) => Err(CommitError::Unknown("on purpose".to_owned())),
            Some(Fault::LostAfter) => {
                self.inner.commit(lane, writes).await?;
                Err(CommitError::Unknown("on purpose".to_owned()))
            }
        }
    }

    async fn settle(&self, lane: u16, position: u64, nonce: u64) -> Result<bool, StoreError> {
        if self.no_settling.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Err(StoreError::Unavailable("on purpose".to_owned()));
        }
        self.settled.fetch_add(1, Ordering::SeqCst);
        self.inner.settle(lane, position, nonce).await
    }

    async fn heads(&self, entities: &[u64]) -> Result<Vec<HeadRow>, StoreError> {
        self.inner.heads(entities).await
    }
    async fn chat(&self, chat: u64) -> Result<Option<ChatState>, StoreError> {
        self.check()?;
        let read = self.inner.chat(chat).await;
        self.give_out(read).await
    }
    async fn user(&self, user: u64) -> Result<Option<UserState>, StoreError> {
        self.inner.user(user).await
    }
    async fn profiles(&self, users: &[u64]) -> Result<Vec<UserRow>, StoreError> {
        self.inner.profiles(users).await
    }
    async fn name(&self, entity: u64) -> Result<Option<NameRow>, StoreError> {
        self.inner.name(entity).await
    }
    async fn names_with_prefix(
        &self,
        prefix: &str,
        limit: u64,
    ) -> Result<Vec<NameRow>, StoreError> {
        self.inner.names_with_prefix(prefix, limit).await
    }
    async fn message(&self, chat: u64, seq: u64) -> Result<Option<MessageRow>, StoreError> {
        self.inner.message(chat, seq).await
    }
    async fn messages(&self, range: MessageRange) -> Result<Vec<MessageRow>, StoreError> {
        self.check()?;
        let read = self.inner.messages(range).await;
        self.give_out(read).await
    }
    async fn find_messages(&self, keys: &[MessageKey]) -> Result<Vec<MessageRow>, StoreError> {
        self.inner.find_messages(keys).await
    }
    async fn changes(
        &self,
        entity: u64,
        after: u64,
        limit: u64,
    ) -> Result<Vec<ChangeRow>, StoreError> {
        self.inner.changes(entity, after, limit).await
    }
    async fn members(
        &self,
        chat: u64,
        after: u64,
        limit: u64,
    ) -> Result<Vec<MemberRow>, StoreError> {
        self.inner.members(chat, after, limit).await
    }
    async fn member(&self, chat: u64, user: u64) -> Result<Option<MemberRow>, StoreError> {
        self.inner.member(chat, user).await
    }
    async fn activity_as_of(&self, chat: u64, as_of_ms: i64) -> Result<i64, StoreError> {
        self.inner.activity_as_of(chat, as_of_ms).await
    }
    async fn heads_in(
        &self,
        ids: &[RangeInclusive<u64>],
        limit: u64,
    ) -> Result<Vec<HeadRow>, StoreError> {
        self.inner.heads_in(ids, limit).await
    }
    async fn entity_rows(&self, entities: &[u64]) -> Result<Vec<EntityRow>, StoreError> {
        self.inner.entity_rows(entities).await
    }
    async fn messages_at(&self, chat: u64, seqs: &[u64]) -> Result<Vec<MessageRow>, StoreError> {
        self.inner.messages_at(chat, seqs).await
    }
    async fn members_named(&self, chat: u64, users: &[u64]) -> Result<Vec<MemberRow>, StoreError> {
        self.inner.members_named(chat, users).await
    }
    async fn sessions(&self, user: u64) -> Result<Vec<SessionRow>, StoreError> {
        self.inner.sessions(user).await
    }
    async fn list(&self, user: u64, after: u64, limit: u64) -> Result<Vec<ListRow>, StoreError> {
        self.inner.list(user, after, limit).await
    }
    async fn outbox_in(
        &self,
        chats: RangeInclusive<u64>,
        after: (u64, u64, u64),
        limit: u64,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        self.inner.outbox_in(chats, after, limit).await
    }
    async fn progress(&self, slot: u16) -> Result<Option<ProgressRow>, StoreError> {
        self.inner.progress(slot).await
    }
    async fn next_ids(&self, after: u64) -> Result<[Option<u64>; 10], StoreError> {
        self.inner.next_ids(after).await
    }
    async fn span(&self, chat: u64, after: u64, to: u64) -> Result<Span, StoreError> {
        self.inner.span(chat, after, to).await
    }
    async fn import(&self, lanes: &[u16], imports: &[Import]) -> Result<(), TransferError> {
        self.inner.import(lanes, imports).await
    }
    async fn purge(
        &self,
        lane: u16,
        purges: &[Purge],
        limit: u64,
    ) -> Result<Option<Vec<SlotRow>>, TransferError> {
        self.inner.purge(lane, purges, limit).await
    }
    async fn journal(
        &self,
        lane: u16,
        after: u64,
        limit: u64,
    ) -> Result<Vec<JournalRow>, StoreError> {
        self.inner.journal(lane, after, limit).await
    }
    async fn lane_positions(&self) -> Result<Vec<LanePositions>, StoreError> {
        self.inner.lane_positions().await
    }
    async fn advance(&self, lane: u16, relayed: u64, covered: u64) -> Result<(), StoreError> {
        self.inner.advance(lane, relayed, covered).await
    }
    async fn outbox(&self, limit: u64) -> Result<Vec<OutboxRow>, StoreError> {
        self.inner.outbox(limit).await
    }
    async fn durability(&self) -> Result<String, StoreError> {
        self.inner.durability().await
    }
}
