//! Writes of one slot wait in the order they came while the slot is in motion. Pure: who may go, who
//! waits, who is refused; the router's locks, clocks and streams are in `requests`.

#[cfg(test)]
mod tests;

use shardline_daemon::sabotage::is_planted;
use shardline_domain::limits::{
    PARK_TIME_MAX, PARKED_BYTES_PER_ROUTER_MAX, PARKED_SENDS_PER_SLOT_MAX,
};
use shardline_domain::slot::Epoch;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::time::Instant;

/// The gate of one slot.
///
/// It counts the writes that went to a shard and are not settled. One that comes back, because the
/// slot is frozen or has moved, closes the gate: it and all later ones wait in the order they first
/// came. The gate opens only when the map shows an epoch that the shard asked for, and only after
/// every write sent at an earlier epoch is settled, since each of those may still come back and
/// belongs in front. For the same reason a write waits when the map moved on under unsettled ones.
pub struct Gate<T> {
    next_ticket: u64,
    /// Of the writes counted in `out`.
    epoch: Epoch,
    /// Unsettled writes sent at `epoch`.
    out: u32,
    /// Unsettled writes sent at earlier epochs. Zero while the gate is open.
    out_before: u32,
    closed: Option<Box<Closed<T>>>,
}

struct Closed<T> {
    /// The lowest epoch of the map that opens the gate.
    needs: Epoch,
    /// By ticket: in the order they first came.
    waiting: BTreeMap<u64, Waiting<T>>,
    /// A write was released and may not have reached its stream yet: newer ones must not overtake it.
    in_hand: bool,
}

struct Waiting<T> {
    write: T,
    bytes: usize,
    until: Instant,
}

/// A write's right to go to the shard at `epoch`; given back with `settled` or `came_back`.
#[derive(Debug)]
#[must_use = "the gate waits until each pass is settled or came back"]
pub struct Pass {
    ticket: u64,
    epoch: Epoch,
    /// Set once it was parked: it waits no longer than this in all.
    until: Option<Instant>,
}

impl Pass {
    pub fn epoch(&self) -> Epoch {
        self.epoch
    }
}

/// Bytes of all parked writes of a router.
#[derive(Debug, Default)]
pub struct Budget {
    used: AtomicUsize,
}

impl Budget {
    fn take(&self, bytes: usize) -> bool {
        let fits =
            |used: usize| used.checked_add(bytes).filter(|sum| *sum <= PARKED_BYTES_PER_ROUTER_MAX);
        self.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fits).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl<T> Default for Gate<T> {
    fn default() -> Gate<T> {
        Gate { next_ticket: 0, epoch: Epoch(0), out: 0, out_before: 0, closed: None }
    }
}

impl<T> Gate<T> {
    /// Lets a new write go at the map's epoch, or says that it has to `park`.
    pub fn enter(&mut self, map: Epoch) -> Option<Pass> {
        match &self.closed {
            None if map == self.epoch => {}
            None if self.epoch < map && self.out == 0 => self.epoch = map,
            // The map moved on, and what was sent before may come back.
            None => {
                let needs = map.max(self.epoch);
                self.closed = Some(Box::new(Closed::new(needs)));
                return None;
            }
            Some(closed) => {
                let in_front = !closed.waiting.is_empty() || closed.in_hand;
                if in_front || !self.may_open(map) {
                    return None;
                }
                self.open(map);
            }
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        self.out += 1;
        Some(Pass { ticket, epoch: self.epoch, until: None })
    }

    /// Queues a new write that could not `enter`. Returns it if there is no room.
    pub fn park(&mut self, write: T, bytes: usize, now: Instant, budget: &Budget) -> Option<T> {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let closed = self.closed.get_or_insert_with(|| Box::new(Closed::new(self.epoch)));
        if PARKED_SENDS_PER_SLOT_MAX <= closed.waiting.len() || !budget.take(bytes) {
            return Some(write);
        }
        closed.waiting.insert(ticket, Waiting { write, bytes, until: now + PARK_TIME_MAX });
        None
    }

    /// A write was answered, whatever the answer: it does not come back.
    pub fn settled(&mut self, pass: Pass) {
        let count = if pass.epoch == self.epoch { &mut self.out } else { &mut self.out_before };
        *count = count.checked_sub(1).expect("each pass is given back once");
    }

    /// The shard refused a write for the slot's motion: it waits in its old place until the map shows
    /// `needs`. Returns the newest ones that have no room any more, which may include this one.
    pub fn came_back(
        &mut self,
        pass: Pass,
        write: T,
        bytes: usize,
        needs: Epoch,
        now: Instant,
        budget: &Budget,
    ) -> Vec<T> {
        let ticket = pass.ticket;
        let until = pass.until.unwrap_or(now + PARK_TIME_MAX);
        self.settled(pass);
        let closed = self.closed.get_or_insert_with(|| Box::new(Closed::new(needs)));
        closed.needs = closed.needs.max(needs);

        let mut refused = Vec::new();
        let mut has_bytes = budget.take(bytes);
        while !has_bytes || PARKED_SENDS_PER_SLOT_MAX <= closed.waiting.len() {
            // The newest goes: those in front keep their place.
            let newest = closed.waiting.last_entry().filter(|newest| ticket < *newest.key());
            let Some(newest) = newest else {
                if has_bytes {
                    budget.give_back(bytes);
                }
                refused.push(write);
                return refused;
            };
            let newest = newest.remove();
            budget.give_back(newest.bytes);
            refused.push(newest.write);
            has_bytes = has_bytes || budget.take(bytes);
        }
        closed.waiting.insert(ticket, Waiting { write, bytes, until });
        refused
    }

    /// The next waiting write that may go now. The caller hands it to its shard before it asks
    /// again, and asks until there is none: that opens the gate. One caller at a time.
    pub fn release(&mut self, map: Epoch, budget: &Budget) -> Option<(Pass, T)> {
        self.closed.as_mut()?.in_hand = false;
        if !self.may_open(map) {
            return None;
        }
        let closed = self.closed.as_mut()?;
        let next = if is_planted("parked-writes-out-of-order") {
            closed.waiting.pop_last()
        } else {
            closed.waiting.pop_first()
        };
        let Some((ticket, waiting)) = next else {
            self.open(map);
            return None;
        };
        closed.in_hand = true;
        budget.give_back(waiting.bytes);
        self.move_on(map);
        self.out += 1;
        Some((Pass { ticket, epoch: map, until: Some(waiting.until) }, waiting.write))
    }

    /// Takes out what waited too long.
    pub fn expire(&mut self, now: Instant, budget: &Budget) -> Vec<T> {
        let Some(closed) = &mut self.closed else { return Vec::new() };
        let late = closed.waiting.extract_if(.., |_, waiting| waiting.until <= now);
        late.map(|(_, waiting)| {
            budget.give_back(waiting.bytes);
            waiting.write
        })
        .collect()
    }

    pub fn is_closed(&self) -> bool {
        self.closed.is_some()
    }

    /// How many wait.
    pub fn parked(&self) -> usize {
        self.closed.as_ref().map_or(0, |closed| closed.waiting.len())
    }

    fn may_open(&self, map: Epoch) -> bool {
        let before = if self.epoch < map { self.out_before + self.out } else { self.out_before };
        let needs = self.closed.as_ref().map_or(Epoch(0), |closed| closed.needs);
        before == 0 && needs.max(self.epoch) <= map
    }

    fn open(&mut self, map: Epoch) {
        self.closed = None;
        self.move_on(map);
    }

    fn move_on(&mut self, map: Epoch) {
        if self.epoch < map {
            self.out_before += self.out;
            self.out = 0;
            self.epoch = map;
        }
    }
}

impl<T> Closed<T> {
    fn new(needs: Epoch) -> Closed<T> {
        Closed { needs, waiting: BTreeMap::new(), in_hand: false }
    }
}
