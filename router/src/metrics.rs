//! Names of this crate's metrics, and handles to those that every call touches.

use crate::op::{KINDS, Kind};
use metrics::{Counter, Histogram};
use shardline_wire::call::Outcome;
use shardline_wire::refusal::Code;

shardline_daemon::metric_names! {
    /// Calls by `op` and `outcome` (done, refused, try_again, unknown).
    CALLS = "shardline_router_calls_total";
    /// From a call's arrival to its answer, by `op`.
    CALL_SECONDS = "shardline_router_call_seconds";
    /// Writes that had to wait for a slot in motion.
    PARKED_TOTAL = "shardline_router_parked_total";
    /// Writes waiting now for a slot in motion.
    PARKED = "shardline_router_parked_writes";
    /// Bytes of the writes waiting now for a slot in motion.
    PARKED_BYTES = "shardline_router_parked_bytes";
    /// Reads, and parts of calls about several entities, that wait for a newer map now.
    WAITING_READS = "shardline_router_waiting_reads";
    /// Version of the slot map in use.
    MAP_VERSION = "shardline_router_map_version";
    /// Number of the router list in use.
    ROUTER_LIST_NUMBER = "shardline_router_list_number";
    /// Partitions that the router list gives this router.
    OWNED_PARTITIONS = "shardline_router_owned_partitions";
    /// Streams of conn-nodes.
    STREAMS = "shardline_router_streams";
    /// Events consumed, by `outcome` (delivered, nobody, old).
    EVENTS = "shardline_router_events_total";
    /// Events put on streams: one for each conn-node that needs it.
    EVENTS_PUSHED = "shardline_router_events_pushed_total";
    /// Pushes that a full stream did not take, by `what` (events, signals).
    PUSHES_DROPPED = "shardline_router_pushes_dropped_total";
    /// `behind` said to conn-nodes.
    BEHINDS = "shardline_router_behinds_total";
    /// From a record's commit to its push, by the clocks of two machines.
    DELIVERY_SECONDS = "shardline_router_delivery_seconds";
    /// How long the newest consumed record had waited, from its publishing.
    CONSUMER_LAG = "shardline_router_consumer_lag_seconds";
    /// Look-ups of presence that failed or came too late.
    PRESENCE_FAILURES = "shardline_router_presence_failures_total";
    /// Signals passed on.
    SIGNALS = "shardline_router_signals_total";
    /// Signals dropped because too many waited.
    SIGNALS_DROPPED = "shardline_router_signals_dropped_total";
    /// 1 while this router is the coordinator.
    LEADS = "shardline_router_leads";
    /// As the coordinator sees it: shards that nobody may write now.
    SHARDS_WITHOUT_WRITER = "shardline_router_shards_without_writer";
    /// As the coordinator sees it: live moves of slots, by `phase`.
    MOVES = "shardline_router_moves";
    /// Rows that moves led by this router have copied.
    MOVED_ROWS = "shardline_router_moved_rows_total";
    /// How long writes to a slot waited at its flip, once for each slot.
    WRITE_PAUSE_SECONDS = "shardline_router_write_pause_seconds";
}

/// Handles by op: looking one up by name costs more than the rest of a call's bookkeeping. Make it
/// after the recorder is installed.
pub(crate) struct CallMetrics {
    by_op: Vec<OpMetrics>,
}

struct OpMetrics {
    done: Counter,
    refused: Counter,
    try_again: Counter,
    unknown: Counter,
    seconds: Histogram,
}

impl CallMetrics {
    pub(crate) fn new() -> CallMetrics {
        let of = |kind: &Kind| {
            let op = kind.name;
            let count = |outcome| metrics::counter!(CALLS, "op" => op, "outcome" => outcome);
            OpMetrics {
                done: count("done"),
                refused: count("refused"),
                try_again: count("try_again"),
                unknown: count("unknown"),
                seconds: metrics::histogram!(CALL_SECONDS, "op" => op),
            }
        };
        CallMetrics { by_op: KINDS.iter().map(of).collect() }
    }

    pub(crate) fn answered(&self, kind: &Kind, outcome: &Outcome, seconds: f64) {
        let of_op = &self.by_op[kind.index];
        of_op.seconds.record(seconds);
        match outcome {
            Ok(_) => of_op.done.increment(1),
            Err(refusal) => match refusal.code() {
                Code::TryAgain | Code::Unavailable => of_op.try_again.increment(1),
                Code::Unknown => of_op.unknown.increment(1),
                _ => of_op.refused.increment(1),
            },
        }
    }
}
