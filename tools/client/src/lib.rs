//! The Rust client of Shardline.
//!
//! [`Client`] keeps itself connected: it chooses an address, says hello, renews its token, obeys what
//! the server says when it closes, repeats unanswered sends with the same client id and in order, and
//! follows chats so that what the user sees comes exactly once and in ver order. [`Http`] is the HTTP
//! half of the contract. [`Connection`] is one socket and nothing more, for tests of misbehaviour.
//!
//! Pure, tested without sockets: [`codec`] (frames and messages), `sends` (what is sent when),
//! `following` (which chat is asked about when), `reconnect` (what a close means).

pub mod codec;

mod carrier;
mod client;
mod connection;
mod driver;
mod error;
mod following;
mod http;
mod reconnect;
mod requests;
mod seen;
mod sends;

pub use client::{Client, Options, Pending, Timing};
pub use codec::Encoding;
pub use connection::{Connection, ConnectionError, Incoming};
pub use error::{CallError, HttpError, Refused, SendError};
pub use http::{Http, NewChat, Page, Session};
pub use reconnect::Stop;
pub use seen::{Seen, State};

/// The frames and what they carry.
pub use shardline_wire::client as frames;
