//! Settings of a conn-node.

use std::net::SocketAddr;
use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Config {
    /// This node's name, unique among conn-nodes.
    pub node: String,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Addresses of routers to begin with; they tell the others.
    pub routers: Vec<String>,
    /// Signs tokens; the same on all conn-nodes.
    pub secret: String,
    /// How often sessions are told the heads of their open chats.
    pub heads_every: Duration,
    /// A connection without a frame for this long is closed; pings go out at half of it.
    pub idle: Duration,
    /// How long a stopping node waits for answers that are on their way.
    pub drain: Duration,
    /// Connections beyond this are refused.
    pub connections_max: usize,
    /// What `welcome` says about durability.
    pub durability: String,
}
