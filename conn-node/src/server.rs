//! Starts a conn-node and stops it: connections are sent elsewhere first, then the rest goes.

use crate::config::Config;
use crate::hub::Repair;
use crate::node::Node;
use crate::{announce, beacon, cursor_flush, http, repair};
use anyhow::Context;
use axum::serve::{Listener, ListenerExt};
use shardline_backends::cursors::Cursors;
use shardline_backends::presence::Presence;
use shardline_daemon::health::{Health, ReadyFlag};
use shardline_daemon::lifecycle::Lifecycle;
use shardline_wire::call::RouterConnect;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tracing::{error, info, warn};

const TEND_EVERY: Duration = Duration::from_secs(1);
/// Before the first router answers, look more often.
const TEND_EVERY_AT_START: Duration = Duration::from_millis(50);
/// Beyond the configured time for answers: for last frames and closes.
const LAST_FRAMES_TIME: Duration = Duration::from_secs(4);
const LAST_TASKS_TIME: Duration = Duration::from_secs(2);
const LAST_CURSORS_TIME: Duration = Duration::from_secs(3);

/// A running conn-node. It stops with the lifecycle it was started in.
pub struct ConnNode {
    node: Arc<Node>,
    local_addr: SocketAddr,
}

impl ConnNode {
    /// Binds, opens streams to the configured routers and serves. Ready once a router has told the list.
    ///
    /// # Errors
    /// If the address cannot be bound, or a setting cannot be used.
    pub async fn start(
        config: Config,
        connect: Arc<dyn RouterConnect>,
        presence: Arc<dyn Presence>,
        cursors: Arc<dyn Cursors>,
        lifecycle: &Lifecycle,
        health: &Health,
    ) -> anyhow::Result<ConnNode> {
        let listener = TcpListener::bind(config.listen)
            .await
            .with_context(|| format!("clients cannot connect at {}", config.listen))?;
        // Small answers at once; if the option cannot be set they only come later.
        let listener = listener.tap_io(|stream| drop(stream.set_nodelay(true)));
        ConnNode::start_on(listener, config, connect, presence, cursors, lifecycle, health)
    }

    /// The same where clients come in here, in place of the configured address.
    ///
    /// # Errors
    /// If the listener has no address, or a setting cannot be used.
    pub fn start_on(
        listener: impl Listener<Addr = SocketAddr>,
        config: Config,
        connect: Arc<dyn RouterConnect>,
        presence: Arc<dyn Presence>,
        cursors: Arc<dyn Cursors>,
        lifecycle: &Lifecycle,
        health: &Health,
    ) -> anyhow::Result<ConnNode> {
        let local_addr = listener.local_addr()?;
        // What connections need ends after them.
        let inside = lifecycle.child();
        let (node, repairs) = Node::new(config, connect, presence, cursors, inside)?;
        start_tasks(&node, repairs, health.part("routers"));
        node.routers.open();
        let serving = node.clone();
        node.lifecycle.run("http", async move {
            if let Err(reason) = http::serve(serving.clone(), listener).await {
                error!(%reason, "clients are no longer served");
                serving.lifecycle.fail("clients are no longer served");
            }
        });
        let (stop, stopping) = (lifecycle.token(), node.clone());
        lifecycle.run("conn-node", async move {
            stop.cancelled().await;
            drain(&stopping).await;
        });
        info!(node = %node.config.node, %local_addr, "clients can connect");
        Ok(ConnNode { node, local_addr })
    }

    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// How many WebSockets are open.
    pub fn connections(&self) -> usize {
        self.node.connections.len()
    }
}

fn start_tasks(node: &Arc<Node>, repairs: mpsc::Receiver<Repair>, ready: ReadyFlag) {
    let of = node.clone();
    node.lifecycle.run("routers", async move { tend(&of, &ready).await });
    let of = node.clone();
    node.lifecycle.run("presence", async move { of.announcer.keep(&of).await });
    let of = node.clone();
    node.lifecycle.run("announce", async move { announce::keep(&of).await });
    node.lifecycle.run("repair", repair::keep(node.clone(), repairs));
    node.lifecycle.run("heads-of-open", beacon::keep_open(node.clone()));
    node.lifecycle.run("heads-of-lists", beacon::keep_lists(node.clone()));
    if node.outside.is_some() {
        let (of, stop) = (node.clone(), node.lifecycle.token());
        node.lifecycle.run("outside-keys", async move {
            if let Some(outside) = &of.outside {
                outside.keep(stop).await;
            }
        });
    }
    node.lifecycle.run("cursors", cursor_flush::run(node.clone(), node.lifecycle.token()));
}

async fn tend(node: &Node, ready: &ReadyFlag) {
    let stop = node.lifecycle.token();
    while !stop.is_cancelled() {
        node.routers.tend(Instant::now());
        node.rate_limits.tend(Instant::now());
        let is_ready = node.routers.has_list() && node.routers.has_connection();
        if is_ready {
            ready.ready();
        } else {
            ready.not_ready("waiting for a router");
        }
        let every = if is_ready { TEND_EVERY } else { TEND_EVERY_AT_START };
        tokio::select! {
            () = stop.cancelled() => {}
            () = sleep(every) => {}
        }
    }
}

/// Nothing new comes in, what is under way is answered, clients are sent elsewhere, and the cursors
/// taken here are written.
async fn drain(node: &Arc<Node>) {
    node.draining.cancel();
    node.connections.close();
    let all_closed = node.connections.wait();
    if timeout(node.config.drain + LAST_FRAMES_TIME, all_closed).await.is_err() {
        warn!(connections = node.connections.len(), "connections were cut at the deadline");
    }
    if timeout(LAST_CURSORS_TIME, cursor_flush::flush_taken(node)).await.is_err() {
        warn!("cursors stay for other conn-nodes to write");
    }
    if !node.lifecycle.finish(LAST_TASKS_TIME).await {
        warn!("tasks were cut at the deadline");
    }
}
