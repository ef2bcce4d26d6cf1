//! Calls: entity -> slot -> (shard, epoch) -> the shard's link. What is refused because the slot moves
//! is sent again from here, with the same ids, once the map shows a newer epoch: writes in their
//! order (`park`), reads when they can.

mod reads;
mod split;
mod tend;
mod writes;

use crate::metrics::CallMetrics;
use crate::op::{self, Kind, Way};
use crate::park::{Budget, Gate};
use crate::routers::Routers;
use crate::shards::Shards;
use crate::slot_map::SlotMap;
use crate::waits::{Wait, Waits};
use parking_lot::Mutex;
use shardline_daemon::clock::Stopwatch;
use shardline_domain::id::EntityId;
use shardline_domain::limits::CALL_TIME_MAX;
use shardline_domain::slot::{Epoch, SLOTS, Slot};
use shardline_wire::call::{self, Done, Outcome};
use shardline_wire::internal::Call;
use shardline_wire::refusal::{Code, Refusal};
use split::Deadlines;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;
use writes::Write;

/// When a shard has no writer, or the map no shard: a standby takes over within seconds.
const NOWHERE_RETRY_MS: u64 = 200;
/// When a slot did not come to rest in time.
const MOTION_RETRY_MS: u64 = 100;

/// Calls on their way. Callers never wait here: answers come through their `Done`.
pub struct Requests {
    map: Arc<SlotMap>,
    shards: Arc<Shards>,
    routers: Arc<Routers>,
    /// By slot.
    gates: Box<[Mutex<Gate<Write>>]>,
    budget: Budget,
    /// Slots with parked writes. Locked after a gate, never before.
    parked: Mutex<BTreeSet<Slot>>,
    waits: Mutex<Waits>,
    deadlines: Mutex<Deadlines>,
    /// Something parked, waits or may be released: `tend` looks.
    work: Notify,
    /// Calls that are not answered yet.
    in_flight: AtomicUsize,
    metrics: CallMetrics,
}

/// Who is asked, since when, and where the answer goes.
struct Asked {
    kind: &'static Kind,
    since: Stopwatch,
    done: Done,
}

impl Requests {
    pub fn new(map: Arc<SlotMap>, shards: Arc<Shards>, routers: Arc<Routers>) -> Arc<Requests> {
        Arc::new(Requests {
            map,
            shards,
            routers,
            gates: (0..SLOTS).map(|_| Mutex::default()).collect(),
            budget: Budget::default(),
            parked: Mutex::default(),
            waits: Mutex::default(),
            deadlines: Mutex::default(),
            work: Notify::new(),
            in_flight: AtomicUsize::new(0),
            metrics: CallMetrics::new(),
        })
    }

    /// Routes a call. Calls of one caller for one slot reach its shard in the order submitted.
    pub fn submit(self: &Arc<Requests>, call: Call, done: Done) {
        let Some(op) = &call.op else {
            return done.finish(Err(Refusal::new(Code::BadRequest, "a call without an op")));
        };
        let kind = op::kind(op);
        let asked = Asked { kind, since: Stopwatch::start(), done };
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        match kind.way {
            Way::Several | Way::Everywhere => return self.split(call, asked),
            Way::Write | Way::Read => {}
        }
        let Ok(entity) = EntityId::new(call.entity) else {
            let refusal = Refusal::of_field(Code::BadRequest, "entity", "no entity has this id");
            return self.answer(asked, Err(refusal));
        };
        let slot = Slot::of(entity);
        if kind.is_owners && !self.routers.owns(slot) {
            return self.answer(asked, Err(self.wrong_router()));
        }
        match kind.way {
            Way::Write => self.write(slot, call, asked),
            _ => self.read(slot, call, asked),
        }
    }

    /// A shard-node's call for an entity on any shard: routed like one of a conn-node.
    pub async fn route(self: &Arc<Requests>, call: Call) -> Outcome {
        let (done, outcome) = Done::channel();
        self.submit(call, done);
        call::wait(outcome, CALL_TIME_MAX).await
    }

    /// How many calls are not answered yet.
    pub fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// The refusal of what belongs to another router, with the list that says to which. Before the
    /// first list is known, nothing belongs to anybody.
    pub fn wrong_router(&self) -> Refusal {
        let list = self.routers.load().list.clone();
        if list.number == 0 {
            return Refusal::try_again("this router is starting", NOWHERE_RETRY_MS);
        }
        let message = "another router owns this chat's partition";
        Refusal { routers: Some(list), ..Refusal::new(Code::WrongRouter, message) }
    }

    fn answer(&self, asked: Asked, outcome: Outcome) {
        self.metrics.answered(asked.kind, &outcome, asked.since.seconds());
        self.in_flight.fetch_sub(1, Ordering::Relaxed);
        asked.done.finish(outcome);
    }

    fn wait_for_map(&self, wait: Wait) -> Result<(), Wait> {
        let added = self.waits.lock().add(wait);
        self.work.notify_one();
        added
    }
}

/// The lowest epoch of the map at which something refused is worth sending again; None if a newer map
/// would not help.
fn needs(refusal: &Refusal, sent: Epoch) -> Option<Epoch> {
    let known = refusal.epoch;
    match refusal.code() {
        Code::Frozen => Some(Epoch(known.max(sent.0).saturating_add(1))),
        Code::WrongEpoch if sent.0 <= known => Some(Epoch(known.max(sent.0.saturating_add(1)))),
        _ => None,
    }
}

/// What a caller gets in place of a refusal that only routers understand.
fn in_motion(refusal: Refusal) -> Refusal {
    match refusal.code() {
        Code::WrongEpoch | Code::Frozen => {
            Refusal::try_again("the slot is in motion", MOTION_RETRY_MS)
        }
        _ => refusal,
    }
}

fn nowhere() -> Refusal {
    Refusal::try_again("nobody serves this slot now", NOWHERE_RETRY_MS)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: Code, known: u64, sent: u64, expected: Option<u64>) {
        let refusal = Refusal { epoch: known, ..Refusal::new(code, "") };
        assert_eq!(needs(&refusal, Epoch(sent)), expected.map(Epoch));
    }

    #[test]
    fn a_frozen_slot_needs_an_epoch_newer_than_the_shards() {
        check(Code::Frozen, 6, 5, Some(7));
        check(Code::Frozen, 5, 5, Some(6));
        check(Code::Frozen, 0, 5, Some(6));
    }

    #[test]
    fn a_slot_that_moved_needs_what_the_shard_knows_and_more_than_was_sent() {
        check(Code::WrongEpoch, 7, 5, Some(7));
        check(Code::WrongEpoch, 5, 5, Some(6));
        // The shard is the one that is late.
        check(Code::WrongEpoch, 4, 5, None);
        check(Code::TryAgain, 9, 5, None);
    }
}
