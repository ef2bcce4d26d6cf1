//! What a slot leaves behind where it is no more: deleted a little at a time.

use super::{Halt, ROUND_EVERY, Work, fence};
use crate::mover::orders::Order;
use crate::store::{Purge, SlotState};
use shardline_daemon::clock::Stopwatch;
use shardline_domain::placement::transfer::Task;
use shardline_domain::slot::{Epoch, Slot};
use std::collections::BTreeMap;
use std::time::Duration;

/// Rows of one purging transaction: well under 100 ms.
const PURGE_ROWS: u64 = 500;
/// Slots of one purging transaction.
const SLOTS_PURGED_AT_ONCE: usize = 64;

impl Work<'_> {
    /// Deletes the copies, a little at a time.
    pub(super) async fn purge(&mut self, order: &Order) -> Result<Option<Duration>, Halt> {
        let slots = || order.slots.iter().map(|(slot, _)| *slot);
        if order.task == Task::Purge && !self.mover.is_relayed(slots()) {
            self.part.note("the journal is not on the bus yet");
            return Ok(Some(ROUND_EVERY));
        }
        let mut by_lane: BTreeMap<u16, Vec<(Slot, Epoch)>> = BTreeMap::new();
        for (slot, epoch) in &order.slots {
            by_lane.entry(self.mover.lane(*slot)).or_default().push((*slot, *epoch));
        }
        for (lane, slots) in by_lane {
            for some in slots.chunks(SLOTS_PURGED_AT_ONCE) {
                self.purge_some(order, lane, some).await?;
            }
        }
        self.part.note(String::new());
        Ok(None)
    }

    /// Nobody waits for it.
    async fn purge_some(
        &self,
        order: &Order,
        lane: u16,
        slots: &[(Slot, Epoch)],
    ) -> Result<(), Halt> {
        loop {
            let moved =
                |(slot, _): &&(Slot, Epoch)| self.mover.slots.row(*slot).state == SlotState::Moved;
            let purge = |(slot, epoch): &(Slot, Epoch)| Purge {
                fence: fence(order, *slot),
                epoch: epoch.0,
            };
            let left: Vec<Purge> = slots.iter().filter(moved).map(purge).collect();
            if left.is_empty() {
                return Ok(());
            }
            self.goes_on(order)?;
            let stopwatch = Stopwatch::start();
            let emptied = self.mover.store.purge(lane, &left, PURGE_ROWS).await?;
            self.mover.slots.show_found(&emptied.unwrap_or_default()).await;
            self.part.tell();
            self.rest(order, stopwatch.elapsed()).await?;
        }
    }
}
