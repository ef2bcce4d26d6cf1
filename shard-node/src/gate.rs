//! Which slots this shard owns, at which epoch, and what that means for a call: serve it, refuse it,
//! or ask the catalog first. Pure state; who asks the catalog is `slots.rs`.

use crate::store::{SlotRow, SlotState};
use shardline_domain::slot::{Epoch, SLOTS, Slot};
use std::time::Duration;

/// How long a frozen slot is read from before the catalog is asked whether it is still ours.
pub(crate) const FROZEN_READ_TIME_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Access {
    Read,
    Write,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Serve,
    /// The caller's map is older than ours.
    WrongEpoch(Epoch),
    /// Writes wait at the router until its map shows a newer epoch.
    Frozen(Epoch),
    /// The caller knows of a newer epoch than we do, or we cannot be sure any more.
    AskCatalog,
    /// Held until the catalog grants it again.
    Quarantined,
}

#[derive(Clone, Copy)]
struct Holding {
    row: SlotRow,
    /// Since the catalog last said that a frozen slot is ours still, in the caller's time.
    frozen_at: Duration,
    /// Since when writes are held off, whether or not the row says so yet.
    closed_at: Option<Duration>,
}

impl Holding {
    fn epoch(&self) -> Epoch {
        Epoch(self.row.epoch)
    }
}

/// Invariant: neither an epoch nor a move ever goes down.
pub(crate) struct Gate {
    slots: Vec<Option<Holding>>,
}

impl Gate {
    /// Owns nothing yet.
    pub(crate) fn new() -> Gate {
        Gate { slots: vec![None; usize::from(SLOTS)] }
    }

    /// Takes over what a slot row says, unless the gate knows of a newer one. `now` is any monotonic
    /// time. A gate that was closed stays so at this epoch.
    pub(crate) fn put(&mut self, row: SlotRow, now: Duration) {
        let Some(holding) = self.slots.get_mut(usize::from(row.slot)) else { return };
        let age = |row: &SlotRow| (row.epoch, row.move_id, row.attempt);
        if holding.is_some_and(|known| age(&row) < age(&known.row)) {
            return;
        }
        let before = holding.filter(|known| known.row.epoch == row.epoch);
        let closed_at = before.and_then(|known| known.closed_at);
        let closed_at = match row.state {
            SlotState::Frozen => closed_at.or(Some(now)),
            // Whoever closed it is about to freeze it, or knows that it was not frozen.
            SlotState::Owned => closed_at,
            _ => None,
        };
        *holding = Some(Holding { row, frozen_at: now, closed_at });
    }

    /// From now on no write to an owned slot is taken; its row is about to be frozen.
    pub(crate) fn close(&mut self, slot: Slot, now: Duration) {
        if let Some(holding) = &mut self.slots[usize::from(slot.get())] {
            holding.closed_at.get_or_insert(now);
        }
    }

    /// It was not frozen after all. Only for who knows that.
    pub(crate) fn reopen(&mut self, slot: Slot) {
        if let Some(holding) = &mut self.slots[usize::from(slot.get())]
            && holding.row.state == SlotState::Owned
        {
            holding.closed_at = None;
        }
    }

    /// Since when writes are held off.
    pub(crate) fn closed_at(&self, slot: Slot) -> Option<Duration> {
        self.slots[usize::from(slot.get())].and_then(|holding| holding.closed_at)
    }

    /// Whether the slot's rows may be changed by clients' calls and what follows from them.
    pub(crate) fn is_open(&self, slot: Slot) -> bool {
        self.slots[usize::from(slot.get())].is_some_and(|holding| {
            holding.row.state == SlotState::Owned && holding.closed_at.is_none()
        })
    }

    /// The catalog says that a slot is ours at this epoch: a frozen one may be read on.
    pub(crate) fn confirm(&mut self, slot: Slot, epoch: Epoch, now: Duration) {
        if let Some(holding) = &mut self.slots[usize::from(slot.get())]
            && holding.epoch() == epoch
        {
            holding.frozen_at = now;
        }
    }

    /// The epoch known of a slot; 0 if there is none.
    pub(crate) fn epoch(&self, slot: Slot) -> Epoch {
        self.slots[usize::from(slot.get())].map_or(Epoch(0), |holding| holding.epoch())
    }

    /// The slot's row, as far as it is known.
    pub(crate) fn row(&self, slot: Slot) -> Option<SlotRow> {
        self.slots[usize::from(slot.get())].map(|holding| holding.row)
    }

    pub(crate) fn owns(&self, slot: Slot) -> bool {
        self.slots[usize::from(slot.get())].is_some_and(|holding| {
            matches!(holding.row.state, SlotState::Owned | SlotState::Frozen)
        })
    }

    pub(crate) fn owned(&self) -> usize {
        Slot::all().filter(|slot| self.owns(*slot)).count()
    }

    pub(crate) fn check(&self, slot: Slot, epoch: Epoch, access: Access, now: Duration) -> Verdict {
        let Some(holding) = self.slots[usize::from(slot.get())] else {
            return Verdict::AskCatalog;
        };
        let known = holding.epoch();
        if known < epoch {
            return Verdict::AskCatalog;
        }
        if epoch < known {
            return Verdict::WrongEpoch(known);
        }
        match (holding.row.state, access) {
            (SlotState::Owned, Access::Write) if holding.closed_at.is_some() => {
                Verdict::Frozen(known)
            }
            (SlotState::Owned, _) => Verdict::Serve,
            (SlotState::Frozen, Access::Write) => Verdict::Frozen(known),
            (SlotState::Frozen, Access::Read) => {
                if now.saturating_sub(holding.frozen_at) < FROZEN_READ_TIME_MAX {
                    Verdict::Serve
                } else {
                    Verdict::AskCatalog
                }
            }
            (
                SlotState::Moved | SlotState::Importing | SlotState::Following | SlotState::Empty,
                _,
            ) => Verdict::WrongEpoch(known),
            (SlotState::Quarantined, _) => Verdict::Quarantined,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);

    fn slot() -> Slot {
        Slot::new(7).expect("a slot")
    }

    fn gate(state: SlotState) -> Gate {
        let mut gate = Gate::new();
        gate.put(SlotRow::unmoved(7, state, 5), NOW);
        gate
    }

    fn check(state: SlotState, epoch: u64, access: Access, expected: Verdict) {
        assert_eq!(gate(state).check(slot(), Epoch(epoch), access, NOW), expected);
    }

    #[test]
    fn an_owned_slot_serves_its_epoch_only() {
        for access in [Access::Read, Access::Write] {
            check(SlotState::Owned, 5, access, Verdict::Serve);
            check(SlotState::Owned, 4, access, Verdict::WrongEpoch(Epoch(5)));
            check(SlotState::Owned, 6, access, Verdict::AskCatalog);
        }
    }

    #[test]
    fn an_unknown_slot_is_asked_for() {
        let verdict = Gate::new().check(slot(), Epoch(1), Access::Read, NOW);
        assert_eq!(verdict, Verdict::AskCatalog);
    }

    #[test]
    fn a_frozen_slot_is_read_for_a_second_and_not_written() {
        check(SlotState::Frozen, 5, Access::Write, Verdict::Frozen(Epoch(5)));
        check(SlotState::Frozen, 5, Access::Read, Verdict::Serve);
        let later = NOW + FROZEN_READ_TIME_MAX;
        let verdict = gate(SlotState::Frozen).check(slot(), Epoch(5), Access::Read, later);
        assert_eq!(verdict, Verdict::AskCatalog);
        let mut gate = gate(SlotState::Frozen);
        gate.confirm(slot(), Epoch(5), later);
        assert_eq!(gate.check(slot(), Epoch(5), Access::Read, later), Verdict::Serve);
    }

    #[test]
    fn what_was_given_away_is_refused_until_a_newer_epoch_is_heard_of() {
        check(SlotState::Moved, 5, Access::Read, Verdict::WrongEpoch(Epoch(5)));
        check(SlotState::Moved, 6, Access::Read, Verdict::AskCatalog);
        check(SlotState::Quarantined, 5, Access::Read, Verdict::Quarantined);
    }

    #[test]
    fn an_epoch_never_goes_down() {
        let mut gate = gate(SlotState::Moved);
        gate.put(SlotRow::unmoved(7, SlotState::Owned, 4), NOW);
        assert_eq!(gate.epoch(slot()), Epoch(5));
        assert!(!gate.owns(slot()));
        gate.put(SlotRow::unmoved(7, SlotState::Owned, 6), NOW);
        assert!(gate.owns(slot()));
        assert_eq!(gate.owned(), 1);
    }

    #[test]
    fn a_closed_gate_is_read_and_not_written_until_it_is_known_not_to_be_frozen() {
        let mut gate = gate(SlotState::Owned);
        gate.close(slot(), NOW);
        gate.close(slot(), NOW * 2);
        assert_eq!(gate.closed_at(slot()), Some(NOW));
        assert!(!gate.is_open(slot()));
        let at = |gate: &Gate, access| gate.check(slot(), Epoch(5), access, NOW);
        assert_eq!(at(&gate, Access::Write), Verdict::Frozen(Epoch(5)));
        assert_eq!(at(&gate, Access::Read), Verdict::Serve);
        gate.put(SlotRow::unmoved(7, SlotState::Owned, 5), NOW);
        assert!(!gate.is_open(slot()));
        gate.reopen(slot());
        assert_eq!(at(&gate, Access::Write), Verdict::Serve);
        gate.close(slot(), NOW);
        gate.put(SlotRow::unmoved(7, SlotState::Frozen, 5), NOW * 3);
        gate.reopen(slot());
        assert_eq!(gate.closed_at(slot()), Some(NOW));
        gate.put(SlotRow::unmoved(7, SlotState::Owned, 6), NOW * 4);
        assert!(gate.is_open(slot()));
    }

    #[test]
    fn what_is_not_ours_is_neither_read_nor_written() {
        for state in
            [SlotState::Moved, SlotState::Importing, SlotState::Following, SlotState::Empty]
        {
            for access in [Access::Read, Access::Write] {
                check(state, 5, access, Verdict::WrongEpoch(Epoch(5)));
                check(state, 6, access, Verdict::AskCatalog);
            }
        }
    }
}
