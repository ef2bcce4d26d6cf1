//! What a shard makes of the catalog's word about a slot: the only way to become its owner, to write
//! again after a freeze, or to leave quarantine.
//!
//! `hear` is for rows that are the last ones written; `regrant` for a database that may lack some.

use super::{Attempt, MoveId, Phase, Refused, SlotRow, SlotState, quarantined};
use crate::id::ShardId;
use crate::slot::Epoch;

/// The catalog's answer about one slot, by a locking read that began after the question. It was true
/// then; it may be late.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Word {
    pub owner: ShardId,
    pub epoch: Epoch,
    pub held: Option<Held>,
}

/// The move that holds the slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Held {
    pub move_id: MoveId,
    pub attempt: Attempt,
    pub phase: Phase,
    pub source: ShardId,
    pub target: ShardId,
}

/// The slot's row on shard `me` after this word; the same row if there is nothing to write.
///
/// A quarantined row may hear only answers to questions asked after its quarantine began: an older
/// answer may be of before a freeze that the row no longer shows.
pub fn hear(row: SlotRow, me: ShardId, word: &Word) -> Result<SlotRow, Refused> {
    if word.epoch < row.epoch {
        return Err(Refused::OldEpoch(row.epoch));
    }
    if word.owner == me { hear_mine(row, me, word) } else { hear_others(row, me, word) }
}

/// The slot's row on shard `me` whose writer begins on a database that may not be the one its last
/// writer left: another primary, a restore. Until then the row counts for nothing: the slot is neither
/// served nor imported, frozen or purged. `word` answers a question asked after the writer's term began.
///
/// `complete`: the database has every change of a move that a flip rested on (its tally is not below
/// what flips recorded). A slot that is ours and may lack what was moved here is refused.
pub fn regrant(row: SlotRow, me: ShardId, word: &Word, complete: bool) -> Result<SlotRow, Refused> {
    let held_here = matches!(row.state, SlotState::Owned | SlotState::Frozen);
    if word.owner == me {
        // Nobody else had it since this row was written: an abort takes one epoch, two flips two.
        let always_ours = row.epoch == word.epoch || held_here && row.epoch.next() == word.epoch;
        let first_placement = row.state == SlotState::Empty && word.epoch == Epoch(1);
        let all_here = complete || first_placement || held_here && always_ours;
        if !all_here {
            return Err(Refused::Incomplete);
        }
        // All that was compared is here, and with it the row of then: only the grant was lost.
        let arrived = row.state == SlotState::Importing && row.epoch < word.epoch;
        if held_here || arrived {
            // A catalog that knows less than this row is no witness.
            return Ok(hear(quarantined(row), me, word).unwrap_or(quarantined(row)));
        }
        return hear(row, me, word);
    }
    // Given away by a move that this row does not know.
    let given = word.held.filter(|held| held.source == me && row.epoch < word.epoch);
    if let Some(held) = given.filter(|held| !row.is_of(held.move_id, held.attempt)) {
        return Ok(of(held, SlotState::Moved, word.epoch));
    }
    match hear(row, me, word) {
        // Its freeze was lost; whatever holds the slot now decides what becomes of the copy.
        _ if row.state == SlotState::Owned => {
            let row = quarantined(row);
            Ok(hear(row, me, word).unwrap_or(row))
        }
        Err(_) if held_here => Ok(quarantined(row)),
        heard => Ok(heard.unwrap_or(row)),
    }
}

fn hear_mine(row: SlotRow, me: ShardId, word: &Word) -> Result<SlotRow, Refused> {
    let owned = SlotRow { state: SlotState::Owned, epoch: word.epoch, ..row };
    if row.state == SlotState::Quarantined {
        return Ok(match word.held {
            // The flip may happen at any moment: the freeze must hold, whether it is known or not.
            Some(held)
                if held.source == me && matches!(held.phase, Phase::Freezing | Phase::Frozen) =>
            {
                of(held, SlotState::Frozen, word.epoch)
            }
            _ => owned,
        });
    }
    if row.epoch == word.epoch && row.state != SlotState::Importing {
        return Ok(row);
    }
    match row.state {
        // An abort: the source goes on at the next epoch.
        SlotState::Owned | SlotState::Frozen => Ok(owned),
        SlotState::Importing => match word.held {
            Some(held)
                if row.is_of(held.move_id, held.attempt)
                    && held.target == me
                    && held.phase.has_flipped()
                    && row.epoch < word.epoch =>
            {
                Ok(owned)
            }
            _ => Err(Refused::State(row.state)),
        },
        // The first placement, or a shard that is told of its slots for the first time.
        SlotState::Empty if word.held.is_none_or(|held| held.source == me) => Ok(owned),
        _ => Err(Refused::NeverImported),
    }
}

fn hear_others(row: SlotRow, me: ShardId, word: &Word) -> Result<SlotRow, Refused> {
    match (row.state, word.held) {
        (SlotState::Frozen, Some(held))
            if row.epoch < word.epoch
                && row.is_of(held.move_id, held.attempt)
                && matches!(held.phase, Phase::Flipped | Phase::Following) =>
        {
            Ok(SlotRow { state: SlotState::Following, epoch: word.epoch, ..row })
        }
        (SlotState::Frozen, _) if row.epoch < word.epoch => {
            Ok(SlotRow { state: SlotState::Moved, epoch: word.epoch, ..row })
        }
        // Taken away without a freeze: what is here may be nowhere else, so nothing may delete it.
        (SlotState::Owned, _) if row.epoch < word.epoch => {
            Ok(SlotRow { state: SlotState::Quarantined, epoch: word.epoch, ..row })
        }
        // A target keeps what it has as long as its attempt may still flip: the proof that nothing is
        // missing may be on its way to the coordinator.
        (SlotState::Quarantined, Some(held))
            if (row.move_id, row.attempt) <= (held.move_id, held.attempt)
                && (held.source == me || held.target == me && held.phase == Phase::Aborting) =>
        {
            Ok(of(held, SlotState::Moved, word.epoch))
        }
        (state @ (SlotState::Owned | SlotState::Frozen), _) => Err(Refused::State(state)),
        _ => Ok(row),
    }
}

fn of(held: Held, state: SlotState, epoch: Epoch) -> SlotRow {
    SlotRow { state, epoch, move_id: held.move_id, attempt: held.attempt }
}
