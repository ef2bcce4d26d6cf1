//! The gate with its door: what it cannot decide waits here, in order, bounded, until the catalog
//! has said who owns the slot. A slot that is ours now is taken: its row is written, then it is served.
//!
//! Slot rows change only here, one change after another: by what the catalog says (`learn`) and by
//! what a move is told to do (`obey`). What memory holds of a slot is dropped whenever it comes or goes.

mod pace;
pub(crate) mod regrant;
pub(crate) mod rows;

use crate::fence::Fence;
use crate::gate::{Access, Gate, Verdict};
use crate::lanes::lane_of_slot;
use crate::memory::Memory;
use crate::metrics::{SLOTS_OWNED, WAITING_CALLS, number};
use crate::outbox::Outbox;
use crate::refusals;
use crate::store::{SlotChange, SlotRow, SlotState, SlotsPut, Store, StoreError};
use futures::StreamExt;
use futures::stream;
use pace::Pace;
use parking_lot::{Mutex, RwLock};
use rows::{to_rule, to_store, to_word};
use shardline_domain::id::{EntityId, ShardId};
use shardline_domain::limits::PARK_TIME_MAX;
use shardline_domain::placement::transfer::{self, Refused, hear};
use shardline_domain::slot::{Epoch, Slot};
use shardline_wire::call::Catalog;
use shardline_wire::internal::SlotEntry;
use shardline_wire::refusal::Refusal;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// Calls that wait for the catalog, all slots together.
const WAITING_MAX: usize = 10_000;
/// Slots asked for at the same time.
const ASKED_AT_ONCE: usize = 16;
/// How often it is looked who of the slowed may go on.
const PACE_LOOK: Duration = Duration::from_millis(5);

/// What goes on once the slot is settled.
type Resume = Box<dyn FnOnce(Result<(), Refusal>) + Send>;

pub(crate) struct Slots {
    pub(crate) gate: Arc<RwLock<Gate>>,
    shard: u32,
    lanes: u16,
    store: Arc<dyn Store>,
    catalog: Arc<dyn Catalog>,
    fence: Arc<Fence>,
    /// Held while rows change, from the decision until memory shows them.
    changing: tokio::sync::Mutex<()>,
    inside: OnceLock<Inside>,
    pace: Mutex<Pace<Waiting>>,
    /// Whether any slot is slowed, so that calls pass without a lock while none is.
    slowed: AtomicBool,
    waiting: Mutex<HashMap<Slot, VecDeque<Waiting>>>,
    /// Of the database, once rows of this term that others rest on stand in it; only grows.
    tally: AtomicU64,
    /// Of all slots, so that calls pass without a lock while nobody waits.
    count: AtomicUsize,
    wake: Notify,
}

struct Waiting {
    epoch: Epoch,
    access: Access,
    resume: Resume,
}

/// What is remembered of the entities in slots.
pub(crate) struct Inside {
    /// Of each lane.
    pub(crate) memories: Arc<[Arc<Memory>]>,
    pub(crate) outbox: Arc<Outbox>,
}

/// What a call may do now.
pub(crate) enum Admission {
    Granted,
    /// The catalog has to be asked; see [`Slots::wait`].
    Wait(Slot),
    /// Its writers are slowed down; see [`Slots::queue_slowed`].
    Slow(Slot),
    Refused(Refusal),
}

/// Why an order was not carried out.
pub(crate) enum NotObeyed {
    /// By the rules; rows stand as they did.
    Refused(Refused),
    /// Rows stood otherwise than was known: look again.
    Moved,
    Store(StoreError),
}

impl Slots {
    pub(crate) fn new(
        shard: u32,
        lanes: u16,
        gate: Gate,
        store: Arc<dyn Store>,
        catalog: Arc<dyn Catalog>,
        fence: Arc<Fence>,
    ) -> Arc<Slots> {
        Arc::new(Slots {
            gate: Arc::new(RwLock::new(gate)),
            shard,
            lanes,
            store,
            catalog,
            fence,
            changing: tokio::sync::Mutex::new(()),
            inside: OnceLock::new(),
            pace: Mutex::new(Pace::new()),
            slowed: AtomicBool::new(false),
            waiting: Mutex::default(),
            tally: AtomicU64::new(0),
            count: AtomicUsize::new(0),
            wake: Notify::new(),
        })
    }

    /// What is to be forgotten when slots come and go. Before this is called nothing is remembered.
    pub(crate) fn remember_in(&self, inside: Inside) {
        drop(self.inside.set(inside));
    }

    /// Whether a call on this entity may go on. Behind others that wait for the same slot, it waits.
    pub(crate) fn admit(&self, entity: u64, epoch: u64, access: Access) -> Admission {
        let Ok(id) = EntityId::new(entity) else {
            return Admission::Refused(refusals::bad_field("entity", "it is no id"));
        };
        let slot = Slot::of(id);
        let queued =
            0 < self.count.load(Ordering::Acquire) && self.waiting.lock().contains_key(&slot);
        if queued {
            return Admission::Wait(slot);
        }
        if access == Access::Write
            && self.slowed.load(Ordering::Acquire)
            && self.pace.lock().is_slowed(slot)
        {
            return Admission::Slow(slot);
        }
        self.check(slot, Epoch(epoch), access)
    }

    fn check(&self, slot: Slot, epoch: Epoch, access: Access) -> Admission {
        match self.gate.read().check(slot, epoch, access, self.fence.now()) {
            Verdict::Serve => Admission::Granted,
            Verdict::AskCatalog => Admission::Wait(slot),
            other => Admission::Refused(refusals::gate(other)),
        }
    }

    /// Behind the other writers of a slowed slot.
    pub(crate) fn queue_slowed(&self, slot: Slot, epoch: u64, resume: Resume) {
        let waiting = Waiting { epoch: Epoch(epoch), access: Access::Write, resume };
        let refused = self.pace.lock().wait(slot, waiting);
        match refused {
            Ok(()) => self.wake.notify_one(),
            // The slot was let go just now: no one waits in front.
            Err(one) if !self.pace.lock().is_slowed(slot) => self.go_on(slot, one),
            Err(one) => (one.resume)(Err(refusals::overloaded())),
        }
    }

    /// Writers of these slots are slowed down, for a while.
    pub(crate) fn slow(&self, slots: &[Slot]) {
        let (mut pace, now) = (self.pace.lock(), self.fence.now());
        slots.iter().for_each(|slot| pace.slow(*slot, now));
        self.slowed.store(true, Ordering::Release);
        drop(pace);
        self.wake.notify_one();
    }

    pub(crate) fn let_go(&self, slots: &[Slot]) {
        if self.slowed.load(Ordering::Acquire) {
            let mut pace = self.pace.lock();
            slots.iter().for_each(|slot| pace.release(*slot));
        }
    }

    fn look_at_slowed(&self) {
        let due = {
            let mut pace = self.pace.lock();
            let due = pace.due(self.fence.now());
            self.slowed.store(!pace.is_empty(), Ordering::Release);
            due
        };
        due.into_iter().for_each(|(slot, one)| self.go_on(slot, one));
    }

    fn go_on(&self, slot: Slot, one: Waiting) {
        let result = match self.check(slot, one.epoch, one.access) {
            Admission::Granted => Ok(()),
            Admission::Refused(refusal) => Err(refusal),
            Admission::Wait(_) | Admission::Slow(_) => Err(on_its_way()),
        };
        (one.resume)(result);
    }

    /// Goes on, in the order of waiting, when the catalog has answered; refused when there is no room.
    pub(crate) fn wait(&self, slot: Slot, epoch: u64, access: Access, resume: Resume) {
        if WAITING_MAX <= self.count.load(Ordering::Acquire) {
            resume(Err(refusals::overloaded()));
            return;
        }
        let mut waiting = self.waiting.lock();
        waiting.entry(slot).or_default().push_back(Waiting { epoch: Epoch(epoch), access, resume });
        self.count.fetch_add(1, Ordering::AcqRel);
        drop(waiting);
        self.wake.notify_one();
    }

    /// As `admit` and `wait` in one, for whoever can wait.
    pub(crate) async fn admitted(
        &self,
        entity: u64,
        epoch: u64,
        access: Access,
    ) -> Result<(), Refusal> {
        match self.admit(entity, epoch, access) {
            // Few ask this way, and none of them adds an entity to what moves.
            Admission::Granted | Admission::Slow(_) => Ok(()),
            Admission::Refused(refusal) => Err(refusal),
            Admission::Wait(slot) => {
                let (resume, resumed) = oneshot::channel();
                self.wait(slot, epoch, access, Box::new(|result| drop(resume.send(result))));
                resumed.await.unwrap_or_else(|_| Err(refusals::not_writer()))
            }
        }
    }

    /// Asks for every slot that somebody waits for, until `stop`.
    pub(crate) async fn run(self: Arc<Self>, stop: CancellationToken) {
        while !stop.is_cancelled() {
            let slots: Vec<Slot> = self.waiting.lock().keys().copied().collect();
            let settled = slots.into_iter().map(|slot| self.settle(slot));
            stream::iter(settled).buffer_unordered(ASKED_AT_ONCE).collect::<()>().await;
            metrics::gauge!(SLOTS_OWNED).set(number(self.gate.read().owned() as u64));
            metrics::gauge!(WAITING_CALLS).set(number(self.count.load(Ordering::Acquire) as u64));
            self.look_at_slowed();
            tokio::select! {
                () = self.wake.notified() => {}
                () = tokio::time::sleep(PACE_LOOK), if self.slowed.load(Ordering::Acquire) => {}
                () = stop.cancelled() => {}
            }
        }
        for waiting in self.pace.lock().drain() {
            (waiting.resume)(Err(refusals::not_writer()));
        }
        for waiting in std::mem::take(&mut *self.waiting.lock()).into_values().flatten() {
            (waiting.resume)(Err(refusals::not_writer()));
        }
    }

    /// Asks the catalog about one slot, then lets everyone who waits go on, or refuses them.
    async fn settle(&self, slot: Slot) {
        let asked = tokio::time::timeout(PARK_TIME_MAX, self.ask(slot)).await;
        let failed = match asked {
            Ok(Ok(())) => None,
            Ok(Err(refusal)) => Some(refusal),
            Err(_) => Some(Refusal::try_again("the catalog does not answer", 500)),
        };
        // The entry stays until it is empty, so that whoever comes meanwhile queues behind.
        loop {
            let mut waiting = self.waiting.lock();
            let Some(queue) = waiting.get_mut(&slot) else { return };
            let Some(next) = queue.pop_front() else {
                waiting.remove(&slot);
                return;
            };
            self.count.fetch_sub(1, Ordering::AcqRel);
            drop(waiting);
            match &failed {
                Some(refusal) => (next.resume)(Err(refusal.clone())),
                None => self.go_on(slot, next),
            }
        }
    }

    async fn ask(&self, slot: Slot) -> Result<(), Refusal> {
        let entry = self.catalog.locate_slot(slot.get().into()).await?;
        self.learn(std::slice::from_ref(&entry)).await.map_err(|error| refusals::store(&error))?;
        if entry.shard != self.shard {
            tracing::debug!(%slot, shard = entry.shard, "asked for a slot of another shard");
            return Err(refusals::wrong_epoch(Epoch(entry.epoch)));
        }
        Ok(())
    }

    /// Asks about slots by one question: writes may wait for the answer.
    pub(crate) async fn ask_all(&self, slots: &[Slot]) -> Result<(), Refusal> {
        let numbers: Vec<u32> = slots.iter().map(|slot| slot.get().into()).collect();
        let entries = self.catalog.locate_slots(&numbers).await?;
        self.learn(&entries).await.map_err(|error| refusals::store(&error))
    }

    /// What the catalog says of slots: rows that change by it are written, then shown; a slot that is
    /// ours as before is confirmed.
    pub(crate) async fn learn(&self, entries: &[SlotEntry]) -> Result<(), StoreError> {
        let _changing = self.changing.lock().await;
        let mut changes = Vec::new();
        {
            let gate = self.gate.read();
            for (slot, word) in entries.iter().filter_map(to_word) {
                let from = gate.row(slot).unwrap_or(SlotRow::none(slot.get()));
                match hear(to_rule(&from), ShardId(self.shard), &word) {
                    Ok(to) if to == to_rule(&from) => {}
                    Ok(to) => {
                        let to = to_store(slot, to, from.leader_term);
                        changes.push(SlotChange { from, to });
                    }
                    Err(refused @ Refused::NeverImported) => {
                        tracing::error!(%slot, %refused, "a slot cannot be served");
                    }
                    Err(refused) => tracing::debug!(%slot, %refused, "the catalog's word waits"),
                }
            }
        }
        if let SlotsPut::InTheWay(_) = self.put(&changes).await? {
            let what = "slots stood otherwise than was known".to_owned();
            return Err(StoreError::Unavailable(what));
        }
        if !changes.is_empty() {
            tracing::info!(slots = changes.len(), "heard whose slots are");
        }
        let now = self.fence.now();
        let mut gate = self.gate.write();
        for entry in entries.iter().filter(|entry| entry.shard == self.shard) {
            if let Some(slot) = Slot::new(entry.slot) {
                gate.confirm(slot, Epoch(entry.epoch), now);
            }
        }
        Ok(())
    }

    /// Changes the rows of all these slots by one order, or none. `decide`: the rule, for each row.
    pub(crate) async fn obey(
        &self,
        slots: &[Slot],
        leader_term: u64,
        decide: impl Fn(Slot, transfer::SlotRow) -> Result<transfer::SlotRow, Refused>,
    ) -> Result<(), NotObeyed> {
        let _changing = self.changing.lock().await;
        let changes = self.decided(slots, leader_term, decide).map_err(NotObeyed::Refused)?;
        match self.put(&changes).await {
            Ok(SlotsPut::Done) => Ok(()),
            Ok(SlotsPut::InTheWay(_)) => Err(NotObeyed::Moved),
            Err(error) => Err(NotObeyed::Store(error)),
        }
    }

    fn decided(
        &self,
        slots: &[Slot],
        leader_term: u64,
        decide: impl Fn(Slot, transfer::SlotRow) -> Result<transfer::SlotRow, Refused>,
    ) -> Result<Vec<SlotChange>, Refused> {
        let gate = self.gate.read();
        let mut changes = Vec::new();
        for slot in slots {
            let from = gate.row(*slot).unwrap_or(SlotRow::none(slot.get()));
            let to = decide(*slot, to_rule(&from))?;
            if to != to_rule(&from) {
                let to = to_store(*slot, to, leader_term.max(from.leader_term));
                changes.push(SlotChange { from, to });
            }
        }
        Ok(changes)
    }

    /// From now on lanes take no write to these slots; those they have are drained by `Job::Drain`.
    pub(crate) fn close(&self, slots: &[Slot]) {
        let now = self.fence.now();
        let mut gate = self.gate.write();
        slots.iter().for_each(|slot| gate.close(*slot, now));
        drop(gate);
        self.let_go(slots);
        self.wake.notify_one();
        if let Some(inside) = self.inside.get() {
            slots.iter().for_each(|slot| inside.outbox.leave(*slot));
        }
    }

    /// Only if no freeze of them was tried, or its row is known not to be frozen.
    pub(crate) fn reopen(&self, slots: &[Slot]) {
        let mut gate = self.gate.write();
        slots.iter().for_each(|slot| gate.reopen(*slot));
        drop(gate);
        if let Some(inside) = self.inside.get() {
            slots.iter().for_each(|slot| inside.outbox.look_into(*slot));
        }
    }

    /// As far as known; the row of nothing where there is none.
    pub(crate) fn row(&self, slot: Slot) -> SlotRow {
        self.gate.read().row(slot).unwrap_or(SlotRow::none(slot.get()))
    }

    /// Rows that a transaction of a move found or wrote.
    pub(crate) async fn show_found(&self, rows: &[SlotRow]) {
        let _changing = self.changing.lock().await;
        self.show(rows);
    }

    /// Reads the database's tally: it covers what was done before.
    pub(crate) async fn count(&self) -> Result<(), StoreError> {
        let tally = self.store.tally().await?;
        self.tally.fetch_max(tally, Ordering::AcqRel);
        Ok(())
    }

    /// As last counted.
    pub(crate) fn tally(&self) -> u64 {
        self.tally.load(Ordering::Acquire)
    }

    /// `changing` is held. Afterwards memory shows what stands in the database.
    async fn put(&self, changes: &[SlotChange]) -> Result<SlotsPut, StoreError> {
        if changes.is_empty() {
            return Ok(SlotsPut::Done);
        }
        let mut lanes: Vec<u16> =
            changes.iter().map(|change| lane_of_slot(change.to.slot, self.lanes)).collect();
        lanes.sort_unstable();
        lanes.dedup();
        let put = self.store.put_slots(&lanes, changes).await?;
        if changes.iter().any(|change| change.to.state == SlotState::Frozen) {
            // Told before anybody learns that they are frozen.
            self.count().await?;
        }
        match &put {
            SlotsPut::Done => {
                self.show(&changes.iter().map(|change| change.to).collect::<Vec<_>>());
            }
            SlotsPut::InTheWay(rows) => self.show(rows),
        }
        Ok(put)
    }

    /// What memory held of a slot that comes or goes may be of before: others wrote meanwhile. It is
    /// dropped before a slot that comes is served, and after one that goes is served no more.
    fn show(&self, rows: &[SlotRow]) {
        let now = self.fence.now();
        for row in rows {
            let Some(slot) = Slot::new(row.slot.into()) else { continue };
            let (was_ours, was_open) = {
                let gate = self.gate.read();
                (gate.owns(slot), gate.is_open(slot))
            };
            let is_ours = matches!(row.state, SlotState::Owned | SlotState::Frozen);
            if was_ours != is_ours {
                self.forget(slot);
            }
            self.gate.write().put(*row, now);
            if was_ours && !is_ours {
                self.forget(slot);
            }
            let is_open = self.gate.read().is_open(slot);
            if let Some(inside) = self.inside.get() {
                match (was_open, is_open) {
                    (true, false) => inside.outbox.leave(slot),
                    (false, true) => inside.outbox.look_into(slot),
                    _ => {}
                }
            }
        }
    }

    fn forget(&self, slot: Slot) {
        if let Some(inside) = self.inside.get() {
            let lane = usize::from(lane_of_slot(slot.get(), self.lanes));
            let memory = &inside.memories[lane];
            memory.cache.forget_range(&slot.ids());
            memory.senders.forget_range(&slot.ids());
        }
    }

    /// What the database says this shard has, at the start of a term.
    pub(crate) async fn load(store: &dyn Store) -> Result<Gate, StoreError> {
        let mut gate = Gate::new();
        for row in store.slots().await? {
            gate.put(row, Duration::ZERO);
        }
        Ok(gate)
    }
}

fn on_its_way() -> Refusal {
    Refusal::try_again("the slot is on its way", 100)
}
