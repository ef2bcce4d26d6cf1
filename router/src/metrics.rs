//! Names of this crate's metrics, and handles to those that every call touches.

use crate::op::{KINDS, Kind};
use metrics::{Counter, Histogram};
use shardline_wire::call::Outcome;
use shardline_wire::refusal::Code;

/// Calls by `op` and `outcome` (done, refused, try_again, unknown).
pub(crate) const CALLS: &str = "shardline_router_calls_total";
/// From a call's arrival to its answer, by `op`.
pub(crate) const CALL_SECONDS: &str = "shardline_router_call_seconds";
/// Writes that had to wait for a slot in motion.
pub(crate) const PARKED_TOTAL: &str = "shardline_router_parked_total";
/// Writes waiting now, and their bytes.
pub(crate) const PARKED: &str = "shardline_router_parked_writes";
pub(crate) const PARKED_BYTES: &str = "shardline_router_parked_bytes";
/// Reads, and parts of calls about several entities, that wait for a newer map now.
pub(crate) const WAITING_READS: &str = "shardline_router_waiting_reads";
/// Version of the slot map in use.
pub(crate) const MAP_VERSION: &str = "shardline_router_map_version";
/// Number of the router list in use, and how many partitions it gives this router.
pub(crate) const ROUTER_LIST_NUMBER: &str = "shardline_router_list_number";
pub(crate) const OWNED_PARTITIONS: &str = "shardline_router_owned_partitions";
/// Streams of conn-nodes.
pub(crate) const STREAMS: &str = "shardline_router_streams";
/// Events consumed, by `outcome` (delivered, nobody, old).
pub(crate) const EVENTS: &str = "shardline_router_events_total";
/// Events put on streams: one for each conn-node that needs it.
pub(crate) const EVENTS_PUSHED: &str = "shardline_router_events_pushed_total";
/// Pushes that a full stream did not take, by `what` (events, signals).
pub(crate) const PUSHES_DROPPED: &str = "shardline_router_pushes_dropped_total";
/// `behind` said to conn-nodes.
pub(crate) const BEHINDS: &str = "shardline_router_behinds_total";
/// From a record's commit to its push, by the clocks of two machines.
pub(crate) const DELIVERY_SECONDS: &str = "shardline_router_delivery_seconds";
/// How long the newest consumed record had waited, from its publishing.
pub(crate) const CONSUMER_LAG: &str = "shardline_router_consumer_lag_seconds";
/// Look-ups of presence that failed or came too late.
pub(crate) const PRESENCE_FAILURES: &str = "shardline_router_presence_failures_total";
/// Signals passed on, and dropped because too many waited.
pub(crate) const SIGNALS: &str = "shardline_router_signals_total";
pub(crate) const SIGNALS_DROPPED: &str = "shardline_router_signals_dropped_total";
/// 1 while this router is the coordinator.
pub(crate) const LEADS: &str = "shardline_router_leads";
/// As the coordinator sees it: shards that nobody may write now.
pub(crate) const SHARDS_WITHOUT_WRITER: &str = "shardline_router_shards_without_writer";

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
