//! Slot rows: what this shard has to do with a slot. Rules for changing one, and for who may write into a
//! slot that is on its way; pure, the same for every kind of database.

use shardline_daemon::sabotage::is_planted;
use std::collections::HashMap;

/// Guarded by the row of the slot's lane: read under a share lock of that row, changed under an
/// exclusive one. Kept for ever, so that an epoch is never forgotten.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotRow {
    pub slot: u16,
    pub state: SlotState,
    pub epoch: u64,
    /// The move that brought the slot here, takes it away or may fill it; 0: none.
    pub move_id: u64,
    /// Which try of that move; a transaction of an earlier one is refused.
    pub attempt: u32,
    /// The highest term of a coordinator that changed this row; a lower one is refused.
    pub leader_term: u64,
}

impl SlotRow {
    /// The same as no row.
    pub fn none(slot: u16) -> SlotRow {
        SlotRow::unmoved(slot, SlotState::Empty, 0)
    }

    /// A slot that no move has touched.
    pub fn unmoved(slot: u16, state: SlotState, epoch: u64) -> SlotRow {
        SlotRow { slot, state, epoch, move_id: 0, attempt: 0, leader_term: 0 }
    }

    /// What a change is compared by: all but the leader's term.
    fn key(&self) -> (u16, SlotState, u64, u64, u32) {
        (self.slot, self.state, self.epoch, self.move_id, self.attempt)
    }
}

/// Stored as its number: never renumber.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum SlotState {
    Owned = 1,
    Frozen = 2,
    /// Not ours: what is left here may be deleted by the move in the row.
    Moved = 3,
    /// Held until the catalog grants it again.
    Quarantined = 4,
    /// Not ours yet: the attempt in the row copies into it.
    Importing = 5,
    /// Given away by the move in the row, and kept like the owner's.
    Following = 6,
    /// Nothing of it is here; the row only remembers the epoch and the last move.
    Empty = 7,
}

impl SlotState {
    pub fn from_number(number: u8) -> Option<SlotState> {
        use SlotState::{Empty, Following, Frozen, Importing, Moved, Owned, Quarantined};
        [Owned, Frozen, Moved, Quarantined, Importing, Following, Empty]
            .into_iter()
            .find(|state| *state as u8 == number)
    }
}

/// A compare-and-set of one slot row.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotChange {
    /// What must stand there (state, epoch, move, attempt).
    pub from: SlotRow,
    pub to: SlotRow,
}

/// What became of several changes: all of them, or none.
#[must_use]
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SlotsPut {
    /// Every row stands as asked, now or since an earlier call.
    Done,
    /// Nothing was changed: these rows stand otherwise.
    InTheWay(Vec<SlotRow>),
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum ChangeVerdict {
    Write,
    /// It was done before: its answer was lost.
    Done,
    InTheWay,
}

impl SlotChange {
    pub(super) fn judge(&self, stands: SlotRow) -> ChangeVerdict {
        let SlotChange { from, to } = self;
        if stands == *to {
            return ChangeVerdict::Done;
        }
        let newer_term = to.leader_term < stands.leader_term;
        let newer_move = (to.move_id, to.attempt) < (stands.move_id, stands.attempt);
        if newer_term || newer_move || to.epoch < stands.epoch {
            return ChangeVerdict::InTheWay;
        }
        if stands.key() == from.key() || stands.key() == to.key() {
            ChangeVerdict::Write
        } else {
            ChangeVerdict::InTheWay
        }
    }
}

/// Which rows are to be written, or what stands in the way. `stands`: the rows of these slots, as far as
/// there are any.
pub(super) fn judge_all(
    changes: &[SlotChange],
    stands: &[SlotRow],
) -> Result<Vec<SlotRow>, SlotsPut> {
    let stands: HashMap<u16, SlotRow> = stands.iter().map(|row| (row.slot, *row)).collect();
    let (mut writes, mut in_the_way) = (Vec::new(), Vec::new());
    for change in changes {
        let slot = change.to.slot;
        let stands = stands.get(&slot).copied().unwrap_or(SlotRow::none(slot));
        match change.judge(stands) {
            ChangeVerdict::Write => writes.push(change.to),
            ChangeVerdict::Done => {}
            ChangeVerdict::InTheWay => in_the_way.push(stands),
        }
    }
    if in_the_way.is_empty() { Ok(writes) } else { Err(SlotsPut::InTheWay(in_the_way)) }
}

/// Under which a move writes into a slot: what its row must say when the transaction commits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct MoveFence {
    pub slot: u16,
    pub move_id: u64,
    pub attempt: u32,
}

/// A slot to be emptied.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Purge {
    pub fence: MoveFence,
    /// The slot's at the beginning of the attempt.
    pub epoch: u64,
}

impl MoveFence {
    /// Rows may come in: the slot is being filled, or follows, for this try of this move.
    pub(super) fn may_import(&self, stands: Option<SlotRow>) -> bool {
        let filled =
            |row: &SlotRow| matches!(row.state, SlotState::Importing | SlotState::Following);
        stands.is_some_and(|row| filled(&row) && self.is_of(&row))
    }

    fn is_of(&self, row: &SlotRow) -> bool {
        let attempt = if is_planted("writes-of-any-attempt") { row.attempt } else { self.attempt };
        (row.slot, row.move_id, row.attempt) == (self.slot, self.move_id, attempt)
    }
}

impl Purge {
    /// The row once nothing is left of the slot; None: nothing of it may be deleted. Allowed where the
    /// slot is not ours any more, at no later epoch than the one after the attempt's first. What was
    /// emptied before stays so.
    fn emptied(&self, stands: Option<SlotRow>) -> Option<SlotRow> {
        let row = stands.filter(|row| self.fence.is_of(row))?;
        match row.state {
            SlotState::Empty => Some(row),
            SlotState::Moved if row.epoch <= self.epoch.saturating_add(1) => {
                Some(SlotRow { state: SlotState::Empty, ..row })
            }
            _ => None,
        }
    }
}

/// The rows of these slots once nothing is left of them, each with whether it says so already; or the
/// row because of which nothing may be deleted. `stands`: their rows.
pub(super) fn all_emptied(
    purges: &[Purge],
    stands: &[SlotRow],
) -> Result<Vec<(SlotRow, bool)>, Option<SlotRow>> {
    let judge = |purge: &Purge| {
        let stands = stands.iter().find(|row| row.slot == purge.fence.slot).copied();
        let emptied = purge.emptied(stands).ok_or(stands)?;
        Ok((emptied, stands == Some(emptied)))
    };
    purges.iter().map(judge).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATES: [SlotState; 7] = [
        SlotState::Owned,
        SlotState::Frozen,
        SlotState::Moved,
        SlotState::Quarantined,
        SlotState::Importing,
        SlotState::Following,
        SlotState::Empty,
    ];

    fn row(state: SlotState, epoch: u64, move_id: u64, attempt: u32) -> SlotRow {
        SlotRow { slot: 7, state, epoch, move_id, attempt, leader_term: 4 }
    }

    #[test]
    fn states_keep_their_numbers() {
        for (number, state) in (1..).zip(STATES) {
            assert_eq!(SlotState::from_number(number), Some(state));
        }
        assert_eq!(SlotState::from_number(0), None);
        assert_eq!(SlotState::from_number(8), None);
    }

    #[test]
    fn a_row_changes_only_from_what_was_expected() {
        let (from, to) = (row(SlotState::Owned, 5, 3, 1), row(SlotState::Frozen, 5, 9, 1));
        let change = SlotChange { from, to };
        assert_eq!(change.judge(from), ChangeVerdict::Write);
        assert_eq!(change.judge(to), ChangeVerdict::Done);
        for other in [
            row(SlotState::Quarantined, 5, 3, 1),
            row(SlotState::Owned, 4, 3, 1),
            row(SlotState::Owned, 5, 2, 1),
            row(SlotState::Owned, 5, 3, 2),
            row(SlotState::Frozen, 5, 9, 2),
            SlotRow::none(7),
        ] {
            assert_eq!(change.judge(other), ChangeVerdict::InTheWay, "{other:?}");
        }
        let first = SlotChange { from: SlotRow::none(7), to };
        assert_eq!(first.judge(SlotRow::none(7)), ChangeVerdict::Write);
        assert_eq!(first.judge(from), ChangeVerdict::InTheWay);
    }

    #[test]
    fn an_epoch_a_move_and_a_leaders_term_never_go_down() {
        let from = row(SlotState::Owned, 5, 3, 2);
        for to in [
            row(SlotState::Owned, 4, 3, 2),
            row(SlotState::Frozen, 5, 2, 9),
            row(SlotState::Frozen, 5, 3, 1),
            SlotRow { leader_term: 3, ..row(SlotState::Frozen, 5, 3, 2) },
        ] {
            assert_eq!(SlotChange { from, to }.judge(from), ChangeVerdict::InTheWay, "{to:?}");
        }
        let to = row(SlotState::Frozen, 6, 9, 1);
        let old = SlotChange { from, to: SlotRow { leader_term: 3, ..to } };
        assert_eq!(old.judge(to), ChangeVerdict::InTheWay);
        // Done by the leader before; the newer term is noted.
        let new = SlotChange { from, to: SlotRow { leader_term: 5, ..to } };
        assert_eq!(new.judge(to), ChangeVerdict::Write);
    }

    #[test]
    fn who_may_fill_and_who_may_delete_never_meet() {
        let fence = MoveFence { slot: 7, move_id: 9, attempt: 2 };
        for state in STATES {
            let stands = Some(row(state, 5, 9, 2));
            let fills = matches!(state, SlotState::Importing | SlotState::Following);
            let deletes = matches!(state, SlotState::Moved | SlotState::Empty);
            assert_eq!(fence.may_import(stands), fills, "{state:?}");
            let purge = |epoch| Purge { fence, epoch };
            let emptied = purge(4).emptied(stands);
            assert_eq!(emptied, deletes.then_some(row(SlotState::Empty, 5, 9, 2)));
            for other in [row(state, 5, 9, 1), row(state, 5, 9, 3), row(state, 5, 8, 2)] {
                assert!(!fence.may_import(Some(other)));
                assert_eq!(purge(5).emptied(Some(other)), None);
            }
        }
        // The slot went on since: another epoch than the attempt's.
        let later = row(SlotState::Moved, 6, 9, 2);
        assert_eq!(Purge { fence, epoch: 4 }.emptied(Some(later)), None);
        assert!(!fence.may_import(None));
        assert_eq!(Purge { fence, epoch: 5 }.emptied(None), None);
    }

    #[test]
    fn slots_are_emptied_all_or_none() {
        let of = |slot| Purge { fence: MoveFence { slot, move_id: 9, attempt: 2 }, epoch: 4 };
        let stands = |slot, state| SlotRow { slot, ..row(state, 5, 9, 2) };
        let (moved, empty) = (stands(7, SlotState::Moved), stands(8, SlotState::Empty));
        let emptied = SlotRow { state: SlotState::Empty, ..moved };
        let both = all_emptied(&[of(7), of(8)], &[moved, empty]);
        assert_eq!(both, Ok(vec![(emptied, false), (empty, true)]));
        let owned = stands(8, SlotState::Owned);
        assert_eq!(all_emptied(&[of(7), of(8)], &[moved, owned]), Err(Some(owned)));
        assert_eq!(all_emptied(&[of(7), of(8)], &[moved]), Err(None));
    }
}
