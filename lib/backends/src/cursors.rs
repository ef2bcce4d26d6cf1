//! Cursors: a write-back cache of how far members have read. A value only grows; merging the same
//! or an older one changes nothing, so every call may be repeated and come in any order.
//!
//! What is merged here is dirty until the chat's shard has it. Whoever merged keeps it until
//! [`flushed`](Cursors::flushed), because this cache may be emptied at any time; marks left behind by
//! one that died are found by the others through [`dirty`](Cursors::dirty).

pub mod conformance;
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

use crate::Unavailable;
use async_trait::async_trait;
use shardline_domain::id::{ChatId, UserId};
use std::time::Duration;

#[async_trait]
pub trait Cursors: Send + Sync {
    /// Each mark raises its cursor to at least its seq, and makes it dirty if that raised it. The
    /// results are the values now held, in the order of the marks.
    ///
    /// The seq is the caller's to check: one beyond the chat's head would stay.
    async fn merge(&self, marks: &[Mark]) -> Result<Vec<u64>, Unavailable>;

    /// One user's cursors in these chats, as far as they are known here; one round trip.
    async fn get(&self, user: UserId, chats: &[ChatId]) -> Result<Vec<Option<u64>>, Unavailable>;

    /// These users' cursors in one chat, as far as they are known here; one round trip.
    async fn of_chat(
        &self,
        chat: ChatId,
        users: &[UserId],
    ) -> Result<Vec<Option<u64>>, Unavailable>;

    /// Cursors that have been dirty for this long, the longest ones first within what is looked at.
    async fn dirty(&self, older_than: Duration, limit: usize) -> Result<Vec<Mark>, Unavailable>;

    /// The chats' shards have these values. A cursor stays dirty if it has grown since.
    async fn flushed(&self, marks: &[Mark]) -> Result<(), Unavailable>;
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Mark {
    pub chat: ChatId,
    pub user: UserId,
    pub seq: u64,
}
