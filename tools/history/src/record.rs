//! The format: JSON lines. The first line is the header; every other one is a [`Record`] with `t`, the
//! microseconds since the recording began, by one monotonic clock per process.
//!
//! What is asked is recorded before it goes out and its outcome after it came, so recorded intervals are
//! never shorter than real ones. Records of one client are in the order in which it acted and saw.
//!
//! Version 2 added calls other than sends, and the log of what was acknowledged and seen; a recording
//! of version 1 is read as one that has none of them.

use serde::{Deserialize, Serialize};

pub(crate) const VERSION: u32 = 2;
pub(crate) const OLDEST_VERSION: u32 = 1;

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Header {
    pub shardline_history: u32,
    /// Which process recorded it, for people.
    pub process: String,
    /// When `t` was 0, Unix milliseconds; for display only.
    pub began_at_ms: i64,
}

#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Line {
    pub t: u64,
    #[serde(flatten)]
    pub record: Record,
}

/// What a client calls its message; 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct MsgId(pub u128);

/// `client` tells the connections of one recording apart: one is one device of one user. A `body` is the
/// text or any digest of it, always the same of both in one set of recordings. `call` tells the calls of
/// one client apart; a call without an answer or `Failed` may have happened or not. A `log` that is empty
/// is not known, and taken for the one the chat had at first.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum Record {
    /// The chat as the recording found it; only what came after is judged.
    Base {
        #[serde(with = "text")]
        chat: u64,
        log: String,
        seq: u64,
        ver: u64,
    },
    /// A send is about to go out. Another one with the same id is a repeat.
    Send {
        client: u32,
        #[serde(with = "text")]
        user: u64,
        #[serde(with = "text")]
        chat: u64,
        id: MsgId,
        body: String,
    },
    Acked {
        client: u32,
        #[serde(with = "text")]
        user: u64,
        #[serde(with = "text")]
        chat: u64,
        id: MsgId,
        seq: u64,
        ver: u64,
        duplicate: bool,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        log: String,
    },
    /// A final refusal.
    Refused {
        client: u32,
        #[serde(with = "text")]
        user: u64,
        #[serde(with = "text")]
        chat: u64,
        id: MsgId,
        code: String,
    },
    /// The sender waits no longer. If `maybe_stored`, it may turn up or not.
    GaveUp {
        client: u32,
        #[serde(with = "text")]
        user: u64,
        #[serde(with = "text")]
        chat: u64,
        id: MsgId,
        maybe_stored: bool,
    },
    /// From here on the client is to see everything after `ver`.
    Follows {
        client: u32,
        #[serde(with = "text")]
        chat: u64,
        log: String,
        ver: u64,
    },
    /// An event as its user saw it.
    Saw {
        client: u32,
        #[serde(with = "text")]
        chat: u64,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        log: String,
        ver: u64,
        kind: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        message: Option<SeenMessage>,
    },
    /// What comes up to `to_ver` was asked for: changes overtaken by later ones may be missing.
    Resumed {
        client: u32,
        #[serde(with = "text")]
        chat: u64,
        to_ver: u64,
    },
    /// What was seen before counts no more; everything after `to_ver` is to be seen.
    Resynced {
        client: u32,
        #[serde(with = "text")]
        chat: u64,
        log: String,
        to_ver: u64,
    },
    /// The client follows no more: nothing is promised to it from here on.
    Leaves {
        client: u32,
        #[serde(with = "text")]
        chat: u64,
    },
    /// An edit is about to go out, or, without a body, a delete.
    Change {
        client: u32,
        #[serde(with = "text")]
        user: u64,
        #[serde(with = "text")]
        chat: u64,
        call: u32,
        seq: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        body: Option<String>,
    },
    /// The message has been like that since `ver`.
    ChangeAcked {
        client: u32,
        call: u32,
        #[serde(default, skip_serializing_if = "String::is_empty")]
        log: String,
        ver: u64,
    },
    /// A page of history or a chat's item is about to be asked for.
    Reading {
        client: u32,
        #[serde(with = "text")]
        user: u64,
        #[serde(with = "text")]
        chat: u64,
        call: u32,
        #[serde(flatten)]
        bounds: Bounds,
    },
    Page {
        client: u32,
        call: u32,
        #[serde(flatten)]
        page: Page,
    },
    /// The chat as its list shows it to the user who asked.
    Item {
        client: u32,
        call: u32,
        #[serde(flatten)]
        item: Item,
    },
    /// The user is about to say how far the chat is read.
    Marking {
        client: u32,
        #[serde(with = "text")]
        user: u64,
        #[serde(with = "text")]
        chat: u64,
        call: u32,
        seq: u64,
    },
    /// The read cursor as acknowledged.
    Marked {
        client: u32,
        call: u32,
        read_seq: u64,
    },
    /// Somebody is about to make `user` a member, or to end that; one record and call for each user.
    Membership {
        client: u32,
        #[serde(with = "text")]
        user: u64,
        #[serde(with = "text")]
        chat: u64,
        call: u32,
        joins: bool,
    },
    MembershipAcked {
        client: u32,
        call: u32,
        ver: u64,
    },
    /// Any of these calls ended without having done anything, or, if `maybe_done`, not known.
    Failed {
        client: u32,
        call: u32,
        maybe_done: bool,
    },
    /// The chat when all was quiet; every message after the base follows as `Stored`, every other
    /// change that is still known as `Changed`.
    Final {
        #[serde(with = "text")]
        chat: u64,
        log: String,
        head_seq: u64,
        head_ver: u64,
    },
    Stored {
        #[serde(with = "text")]
        chat: u64,
        message: SeenMessage,
    },
    Changed {
        #[serde(with = "text")]
        chat: u64,
        ver: u64,
        kind: String,
    },
    /// The recording is whole.
    End,
}

/// A message as somebody saw it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct SeenMessage {
    pub seq: u64,
    pub ver: u64,
    pub changed_ver: u64,
    #[serde(with = "text")]
    pub sender: u64,
    pub id: MsgId,
    /// None once deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// What a page was asked for; without `before_seq` and `after_seq` the latest.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Bounds {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before_seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after_seq: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_ver: Option<u64>,
}

/// A page of history as answered.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Page {
    pub log: String,
    pub head_seq: u64,
    pub head_ver: u64,
    pub at_start: bool,
    pub at_end: bool,
    pub messages: Vec<SeenMessage>,
}

/// What a chat's item says to one member.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Item {
    pub log: String,
    pub head_seq: u64,
    pub read_seq: u64,
    pub unread: u64,
    /// Up to here nothing counts as unread for another reason than the cursor (when the member joined,
    /// what is hidden or no longer kept). None: not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub floor_seq: Option<u64>,
}

impl Serialize for MsgId {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MsgId {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<MsgId, D::Error> {
        let text = String::deserialize(from)?;
        u128::from_str_radix(&text, 16).map(MsgId).map_err(serde::de::Error::custom)
    }
}

impl std::fmt::Display for MsgId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// Ids as decimal strings: many tools read numbers of this size inexactly.
mod text {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(id: &u64, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(id)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<u64, D::Error> {
        let text = String::deserialize(from)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}
