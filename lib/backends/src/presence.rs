//! Presence: which conn-nodes hold connections of a user, so that an event goes only where somebody
//! is. It may name too many nodes; naming too few is what a node must notice and say.
//!
//! How a node keeps its promise to routers ("all my connections are in presence"):
//! 1. It says *no* to every router, [`begin`](Presence::begin)s, and [`enter`](Presence::enter)s all
//!    its connections, spread out. If each call said [`Standing::Whole`], it says *yes*.
//! 2. A new connection is entered before its `welcome`.
//! 3. Every few seconds it [`refresh`](Presence::refresh)es a part of its connections, so that each
//!    comes along several times within the life of an entry.
//! 4. An error, or [`Standing::Lost`], from any of these: back to 1.

pub mod conformance;
pub mod memory;
#[cfg(feature = "redis")]
pub mod redis;

use crate::Unavailable;
use async_trait::async_trait;
use shardline_domain::id::UserId;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;

/// How long an entry stays that nobody refreshes: what a dead node leaves behind costs routers
/// nothing (they have no stream to it), so this is long and refreshing is cheap.
pub const ENTRY_LIFE: Duration = Duration::from_secs(300);

#[async_trait]
pub trait Presence: Send + Sync {
    /// Starts this node's account anew: from here on, losses are noticed. Entries stay.
    async fn begin(&self, mark: &Mark) -> Result<(), Unavailable>;

    /// These users have these connections on this node. Entering twice is entering once.
    async fn enter(&self, mark: &Mark, entries: &[Entry]) -> Result<Standing, Unavailable>;

    /// These connections ended. If it fails, the entries stay until their life ends.
    async fn leave(&self, mark: &Mark, entries: &[Entry]) -> Result<(), Unavailable>;

    /// Prolongs the node's mark and these entries, and looks whether they are still there. What is
    /// missing is written again, too. `entries` may be empty.
    async fn refresh(&self, mark: &Mark, entries: &[Entry]) -> Result<Standing, Unavailable>;

    /// For each user the nodes that hold connections, each once; one round trip for all.
    async fn nodes_of(&self, users: &[UserId]) -> Result<Vec<Vec<NodeId>>, Unavailable>;
}

/// Whether presence still holds what this node wrote since it began.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Standing {
    Whole,
    /// Something was lost: the node's mark, an entry, or writes that had been acknowledged.
    Lost,
}

/// One run of a conn-node's process.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mark {
    pub node: NodeId,
    /// Random, new at every start.
    pub boot: u64,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Entry {
    pub user: UserId,
    /// A number this run of the node gives one connection only. A session that connects again is
    /// another connection, so the old one's leave does not take the new one away.
    pub connection: u64,
}

/// A conn-node's name: letters, digits, `.`, `_`, `:` and `-`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(Arc<str>);

pub const NODE_ID_BYTES_MAX: usize = 64;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a node's name has 1 to {NODE_ID_BYTES_MAX} letters, digits, `.`, `_`, `:` or `-`")]
pub struct NodeIdError;

impl NodeId {
    pub fn parse(text: &str) -> Result<NodeId, NodeIdError> {
        let plain = |c: u8| c.is_ascii_alphanumeric() || b"._:-".contains(&c);
        let fits = (1..=NODE_ID_BYTES_MAX).contains(&text.len()) && text.bytes().all(plain);
        if fits { Ok(NodeId(text.into())) } else { Err(NodeIdError) }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NodeId({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_cannot_break_what_is_stored() {
        for bad in ["", "a b", "a;b", "a\nb", "ä", &"x".repeat(NODE_ID_BYTES_MAX + 1)] {
            assert_eq!(NodeId::parse(bad), Err(NodeIdError), "{bad:?}");
        }
        assert!(NodeId::parse("conn-node_1.eu:8101").is_ok());
    }
}
