//! The one task behind all calls: releases what was parked, wakes what waits for a newer map, ends
//! joins at their deadline. It only looks and acts; whoever has news for it wakes it.

use super::Requests;
use crate::metrics::{PARKED, PARKED_BYTES, WAITING_READS};
use crate::waits::News;
use shardline_domain::slot::Slot;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How often the catalog is asked, and deadlines are looked at, while something waits. A slot that
/// flipped on another router's word is known here about this much later: it is a part of the pause of
/// whoever writes to it, and lasts no longer than that pause.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Requests {
    /// Runs until `stop`; then refuses whatever still waits.
    pub async fn tend(self: Arc<Requests>, stop: CancellationToken) {
        let mut answered = self.map.answered();
        let mut waits_for_map = false;
        let mut has_deadlines = false;
        // A time, not a pause after the latest wake-up: what parks at a high rate must not put it off.
        let mut next_look = Instant::now();
        while !stop.is_cancelled() {
            let idle = !waits_for_map && !has_deadlines;
            tokio::select! {
                () = stop.cancelled() => break,
                () = self.work.notified() => {}
                // Its sender lives in the map: it cannot be closed.
                _ = answered.changed(), if waits_for_map => {}
                () = tokio::time::sleep_until(next_look), if !idle => {}
            }
            if next_look <= Instant::now() {
                if waits_for_map {
                    self.map.ask();
                }
                next_look = Instant::now() + LOOK_EVERY;
            }
            let polled = *answered.borrow_and_update();
            let now = Instant::now();
            self.tend_waits(polled, now);
            self.tend_slots(now);
            self.expire_joins(now);
            let (slots, reads) = (self.parked.lock().len(), self.waits.lock().len());
            waits_for_map = 0 < slots + reads;
            has_deadlines = self.has_joins();
        }
        let late = Instant::now() + Duration::from_secs(3600);
        self.tend_slots(late);
        let waits = self.waits.lock().take();
        waits.into_iter().for_each(|wait| (wait.then)(News::Late));
        self.expire_joins(late);
    }

    fn tend_waits(self: &Arc<Requests>, polled: u64, now: Instant) {
        let (ready, rest) = {
            let mut waits = self.waits.lock();
            if waits.len() == 0 {
                return;
            }
            (waits.ready(&self.map.load(), polled, now), waits.len())
        };
        gauge(WAITING_READS, rest);
        ready.into_iter().for_each(|(wait, news)| (wait.then)(news));
    }

    fn tend_slots(self: &Arc<Requests>, now: Instant) {
        let slots: Vec<Slot> = self.parked.lock().iter().copied().collect();
        if slots.is_empty() {
            return;
        }
        slots.iter().for_each(|slot| self.tend_slot(*slot, now));
        let parked: usize =
            slots.iter().map(|slot| self.gates[usize::from(slot.get())].lock().parked()).sum();
        gauge(PARKED, parked);
        gauge(PARKED_BYTES, self.budget.used());
    }
}

fn gauge(name: &'static str, value: usize) {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
    metrics::gauge!(name).set(value as f64);
}
