//! A shard's durable row for a slot: what it may do with the slot, as of which epoch and which move.

use super::{Attempt, MoveId};
use crate::slot::Epoch;
use thiserror::Error;

/// Stored as its number: never renumber.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum SlotState {
    Owned = 1,
    /// Ours, but nothing is written any more at this epoch. Only the catalog's word ends it.
    Frozen = 2,
    /// Not ours: what is left here may be deleted by the move in the row.
    Moved = 3,
    /// Held until the catalog grants it again.
    Quarantined = 4,
    /// Not ours yet: the attempt in the row copies into it.
    Importing = 5,
    /// Given away by the move in the row, and kept like the owner's.
    Following = 6,
    /// Nothing of it is here. The row only remembers the epoch and the last move.
    Empty = 7,
}

impl SlotState {
    pub const ALL: [SlotState; 7] = [
        SlotState::Owned,
        SlotState::Frozen,
        SlotState::Moved,
        SlotState::Quarantined,
        SlotState::Importing,
        SlotState::Following,
        SlotState::Empty,
    ];

    pub fn from_number(number: u8) -> Option<SlotState> {
        SlotState::ALL.into_iter().find(|state| *state as u8 == number)
    }

    pub fn name(self) -> &'static str {
        match self {
            SlotState::Owned => "owned",
            SlotState::Frozen => "frozen",
            SlotState::Moved => "moved",
            SlotState::Quarantined => "quarantined",
            SlotState::Importing => "importing",
            SlotState::Following => "following",
            SlotState::Empty => "empty",
        }
    }
}

/// Invariants, kept by the rules: neither the epoch nor (move, attempt) ever goes down.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct SlotRow {
    pub state: SlotState,
    /// Of an owner (also frozen), the epoch it has the slot at; of the others, the newest they know.
    pub epoch: Epoch,
    /// The last move that touched it here.
    pub move_id: MoveId,
    pub attempt: Attempt,
}

impl SlotRow {
    /// The same as no row.
    pub const NONE: SlotRow = SlotRow {
        state: SlotState::Empty,
        epoch: Epoch(0),
        move_id: MoveId(0),
        attempt: Attempt(0),
    };

    /// Whether a write that carries `epoch` may be committed.
    pub fn accepts_writes(&self, epoch: Epoch) -> bool {
        self.state == SlotState::Owned && self.epoch == epoch
    }

    pub fn is_of(&self, move_id: MoveId, attempt: Attempt) -> bool {
        (self.move_id, self.attempt) == (move_id, attempt)
    }
}

/// Whether a transaction of this attempt may put rows into the slot: the target before the flip, the
/// old source after it. Checked in that transaction, under the row's lock.
pub fn may_import(row: &SlotRow, move_id: MoveId, attempt: Attempt) -> bool {
    matches!(row.state, SlotState::Importing | SlotState::Following) && row.is_of(move_id, attempt)
}

/// Whether a transaction of this attempt may delete the slot's rows. `epoch` is e0 of the attempt.
/// Checked in that transaction, under the row's lock.
pub fn may_purge(row: &SlotRow, move_id: MoveId, attempt: Attempt, epoch: Epoch) -> bool {
    row.state == SlotState::Moved && row.is_of(move_id, attempt) && row.epoch <= epoch.next()
}

/// The row once a purge found nothing left, in the transaction that found it.
pub fn emptied(
    row: SlotRow,
    move_id: MoveId,
    attempt: Attempt,
    epoch: Epoch,
) -> Result<SlotRow, Refused> {
    if row.state == SlotState::Empty && row.is_of(move_id, attempt) {
        return Ok(row);
    }
    if !may_purge(&row, move_id, attempt, epoch) {
        return Err(Refused::State(row.state));
    }
    Ok(SlotRow { state: SlotState::Empty, ..row })
}

/// The row on a database that may have lost its latest commits (another primary, a restore): nothing
/// is served, imported or deleted until the catalog, asked afterwards, says what it is.
pub fn quarantined(row: SlotRow) -> SlotRow {
    match row.state {
        SlotState::Empty => row,
        _ => SlotRow { state: SlotState::Quarantined, ..row },
    }
}

/// Why a row stays as it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Refused {
    #[error("a coordinator with term {seen} gave orders since")]
    OldTerm { seen: u64 },
    #[error("move {move_id}, attempt {attempt}, came since")]
    OldMove { move_id: MoveId, attempt: Attempt },
    #[error("the slot is at epoch {0} here")]
    OldEpoch(Epoch),
    /// The catalog knows more than this row: ask it, then look again.
    #[error("the slot is at epoch {0} here; the catalog has to be asked")]
    AskCatalog(Epoch),
    #[error("the slot is {} here", .0.name())]
    State(SlotState),
    /// Only a person can tell what happened.
    #[error("the catalog says that the slot is ours, and its data was never moved here")]
    NeverImported,
    /// Only a person can tell what happened.
    #[error("the catalog says that the slot is ours, and not all that was moved here is here")]
    Incomplete,
}
