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
use thiserror::Error;

#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub mod conformance;
mod entries;
mod latest;
pub mod migrate;

/// A shard's database as its one writer uses it. All methods may be called from any task; `commit` at
/// most once at a time per lane.
#[async_trait]
pub trait Store: Send + Sync {
    // ---- Being the writer ----

    /// Makes `term` the writer of all lanes, ending the sessions of an older writer first. Refused
    /// (`Fenced`) if a lane row has a higher term. Afterwards no transaction of an older term can
    /// commit. Creates lane rows that are missing. Lane rows are locked in order. On a server, all
    /// sessions of the same user in this database end, so no other program may share that user.
    async fn take_over(&self, writer: Writer, lanes: u16) -> Result<(), StoreError>;

    /// The writer in the lane rows; None before the first takeover. A plain read.
    async fn writer(&self) -> Result<Option<Writer>, StoreError>;

    async fn slots(&self) -> Result<Vec<SlotRow>, StoreError>;

    /// Writes slot rows in one transaction that holds every lane row exclusively, so it waits for
    /// running data transactions. Refused (`Fenced`) if the term is not this writer's; an epoch never
    /// goes down (such a row is skipped).
    async fn put_slots(&self, rows: &[SlotRow]) -> Result<(), StoreError>;

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
}

/// Which process may write: the term is granted by the catalog, the incarnation is random per process.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Writer {
    pub term: u64,
    pub incarnation: u64,
}

#[derive(Debug, Error)]
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

/// Everything one lane commits at once. Rows of kinds that occur rarely are written as they are
/// (insert or replace by key): the heads' expected vers make sure that nobody else changed them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct WriteSet {
    /// Always present in a commit: its key is what `settle` looks for.
    pub journal: JournalRow,
    pub heads: Vec<HeadChange>,
    /// New messages; a clash of their unique key is `Duplicate`.
    pub messages: Vec<MessageRow>,
    /// Messages that exist, in their new state (key: chat, seq). Their dedupe key, first-body hash and
    /// birth are not changed.
    pub changed_messages: Vec<MessageRow>,
    pub chats: Vec<ChatRow>,
    /// Inserted or replaced; a stored read_seq is kept if it is higher and joined_ver is the same.
    pub members: Vec<MemberRow>,
    pub changes: Vec<ChangeRow>,
    /// Change rows of these entities up to this ver are deleted (trimming).
    pub trimmed_changes: Vec<(u64, u64)>,
    pub users: Vec<UserRow>,
    pub sessions: Vec<SessionRow>,
    /// (user, session)
    pub ended_sessions: Vec<(u64, u64)>,
    pub list: Vec<ListRow>,
    pub names: Vec<NameRow>,
    pub outbox: Vec<OutboxRow>,
    /// (chat, ver, user) of facts that were applied.
    pub delivered: Vec<(u64, u64, u64)>,
    /// Merged by maximum into members' read_seq; needs no head.
    pub cursors: Vec<CursorRow>,
}

/// An entity's latest position.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct HeadRow {
    pub entity: u64,
    pub seq: u64,
    pub ver: u64,
    pub log: u64,
    /// Of a chat: when its last message was accepted, or it was created.
    pub activity_ms: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeadChange {
    /// What must stand there; 0: the entity must not exist yet.
    pub expected_ver: u64,
    pub head: HeadRow,
}

/// A message as it is now. `ver` is its birth, `changed_ver` its latest change.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MessageRow {
    pub chat: u64,
    pub seq: u64,
    pub ver: u64,
    pub changed_ver: u64,
    pub sender: u64,
    pub sender_name: String,
    pub client_msg_id: [u8; 16],
    /// Of the first body and reply_to; never changes.
    pub body_hash: [u8; 16],
    /// Empty once deleted.
    pub text: String,
    pub reply_to: Option<u64>,
    pub sent_at_ms: i64,
    pub edited_at_ms: Option<i64>,
    pub deleted: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MessageKey {
    pub chat: u64,
    pub sender: u64,
    pub client_msg_id: [u8; 16],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MessageRange {
    pub chat: u64,
    pub after: u64,
    pub before: u64,
    pub newest: bool,
    pub limit: u64,
    pub bytes: usize,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChatRow {
    pub chat: u64,
    /// direct, group or channel
    pub kind: String,
    pub title: String,
    /// all or joined
    pub history: String,
    pub creator: u64,
    /// Of a group: what the client called its request. Of a direct chat: zeros.
    pub client_chat_id: [u8; 16],
    pub created_at_ms: i64,
    /// ver of the last change of title or settings; what if_ver compares with.
    pub settings_ver: u64,
    pub trimmed_seq: u64,
    /// Change rows are kept above this ver.
    pub trimmed_ver: u64,
    /// Ended for all by its owner.
    pub ended: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MemberRow {
    pub chat: u64,
    pub user: u64,
    pub role: String,
    pub joined_ver: u64,
    pub joined_seq: u64,
    pub left_ver: Option<u64>,
    pub read_seq: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChatState {
    pub head: HeadRow,
    pub chat: ChatRow,
    /// Present members only, by user id.
    pub members: Vec<MemberRow>,
}

/// One durable change that is not a new message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ChangeRow {
    pub entity: u64,
    pub ver: u64,
    pub kind: ChangeKind,
    /// seq of a message; user of a member; chat of a list row; session of a session; else 0.
    pub subject: u64,
    pub at_ms: i64,
}

/// Stored as its number: never renumber.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ChangeKind {
    Edit = 1,
    Delete = 2,
    Member = 3,
    Chat = 4,
    List = 5,
    Profile = 6,
    Session = 7,
}

impl ChangeKind {
    pub fn from_number(number: u8) -> Option<ChangeKind> {
        use ChangeKind::{Chat, Delete, Edit, List, Member, Profile, Session};
        [Edit, Delete, Member, Chat, List, Profile, Session]
            .into_iter()
            .find(|kind| *kind as u8 == number)
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserRow {
    pub user: u64,
    pub name: String,
    pub display_name: String,
    pub about: String,
    pub password_hash: String,
    pub created_at_ms: i64,
    /// Change rows are kept above this ver.
    pub trimmed_ver: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionRow {
    pub user: u64,
    pub session: u64,
    pub device: String,
    pub generation: u64,
    /// Of the current refresh token, and of the one before it.
    pub nonce: [u8; 16],
    pub previous_nonce: [u8; 16],
    pub created_at_ms: i64,
    /// To within a few minutes.
    pub used_at_ms: i64,
}

/// A chat on a user's list; kept as a tombstone when the chat is gone from it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListRow {
    pub user: u64,
    pub chat: u64,
    pub kind: String,
    pub pinned: bool,
    pub muted: bool,
    pub hidden_seq: u64,
    pub gone: bool,
    /// ver of the chat at which the latest applied fact happened.
    pub fact_ver: u64,
    /// ver of the user at which this row last changed.
    pub list_ver: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct UserState {
    pub head: HeadRow,
    pub user: UserRow,
    pub sessions: Vec<SessionRow>,
    /// With tombstones.
    pub list: Vec<ListRow>,
}

/// A claimed name; its entity id is a hash of the name, or the next probe.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NameRow {
    pub entity: u64,
    pub name: String,
    pub user: u64,
}

/// What one commit of a lane changed. No bodies: they are read by key when not in memory.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct JournalRow {
    /// Dense from 1 per lane.
    pub position: u64,
    /// Random; tells this commit from another at the same position.
    pub nonce: u64,
    pub entries: Vec<JournalEntry>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct JournalEntry {
    pub entity: u64,
    pub first_ver: u64,
    pub last_ver: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LanePositions {
    pub lane: u16,
    /// The highest journal position, also after its row was deleted.
    pub committed: u64,
    pub relayed: u64,
    pub covered: u64,
}

/// A fact for a user on any shard: they joined or left a chat at `ver`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutboxRow {
    pub chat: u64,
    pub ver: u64,
    pub user: u64,
    pub joined: bool,
    pub kind: String,
    pub created_at_ms: i64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CursorRow {
    pub chat: u64,
    pub user: u64,
    pub seq: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotRow {
    pub slot: u16,
    pub state: SlotState,
    pub epoch: u64,
}

/// Stored as its number: never renumber.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SlotState {
    Owned = 1,
    Frozen = 2,
    /// Given away.
    Moved = 3,
    /// Held until the catalog grants it again.
    Quarantined = 4,
}

impl SlotState {
    pub fn from_number(number: u8) -> Option<SlotState> {
        use SlotState::{Frozen, Moved, Owned, Quarantined};
        [Owned, Frozen, Moved, Quarantined].into_iter().find(|state| *state as u8 == number)
    }
}
