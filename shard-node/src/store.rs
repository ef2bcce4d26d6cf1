//! The shard's database: what is kept, and every atomic step on it.
//!
//! What must be kept, and why: entity heads (dense `seq` and `ver` are allocated from them), messages
//! with their dedupe keys for ever, members, users, names, change rows (what clients resume from), the
//! journal (what the bus has still to get), outbox rows (what other shards have still to get), lane
//! rows (which writer may commit) and slot rows (which slots this shard owns). Everything else in the
//! process is rebuilt from these.
//!
//! One writer: only the process whose term stands in the lane rows commits. `commit` locks its lane's
//! row in share mode first, so a takeover (which changes the lane rows) waits for what runs and refuses
//! what comes later. Lock order everywhere: lane row, slot rows, heads in id order, the rest.

use async_trait::async_trait;
use shardline_domain::check::history::Span;
use shardline_domain::check::tables::Table;
use std::ops::RangeInclusive;
use std::sync::Arc;
use thiserror::Error;

// Its macros are for the modules below it.
#[macro_use]
mod select;

#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub mod conformance;
mod digest;
mod entries;
mod export;
mod latest;
mod merge;
pub mod migrate;
mod replica;
mod rows;
mod slot;
mod transfer;
mod verify;

pub use digest::EntityDigest;
pub use export::{Exported, PageSize, Place, Wanted, export};
pub use replica::Replica;
pub use rows::*;
pub use slot::*;
pub use transfer::*;
pub use verify::{digests, missing_facts};

/// A shard's database as its one writer uses it. All methods may be called from any task; `commit` at
/// most once at a time per lane.
#[async_trait]
pub trait Store: Send + Sync {
    // ---- Being the writer ----

    /// Makes `term` the writer of all lanes, ending the sessions of an older writer first. Refused
    /// (`Fenced`) if a lane row has a higher term. Afterwards no transaction of an older term can
    /// commit, and no session is used that leads to another server than the takeover's (`Fenced`):
    /// what comes there is a new term's business. Creates lane rows that are missing. Lane rows are locked in order. On a server, all
    /// sessions of the same user in this database end, so no other program may share that user.
    async fn take_over(&self, writer: Writer, lanes: u16) -> Result<(), StoreError>;

    /// What a writer finds before it takes over, on whatever server answers now: sessions to another one
    /// are forgotten. Changes nothing.
    async fn found(&self) -> Result<Found, StoreError>;

    /// From here on the slot rows are as the catalog has them, on this server: the next start here is a
    /// plain restart. Refused (`Fenced`) if the term is not this writer's.
    async fn keep_origin(&self) -> Result<(), StoreError>;

    /// How many transactions changed slots or imported rows, all lanes together. It grows with each of
    /// them, in the same transaction, so a copy that lacks one has less. Not older than the call.
    async fn tally(&self) -> Result<u64, StoreError>;

    /// The tally is at least this from now on: what is missing was accepted as lost. Refused (`Fenced`)
    /// if the term is not this writer's.
    async fn raise_tally(&self, to: u64) -> Result<(), StoreError>;

    /// The writer in the lane rows; None before the first takeover. A plain read.
    async fn writer(&self) -> Result<Option<Writer>, StoreError>;

    async fn slots(&self) -> Result<Vec<SlotRow>, StoreError>;

    /// A compare-and-set of slot rows, all or none, in one transaction that holds the rows of `lanes`
    /// exclusively (in order; an empty list: all lanes), so it waits for what runs on them and nothing
    /// of them runs meanwhile. `lanes` are those of these slots: whatever writes into a slot holds
    /// exactly the slot's lane row, so no other is needed. Refused (`Fenced`) if the term is not this
    /// writer's. An epoch, a (move, attempt) and a leader's term never go down. After an answer that was lost, the same
    /// call again is `Done`, whether or not the first one came through.
    async fn put_slots(
        &self,
        lanes: &[u16],
        changes: &[SlotChange],
    ) -> Result<SlotsPut, StoreError>;

    // ---- Writing ----

    /// Stores all of it or nothing. First statement: the lane row in share mode. COMMIT is its own
    /// packet, sent only after every other answer was read and found right. After `Unknown` nothing
    /// is stored any more on this lane (`NotStored`) until `settle` has answered.
    async fn commit(&self, lane: u16, writes: &WriteSet) -> Result<(), CommitError>;

    /// After `CommitError::Unknown`: ends the connection that sent the COMMIT, waits until its
    /// transaction is gone, and says whether the journal row with this position and nonce is there,
    /// that is, whether everything of that commit is. True also if the row has gone out and was
    /// deleted meanwhile. Repeat until it answers.
    async fn settle(&self, lane: u16, position: u64, nonce: u64) -> Result<bool, StoreError>;

    // ---- Reading: each answer is one consistent state, not older than the call ----

    async fn heads(&self, entities: &[u64]) -> Result<Vec<HeadRow>, StoreError>;

    /// The chat with all its present members; None if there is no such chat.
    async fn chat(&self, chat: u64) -> Result<Option<ChatState>, StoreError>;

    async fn user(&self, user: u64) -> Result<Option<UserState>, StoreError>;

    async fn profiles(&self, users: &[u64]) -> Result<Vec<UserRow>, StoreError>;

    async fn name(&self, entity: u64) -> Result<Option<NameRow>, StoreError>;

    /// Names of this shard that begin with `prefix`, in order.
    async fn names_with_prefix(&self, prefix: &str, limit: u64)
    -> Result<Vec<NameRow>, StoreError>;

    async fn message(&self, chat: u64, seq: u64) -> Result<Option<MessageRow>, StoreError>;

    /// Messages with `after < seq < before`, ascending: the last `limit` of them if `newest`, else the
    /// first. Stops before `limit` once `bytes` of text are reached, with at least one.
    async fn messages(&self, range: MessageRange) -> Result<Vec<MessageRow>, StoreError>;

    /// The messages with these keys, of those that exist.
    async fn find_messages(&self, keys: &[MessageKey]) -> Result<Vec<MessageRow>, StoreError>;

    /// Changes of one entity with `after < ver`, ascending, at most `limit`.
    async fn changes(
        &self,
        entity: u64,
        after: u64,
        limit: u64,
    ) -> Result<Vec<ChangeRow>, StoreError>;

    /// Members of a chat, also those who left, with `after < user`, ascending.
    async fn members(
        &self,
        chat: u64,
        after: u64,
        limit: u64,
    ) -> Result<Vec<MemberRow>, StoreError>;

    /// One member, also one who left.
    async fn member(&self, chat: u64, user: u64) -> Result<Option<MemberRow>, StoreError>;

    /// The time of the chat's last message accepted at or before `as_of_ms`; its creation if none; 0
    /// if there is no such chat.
    async fn activity_as_of(&self, chat: u64, as_of_ms: i64) -> Result<i64, StoreError>;

    // ---- Reading what moves: rows of slots, whoever owns them ----

    /// Heads of these ranges of ids (ascending, apart), in order, at most `limit`.
    async fn heads_in(
        &self,
        ids: &[RangeInclusive<u64>],
        limit: u64,
    ) -> Result<Vec<HeadRow>, StoreError>;

    /// What these entities are; in no order.
    async fn entity_rows(&self, entities: &[u64]) -> Result<Vec<EntityRow>, StoreError>;

    /// These messages of a chat, of those that exist, in no order.
    async fn messages_at(&self, chat: u64, seqs: &[u64]) -> Result<Vec<MessageRow>, StoreError>;

    /// These members of a chat, also those who left, in no order.
    async fn members_named(&self, chat: u64, users: &[u64]) -> Result<Vec<MemberRow>, StoreError>;

    async fn sessions(&self, user: u64) -> Result<Vec<SessionRow>, StoreError>;

    /// Rows of a user's list, also tombstones, with `after < chat`, ascending.
    async fn list(&self, user: u64, after: u64, limit: u64) -> Result<Vec<ListRow>, StoreError>;

    /// Outbox rows of a range of chats whose (chat, ver, user) is above `after`, in that order.
    async fn outbox_in(
        &self,
        chats: RangeInclusive<u64>,
        after: (u64, u64, u64),
        limit: u64,
    ) -> Result<Vec<OutboxRow>, StoreError>;

    /// How far the slot's import has come, of whichever move was the last to fill it.
    async fn progress(&self, slot: u16) -> Result<Option<ProgressRow>, StoreError>;

    // ---- Reading to check ----

    /// Of each table, in the order of `Table::ALL`: the lowest id above `after` that has rows in it. All of
    /// one moment, so an id that is the lowest in some tables has no rows in the others.
    async fn next_ids(&self, after: u64) -> Result<[Option<u64>; Table::ALL.len()], StoreError>;

    /// The messages of a chat with `after < seq <= to`, counted.
    async fn span(&self, chat: u64, after: u64, to: u64) -> Result<Span, StoreError>;

    // ---- Writing what moves ----

    /// One step of filling each of these slots (in the order of their numbers, each once): rows and
    /// progress of all, or nothing. Locks, in order: the rows of `lanes` (those of the slots, in order)
    /// and the slots' rows, both in share mode, then the progress rows, then rows of these slots only.
    /// Nothing that stands is lowered; no journal row is written. A step that was done is answered as
    /// done. Steps of one slot one after another; those of different slots may overlap.
    async fn import(&self, lanes: &[u16], imports: &[Import]) -> Result<(), TransferError>;

    /// Deletes up to `limit` rows of these slots of `lane` (in the order of their numbers, each once),
    /// which were given away, or whose import was given up; if one of them was not, nothing. None: there
    /// may be more. Once nothing is left of all of them, their rows say so, in the same transaction, and
    /// are returned. Locks the row of `lane` in share mode, then the slots' rows. Heads go first: a head
    /// says that everything up to its ver is there, so after a purge that stopped half-way whoever fills
    /// a slot again finds no head and copies the whole entity.
    async fn purge(
        &self,
        lane: u16,
        purges: &[Purge],
        limit: u64,
    ) -> Result<Option<Vec<SlotRow>>, TransferError>;

    // ---- What has still to go out ----

    /// Journal rows of a lane with a position above `after`, ascending, at most `limit`.
    async fn journal(
        &self,
        lane: u16,
        after: u64,
        limit: u64,
    ) -> Result<Vec<JournalRow>, StoreError>;

    async fn lane_positions(&self) -> Result<Vec<LanePositions>, StoreError>;

    /// The lane's journal is on the bus up to `relayed`, and its senders' cursors are stored up to
    /// `covered`; rows up to the lower of both are deleted. Positions never go down, and never pass
    /// what is committed (`Corrupt`). A transaction with a flush of its own: call it now and then.
    async fn advance(&self, lane: u16, relayed: u64, covered: u64) -> Result<(), StoreError>;

    /// Outbox rows, oldest first per entity, at most `limit`.
    async fn outbox(&self, limit: u64) -> Result<Vec<OutboxRow>, StoreError>;

    /// What an acknowledged message survives, as the server's settings say; for `welcome`.
    async fn durability(&self) -> Result<String, StoreError>;

    /// Those that are known of; copies wait for them.
    fn replicas(&self) -> &[Arc<dyn Replica>] {
        &[]
    }
}

/// Which process may write: the term is granted by the catalog, the incarnation is random per process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Writer {
    pub term: u64,
    pub incarnation: u64,
}

/// What a database is, and how far it has come.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    /// Of the last takeover that this database saw.
    pub writer: Option<Writer>,
    /// The server that answers: its own identity, which a copy on another one does not have. Empty if
    /// that cannot be told.
    pub server: String,
    /// As `keep_origin` left it last; None if it never was called.
    pub origin: Option<Origin>,
    pub tally: u64,
}

/// Where a writer last found its slots to be as the catalog has them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Origin {
    pub server: String,
    /// Of that writer.
    pub term: u64,
}

#[derive(Clone, Debug, Error)]
pub enum StoreError {
    /// Another writer took over; this process must stop writing.
    #[error("another writer with term {term} took over")]
    Fenced { term: u64 },
    /// The database did not answer, or not usefully; nothing is known to be wrong with the data.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// The database holds what cannot be, or has another schema.
    #[error("the database is not as expected: {0}")]
    Corrupt(String),
}

#[derive(Debug, Error)]
pub enum CommitError {
    /// Nothing was stored: another writer took over.
    #[error("another writer with term {term} took over")]
    Fenced { term: u64 },
    /// Nothing was stored: a head was not at its expected ver. Memory is wrong and must be reloaded.
    #[error("a head was not at the expected ver")]
    Stale,
    /// Nothing was stored: a message with such a (chat, sender, client_msg_id) exists already.
    #[error("a message with the same client id exists")]
    Duplicate,
    /// Nothing was stored: the database refused or failed before COMMIT was sent.
    #[error("nothing was stored: {0}")]
    NotStored(String),
    /// COMMIT was sent and not answered: `settle`.
    #[error("the outcome of COMMIT is not known: {0}")]
    Unknown(String),
}
