//! The form on a server: MySQL 8 or MariaDB 10.11, one database per shard.
//!
//! Each lane has a connection of its own for its commits; a few more, shared, read; the rare steps of
//! taking over, settling and slot changes open one for themselves. All run READ COMMITTED: what is
//! decided on is read by locking reads, and what belongs together is read from one snapshot.

mod control;
mod dialect;
mod failure;
mod import;
mod lane;
mod moving;
mod pool;
mod read;
mod replica;
mod rows;
mod schema;
mod session;
mod write;

pub use schema::{apply, create_database, golden};

use crate::store::*;
use async_trait::async_trait;
use lane::Lane;
use moving::Moving;
use parking_lot::Mutex;
use parking_lot::RwLock;
use pool::Pool;
use replica::MySqlReplica;
use session::{Connector, Session};
use shardline_domain::check::history::Span;
use shardline_domain::check::tables::Table;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// Where the database is, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct Options {
    /// mysql://user:password@host:port/database, with the driver's settings for TLS after a `?`.
    pub url: String,
    /// Connections that read.
    pub reads: usize,
    /// Where its replicas are, as `url`: copies wait for them.
    pub replicas: Vec<String>,
    pub connect_within: Duration,
    /// Also the longest a caller waits for a free connection.
    pub answer_within: Duration,
    /// How long the server lets a statement wait for a lock; shorter than `answer_within`.
    pub lock_wait: Duration,
}

impl Options {
    pub fn new(url: impl Into<String>) -> Options {
        Options {
            url: url.into(),
            reads: 8,
            replicas: Vec::new(),
            connect_within: Duration::from_secs(3),
            answer_within: Duration::from_secs(8),
            lock_wait: Duration::from_secs(3),
        }
    }
}

pub struct MySqlStore {
    connector: Arc<Connector>,
    reads: Pool,
    moving: Moving,
    lanes: RwLock<Vec<Arc<tokio::sync::Mutex<Lane>>>>,
    replicas: Vec<Arc<dyn Replica>>,
    /// Who this process is, once it took over.
    me: Mutex<Option<Writer>>,
}

/// Runs one of `read`'s queries on a shared connection, under the deadline.
macro_rules! read {
    ($store:ident, $query:ident($($argument:expr),*)) => {{
        let mut lease = $store.reads.take().await?;
        let answer = timeout($store.reads.answer_within(), read::$query(&mut lease, $($argument),*));
        let answer = answer.await;
        lease.give_back(answer)
    }};
}

impl MySqlStore {
    /// Connects, and brings an unused database to the schema. Refused if the schema is not one this
    /// program runs on.
    pub async fn open(options: &Options) -> Result<MySqlStore, StoreError> {
        let connector = Arc::new(Connector::new(options)?);
        schema::prepare(&connector).await?;
        let replica = |url: &String| {
            let replica = MySqlReplica::new(options, url, connector.clone())?;
            Ok::<_, StoreError>(Arc::new(replica) as Arc<dyn Replica>)
        };
        Ok(MySqlStore {
            replicas: options.replicas.iter().map(replica).collect::<Result<_, _>>()?,
            reads: Pool::new(connector.clone(), options.reads),
            moving: Moving::new(connector.clone()),
            connector,
            lanes: RwLock::new(Vec::new()),
            me: Mutex::new(None),
        })
    }

    fn me(&self) -> Result<Writer, StoreError> {
        (*self.me.lock()).ok_or(StoreError::Fenced { term: 0 })
    }

    fn lane(&self, lane: u16) -> Option<Arc<tokio::sync::Mutex<Lane>>> {
        self.lanes.read().get(usize::from(lane)).cloned()
    }
}

#[async_trait]
impl Store for MySqlStore {
    async fn take_over(&self, writer: Writer, lanes: u16) -> Result<(), StoreError> {
        // Our own lanes end first: nothing of an earlier term of ours goes on.
        let mine = std::mem::take(&mut *self.lanes.write());
        for lane in mine {
            lane.lock().await.end(&self.connector).await?;
        }
        self.moving.end_lost().await?;
        let server = control::take_over(&self.connector, writer, lanes).await?;
        self.connector.stay_on(Some(server));
        let mine = |lane| Arc::new(tokio::sync::Mutex::new(Lane::new(lane)));
        *self.lanes.write() = (0..lanes).map(mine).collect();
        *self.me.lock() = Some(writer);
        Ok(())
    }

    async fn found(&self) -> Result<Found, StoreError> {
        self.connector.stay_on(None);
        self.reads.forget();
        self.moving.forget();
        self.connector.on_own_session(async |session| control::found(session).await).await
    }

    async fn keep_origin(&self) -> Result<(), StoreError> {
        let me = self.me()?;
        self.moving
            .step(async |session: &mut Session| control::keep_origin(session, me).await)
            .await
    }

    async fn tally(&self) -> Result<u64, StoreError> {
        self.moving.step(async |session: &mut Session| control::tally(session).await).await
    }

    async fn raise_tally(&self, to: u64) -> Result<(), StoreError> {
        let me = self.me()?;
        let step = async |session: &mut Session| control::raise_tally(session, me, to).await;
        self.moving.step(step).await
    }

    async fn writer(&self) -> Result<Option<Writer>, StoreError> {
        read!(self, writer())
    }

    async fn slots(&self) -> Result<Vec<SlotRow>, StoreError> {
        read!(self, slots())
    }

    async fn put_slots(
        &self,
        lanes: &[u16],
        changes: &[SlotChange],
    ) -> Result<SlotsPut, StoreError> {
        let me = self.me()?;
        let step =
            async |session: &mut Session| control::put_slots(session, me, lanes, changes).await;
        self.moving.step(step).await
    }

    async fn commit(&self, lane: u16, writes: &WriteSet) -> Result<(), CommitError> {
        let (Ok(me), Some(lane)) = (self.me(), self.lane(lane)) else {
            return Err(CommitError::Fenced { term: 0 });
        };
        lane.lock().await.commit(&self.connector, me, writes).await
    }

    async fn settle(&self, lane: u16, position: u64, nonce: u64) -> Result<bool, StoreError> {
        let (me, lane) = (self.me()?, self.lane(lane).ok_or(StoreError::Fenced { term: 0 })?);
        lane.lock().await.settle(&self.connector, me, position, nonce).await
    }

    async fn heads(&self, entities: &[u64]) -> Result<Vec<HeadRow>, StoreError> {
        read!(self, heads(entities))
    }

    async fn chat(&self, chat: u64) -> Result<Option<ChatState>, StoreError> {
        read!(self, chat(chat))
    }

    async fn user(&self, user: u64) -> Result<Option<UserState>, StoreError> {
        read!(self, user(user))
    }

    async fn profiles(&self, users: &[u64]) -> Result<Vec<UserRow>, StoreError> {
        read!(self, profiles(users))
    }

    async fn name(&self, entity: u64) -> Result<Option<NameRow>, StoreError> {
        read!(self, name(entity))
    }

    async fn names_with_prefix(
        &self,
        prefix: &str,
        limit: u64,
    ) -> Result<Vec<NameRow>, StoreError> {
        read!(self, names_with_prefix(prefix, limit))
    }

    async fn message(&self, chat: u64, seq: u64) -> Result<Option<MessageRow>, StoreError> {
        read!(self, message(chat, seq))
    }

    async fn messages(&self, range: MessageRange) -> Result<Vec<MessageRow>, StoreError> {
        read!(self, messages(range))
    }

    async fn find_messages(&self, keys: &[MessageKey]) -> Result<Vec<MessageRow>, StoreError> {
        read!(self, find_messages(keys))
    }

    async fn changes(
        &self,
        entity: u64,
        after: u64,
        limit: u64,
    ) -> Result<Vec<ChangeRow>, StoreError> {
        read!(self, changes(entity, after, limit))
    }

    async fn members(
        &self,
        chat: u64,
        after: u64,
        limit: u64,
    ) -> Result<Vec<MemberRow>, StoreError> {
        read!(self, members(chat, after, limit))
    }

    async fn member(&self, chat: u64, user: u64) -> Result<Option<MemberRow>, StoreError> {
        read!(self, member(chat, user))
    }

    async fn activity_as_of(&self, chat: u64, as_of_ms: i64) -> Result<i64, StoreError> {
        read!(self, activity_as_of(chat, as_of_ms))
    }

    async fn heads_in(
        &self,
        ids: &[RangeInclusive<u64>],
        limit: u64,
    ) -> Result<Vec<HeadRow>, StoreError> {
        read!(self, heads_in(ids, limit))
    }

    async fn entity_rows(&self, entities: &[u64]) -> Result<Vec<EntityRow>, StoreError> {
        read!(self, entity_rows(entities))
    }

    async fn messages_at(&self, chat: u64, seqs: &[u64]) -> Result<Vec<MessageRow>, StoreError> {
        read!(self, messages_at(chat, seqs))
    }

    async fn members_named(&self, chat: u64, users: &[u64]) -> Result<Vec<MemberRow>, StoreError> {
        read!(self, members_named(chat, users))
    }

    async fn sessions(&self, user: u64) -> Result<Vec<SessionRow>, StoreError> {
        read!(self, sessions(user))
    }

    async fn list(&self, user: u64, after: u64, limit: u64) -> Result<Vec<ListRow>, StoreError> {
        read!(self, list(user, after, limit))
    }

    async fn outbox_in(
        &self,
        chats: RangeInclusive<u64>,
        after: (u64, u64, u64),
        limit: u64,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        read!(self, outbox_in(chats, after, limit))
    }

    async fn progress(&self, slot: u16) -> Result<Option<ProgressRow>, StoreError> {
        read!(self, progress(slot))
    }

    async fn next_ids(&self, after: u64) -> Result<[Option<u64>; Table::ALL.len()], StoreError> {
        read!(self, next_ids(after))
    }

    async fn span(&self, chat: u64, after: u64, to: u64) -> Result<Span, StoreError> {
        read!(self, span(chat, after, to))
    }

    async fn import(&self, lanes: &[u16], imports: &[Import]) -> Result<(), TransferError> {
        let me = self.me()?;
        let step = async |session: &mut Session| import::import(session, me, lanes, imports).await;
        self.moving.step(step).await?
    }

    async fn purge(
        &self,
        lane: u16,
        purges: &[Purge],
        limit: u64,
    ) -> Result<Option<Vec<SlotRow>>, TransferError> {
        let me = self.me()?;
        let step =
            async |session: &mut Session| moving::purge(session, me, lane, purges, limit).await;
        self.moving.step(step).await?
    }

    async fn journal(
        &self,
        lane: u16,
        after: u64,
        limit: u64,
    ) -> Result<Vec<JournalRow>, StoreError> {
        read!(self, journal(lane, after, limit))
    }

    async fn lane_positions(&self) -> Result<Vec<LanePositions>, StoreError> {
        read!(self, lane_positions())
    }

    async fn advance(&self, lane: u16, relayed: u64, covered: u64) -> Result<(), StoreError> {
        let me = self.me()?;
        loop {
            let mut lease = self.reads.take().await?;
            let step = control::advance(&mut lease, me, lane, relayed, covered);
            let answer = timeout(self.reads.answer_within(), step).await;
            if !lease.give_back(answer)? {
                return Ok(());
            }
        }
    }

    async fn outbox(&self, limit: u64) -> Result<Vec<OutboxRow>, StoreError> {
        read!(self, outbox(limit))
    }

    async fn durability(&self) -> Result<String, StoreError> {
        read!(self, durability())
    }

    fn replicas(&self) -> &[Arc<dyn Replica>] {
        &self.replicas
    }
}
