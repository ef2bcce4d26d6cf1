//! Calls that wait: for the catalog's word on a slot, or because a slot's writers are slowed down.

use super::{Admission, Resume, Slots, Waiting};
use crate::gate::{Access, Verdict};
use crate::metrics::{SLOTS_OWNED, WAITING_CALLS, number};
use crate::refusals;
use futures::StreamExt;
use futures::stream;
use shardline_domain::id::EntityId;
use shardline_domain::limits::PARK_TIME_MAX;
use shardline_domain::slot::{Epoch, Slot};
use shardline_wire::refusal::Refusal;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Calls that wait for the catalog, all slots together.
const WAITING_MAX: usize = 10_000;
/// Slots asked for at the same time.
const ASKED_AT_ONCE: usize = 16;
/// How often it is looked who of the slowed may go on.
const PACE_LOOK: Duration = Duration::from_millis(5);

impl Slots {
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
}

fn on_its_way() -> Refusal {
    Refusal::try_again("the slot is on its way", 100)
}
