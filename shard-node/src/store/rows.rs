//! What the database holds, row by row, and what one commit writes. Plain data: the rules are elsewhere.

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
    /// (user, ver): users that are deleted, with all their rows; the head must stand at that ver.
    pub removed_users: Vec<(u64, u64)>,
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

#[cfg(test)]
impl MessageRow {
    /// With nothing but its place, for tests about places.
    pub(crate) fn bare(chat: u64, seq: u64, ver: u64) -> MessageRow {
        MessageRow {
            chat,
            seq,
            ver,
            changed_ver: ver,
            sender: 2,
            sender_name: String::new(),
            client_msg_id: [0; 16],
            body_hash: [0; 16],
            text: String::new(),
            reply_to: None,
            sent_at_ms: 0,
            edited_at_ms: None,
            deleted: false,
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MessageKey {
    pub chat: u64,
    pub sender: u64,
    pub client_msg_id: [u8; 16],
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
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
