//! The embedded form of a shard's database: one SQLite file. One thread owns the connection that
//! writes, a few others read; a write-ahead log lets them go on side by side.
//!
//! The same promises as on a server, with the same checks inside each transaction: writes begin
//! IMMEDIATE, so that they run one after another also between processes, then read the lane row.

mod commit;
mod control;
mod moving;
mod read;
mod rows;
mod schema;
mod worker;

pub use schema::{apply, golden};

use crate::store::*;
use async_trait::async_trait;
use parking_lot::Mutex;
use rusqlite::Connection;
use shardline_domain::check::history::Span;
use shardline_domain::check::tables::Table;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering;
use std::time::Duration;
use worker::Worker;

/// Connections that read: as many as reads overlap usefully on a small machine.
const READERS: usize = 3;
/// How long a statement waits for another process that writes.
const BUSY_WAIT: Duration = Duration::from_secs(5);
/// Prepared statements of a connection.
const STATEMENTS_KEPT: usize = 64;

pub struct SqliteStore {
    writer: Worker,
    readers: Vec<Worker>,
    next_reader: AtomicUsize,
    file: File,
    /// Who this process is, once it took over.
    me: Mutex<Option<Writer>>,
}

impl SqliteStore {
    /// Opens the file, or makes it. Refused if its schema is not one this program runs on.
    pub async fn open(path: &Path) -> Result<SqliteStore, StoreError> {
        let writer = Worker::start("shard-writer", path)?;
        writer.run(schema::prepare).await?;
        let readers = (0..READERS)
            .map(|_| Worker::start("shard-reader", path))
            .collect::<Result<Vec<_>, _>>()?;
        Ok(SqliteStore {
            writer,
            readers,
            next_reader: AtomicUsize::new(0),
            file: File::At(path.to_owned()),
            me: Mutex::new(None),
        })
    }

    /// A store on a database in memory, brought to this program's schema. What it is asked is done at once,
    /// by whoever asks: nothing runs beside a simulation.
    pub async fn on(memory: &Memory) -> Result<SqliteStore, StoreError> {
        let worker = || Worker::Caller(memory.db.clone());
        let writer = worker();
        writer.run(schema::prepare).await?;
        Ok(SqliteStore {
            writer,
            readers: vec![worker()],
            next_reader: AtomicUsize::new(0),
            file: File::In(memory.name.clone()),
            me: Mutex::new(None),
        })
    }

    fn me(&self) -> Result<Writer, StoreError> {
        (*self.me.lock()).ok_or(StoreError::Fenced { term: 0 })
    }

    fn reader(&self) -> &Worker {
        let next = self.next_reader.fetch_add(1, Ordering::Relaxed);
        &self.readers[next % self.readers.len()]
    }
}

/// A database that outlives the stores on it, as a disk does.
#[derive(Clone, Debug)]
pub struct Memory {
    name: String,
    db: Arc<Mutex<Connection>>,
}

impl Memory {
    /// An empty one. The name is its identity.
    pub fn new(name: &str) -> Result<Memory, StoreError> {
        let db = Connection::open_in_memory()?;
        db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
        Ok(Memory { name: name.to_owned(), db: Arc::new(Mutex::new(db)) })
    }
}

/// Where the database is.
enum File {
    At(PathBuf),
    In(String),
}

impl File {
    fn identity(&self) -> String {
        match self {
            File::At(path) => control::identity(path),
            File::In(name) => format!("memory {name}"),
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn take_over(&self, writer: Writer, lanes: u16) -> Result<(), StoreError> {
        self.writer.run(move |db| control::take_over(db, writer, lanes)).await?;
        *self.me.lock() = Some(writer);
        Ok(())
    }

    async fn found(&self) -> Result<Found, StoreError> {
        let server = self.file.identity();
        self.writer.run(move |db| control::found(db, server)).await
    }

    async fn keep_origin(&self) -> Result<(), StoreError> {
        let (me, server) = (self.me()?, self.file.identity());
        self.writer.run(move |db| control::keep_origin(db, me, &server)).await
    }

    async fn tally(&self) -> Result<u64, StoreError> {
        self.writer.run(|db| control::tally(db)).await
    }

    async fn raise_tally(&self, to: u64) -> Result<(), StoreError> {
        let me = self.me()?;
        self.writer.run(move |db| control::raise_tally(db, me, to)).await
    }

    async fn writer(&self) -> Result<Option<Writer>, StoreError> {
        self.reader().run(|db| control::writer(db)).await
    }

    async fn slots(&self) -> Result<Vec<SlotRow>, StoreError> {
        self.reader().run(|db| control::slots(db)).await
    }

    async fn put_slots(
        &self,
        _lanes: &[u16],
        changes: &[SlotChange],
    ) -> Result<SlotsPut, StoreError> {
        let (me, changes) = (self.me()?, changes.to_vec());
        self.writer.run(move |db| control::put_slots(db, me, &changes)).await
    }

    async fn commit(&self, lane: u16, writes: &WriteSet) -> Result<(), CommitError> {
        let Ok(me) = self.me() else { return Err(CommitError::Fenced { term: 0 }) };
        let writes = writes.clone();
        self.writer.commit(move |db| commit::commit(db, me, lane, &writes)).await
    }

    async fn settle(&self, lane: u16, position: u64, nonce: u64) -> Result<bool, StoreError> {
        let me = self.me()?;
        // The thread does one thing after another: what asked for the commit is over by now.
        self.writer.run(move |db| commit::settle(db, me, lane, position, nonce)).await
    }

    async fn heads(&self, entities: &[u64]) -> Result<Vec<HeadRow>, StoreError> {
        let entities = entities.to_vec();
        self.reader().run(move |db| read::heads(db, &entities)).await
    }

    async fn chat(&self, chat: u64) -> Result<Option<ChatState>, StoreError> {
        self.reader().run(move |db| read::chat(db, chat)).await
    }

    async fn user(&self, user: u64) -> Result<Option<UserState>, StoreError> {
        self.reader().run(move |db| read::user(db, user)).await
    }

    async fn profiles(&self, users: &[u64]) -> Result<Vec<UserRow>, StoreError> {
        let users = users.to_vec();
        self.reader().run(move |db| read::profiles(db, &users)).await
    }

    async fn name(&self, entity: u64) -> Result<Option<NameRow>, StoreError> {
        self.reader().run(move |db| read::name(db, entity)).await
    }

    async fn names_with_prefix(
        &self,
        prefix: &str,
        limit: u64,
    ) -> Result<Vec<NameRow>, StoreError> {
        let prefix = prefix.to_owned();
        self.reader().run(move |db| read::names_with_prefix(db, &prefix, limit)).await
    }

    async fn message(&self, chat: u64, seq: u64) -> Result<Option<MessageRow>, StoreError> {
        self.reader().run(move |db| read::message(db, chat, seq)).await
    }

    async fn messages(&self, range: MessageRange) -> Result<Vec<MessageRow>, StoreError> {
        self.reader().run(move |db| read::messages(db, range)).await
    }

    async fn find_messages(&self, keys: &[MessageKey]) -> Result<Vec<MessageRow>, StoreError> {
        let keys = keys.to_vec();
        self.reader().run(move |db| read::find_messages(db, &keys)).await
    }

    async fn changes(
        &self,
        entity: u64,
        after: u64,
        limit: u64,
    ) -> Result<Vec<ChangeRow>, StoreError> {
        self.reader().run(move |db| read::changes(db, entity, after, limit)).await
    }

    async fn members(
        &self,
        chat: u64,
        after: u64,
        limit: u64,
    ) -> Result<Vec<MemberRow>, StoreError> {
        self.reader().run(move |db| read::members(db, chat, after, limit)).await
    }

    async fn member(&self, chat: u64, user: u64) -> Result<Option<MemberRow>, StoreError> {
        self.reader().run(move |db| read::member(db, chat, user)).await
    }

    async fn activity_as_of(&self, chat: u64, as_of_ms: i64) -> Result<i64, StoreError> {
        self.reader().run(move |db| read::activity_as_of(db, chat, as_of_ms)).await
    }

    async fn heads_in(
        &self,
        ids: &[RangeInclusive<u64>],
        limit: u64,
    ) -> Result<Vec<HeadRow>, StoreError> {
        let ids = ids.to_vec();
        self.reader().run(move |db| read::heads_in(db, &ids, limit)).await
    }

    async fn entity_rows(&self, entities: &[u64]) -> Result<Vec<EntityRow>, StoreError> {
        let entities = entities.to_vec();
        self.reader().run(move |db| read::entity_rows(db, &entities)).await
    }

    async fn messages_at(&self, chat: u64, seqs: &[u64]) -> Result<Vec<MessageRow>, StoreError> {
        let seqs = seqs.to_vec();
        self.reader().run(move |db| read::messages_at(db, chat, &seqs)).await
    }

    async fn members_named(&self, chat: u64, users: &[u64]) -> Result<Vec<MemberRow>, StoreError> {
        let users = users.to_vec();
        self.reader().run(move |db| read::members_named(db, chat, &users)).await
    }

    async fn sessions(&self, user: u64) -> Result<Vec<SessionRow>, StoreError> {
        self.reader().run(move |db| read::sessions(db, user)).await
    }

    async fn list(&self, user: u64, after: u64, limit: u64) -> Result<Vec<ListRow>, StoreError> {
        self.reader().run(move |db| read::list(db, user, after, limit)).await
    }

    async fn outbox_in(
        &self,
        chats: RangeInclusive<u64>,
        after: (u64, u64, u64),
        limit: u64,
    ) -> Result<Vec<OutboxRow>, StoreError> {
        self.reader().run(move |db| read::outbox_in(db, chats, after, limit)).await
    }

    async fn progress(&self, slot: u16) -> Result<Option<ProgressRow>, StoreError> {
        self.reader().run(move |db| read::progress(db, slot)).await
    }

    async fn next_ids(&self, after: u64) -> Result<[Option<u64>; Table::ALL.len()], StoreError> {
        self.reader().run(move |db| read::next_ids(db, after)).await
    }

    async fn span(&self, chat: u64, after: u64, to: u64) -> Result<Span, StoreError> {
        self.reader().run(move |db| read::span(db, chat, after, to)).await
    }

    async fn import(&self, lanes: &[u16], imports: &[Import]) -> Result<(), TransferError> {
        let (me, lanes, imports) = (self.me()?, lanes.to_vec(), imports.to_vec());
        self.writer.run(move |db| Ok(moving::import(db, me, &lanes, &imports))).await?
    }

    async fn purge(
        &self,
        lane: u16,
        purges: &[Purge],
        limit: u64,
    ) -> Result<Option<Vec<SlotRow>>, TransferError> {
        let (me, purges) = (self.me()?, purges.to_vec());
        self.writer.run(move |db| Ok(moving::purge(db, me, lane, &purges, limit))).await?
    }

    async fn journal(
        &self,
        lane: u16,
        after: u64,
        limit: u64,
    ) -> Result<Vec<JournalRow>, StoreError> {
        self.reader().run(move |db| read::journal(db, lane, after, limit)).await
    }

    async fn lane_positions(&self) -> Result<Vec<LanePositions>, StoreError> {
        self.reader().run(|db| control::lane_positions(db)).await
    }

    async fn advance(&self, lane: u16, relayed: u64, covered: u64) -> Result<(), StoreError> {
        let me = self.me()?;
        let step = move |db: &mut Connection| control::advance(db, me, lane, relayed, covered);
        while self.writer.run(step).await? {}
        Ok(())
    }

    async fn outbox(&self, limit: u64) -> Result<Vec<OutboxRow>, StoreError> {
        self.reader().run(move |db| read::outbox(db, limit)).await
    }

    async fn durability(&self) -> Result<String, StoreError> {
        Ok("committed and flushed to one local disk".to_owned())
    }
}
