//! Slot rows and the catalog's answers between their stored form, their form on the wire, and that of
//! the rules.

use crate::store;
use shardline_domain::id::ShardId;
use shardline_domain::placement::transfer::{
    Attempt, Held, MoveId, Phase, SlotRow, SlotState, Word,
};
use shardline_domain::slot::{Epoch, Slot};
use shardline_wire::internal::SlotEntry;

/// As the rules see a stored row.
pub(crate) fn to_rule(row: &store::SlotRow) -> SlotRow {
    SlotRow {
        state: match row.state {
            store::SlotState::Owned => SlotState::Owned,
            store::SlotState::Frozen => SlotState::Frozen,
            store::SlotState::Moved => SlotState::Moved,
            store::SlotState::Quarantined => SlotState::Quarantined,
            store::SlotState::Importing => SlotState::Importing,
            store::SlotState::Following => SlotState::Following,
            store::SlotState::Empty => SlotState::Empty,
        },
        epoch: Epoch(row.epoch),
        move_id: MoveId(row.move_id),
        attempt: Attempt(row.attempt),
    }
}

/// As a row of the rules is stored.
pub(crate) fn to_store(slot: Slot, row: SlotRow, leader_term: u64) -> store::SlotRow {
    store::SlotRow {
        slot: slot.get(),
        state: match row.state {
            SlotState::Owned => store::SlotState::Owned,
            SlotState::Frozen => store::SlotState::Frozen,
            SlotState::Moved => store::SlotState::Moved,
            SlotState::Quarantined => store::SlotState::Quarantined,
            SlotState::Importing => store::SlotState::Importing,
            SlotState::Following => store::SlotState::Following,
            SlotState::Empty => store::SlotState::Empty,
        },
        epoch: row.epoch.0,
        move_id: row.move_id.0,
        attempt: row.attempt.0,
        leader_term,
    }
}

/// None: it speaks of no slot, or of a phase this program does not know.
pub(crate) fn to_word(entry: &SlotEntry) -> Option<(Slot, Word)> {
    let slot = Slot::new(entry.slot)?;
    let held = match &entry.held {
        None => None,
        Some(held) => Some(Held {
            move_id: MoveId(held.r#move),
            attempt: Attempt(held.attempt),
            phase: u8::try_from(held.phase).ok().and_then(Phase::from_number)?,
            source: ShardId(held.source),
            target: ShardId(held.target),
        }),
    };
    Some((slot, Word { owner: ShardId(entry.shard), epoch: Epoch(entry.epoch), held }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_comes_back_as_it_was() {
        for state in SlotState::ALL {
            let row = SlotRow { state, epoch: Epoch(4), move_id: MoveId(5), attempt: Attempt(6) };
            let slot = Slot::new(7).expect("a slot");
            let stored = to_store(slot, row, 8);
            assert_eq!((stored.slot, stored.leader_term), (7, 8));
            assert_eq!(stored.state as u8, state as u8);
            assert_eq!(to_rule(&stored), row);
        }
    }
}
