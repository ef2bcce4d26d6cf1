//! Writes: through their slot's gate to the shard, and back to the gate if the slot is in motion.

use super::{Asked, Requests, in_motion, needs, nowhere};
use crate::metrics::PARKED_TOTAL;
use crate::park::Pass;
use crate::slot_map::Place;
use prost::Message as _;
use shardline_domain::id::ShardId;
use shardline_domain::slot::{Epoch, Slot};
use shardline_wire::call::{Done, Outcome};
use shardline_wire::internal::Call;
use shardline_wire::refusal::Refusal;
use std::sync::Arc;
use tokio::time::Instant;

/// A write on its way. The call is kept to be sent again.
pub(crate) struct Write {
    slot: Slot,
    call: Call,
    asked: Asked,
}

impl Requests {
    pub(super) fn write(self: &Arc<Requests>, slot: Slot, call: Call, asked: Asked) {
        let write = Write { slot, call, asked };
        let mut gate = self.gates[usize::from(slot.get())].lock();
        // Under the gate's lock, so that the epochs it sees never go down.
        let Some(place) = self.map.place(slot) else {
            drop(gate);
            return self.answer(write.asked, Err(nowhere()));
        };
        if let Some(pass) = gate.enter(place.epoch) {
            drop(gate);
            return self.send(write, pass, place.shard);
        }
        let bytes = write.call.encoded_len();
        let refused = gate.park(write, bytes, Instant::now(), &self.budget);
        self.parked.lock().insert(slot);
        drop(gate);
        self.work.notify_one();
        metrics::counter!(PARKED_TOTAL).increment(1);
        refused.into_iter().for_each(|write| self.refuse_parked(write));
    }

    fn send(self: &Arc<Requests>, write: Write, pass: Pass, shard: ShardId) {
        let links = self.shards.load();
        let Some(link) = links.get(shard) else {
            return self.write_answered(write, pass, Err(nowhere()));
        };
        let call = Call { epoch: pass.epoch().0, ..write.call.clone() };
        let requests = self.clone();
        link.submit(call, Done::new(move |outcome| requests.write_answered(write, pass, outcome)));
    }

    fn write_answered(self: &Arc<Requests>, write: Write, pass: Pass, outcome: Outcome) {
        if let Err(refusal) = &outcome
            && let Some(needs) = needs(refusal, pass.epoch())
        {
            return self.write_came_back(write, pass, needs);
        }
        let mut gate = self.gates[usize::from(write.slot.get())].lock();
        gate.settled(pass);
        let is_awaited = 0 < gate.parked();
        drop(gate);
        if is_awaited {
            self.work.notify_one();
        }
        self.answer(write.asked, outcome.map_err(in_motion));
    }

    fn write_came_back(self: &Arc<Requests>, write: Write, pass: Pass, needs: Epoch) {
        let slot = write.slot;
        let bytes = write.call.encoded_len();
        let mut gate = self.gates[usize::from(slot.get())].lock();
        let refused = gate.came_back(pass, write, bytes, needs, Instant::now(), &self.budget);
        self.parked.lock().insert(slot);
        drop(gate);
        self.map.ask();
        self.work.notify_one();
        metrics::counter!(PARKED_TOTAL).increment(1);
        refused.into_iter().for_each(|write| self.refuse_parked(write));
    }

    /// Sends what may go of a slot's parked writes and refuses what waited too long. Called by one
    /// task only.
    pub(super) fn tend_slot(self: &Arc<Requests>, slot: Slot, now: Instant) {
        let gate = &self.gates[usize::from(slot.get())];
        loop {
            let mut gate = gate.lock();
            let Some(Place { shard, epoch }) = self.map.place(slot) else { break };
            let Some((pass, write)) = gate.release(epoch, &self.budget) else { break };
            drop(gate);
            self.send(write, pass, shard);
        }
        let mut gate = gate.lock();
        let late = gate.expire(now, &self.budget);
        if gate.parked() == 0 {
            self.parked.lock().remove(&slot);
        }
        drop(gate);
        late.into_iter().for_each(|write| self.refuse_parked(write));
    }

    fn refuse_parked(&self, write: Write) {
        let refusal = Refusal::try_again("the slot is in motion", super::MOTION_RETRY_MS);
        self.answer(write.asked, Err(refusal));
    }
}
