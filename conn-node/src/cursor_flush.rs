//! Writes cursors behind: those this node took to their chats' shards, and those that another node
//! left dirty in the cache (it may have died).

use crate::cursors;
use crate::metrics::{CURSORS_FLUSHED, CURSORS_NOT_FLUSHED};
use crate::node::Node;
use metrics::counter;
use shardline_backends::cursors::Mark;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;
use tracing::{debug, warn};

/// Marks in one call.
const BATCH: usize = 500;
/// Batches of one pass; what is left waits for the next.
const BATCHES_MAX: usize = 20;
/// For the last pass of a node that stops.
const LAST_TIME_MAX: Duration = Duration::from_secs(3);

/// Flushes every `config.cursor_flush_every` until stopped, and once more then.
pub(crate) async fn run(node: Arc<Node>, stop: CancellationToken) {
    let every = node.config.cursor_flush_every;
    // Whoever took a mark has flushed it by then, or is not there any more.
    let left_after = node.config.cursors_left_after;
    let mut look_behind_at = Instant::now() + left_after;
    while timeout(every, stop.cancelled()).await.is_err() {
        flush_taken(&node).await;
        if look_behind_at <= Instant::now() {
            flush_left_behind(&node, left_after).await;
            look_behind_at = Instant::now() + left_after;
        }
    }
    if timeout(LAST_TIME_MAX, flush_taken(&node)).await.is_err() {
        warn!("cursors that this node took are left to others");
    }
}

/// What this node keeps.
pub(crate) async fn flush_taken(node: &Node) {
    let kept = node.cursors_here.kept(BATCH * BATCHES_MAX);
    for batch in kept.chunks(BATCH) {
        let missing = flush(node, batch).await;
        if !missing.is_empty() {
            // The cache may have lost them meanwhile, and others look there.
            if let Err(error) = node.cursors.merge(&missing).await {
                debug!(%error, "cursors wait in this node only");
            }
        }
    }
}

/// What was left dirty in the cache for some time.
async fn flush_left_behind(node: &Node, left_after: Duration) {
    for _ in 0..BATCHES_MAX {
        let dirty = match node.cursors.dirty(left_after, BATCH).await {
            Ok(dirty) => dirty,
            Err(error) => {
                debug!(%error, "no look at cursors left behind");
                return;
            }
        };
        let missing = flush(node, &dirty).await;
        if dirty.len() < BATCH || !missing.is_empty() {
            return;
        }
    }
}

/// Stores marks at their shards and says so to the cache; those that could not be stored.
async fn flush(node: &Node, marks: &[Mark]) -> Vec<Mark> {
    if marks.is_empty() {
        return Vec::new();
    }
    let stored = cursors::store(node, marks).await.unwrap_or_else(|refusal| {
        debug!(%refusal, "cursors could not be stored now");
        Vec::new()
    });
    // A value below what was given is the chat's head: there is no more to store.
    let stored: HashSet<(u64, u64)> = stored.iter().map(|mark| (mark.chat, mark.user)).collect();
    let (flushed, missing): (Vec<Mark>, Vec<Mark>) =
        marks.iter().partition(|mark| stored.contains(&(mark.chat.get(), mark.user.get())));
    counter!(CURSORS_FLUSHED).increment(flushed.len() as u64);
    counter!(CURSORS_NOT_FLUSHED).increment(missing.len() as u64);
    if !flushed.is_empty()
        && let Err(error) = node.cursors.flushed(&flushed).await
    {
        // They stay dirty there and are stored once more by whoever looks next.
        debug!(%error, "the cache does not know what was stored");
    }
    for mark in &flushed {
        node.cursors_here.forget(*mark);
    }
    missing
}
