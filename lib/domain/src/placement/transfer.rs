//! The move of slots from one shard to another, as rules: which phases there are, what the
//! coordinator does next, what a shard makes of an order and of what the catalog says.
//!
//! The only point of no return is the catalog's arrow FROZEN -> FLIPPED. Before it the source has
//! durably stopped writing at the old epoch; only after it the target may begin, at the next one. An
//! abort is a competing arrow of the same catalog row and takes the next epoch too, so whatever is
//! still under way for the old epoch is refused. Every order may be repeated, late or lost.

mod arrow;
mod decide;
mod hear;
mod mark;
mod obey;
mod phase;
mod report;
mod row;
#[cfg(test)]
mod tests;
#[cfg(test)]
mod walk;

pub use arrow::{Arrow, Entry, NotAsExpected, SlotEffect};
pub use decide::{Blocked, CLOSE_ROUNDS, Checks, Decision, Facts, decide};
pub use hear::{Held, Word, hear, regrant};
pub use mark::{Mark, Proof, Terms};
pub use obey::{Order, Task, obey};
pub use phase::Phase;
pub use report::{Progress, Report, Standing, is_close, standing};
pub use row::{Refused, SlotRow, SlotState, emptied, may_import, may_purge, quarantined};

use crate::id::ShardId;
use crate::slot::{Epoch, Slot};
use std::fmt;
use std::time::Duration;
use thiserror::Error;

/// Of one move. The catalog gives them out in the order in which moves take their slots (under the
/// lock that protects the slots), so a shard knows the later of two moves of a slot by its number.
/// 0 is no move.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct MoveId(pub u64);

impl fmt::Display for MoveId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Counts the tries of one move from 1. 0 is no attempt.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default)]
pub struct Attempt(pub u32);

impl Attempt {
    pub const FIRST: Attempt = Attempt(1);

    pub fn next(self) -> Attempt {
        Attempt(self.0 + 1)
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Stored as its number: never renumber.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Kind {
    Normal = 1,
    /// Back to the shard that follows: nothing to copy.
    Reverse = 2,
}

impl Kind {
    pub fn from_number(number: u8) -> Option<Kind> {
        [Kind::Normal, Kind::Reverse].into_iter().find(|kind| *kind as u8 == number)
    }

    pub fn name(self) -> &'static str {
        match self {
            Kind::Normal => "normal",
            Kind::Reverse => "reverse",
        }
    }
}

/// What an operator wants of a move; the latest wish counts. Stored as its number: never renumber.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[repr(u8)]
pub enum Wish {
    Proceed = 1,
    /// Nothing more is copied or cleaned. A frozen slot is not left frozen: it goes on or aborts.
    Pause = 2,
    Abort = 3,
    /// Do not wait for the end of the window.
    Finish = 4,
    /// Back to the source: an abort before the flip, a reverse after it.
    Reverse = 5,
}

impl Wish {
    pub fn from_number(number: u8) -> Option<Wish> {
        use Wish::{Abort, Finish, Pause, Proceed, Reverse};
        [Proceed, Pause, Abort, Finish, Reverse].into_iter().find(|wish| *wish as u8 == number)
    }

    pub fn name(self) -> &'static str {
        match self {
            Wish::Proceed => "proceed",
            Wish::Pause => "pause",
            Wish::Abort => "abort",
            Wish::Finish => "finish",
            Wish::Reverse => "reverse",
        }
    }
}

/// Why an attempt was given up. Stored as its number: never renumber.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum AbortReason {
    Operator = 1,
    /// The checks before the start failed.
    Unfit = 2,
    /// Writes had waited as long as they may. It is tried again.
    FrozenTooLong = 3,
    /// What was copied is not what the source has: a person must look.
    Mismatch = 4,
    /// The target no longer holds the copy, or cannot take one.
    CopyLost = 5,
}

impl AbortReason {
    pub fn from_number(number: u8) -> Option<AbortReason> {
        use AbortReason::{CopyLost, FrozenTooLong, Mismatch, Operator, Unfit};
        [Operator, Unfit, FrozenTooLong, Mismatch, CopyLost]
            .into_iter()
            .find(|reason| *reason as u8 == number)
    }

    pub fn name(self) -> &'static str {
        match self {
            AbortReason::Operator => "operator",
            AbortReason::Unfit => "unfit",
            AbortReason::FrozenTooLong => "frozen_too_long",
            AbortReason::Mismatch => "mismatch",
            AbortReason::CopyLost => "copy_lost",
        }
    }

    /// Whether the same may go well a little later.
    pub fn passes(self) -> bool {
        self == AbortReason::FrozenTooLong
    }
}

/// A slot of a move, and the epoch its source has it at in this attempt (e0). The flip, and an abort,
/// make it the next one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct MovingSlot {
    pub slot: Slot,
    pub epoch: Epoch,
}

/// A move as the catalog has it: all its slots go from one shard to one other, and take every arrow
/// together.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Move {
    pub id: MoveId,
    pub kind: Kind,
    pub source: ShardId,
    pub target: ShardId,
    pub phase: Phase,
    pub attempt: Attempt,
    /// By slot; not empty.
    pub slots: Vec<MovingSlot>,
    /// For how long after the flip the source follows, so that the move can be reversed.
    pub window: Duration,
    pub wish: Wish,
    /// Of the latest attempt that was given up.
    pub aborted: Option<AbortReason>,
}

impl Move {
    /// A move back to the shard that follows, beginning where there is nothing to copy. The same
    /// transaction ends `self`; the slots are handed from one to the other.
    pub fn reversed(&self, id: MoveId) -> Move {
        let next = |moving: &MovingSlot| MovingSlot { epoch: moving.epoch.next(), ..*moving };
        Move {
            id,
            kind: Kind::Reverse,
            source: self.target,
            target: self.source,
            phase: Phase::CatchingUp,
            attempt: Attempt::FIRST,
            slots: self.slots.iter().map(next).collect(),
            window: self.window,
            wish: Wish::Proceed,
            aborted: None,
        }
    }

    /// Whether an operator may wish this now.
    pub fn may_wish(&self, wish: Wish) -> Result<(), WishError> {
        match wish {
            _ if self.phase.is_end() => Err(WishError::Ended { phase: self.phase }),
            Wish::Abort
                if !self.phase.may_become(Phase::Aborting) && self.phase != Phase::Aborting =>
            {
                Err(WishError::TooLateToAbort { phase: self.phase })
            }
            Wish::Reverse if self.phase == Phase::Cleaning => Err(WishError::TooLateToReverse),
            _ => Ok(()),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum WishError {
    #[error("the move has ended: {}", phase.name())]
    Ended { phase: Phase },
    #[error("the move is {}: the slots have flipped; reverse it instead", phase.name())]
    TooLateToAbort { phase: Phase },
    #[error("the old copy is being deleted; move the slots back with a new move")]
    TooLateToReverse,
}

/// How slots that are held by a move can be moved elsewhere.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    /// Wish `Reverse` on the move that holds them.
    Reverse(MoveId),
    /// Wish `Finish` on it, and plan again when it is done.
    FinishFirst(MoveId),
    /// It is under way.
    Busy(MoveId),
}

/// What a new move to `target` means for slots that `holder` holds. (Slots that nothing holds begin
/// at once.)
pub fn begin(holder: &Move, target: ShardId) -> Begin {
    match holder.phase {
        Phase::Following if target == holder.source => Begin::Reverse(holder.id),
        Phase::Following => Begin::FinishFirst(holder.id),
        _ => Begin::Busy(holder.id),
    }
}
