//! The rules of Shardline: what is true, whoever asks.
//!
//! No IO, no clock, no async, no serialisation: time and randomness come in as arguments, and a
//! decision is a function from what is known to a verdict.

pub mod append;
pub mod body;
pub mod chat;
pub mod check;
pub mod cursor;
pub mod error;
pub mod follow;
pub mod id;
pub mod limits;
pub mod membership;
pub mod placement;
pub mod release;
pub mod rendezvous;
pub mod slot;
pub mod unread;
pub mod user;
