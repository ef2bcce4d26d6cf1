//! The format: JSON lines. The first line is the header; every other one is a [`Record`] with `t`, the
//! microseconds since the recording began, by one monotonic clock per process.
//!
//! A send is recorded before it goes out and its outcome after it came, so recorded intervals are never
//! shorter than real ones. Records of one client are in the order in which it acted and saw.

use serde::{Deserialize, Serialize};

pub(crate) const VERSION: u32 = 1;

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
/// text or any digest of it, always the same of both in one set of recordings.
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
    /// A page of history as read.
    Read {
        client: u32,
        #[serde(with = "text")]
        chat: u64,
        head_seq: u64,
        messages: Vec<SeenMessage>,
    },
    /// A read cursor as acknowledged.
    Cursor {
        client: u32,
        #[serde(with = "text")]
        user: u64,
        #[serde(with = "text")]
        chat: u64,
        read_seq: u64,
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
