//! What a shard says of its part in a move, and how its rows add up to it.

use super::{Attempt, MoveId, Proof, SlotRow, SlotState};
use crate::limits::{MOVE_CLOSE_ENTITIES_MAX, MOVE_ROUND_TIME_MAX};
use crate::slot::Epoch;
use std::time::Duration;

/// What all slot rows of a move have in common on one shard.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Standing {
    /// Not (or not all of them) at anything below.
    Other,
    /// Source: owned at e0, and this attempt is known.
    Tracking,
    /// Source: this attempt stopped the writes of e0.
    Frozen,
    /// Owned at an epoch after e0: of a source, after an abort; of a target, after the flip.
    OwnedAnew,
    /// Target: this attempt may copy.
    Importing,
    /// Old source: it keeps up with the new owner.
    Following,
    /// Not owned, and what is left has to be deleted first.
    Moved,
    /// Nothing is left, and this attempt will not begin again.
    Empty,
    Quarantined,
}

/// The standing of a shard in an attempt, from its rows, each with the slot's e0 in this attempt.
pub fn standing(
    rows: impl IntoIterator<Item = (SlotRow, Epoch)>,
    move_id: MoveId,
    attempt: Attempt,
) -> Standing {
    let mut all = rows.into_iter().map(|(row, epoch)| of_row(&row, epoch, move_id, attempt));
    let Some(first) = all.next() else { return Standing::Other };
    if all.all(|other| other == first) { first } else { Standing::Other }
}

fn of_row(row: &SlotRow, epoch: Epoch, move_id: MoveId, attempt: Attempt) -> Standing {
    let mine = row.is_of(move_id, attempt);
    match row.state {
        SlotState::Owned if epoch < row.epoch => Standing::OwnedAnew,
        SlotState::Owned if mine && row.epoch == epoch => Standing::Tracking,
        SlotState::Frozen if mine && row.epoch == epoch => Standing::Frozen,
        SlotState::Importing if mine => Standing::Importing,
        SlotState::Following if mine => Standing::Following,
        SlotState::Moved => Standing::Moved,
        SlotState::Empty if mine => Standing::Empty,
        SlotState::Quarantined => Standing::Quarantined,
        _ => Standing::Other,
    }
}

/// A shard's answer to an order, or to the question how it stands.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Report {
    pub move_id: MoveId,
    pub attempt: Attempt,
    pub standing: Standing,
    /// Of the source: everything it committed up to the freeze is on the bus.
    pub relayed: bool,
    /// Of the target.
    pub progress: Progress,
}

/// How far a target's copy is. What is remembered only in the process begins anew after a restart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct Progress {
    /// Everything was read once.
    pub copied: bool,
    /// Rounds in a row, the latest included, that were close to the source (`is_close`).
    pub close_rounds: u32,
    /// Rounds in a row in which the difference did not shrink.
    pub stalled_rounds: u32,
    /// All entities were compared, each when both sides had the same ver.
    pub verified: bool,
    /// An entity differed also after it was copied again.
    pub mismatched: bool,
    /// A round that began after the source's row was seen frozen by this attempt found, read back,
    /// both sides equal. It stays true while neither shard has another writer: neither side is written
    /// any more.
    pub settled: Option<Proof>,
}

/// Whether a round of catching up was so small that the last difference fits into the pause.
pub fn is_close(entities: u64, took: Duration) -> bool {
    entities <= MOVE_CLOSE_ENTITIES_MAX && took <= MOVE_ROUND_TIME_MAX
}
