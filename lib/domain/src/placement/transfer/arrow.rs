//! A step of a move in the catalog: one compare-and-set of the move's row and of all its slots.

use super::{AbortReason, Attempt, Held, Move, MoveId, MovingSlot, Phase, Proof, Terms, Word};
use crate::id::ShardId;
use crate::slot::{Epoch, Slot};
use thiserror::Error;

/// From what the coordinator read to what is to stand there. Carried out in one transaction that
/// checks the leader's term, the move's phase and attempt, and every slot, then writes all of them
/// and a journal row.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Arrow {
    pub move_id: MoveId,
    /// What must stand there.
    pub from: Phase,
    pub attempt: Attempt,
    pub to: Phase,
    /// Given with `to` = Aborting.
    pub reason: Option<AbortReason>,
    /// Given with `to` = Flipped.
    pub proof: Option<Proof>,
}

/// What an arrow does to each slot of its move.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SlotEffect {
    Keep,
    /// The target is the owner, at e0 + 1.
    Flip,
    /// The source stays the owner, at e0 + 1.
    Renew,
    /// No move holds it any more.
    Release,
}

/// A slot in the catalog.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Entry {
    pub owner: ShardId,
    pub epoch: Epoch,
    pub held_by: Option<MoveId>,
}

impl Entry {
    /// What a shard is told of it. `holder` is the move that holds it.
    pub fn word(&self, holder: Option<&Move>) -> Word {
        let held = holder.filter(|holder| Some(holder.id) == self.held_by).map(|holder| Held {
            move_id: holder.id,
            attempt: holder.attempt,
            phase: holder.phase,
            source: holder.source,
            target: holder.target,
        });
        Word { owner: self.owner, epoch: self.epoch, held }
    }
}

/// The catalog is not as the arrow expects: somebody else was faster. Nothing is changed; look again.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum NotAsExpected {
    #[error("a move does not go from {} to {}", from.name(), to.name())]
    Illegal { from: Phase, to: Phase },
    #[error("move {move_id} is {} in attempt {attempt}", phase.name())]
    Moved { move_id: MoveId, phase: Phase, attempt: Attempt },
    #[error("slot {slot} belongs to shard {owner} at epoch {epoch}")]
    Slot { slot: Slot, owner: ShardId, epoch: Epoch },
    #[error("slot {slot} is held by another move")]
    Held { slot: Slot },
    /// What was reported of them before is no proof any more.
    #[error("the copy of move {move_id} has to be compared again: the shards have writers with the terms {} and {}", newest.source, newest.target)]
    NotProven { move_id: MoveId, newest: Terms },
}

impl Arrow {
    pub fn effect(&self) -> SlotEffect {
        match (self.from, self.to) {
            (Phase::Frozen, Phase::Flipped) => SlotEffect::Flip,
            (_, Phase::Aborting) => SlotEffect::Renew,
            (Phase::Cleaning, Phase::Done) | (Phase::Aborting, Phase::Aborted) => {
                SlotEffect::Release
            }
            _ => SlotEffect::Keep,
        }
    }

    /// Whether what the arrow rests on was found by the present writers of both shards. `newest`: the
    /// terms that the catalog gave last; they do not change until the arrow is taken.
    pub fn check_proof(&self, newest: Terms) -> Result<(), NotAsExpected> {
        if self.effect() != SlotEffect::Flip {
            return Ok(());
        }
        let under = self.proof.map(|Proof { source, target }| (source.term, target.term));
        if under == Some((newest.source, newest.target)) {
            return Ok(());
        }
        Err(NotAsExpected::NotProven { move_id: self.move_id, newest })
    }

    /// The move after this arrow.
    pub fn step(&self, present: &Move) -> Result<Move, NotAsExpected> {
        let as_read = (present.id, present.phase, present.attempt);
        if as_read != (self.move_id, self.from, self.attempt) {
            let (move_id, phase, attempt) = as_read;
            return Err(NotAsExpected::Moved { move_id, phase, attempt });
        }
        if !self.from.may_become(self.to) {
            return Err(NotAsExpected::Illegal { from: self.from, to: self.to });
        }
        let mut next = Move { phase: self.to, ..present.clone() };
        if self.to == Phase::Aborting {
            next.aborted = self.reason;
        }
        if self.to == Phase::Planned {
            next.attempt = present.attempt.next();
            for moving in &mut next.slots {
                moving.epoch = moving.epoch.next();
            }
        }
        Ok(next)
    }

    /// One of the move's slots after this arrow; `present` is the move before it.
    pub fn slot(
        &self,
        present: &Move,
        moving: &MovingSlot,
        entry: &Entry,
    ) -> Result<Entry, NotAsExpected> {
        if entry.held_by != Some(present.id) {
            return Err(NotAsExpected::Held { slot: moving.slot });
        }
        let of_source = entry.owner == present.source && entry.epoch == moving.epoch;
        let wrong =
            NotAsExpected::Slot { slot: moving.slot, owner: entry.owner, epoch: entry.epoch };
        let next = moving.epoch.next();
        match self.effect() {
            SlotEffect::Keep => Ok(*entry),
            SlotEffect::Release => Ok(Entry { held_by: None, ..*entry }),
            SlotEffect::Flip | SlotEffect::Renew if !of_source => Err(wrong),
            SlotEffect::Flip => Ok(Entry { owner: present.target, epoch: next, ..*entry }),
            SlotEffect::Renew => Ok(Entry { epoch: next, ..*entry }),
        }
    }
}
