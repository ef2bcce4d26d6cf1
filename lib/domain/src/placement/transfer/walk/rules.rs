//! The rules as the walk calls them: the real ones, or with one of them broken on purpose.

use super::super::{
    Arrow, Attempt, MoveId, Order, Phase, Refused, SlotRow, SlotState, Task, Word, hear,
    may_import, may_purge, obey, regrant,
};
use super::world::{Leg, World};
use crate::id::ShardId;
use crate::slot::Epoch;

/// A rule left out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Planted {
    /// A target that is settled begins to serve before the catalog says so.
    GrantBeforeFlip,
    /// A source that is frozen for long begins to write again by itself.
    ThawByTimeout,
    AbortAtTheSameEpoch,
    /// An abort succeeds although the move has flipped.
    AbortAfterFlip,
    /// A target's rows are written by whatever attempt reads for it.
    ImportOfAnyAttempt,
    /// Late copying goes on after the attempt was discarded.
    ImportAfterDiscard,
    PurgeOfAnyMove,
    FlipBeforeSettled,
    /// Equal counts as settled although the source is not frozen yet.
    SettleUnfrozen,
    FreezeAtAnyEpoch,
    /// A discarded attempt may begin again.
    BurntBeginsAgain,
    /// A catalog write does not check who leads.
    OldLeaderWrites,
    /// A quarantined row takes an answer to a question asked before.
    QuarantineHearsOldWords,
    /// A quarantined source is granted again without regard to a freeze.
    QuarantineForgetsFreeze,
    /// A flip rests on what was found under whatever writers.
    FlipOfAnyTerm,
    /// A writer that begins on a copy serves by its rows, and hears later.
    CopyServesByItself,
    /// A copy is granted again without regard to what it lacks.
    CopyCountsAsComplete,
}

#[derive(Clone, Copy)]
pub(super) struct Rules(pub(super) Option<Planted>);

impl Rules {
    pub(super) fn broken(self, planted: Planted) -> bool {
        self.0 == Some(planted)
    }

    /// Whether the rule is judged by what becomes of the data, not by the step that breaks it or by a
    /// move that does not end.
    pub(super) fn by_consequence(self) -> bool {
        matches!(
            self.0,
            Some(
                Planted::ThawByTimeout
                    | Planted::PurgeOfAnyMove
                    | Planted::FlipBeforeSettled
                    | Planted::SettleUnfrozen
                    | Planted::QuarantineHearsOldWords
                    | Planted::QuarantineForgetsFreeze
                    | Planted::FlipOfAnyTerm
                    | Planted::CopyServesByItself
                    | Planted::CopyCountsAsComplete
            )
        )
    }

    pub(super) fn obey(self, row: SlotRow, seen: u64, order: &Order) -> Result<SlotRow, Refused> {
        let mut order = *order;
        if self.broken(Planted::FreezeAtAnyEpoch) && order.task == Task::Freeze {
            order.epoch = row.epoch;
        }
        let burnt = row.state == SlotState::Empty && row.is_of(order.move_id, order.attempt);
        if self.broken(Planted::BurntBeginsAgain) && burnt && order.task == Task::Copy {
            return Ok(SlotRow { state: SlotState::Importing, ..row });
        }
        obey(row, seen, &order)
    }

    pub(super) fn hear(self, row: SlotRow, me: ShardId, word: &Word) -> Result<SlotRow, Refused> {
        let mut word = *word;
        if self.broken(Planted::QuarantineForgetsFreeze)
            && let Some(held) = &mut word.held
            && held.phase == Phase::Frozen
        {
            held.phase = Phase::Copying;
        }
        hear(row, me, &word)
    }

    pub(super) fn regrant(
        self,
        row: SlotRow,
        me: ShardId,
        word: &Word,
        complete: bool,
    ) -> Result<SlotRow, Refused> {
        regrant(row, me, word, complete || self.broken(Planted::CopyCountsAsComplete))
    }

    pub(super) fn may_import(self, row: &SlotRow, move_id: MoveId, attempt: Attempt) -> bool {
        if self.broken(Planted::ImportOfAnyAttempt) {
            return may_import(row, row.move_id, row.attempt);
        }
        if self.broken(Planted::ImportAfterDiscard) {
            return row.is_of(move_id, attempt);
        }
        may_import(row, move_id, attempt)
    }

    pub(super) fn may_purge(self, row: &SlotRow, order: &Order) -> bool {
        if self.broken(Planted::PurgeOfAnyMove) {
            return !matches!(row.state, SlotState::Owned | SlotState::Frozen | SlotState::Empty);
        }
        may_purge(row, order.move_id, order.attempt, order.epoch)
    }

    /// The catalog after an arrow, if it is as the arrow expects.
    pub(super) fn change(self, world: &World, leg: usize, arrow: &Arrow) -> Option<World> {
        let mut next = world.clone();
        if self.broken(Planted::AbortAfterFlip)
            && arrow.to == Phase::Aborting
            && let Some(late) = &mut next.legs[leg]
            && late.phase == Phase::Flipped
        {
            late.phase = Phase::Aborting;
            next.entry.owner = super::world::shard(late.source);
            next.entry.epoch = next.entry.epoch.next();
            return Some(next);
        }
        next.change(leg, arrow, !self.broken(Planted::FlipOfAnyTerm)).ok()?;
        if self.broken(Planted::AbortAtTheSameEpoch) && arrow.to == Phase::Aborting {
            next.entry.epoch = Epoch(next.entry.epoch.0 - 1);
            next.legs[leg] = next.legs[leg].map(|leg| Leg { renews: false, ..leg });
        }
        Some(next)
    }
}
