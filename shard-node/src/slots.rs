//! The gate with its door: what it cannot decide waits here, in order, bounded, until the catalog
//! has said who owns the slot. A slot that is ours now is taken: its row is written, then it is served.
//!
//! Slot rows change only here, one change after another: by what the catalog says (`learn`) and by
//! what a move is told to do (`obey`). What memory holds of a slot is dropped whenever it comes or goes.

mod pace;
pub(crate) mod regrant;
pub(crate) mod rows;
mod waiting;

use crate::fence::Fence;
use crate::gate::{Access, Gate};
use crate::lanes::lane_of_slot;
use crate::memory::Memory;
use crate::outbox::Outbox;
use crate::store::{SlotChange, SlotRow, SlotState, SlotsPut, Store, StoreError};
use pace::Pace;
use parking_lot::{Mutex, RwLock};
use rows::{to_rule, to_store, to_word};
use shardline_domain::id::ShardId;
use shardline_domain::placement::transfer::{self, Refused, hear};
use shardline_domain::slot::{Epoch, Slot};
use shardline_wire::call::Catalog;
use shardline_wire::internal::SlotEntry;
use shardline_wire::refusal::Refusal;
use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::Notify;

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
