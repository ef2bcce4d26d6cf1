//! A shard's part in moves of slots: it obeys the coordinator's orders by the rules of
//! `placement::transfer`, says how it stands, answers the side that copies (`source`), and copies
//! (`target`). Nothing here makes the shard an owner: only the catalog's word does.
//!
//! Orders may be repeated, late or lost. What is remembered here between them is only a cache: rows and
//! progress stand in the database, and after a restart the next order goes on from there.

pub(crate) mod load;
mod orders;
mod part;
mod rows;
mod source;
mod target;
pub(crate) mod tracker;

use crate::fence::Fence;
use crate::lanes::lane_of_slot;
use crate::lanes::queue::{Job, Queue};
use crate::pressure::Pressure;
use crate::refusals;
use crate::relay::queue::RelayQueue;
use crate::slots::{NotObeyed, Slots};
use crate::store::Store;
use orders::{Order, parse};
use parking_lot::Mutex;
use part::Part;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::placement::transfer::{
    self, Attempt, MoveId, Refused, Standing, Task, obey, standing,
};
use shardline_domain::slot::{Epoch, Slot};
use shardline_wire::internal::{MoveOrder, MoveReport};
use shardline_wire::moves::MovesConnect;
use shardline_wire::refusal::{Code, Refusal};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;
use tracker::Tracker;

/// How long lanes may take to end what they have when a gate was closed. With what follows it stays
/// below the time after which a freeze is given up.
const DRAIN_TIME_MAX: Duration = Duration::from_secs(1);
/// How long an answer may be held back, whatever is asked.
const WAIT_TIME_MAX: Duration = Duration::from_secs(10);
/// Attempts at a change of rows whose answer is lost; afterwards the catalog is asked.
const FREEZE_TRIES: u32 = 3;
const FREEZE_PAUSE: Duration = Duration::from_millis(50);
/// Moves remembered; more are under way only if orders come from nowhere.
const PARTS_MAX: usize = 1_024;

pub(crate) struct Mover {
    lanes: u16,
    store: Arc<dyn Store>,
    fence: Arc<Fence>,
    slots: Arc<Slots>,
    queues: Vec<Arc<Queue>>,
    relays: Vec<(Arc<RelayQueue>, Arc<AtomicU64>)>,
    tracker: Arc<Tracker>,
    pressure: Arc<Pressure>,
    peers: Arc<dyn MovesConnect>,
    tasks: Lifecycle,
    inner: Mutex<Inner>,
    /// One freeze after another: a gate that one reopens must not be one that another has drained.
    freezing: tokio::sync::Mutex<()>,
    /// Of each lane: what was committed when the term began. A slot frozen before has nothing later.
    began_at: Vec<u64>,
}

#[derive(Default)]
struct Inner {
    /// The highest term any order came with.
    seen: u64,
    parts: BTreeMap<MoveId, Arc<Part>>,
    /// Of slots frozen in this term: their lane's journal position then.
    frozen_at: HashMap<Slot, u64>,
}

/// What a mover is made of.
pub(crate) struct Parts {
    pub(crate) lanes: u16,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) fence: Arc<Fence>,
    pub(crate) slots: Arc<Slots>,
    pub(crate) queues: Vec<Arc<Queue>>,
    pub(crate) relays: Vec<(Arc<RelayQueue>, Arc<AtomicU64>)>,
    pub(crate) tracker: Arc<Tracker>,
    pub(crate) pressure: Arc<Pressure>,
    pub(crate) peers: Arc<dyn MovesConnect>,
    pub(crate) tasks: Lifecycle,
}

impl Mover {
    pub(crate) fn new(parts: Parts) -> Arc<Mover> {
        let Parts { lanes, store, fence, slots, queues, relays, tracker, pressure, peers, tasks } =
            parts;
        let began_at = relays.iter().map(|(queue, _)| queue.committed()).collect();
        let inner = Mutex::default();
        Arc::new(Mover {
            lanes,
            store,
            fence,
            slots,
            queues,
            relays,
            tracker,
            pressure,
            peers,
            tasks,
            inner,
            freezing: tokio::sync::Mutex::new(()),
            began_at,
        })
    }

    /// One order, and the standing afterwards. The change itself goes on when the caller leaves.
    pub(crate) async fn order(self: &Arc<Self>, order: MoveOrder) -> Result<MoveReport, Refusal> {
        let wait = Duration::from_millis(order.wait_ms.into()).min(WAIT_TIME_MAX);
        let known = order.known_report;
        let order = parse(&order)?;
        let (answer, answered) = oneshot::channel();
        let mover = Arc::clone(self);
        self.tasks.run("order", async move {
            // Whoever does not wait any more asks again.
            drop(answer.send(mover.carry_out(order).await));
        });
        let part = answered.await.unwrap_or_else(|_| Err(refusals::not_writer()))?;
        Ok(self.answer(&part, known, wait).await)
    }

    /// Held back while it is the one that is known, at most for so long.
    async fn answer(&self, part: &Part, known: u64, wait: Duration) -> MoveReport {
        let mut changes = part.changes();
        let waiting = async {
            while self.report(part).number == known {
                let changed = changes.changed();
                // Relays and the time a gate is closed change without anyone saying so.
                if let Ok(Err(_)) = tokio::time::timeout(Duration::from_millis(20), changed).await {
                    return;
                }
            }
        };
        // Too long: the answer is the same as before.
        drop(tokio::time::timeout(wait, waiting).await);
        self.report(part)
    }

    async fn carry_out(self: &Arc<Self>, order: Order) -> Result<Arc<Part>, Refusal> {
        self.fence.ensure().await?;
        let seen = {
            let mut inner = self.inner.lock();
            let before = inner.seen;
            inner.seen = inner.seen.max(order.term);
            before.max(self.term_in_rows(&order))
        };
        let slots = order.slots();
        let mut done = self.change_rows(&order, seen, &slots).await;
        let asks = matches!(done, Err(NotObeyed::Refused(Refused::AskCatalog(_))));
        if asks || order.task == Task::Ask {
            match self.slots.ask_all(&slots).await {
                Ok(()) => done = self.change_rows(&order, seen, &slots).await,
                Err(refusal) => tracing::debug!(%refusal, "the catalog was asked for a move"),
            }
        }
        let note = match done {
            Ok(()) => String::new(),
            Err(NotObeyed::Refused(
                refused
                @ (Refused::OldTerm { .. } | Refused::OldMove { .. } | Refused::OldEpoch(_)),
            )) => return Err(Refusal::new(Code::Conflict, refused.to_string())),
            Err(NotObeyed::Refused(refused)) => refused.to_string(),
            Err(NotObeyed::Moved) => "rows stood otherwise; look again".to_owned(),
            Err(NotObeyed::Store(error)) => return Err(refusals::store(&error)),
        };
        let part = self.part(&order)?;
        match order.task {
            Task::Slow => self.slots.slow(&slots),
            _ => self.slots.let_go(&slots),
        }
        if part.set(order, note) {
            let mover = Arc::clone(self);
            let working = Arc::clone(&part);
            self.tasks.run("move", async move { target::work(&mover, &working).await });
        }
        Ok(part)
    }

    fn term_in_rows(&self, order: &Order) -> u64 {
        let of_move = |row: &crate::store::SlotRow| row.move_id == order.move_id.0;
        let rows = order.slots.iter().map(|(slot, _)| self.slots.row(*slot)).filter(of_move);
        rows.map(|row| row.leader_term).max().unwrap_or(0)
    }

    async fn change_rows(&self, order: &Order, seen: u64, slots: &[Slot]) -> Result<(), NotObeyed> {
        let epochs: HashMap<Slot, Epoch> = order.slots.iter().copied().collect();
        let rule = |slot: Slot, row: transfer::SlotRow| {
            let epoch = epochs.get(&slot).copied().unwrap_or(Epoch(0));
            let Order { term, move_id, attempt, task, .. } = *order;
            obey(row, seen, &transfer::Order { term, move_id, attempt, epoch, task })
        };
        if order.task != Task::Freeze {
            return self.slots.obey(slots, order.term, rule).await;
        }
        let _freezing = self.freezing.lock().await;
        // Nothing is closed for an order that will be refused, or that was done before.
        let mut changes = false;
        for slot in slots {
            let row = crate::slots::rows::to_rule(&self.slots.row(*slot));
            changes |= rule(*slot, row).map_err(NotObeyed::Refused)? != row;
        }
        if !changes {
            return Ok(());
        }
        self.slots.close(slots);
        if let Err(refusal) = self.drain(slots).await {
            tracing::warn!(%refusal, "a slot was not frozen: its lane did not come to an end");
            self.slots.reopen(slots);
            return Err(NotObeyed::Moved);
        }
        let positions: HashMap<Slot, u64> =
            slots.iter().map(|slot| (*slot, self.relay(*slot).0.committed())).collect();
        let mut tries = 0;
        loop {
            tries += 1;
            match self.slots.obey(slots, order.term, rule).await {
                Ok(()) => {
                    self.inner.lock().frozen_at.extend(positions);
                    return Ok(());
                }
                // All rows are known, and none was changed by this.
                Err(error @ (NotObeyed::Refused(_) | NotObeyed::Moved)) => {
                    self.slots.reopen(slots);
                    return Err(error);
                }
                Err(NotObeyed::Store(error)) if FREEZE_TRIES <= tries => {
                    // It may be frozen. The gate stays closed until the next order finds out, or the
                    // catalog says that the slot goes on at another epoch.
                    tracing::warn!(%error, "it is not known whether a slot is frozen");
                    return Err(NotObeyed::Store(error));
                }
                Err(NotObeyed::Store(_)) => tokio::time::sleep(FREEZE_PAUSE).await,
            }
        }
    }

    /// Lanes end what they have of these slots, and store their senders' cursors.
    async fn drain(&self, slots: &[Slot]) -> Result<(), Refusal> {
        let mut by_lane: BTreeMap<u16, Vec<Slot>> = BTreeMap::new();
        for slot in slots {
            by_lane.entry(lane_of_slot(slot.get(), self.lanes)).or_default().push(*slot);
        }
        let mut drained = Vec::with_capacity(by_lane.len());
        for (lane, slots) in by_lane {
            let (done, drains) = oneshot::channel();
            let pushed = self.queues[usize::from(lane)].push(Job::Drain { slots, done });
            pushed.map_err(|(_, error)| error.refusal())?;
            drained.push(drains);
        }
        let all = async {
            for drains in drained {
                drains.await.unwrap_or_else(|_| Err(refusals::not_writer()))?;
            }
            Ok(())
        };
        let late = || Err(Refusal::try_again("the lane is busy", 100));
        tokio::time::timeout(DRAIN_TIME_MAX, all).await.unwrap_or_else(|_| late())
    }

    fn part(&self, order: &Order) -> Result<Arc<Part>, Refusal> {
        let mut inner = self.inner.lock();
        if PARTS_MAX <= inner.parts.len() && !inner.parts.contains_key(&order.move_id) {
            // The oldest moves are long over.
            if let Some((move_id, old)) = inner.parts.pop_first() {
                tracing::debug!(%move_id, "a move's part is forgotten");
                old.end();
            }
        }
        let part = || Arc::new(Part::new(self.tracker.process()));
        Ok(Arc::clone(inner.parts.entry(order.move_id).or_insert_with(part)))
    }

    fn standing(&self, slots: &[(Slot, Epoch)], move_id: MoveId, attempt: Attempt) -> Standing {
        let rows = slots
            .iter()
            .map(|(slot, epoch)| (crate::slots::rows::to_rule(&self.slots.row(*slot)), *epoch));
        standing(rows, move_id, attempt)
    }

    fn report(&self, part: &Part) -> MoveReport {
        let Some(order) = part.order() else { return MoveReport::default() };
        let standing = self.standing(&order.slots, order.move_id, order.attempt);
        let closed =
            order.slots.iter().filter_map(|(slot, _)| self.slots.gate.read().closed_at(*slot));
        let now = self.fence.now();
        let frozen = closed.min().map(|since| now.saturating_sub(since));
        let mut report = part.report(standing);
        report.relayed = self.is_relayed(order.slots.iter().map(|(slot, _)| *slot));
        report.frozen_ms = frozen.map(|time| u64::try_from(time.as_millis()).unwrap_or(u64::MAX));
        part.numbered(report)
    }

    /// Whether everything that was committed of these slots before their freeze is on the bus.
    fn is_relayed(&self, slots: impl Iterator<Item = Slot>) -> bool {
        let inner = self.inner.lock();
        slots.into_iter().all(|slot| {
            let lane = usize::from(lane_of_slot(slot.get(), self.lanes));
            let bound = inner.frozen_at.get(&slot).copied().unwrap_or(self.began_at[lane]);
            bound <= self.relays[lane].1.load(Ordering::Acquire)
        })
    }

    /// The highest term of a coordinator that was heard of since this term of the writer began.
    pub(crate) fn leader_term(&self) -> u64 {
        self.inner.lock().seen
    }

    fn lane(&self, slot: Slot) -> u16 {
        lane_of_slot(slot.get(), self.lanes)
    }

    fn relay(&self, slot: Slot) -> &(Arc<RelayQueue>, Arc<AtomicU64>) {
        &self.relays[usize::from(lane_of_slot(slot.get(), self.lanes))]
    }
}
