//! Keeps this node's word to routers: whether presence holds every connection of it. Until it does,
//! routers send this node every event, so a Redis that is empty or away costs work and loses nothing.
//!
//! One task says it, so that what routers hear comes in order. A connection that could not be written
//! waits until *no* was acknowledged by every router that can be reached; a new stream begins at *no*.

use crate::hub::Hub;
use crate::node::Node;
use crate::routers::{Link, Place};
use crate::session::Session;
use shardline_backends::presence::{Entry, Mark, Standing};
use shardline_daemon::backoff::Backoff;
use shardline_domain::id::UserId;
use shardline_wire::call::{Done, NodeOp, wait};
use shardline_wire::internal::PresenceState;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

/// Connections are refreshed in this many turns, each comes along several times in an entry's life.
const TURNS: u64 = 30;
const TURN_EVERY: Duration = Duration::from_secs(2);
/// Connections written at once, and the pause between: a restart of Redis is not met by a storm.
const ENTRIES_AT_ONCE: usize = 500;
const ENTRIES_PAUSE: Duration = Duration::from_millis(20);
/// For one call to presence, whatever it is behind.
const CALL_TIME_MAX: Duration = Duration::from_secs(1);
/// For a router's acknowledgement.
const SAY_TIME_MAX: Duration = Duration::from_secs(2);
const RETRY_FIRST: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Announcer {
    mark: Mark,
    /// Counts what presence could not take.
    losses: AtomicU64,
    lost: Notify,
    /// Losses up to here are covered: every reachable router was told no since, or all was written.
    covered: watch::Sender<u64>,
}

/// Neither presence nor the routers could be told in time.
#[derive(Debug)]
pub(crate) struct NotAnnounced;

impl Announcer {
    pub(crate) fn new(mark: Mark) -> Announcer {
        let covered = watch::Sender::new(0);
        Announcer { mark, losses: AtomicU64::new(0), lost: Notify::new(), covered }
    }

    /// When this returns, whatever is published afterwards reaches this node for the session's user.
    /// The session is in the hub before.
    pub(crate) async fn announce(
        &self,
        node: &Node,
        session: &Session,
    ) -> Result<(), NotAnnounced> {
        let mut covered = self.covered.subscribe();
        let Some(entry) = entry(session) else { return Err(NotAnnounced) };
        let written = timeout(CALL_TIME_MAX, node.presence.enter(&self.mark, &[entry])).await;
        if matches!(written, Ok(Ok(Standing::Whole))) {
            return Ok(());
        }
        let loss = self.losses.fetch_add(1, Ordering::AcqRel) + 1;
        self.lost.notify_one();
        let is_covered = covered.wait_for(|covered| loss <= *covered);
        match timeout(2 * SAY_TIME_MAX, is_covered).await {
            Ok(Ok(_)) => Ok(()),
            _ => Err(NotAnnounced),
        }
    }

    /// If it fails, the entry ends by itself.
    pub(crate) async fn leave(&self, node: &Node, session: &Session) {
        if let Some(entry) = entry(session) {
            drop(timeout(CALL_TIME_MAX, node.presence.leave(&self.mark, &[entry])).await);
        }
    }

    /// The task: says no, writes all, says yes, refreshes; from the beginning at any loss.
    pub(crate) async fn keep(&self, node: &Node) {
        let stop = node.lifecycle.token();
        let mut retry = Backoff::new(RETRY_FIRST, RETRY_MAX);
        while !stop.is_cancelled() {
            let course = async {
                self.say_no(node).await;
                if self.write_all(node).await {
                    retry.reset();
                    self.stay_whole(node).await;
                    warn!("presence lost connections of this node; routers send it everything");
                } else {
                    // Whoever cannot be written meanwhile is covered by the no that stands.
                    self.wait_covering(retry.next()).await;
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = course => {}
            }
        }
    }

    async fn wait_covering(&self, time: Duration) {
        let until = sleep(time);
        tokio::pin!(until);
        loop {
            self.covered.send_replace(self.losses.load(Ordering::Acquire));
            tokio::select! {
                () = &mut until => return,
                () = self.lost.notified() => {}
            }
        }
    }

    /// Until every router that can be reached has acknowledged.
    async fn say_no(&self, node: &Node) {
        let losses = self.losses.load(Ordering::Acquire);
        let said = node.routers.links().into_iter().map(|link| async move {
            while link.is_connected() && !say(&link, false).await {
                sleep(RETRY_FIRST).await;
            }
        });
        futures::future::join_all(said).await;
        self.covered.send_replace(losses);
    }

    /// Writes every connection of the hub. A connection that comes meanwhile writes itself.
    async fn write_all(&self, node: &Node) -> bool {
        let began = timeout(CALL_TIME_MAX, node.presence.begin(&self.mark)).await;
        if !matches!(began, Ok(Ok(()))) {
            return false;
        }
        let losses = self.losses.load(Ordering::Acquire);
        for entries in entries(&node.hub, |_| true).chunks(ENTRIES_AT_ONCE) {
            let written = timeout(CALL_TIME_MAX, node.presence.enter(&self.mark, entries)).await;
            if !matches!(written, Ok(Ok(Standing::Whole))) {
                return false;
            }
            self.covered.send_replace(losses);
            sleep(ENTRIES_PAUSE).await;
        }
        // A loss counted since then is of a connection that may not be among those.
        losses == self.losses.load(Ordering::Acquire)
    }

    /// Says yes on every stream and refreshes, until something is lost.
    async fn stay_whole(&self, node: &Node) {
        let mut said: HashMap<Place, bool> = HashMap::new();
        let losses = self.losses.load(Ordering::Acquire);
        let mut streams = node.routers.watch();
        let mut turns = tokio::time::interval(TURN_EVERY);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut turn = 0;
        info!("presence holds every connection of this node");
        loop {
            for link in node.routers.links() {
                let place = link.place();
                if link.is_connected() && !said.contains_key(&place) && say(&link, true).await {
                    said.insert(place, true);
                }
            }
            if losses != self.losses.load(Ordering::Acquire) {
                return;
            }
            tokio::select! {
                () = self.lost.notified() => {}
                changed = streams.changed() => if changed.is_err() { return },
                _ = turns.tick() => {
                    turn += 1;
                    let part = entries(&node.hub, |session| session.connection % TURNS == turn % TURNS);
                    for entries in part.chunks(ENTRIES_AT_ONCE).chain(part.is_empty().then_some(&[][..])) {
                        let call = node.presence.refresh(&self.mark, entries);
                        if !matches!(timeout(CALL_TIME_MAX, call).await, Ok(Ok(Standing::Whole))) {
                            return;
                        }
                    }
                }
            }
        }
    }
}

async fn say(link: &Arc<Link>, complete: bool) -> bool {
    let (done, outcome) = Done::channel();
    link.submit(NodeOp::Presence(PresenceState { complete }), done);
    wait(outcome, SAY_TIME_MAX).await.is_ok()
}

fn entry(session: &Session) -> Option<Entry> {
    let user = UserId::new(session.user).ok()?;
    Some(Entry { user, connection: session.connection })
}

fn entries(hub: &Hub, is_wanted: impl Fn(&Session) -> bool) -> Vec<Entry> {
    hub.sessions()
        .iter()
        .filter(|session| is_wanted(session))
        .filter_map(|session| entry(session))
        .collect()
}
