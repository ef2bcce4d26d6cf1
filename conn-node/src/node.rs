//! What every part of a conn-node shares: its configuration, routers, sessions and outside systems.

use crate::config::Config;
use crate::hub::Hub;
use crate::presence::Announcer;
use crate::push::RouterSink;
use crate::routers::{Routers, SinkOf};
use shardline_backends::cursors::Cursors;
use shardline_backends::presence::Presence;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_wire::call::RouterConnect;
use shardline_wire::internal::NodeHello;
use std::sync::{Arc, Weak};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub struct Node {
    pub config: Config,
    /// Random, new at every start.
    pub boot: u64,
    /// Calls to the rest of the system.
    pub routers: Routers,
    /// Sessions of this node and the chats they follow.
    pub hub: Hub,
    /// Whether routers may rely on presence for this node.
    pub announcer: Announcer,
    pub presence: Arc<dyn Presence>,
    pub cursors: Arc<dyn Cursors>,
    pub lifecycle: Lifecycle,
    /// Cancelled when the node begins to drain: nothing new is accepted.
    pub draining: CancellationToken,
    /// Every open connection's task.
    pub connections: TaskTracker,
}

impl Node {
    pub fn new(
        config: Config,
        connect: Arc<dyn RouterConnect>,
        presence: Arc<dyn Presence>,
        cursors: Arc<dyn Cursors>,
        lifecycle: Lifecycle,
    ) -> Arc<Node> {
        let boot = rand::random::<u64>() | 1;
        let hello = NodeHello { node: config.node.clone(), boot };
        Arc::new_cyclic(|node: &Weak<Node>| {
            let node = node.clone();
            let sink_of: SinkOf =
                Box::new(move |line| Arc::new(RouterSink::new(node.clone(), line)));
            Node {
                routers: Routers::new(connect, hello, config.routers.clone(), sink_of),
                hub: Hub::new(),
                announcer: Announcer::new(),
                boot,
                presence,
                cursors,
                lifecycle,
                draining: CancellationToken::new(),
                connections: TaskTracker::new(),
                config,
            }
        })
    }
}
