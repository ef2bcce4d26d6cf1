//! A shard's database: the embedded form's rules in memory, with a server's faults. A COMMIT whose answer
//! is lost may have been done, may still be on its way, or may never be.

use crate::climate::{Climate, Fate};
use parking_lot::Mutex;
use rand::RngExt;
use shardline_domain::check::history::Span;
use shardline_domain::check::tables::Table;
use shardline_shard_node::store::sqlite::{Memory, SqliteStore};
use shardline_shard_node::store::{
    ChangeRow, ChatState, CommitError, EntityRow, Found, HeadRow, Import, JournalRow,
    LanePositions, ListRow, MemberRow, MessageKey, MessageRange, MessageRow, NameRow, OutboxRow,
    ProgressRow, Purge, SessionRow, SlotChange, SlotRow, SlotsPut, Store, StoreError,
    TransferError, UserRow, UserState, WriteSet, Writer,
};
use std::collections::BTreeSet;
use std::ops::RangeInclusive;
use std::sync::Arc;
use tokio::time::sleep;

/// What outlives every process that uses it.
#[derive(Clone)]
pub struct Disk {
    memory: Memory,
    climate: Climate,
    /// How likely what is on its way arrives before its connection is ended.
    arrives: f64,
    /// Commits whose COMMIT is on its way and whose sender has given up waiting.
    adrift: Arc<Mutex<Vec<Adrift>>>,
}

struct Adrift {
    store: Arc<SqliteStore>,
    lane: u16,
    writes: WriteSet,
    /// Before its connection is ended.
    arrives: bool,
}

impl Disk {
    pub fn new(name: &str, climate: Climate) -> Result<Disk, StoreError> {
        Ok(Disk { memory: Memory::new(name)?, climate, arrives: 0.5, adrift: Arc::default() })
    }

    /// Where what is on its way never arrives.
    pub fn of_lost_commits(self) -> Disk {
        Disk { arrives: 0.0, ..self }
    }

    /// What is on its way arrives, or its connection was ended first.
    async fn land(&self, is_of: impl Fn(&Adrift) -> bool) {
        let landing = {
            let mut adrift = self.adrift.lock();
            let (landing, left) = std::mem::take(&mut *adrift).into_iter().partition(is_of);
            *adrift = left;
            landing
        };
        let landing: Vec<Adrift> = landing;
        for commit in landing {
            if commit.arrives {
                // Fenced or stale: then it was not done.
                drop(commit.store.commit(commit.lane, &commit.writes).await);
            }
        }
    }
}

/// One process's way to a disk.
pub struct SimStore {
    disk: Disk,
    climate: Climate,
    store: Arc<SqliteStore>,
    /// By lane, what may be adrift: nothing more is stored there before it is settled.
    unsettled: Mutex<BTreeSet<u16>>,
}

impl SimStore {
    pub async fn open(disk: &Disk) -> Result<SimStore, StoreError> {
        let store = Arc::new(SqliteStore::on(&disk.memory).await?);
        let climate = disk.climate.clone();
        Ok(SimStore { disk: disk.clone(), climate, store, unsettled: Mutex::default() })
    }
}

fn away() -> StoreError {
    StoreError::Unavailable("the simulation has it so".to_owned())
}

befalling! {
    impl Store for SimStore, by store, with away;
    fn found() -> Result<Found, StoreError>;
    fn keep_origin() -> Result<(), StoreError>;
    fn tally() -> Result<u64, StoreError>;
    fn raise_tally(to: u64) -> Result<(), StoreError>;
    fn writer() -> Result<Option<Writer>, StoreError>;
    fn slots() -> Result<Vec<SlotRow>, StoreError>;
    fn put_slots(lanes: &[u16], changes: &[SlotChange]) -> Result<SlotsPut, StoreError>;
    fn heads(entities: &[u64]) -> Result<Vec<HeadRow>, StoreError>;
    fn chat(chat: u64) -> Result<Option<ChatState>, StoreError>;
    fn user(user: u64) -> Result<Option<UserState>, StoreError>;
    fn profiles(users: &[u64]) -> Result<Vec<UserRow>, StoreError>;
    fn name(entity: u64) -> Result<Option<NameRow>, StoreError>;
    fn names_with_prefix(prefix: &str, limit: u64) -> Result<Vec<NameRow>, StoreError>;
    fn message(chat: u64, seq: u64) -> Result<Option<MessageRow>, StoreError>;
    fn messages(range: MessageRange) -> Result<Vec<MessageRow>, StoreError>;
    fn find_messages(keys: &[MessageKey]) -> Result<Vec<MessageRow>, StoreError>;
    fn changes(entity: u64, after: u64, limit: u64) -> Result<Vec<ChangeRow>, StoreError>;
    fn members(chat: u64, after: u64, limit: u64) -> Result<Vec<MemberRow>, StoreError>;
    fn member(chat: u64, user: u64) -> Result<Option<MemberRow>, StoreError>;
    fn activity_as_of(chat: u64, as_of_ms: i64) -> Result<i64, StoreError>;
    fn heads_in(ids: &[RangeInclusive<u64>], limit: u64) -> Result<Vec<HeadRow>, StoreError>;
    fn entity_rows(entities: &[u64]) -> Result<Vec<EntityRow>, StoreError>;
    fn messages_at(chat: u64, seqs: &[u64]) -> Result<Vec<MessageRow>, StoreError>;
    fn members_named(chat: u64, users: &[u64]) -> Result<Vec<MemberRow>, StoreError>;
    fn sessions(user: u64) -> Result<Vec<SessionRow>, StoreError>;
    fn list(user: u64, after: u64, limit: u64) -> Result<Vec<ListRow>, StoreError>;
    fn outbox_in(
        chats: RangeInclusive<u64>,
        after: (u64, u64, u64),
        limit: u64,
    ) -> Result<Vec<OutboxRow>, StoreError>;
    fn progress(slot: u16) -> Result<Option<ProgressRow>, StoreError>;
    fn next_ids(after: u64) -> Result<[Option<u64>; Table::ALL.len()], StoreError>;
    fn span(chat: u64, after: u64, to: u64) -> Result<Span, StoreError>;
    fn import(lanes: &[u16], imports: &[Import]) -> Result<(), TransferError>;
    fn purge(
        lane: u16,
        purges: &[Purge],
        limit: u64,
    ) -> Result<Option<Vec<SlotRow>>, TransferError>;
    fn journal(lane: u16, after: u64, limit: u64) -> Result<Vec<JournalRow>, StoreError>;
    fn lane_positions() -> Result<Vec<LanePositions>, StoreError>;
    fn advance(lane: u16, relayed: u64, covered: u64) -> Result<(), StoreError>;
    fn outbox(limit: u64) -> Result<Vec<OutboxRow>, StoreError>;
    fn durability() -> Result<String, StoreError>;
    rest {
        async fn take_over(&self, writer: Writer, lanes: u16) -> Result<(), StoreError> {
            // The sessions of an older writer end.
            self.disk.land(|_| true).await;
            let befallen = self.climate.befall(self.store.take_over(writer, lanes)).await;
            befallen.unwrap_or_else(|| Err(away()))?;
            // What an earlier term of this process did not learn is no business of the next.
            self.unsettled.lock().clear();
            Ok(())
        }

        async fn commit(&self, lane: u16, writes: &WriteSet) -> Result<(), CommitError> {
            if self.unsettled.lock().contains(&lane) {
                return Err(CommitError::NotStored("the lane is not settled".to_owned()));
            }
            let fate = self.climate.fate();
            self.climate.wait().await;
            let done = match fate {
                Fate::Fails => Err(CommitError::NotStored(away().to_string())),
                Fate::Done => self.store.commit(lane, writes).await,
                Fate::Slow(time) => {
                    let done = self.store.commit(lane, writes).await;
                    sleep(time).await;
                    done
                }
                Fate::Untold => {
                    self.unsettled.lock().insert(lane);
                    drop(self.store.commit(lane, writes).await);
                    Err(CommitError::Unknown(away().to_string()))
                }
                Fate::OnItsWay => {
                    self.unsettled.lock().insert(lane);
                    let (store, writes) = (self.store.clone(), writes.clone());
                    let arrives = rand::rng().random_bool(self.disk.arrives);
                    self.disk.adrift.lock().push(Adrift { store, lane, writes, arrives });
                    Err(CommitError::Unknown(away().to_string()))
                }
            };
            self.climate.wait().await;
            done
        }

        async fn settle(&self, lane: u16, position: u64, nonce: u64) -> Result<bool, StoreError> {
            self.climate.wait().await;
            let is_ours = |one: &Adrift| one.lane == lane && Arc::ptr_eq(&one.store, &self.store);
            self.disk.land(is_ours).await;
            let befallen = self.climate.befall(self.store.settle(lane, position, nonce)).await;
            let settled = befallen.unwrap_or_else(|| Err(away()))?;
            self.unsettled.lock().remove(&lane);
            Ok(settled)
        }
    }
}
