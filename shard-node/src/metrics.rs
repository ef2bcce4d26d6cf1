//! Names of all metrics of this process.

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};

shardline_daemon::metric_names! {
    /// From the first statement of a commit to its outcome; label lane.
    COMMIT_SECONDS = "shardline_shard_node_commit_seconds";
    /// Messages and changes of one commit; label lane.
    BATCH_CALLS = "shardline_shard_node_batch_rows";
    /// Messages stored and acknowledged; label lane.
    MESSAGES = "shardline_shard_node_messages_total";
    /// Calls refused by a lane; label lane.
    REFUSALS = "shardline_shard_node_refusals_total";
    /// Commits that did not go well; labels lane, outcome (stale, duplicate, not_stored, unknown).
    FAILED_COMMITS = "shardline_shard_node_failed_commits_total";
    /// Calls waiting when a lane took its batch; label lane.
    LANE_QUEUE = "shardline_shard_node_lane_queue_calls";
    /// Committed, but not yet on the bus; label lane.
    RELAY_LAG = "shardline_shard_node_relay_lag_rows";
    /// Facts that wait for their user's shard.
    OUTBOX = "shardline_shard_node_outbox_rows";
    /// Slots this shard owns.
    SLOTS_OWNED = "shardline_shard_node_owned_slots";
    /// Calls that wait for the catalog's word on their slot.
    WAITING_CALLS = "shardline_shard_node_waiting_calls";
    /// Entities in memory, in bytes, roughly; label lane.
    CACHE_BYTES = "shardline_shard_node_cache_bytes";
    /// Of the time, what copies of moves that come here take, next to people's writes: at most 0.5.
    COPY_SHARE = "shardline_shard_node_copy_share";
    /// For how long a replica has lacked what its primary has; no number while it cannot be asked. Label
    /// replica.
    REPLICA_LAG = "shardline_shard_node_replica_lag_seconds";
    /// Reads being answered.
    READS = "shardline_shard_node_running_reads";
}

/// A lane's handles, looked up once.
pub(crate) struct LaneMetrics {
    pub(crate) commit_seconds: Histogram,
    pub(crate) batch_calls: Histogram,
    pub(crate) messages: Counter,
    pub(crate) refusals: Counter,
    pub(crate) stale: Counter,
    pub(crate) duplicates: Counter,
    pub(crate) not_stored: Counter,
    pub(crate) unknown: Counter,
    pub(crate) queue: Gauge,
}

impl LaneMetrics {
    pub(crate) fn new(lane: u16) -> LaneMetrics {
        let lane = lane.to_string();
        let failed = |outcome: &'static str| counter!(FAILED_COMMITS, "lane" => lane.clone(), "outcome" => outcome);
        LaneMetrics {
            commit_seconds: histogram!(COMMIT_SECONDS, "lane" => lane.clone()),
            batch_calls: histogram!(BATCH_CALLS, "lane" => lane.clone()),
            messages: counter!(MESSAGES, "lane" => lane.clone()),
            refusals: counter!(REFUSALS, "lane" => lane.clone()),
            stale: failed("stale"),
            duplicates: failed("duplicate"),
            not_stored: failed("not_stored"),
            unknown: failed("unknown"),
            queue: gauge!(LANE_QUEUE, "lane" => lane.clone()),
        }
    }
}

/// For a gauge, where precision beyond 2^53 is of no interest.
#[allow(clippy::cast_precision_loss)]
pub(crate) fn number(count: u64) -> f64 {
    count as f64
}
