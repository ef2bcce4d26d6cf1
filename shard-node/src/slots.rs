//! The gate with its door: what it cannot decide waits here, in order, bounded, until the catalog
//! has said who owns the slot. A slot that is ours now is taken: its row is written, then it is served.

use crate::fence::Fence;
use crate::gate::{Access, Gate, Verdict};
use crate::metrics::{SLOTS_OWNED, WAITING_CALLS, number};
use crate::refusals;
use crate::store::{SlotChange, SlotRow, SlotState, SlotsPut, Store, StoreError};
use futures::StreamExt;
use futures::stream;
use parking_lot::{Mutex, RwLock};
use shardline_domain::id::EntityId;
use shardline_domain::limits::PARK_TIME_MAX;
use shardline_domain::slot::{Epoch, Slot};
use shardline_wire::call::Catalog;
use shardline_wire::internal::SlotEntry;
use shardline_wire::refusal::{Code, Refusal};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

/// Calls that wait for the catalog, all slots together.
const WAITING_MAX: usize = 10_000;
/// Slots asked for at the same time.
const ASKED_AT_ONCE: usize = 16;

/// What goes on once the slot is settled.
type Resume = Box<dyn FnOnce(Result<(), Refusal>) + Send>;

pub(crate) struct Slots {
    pub(crate) gate: Arc<RwLock<Gate>>,
    shard: u32,
    store: Arc<dyn Store>,
    catalog: Arc<dyn Catalog>,
    fence: Arc<Fence>,
    waiting: Mutex<HashMap<Slot, VecDeque<Waiting>>>,
    /// Of all slots, so that calls pass without a lock while nobody waits.
    count: AtomicUsize,
    wake: Notify,
}

struct Waiting {
    epoch: Epoch,
    access: Access,
    resume: Resume,
}

/// What a call may do now.
pub(crate) enum Admission {
    Granted,
    /// The catalog has to be asked; see [`Slots::wait`].
    Wait(Slot),
    Refused(Refusal),
}

impl Slots {
    pub(crate) fn new(
        shard: u32,
        gate: Gate,
        store: Arc<dyn Store>,
        catalog: Arc<dyn Catalog>,
        fence: Arc<Fence>,
    ) -> Arc<Slots> {
        Arc::new(Slots {
            gate: Arc::new(RwLock::new(gate)),
            shard,
            store,
            catalog,
            fence,
            waiting: Mutex::default(),
            count: AtomicUsize::new(0),
            wake: Notify::new(),
        })
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
        self.check(slot, Epoch(epoch), access)
    }

    fn check(&self, slot: Slot, epoch: Epoch, access: Access) -> Admission {
        match self.gate.read().check(slot, epoch, access, self.fence.now()) {
            Verdict::Serve => Admission::Granted,
            Verdict::AskCatalog => Admission::Wait(slot),
            Verdict::WrongEpoch(known) => Admission::Refused(wrong_epoch(known)),
            Verdict::Frozen(known) => {
                let refusal = Refusal::new(Code::Frozen, "the slot is frozen");
                Admission::Refused(Refusal { epoch: known.0, ..refusal })
            }
            Verdict::Quarantined => {
                let message = "the shard waits for the catalog to grant its slots again";
                Admission::Refused(Refusal::new(Code::Unavailable, message))
            }
        }
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
            Admission::Granted => Ok(()),
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
            tokio::select! {
                () = self.wake.notified() => {}
                () = stop.cancelled() => {}
            }
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
            let result = match &failed {
                Some(refusal) => Err(refusal.clone()),
                None => match self.check(slot, next.epoch, next.access) {
                    Admission::Granted => Ok(()),
                    Admission::Refused(refusal) => Err(refusal),
                    // The catalog, too, knows of no such epoch.
                    Admission::Wait(_) => Err(Refusal::try_again("the slot is on its way", 100)),
                },
            };
            (next.resume)(result);
        }
    }

    async fn ask(&self, slot: Slot) -> Result<(), Refusal> {
        let entry = self.catalog.locate_slot(slot.get().into()).await?;
        if entry.shard != self.shard {
            tracing::debug!(%slot, shard = entry.shard, "asked for a slot of another shard");
            return Err(wrong_epoch(Epoch(entry.epoch)));
        }
        self.take(&[entry]).await.map_err(|error| refusals::store(&error))
    }

    /// Slots that the catalog says are ours: those at a newer epoch than we know are written and
    /// served from now on; the others are confirmed.
    pub(crate) async fn take(&self, entries: &[SlotEntry]) -> Result<(), StoreError> {
        let changes: Vec<SlotChange> = {
            let gate = self.gate.read();
            entries
                .iter()
                .filter_map(|entry| Some((Slot::new(entry.slot)?, entry.epoch)))
                .filter(|(slot, epoch)| gate.epoch(*slot).0 < *epoch)
                .map(|(slot, epoch)| {
                    let from = gate.row(slot).unwrap_or(SlotRow::none(slot.get()));
                    SlotChange { from, to: SlotRow { state: SlotState::Owned, epoch, ..from } }
                })
                .collect()
        };
        if !changes.is_empty() {
            let put = self.store.put_slots(&[], &changes).await?;
            if let SlotsPut::InTheWay(stands) = put {
                return Err(self.found(&stands));
            }
            tracing::info!(slots = changes.len(), "took slots");
        }
        let now = self.fence.now();
        let mut gate = self.gate.write();
        changes.iter().for_each(|change| gate.put(change.to, now));
        for entry in entries {
            if let Some(slot) = Slot::new(entry.slot) {
                gate.confirm(slot, Epoch(entry.epoch), now);
            }
        }
        Ok(())
    }

    /// Rows stand otherwise than memory says, after a change whose answer was lost. Memory learns them,
    /// and whoever asks again decides on what is there.
    fn found(&self, stands: &[SlotRow]) -> StoreError {
        let now = self.fence.now();
        let mut gate = self.gate.write();
        stands.iter().for_each(|row| gate.put(*row, now));
        StoreError::Unavailable("slots stood otherwise than was known".to_owned())
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

fn wrong_epoch(known: Epoch) -> Refusal {
    let refusal = Refusal::new(Code::WrongEpoch, "the slot is at another epoch");
    Refusal { epoch: known.0, ..refusal }
}
