//! What every part of a conn-node shares: its configuration, routers, sessions and outside systems.

use crate::auth::{Keys, Passwords, Revoked, SeenSessions};
use crate::config::Config;
use crate::cursors::CursorsHere;
use crate::hub::{Hub, Repair};
use crate::outside::Outside;
use crate::presence::Announcer;
use crate::profiles::Profiles;
use crate::push::RouterSink;
use crate::rate_limit::RateLimits;
use crate::routers::{Routers, SinkOf};
use anyhow::{Context, anyhow};
use shardline_backends::cursors::Cursors;
use shardline_backends::presence::{Mark, NodeId, Presence};
use shardline_daemon::lifecycle::Lifecycle;
use shardline_wire::call::RouterConnect;
use shardline_wire::internal::NodeHello;
use std::sync::{Arc, Weak};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub(crate) struct Node {
    pub(crate) config: Config,
    /// Calls to the rest of the system.
    pub(crate) routers: Routers,
    /// Sessions of this node and the chats they follow.
    pub(crate) hub: Hub,
    /// Whether routers may rely on presence for this node.
    pub(crate) announcer: Announcer,
    pub(crate) presence: Arc<dyn Presence>,
    pub(crate) cursors: Arc<dyn Cursors>,
    /// Cursors this node took and has still to flush.
    pub(crate) cursors_here: CursorsHere,
    pub(crate) keys: Keys,
    pub(crate) revoked: Revoked,
    pub(crate) seen_sessions: SeenSessions,
    pub(crate) passwords: Passwords,
    /// Instead of passwords.
    pub(crate) outside: Option<Outside>,
    pub(crate) profiles: Profiles,
    pub(crate) rate_limits: RateLimits,
    pub(crate) lifecycle: Lifecycle,
    /// Cancelled when the node begins to drain: nothing new is accepted.
    pub(crate) draining: CancellationToken,
    /// Every open connection's task.
    pub(crate) connections: TaskTracker,
}

impl Node {
    /// The node, and where the repairs its hub wishes come out. Opens nothing yet.
    ///
    /// # Errors
    /// If passwords cannot be hashed as configured.
    pub(crate) fn new(
        config: Config,
        connect: Arc<dyn RouterConnect>,
        presence: Arc<dyn Presence>,
        cursors: Arc<dyn Cursors>,
        lifecycle: Lifecycle,
    ) -> anyhow::Result<(Arc<Node>, mpsc::Receiver<Repair>)> {
        crate::metrics::describe_all();
        let boot = rand::random::<u64>() | 1;
        let hello = NodeHello { node: config.node.clone(), boot };
        let passwords = Passwords::new(
            config.password_cost,
            config.passwords_at_a_time,
            config.passwords_aside,
        )
        .map_err(|reason| anyhow!("passwords cannot be hashed like this: {reason}"))?;
        let mark = Mark { node: NodeId::parse(&config.node).context("the node's name")?, boot };
        let (hub, repairs) = Hub::new();
        let node = Arc::new_cyclic(|node: &Weak<Node>| {
            let node = node.clone();
            let sink_of: SinkOf =
                Box::new(move |line| Arc::new(RouterSink::new(node.clone(), line)));
            Node {
                routers: Routers::new(connect, hello, config.routers.clone(), sink_of),
                hub,
                announcer: Announcer::new(mark),
                presence,
                cursors,
                cursors_here: CursorsHere::new(),
                keys: Keys::derive(&config.secret),
                revoked: Revoked::new(),
                seen_sessions: SeenSessions::new(),
                passwords,
                outside: config.outside.as_ref().map(Outside::new),
                profiles: Profiles::new(),
                rate_limits: RateLimits::new(&config.rates),
                lifecycle,
                draining: CancellationToken::new(),
                connections: TaskTracker::new(),
                config,
            }
        });
        Ok((node, repairs))
    }
}
