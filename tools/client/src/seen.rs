//! What a user of the client sees happen.

use crate::frames::{ChatsPage, Event, Heads, List, Opened, Signal};
use crate::reconnect::Stop;
use std::time::Duration;

/// What comes out of the receiver of [`Client::connect`](crate::Client::connect).
///
/// Promised per chat: `Event`s come in ver order, each once, whatever happened to the connection in
/// between, unless a `Resynced` says that the history before it is to be dropped.
#[derive(Clone, PartialEq, Debug)]
pub enum Seen {
    /// A message, edit, delete, member or chat change. Of a chat that was never opened, from the first
    /// one on that this connection heard.
    Event(Box<Event>),
    /// The user's own `open` was answered: everything up to `ver` is in that page or came out before, and
    /// events go on after it. Tells which events, in a receiver read later than the answer, are news.
    Opened { chat: u64, log: String, ver: u64 },
    /// The next events up to `to_ver` were asked for: one that a later change overtook may be missing.
    Resumed { chat: u64, after_ver: u64, to_ver: u64 },
    /// Drop what is held of this chat; this is its latest page. Events go on after its `to_ver`.
    Resynced(Box<Opened>),
    /// A change of the user's own things, in list_ver order.
    List(List),
    /// What changed in the chat list while nobody listened; with state "resynced": the whole list.
    Lists(Box<ChatsPage>),
    /// Where chats stand; also of chats that were never opened. May be late.
    Heads(Heads),
    /// Typing and the like; may be lost.
    Signal(Signal),
}

/// How the connection is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum State {
    Connecting,
    Connected {
        address: String,
        node: String,
    },
    /// Not connected; the next attempt comes after `retry_in`.
    Waiting {
        why: String,
        retry_in: Duration,
    },
    /// For good.
    Stopped(Stop),
}
