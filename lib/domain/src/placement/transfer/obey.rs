//! What a shard makes of a coordinator's order: the slot's new row, or why not.
//!
//! Orders may be repeated, late, lost, or of a coordinator that no longer leads. No order makes a
//! shard the owner or lets it write again: only the catalog's word does (`hear`).

use super::{Attempt, MoveId, Refused, SlotRow, SlotState};
use crate::slot::Epoch;

/// What a shard is to do for a move. All of them may be ordered again and again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Task {
    /// Source: remember what changes from here on.
    Track,
    /// Source: the same, and slow down who writes, for the difference does not shrink.
    Slow,
    /// Target: copy, then keep up with the source.
    Copy,
    /// Target: keep up, and compare with the source.
    Verify,
    /// Target: keep what is there and read no more, until told otherwise.
    Hold,
    /// Source: close the gate, let the lane finish, then change the row under its lock.
    Freeze,
    /// Target: read the last difference of the frozen source, compare, and report it settled.
    Settle,
    /// Ask the catalog whose the slots are.
    Ask,
    /// Old source: keep up with the new owner.
    Follow,
    /// Old source: delete the copy.
    Purge,
    /// Target of an aborted move: never take part in this attempt again, delete the copy.
    Discard,
}

/// An order as it concerns one slot.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Order {
    /// Of the coordinator that gives it.
    pub term: u64,
    pub move_id: MoveId,
    pub attempt: Attempt,
    /// e0 of the slot in this attempt.
    pub epoch: Epoch,
    pub task: Task,
}

/// The slot's row after this order; the same row if there is nothing to write. `seen` is the highest
/// term any order came with, as far as this process remembers.
pub fn obey(row: SlotRow, seen: u64, order: &Order) -> Result<SlotRow, Refused> {
    if order.term < seen {
        return Err(Refused::OldTerm { seen });
    }
    if (order.move_id, order.attempt) < (row.move_id, row.attempt) {
        return Err(Refused::OldMove { move_id: row.move_id, attempt: row.attempt });
    }
    if row.state == SlotState::Quarantined {
        return Err(Refused::AskCatalog(row.epoch));
    }
    match order.task {
        Task::Track | Task::Slow => track(row, order),
        Task::Freeze => freeze(row, order),
        Task::Copy | Task::Verify | Task::Settle => import(row, order),
        Task::Follow => follow(row, order),
        Task::Purge => purge(row, order),
        Task::Discard => discard(row, order),
        Task::Hold | Task::Ask => Ok(row),
    }
}

fn of(order: &Order, state: SlotState, epoch: Epoch) -> SlotRow {
    SlotRow { state, epoch, move_id: order.move_id, attempt: order.attempt }
}

fn same_epoch(row: SlotRow, order: &Order) -> Result<(), Refused> {
    if row.epoch < order.epoch {
        return Err(Refused::AskCatalog(row.epoch));
    }
    if order.epoch < row.epoch {
        return Err(Refused::OldEpoch(row.epoch));
    }
    Ok(())
}

fn track(row: SlotRow, order: &Order) -> Result<SlotRow, Refused> {
    match row.state {
        SlotState::Owned => {
            same_epoch(row, order)?;
            Ok(of(order, SlotState::Owned, row.epoch))
        }
        SlotState::Frozen if row.is_of(order.move_id, order.attempt) => Ok(row),
        state => Err(Refused::State(state)),
    }
}

fn freeze(row: SlotRow, order: &Order) -> Result<SlotRow, Refused> {
    match row.state {
        SlotState::Owned => {
            same_epoch(row, order)?;
            Ok(of(order, SlotState::Frozen, row.epoch))
        }
        SlotState::Frozen if row.is_of(order.move_id, order.attempt) => Ok(row),
        // Frozen for an earlier attempt, whose abort was not heard of yet.
        SlotState::Frozen => Err(Refused::AskCatalog(row.epoch)),
        state => Err(Refused::State(state)),
    }
}

fn import(row: SlotRow, order: &Order) -> Result<SlotRow, Refused> {
    if order.epoch < row.epoch {
        return Err(Refused::OldEpoch(row.epoch));
    }
    let taken = of(order, SlotState::Importing, order.epoch);
    match row.state {
        // What an earlier attempt of the same move copied is still the source's.
        SlotState::Importing if row.move_id == order.move_id => Ok(taken),
        // Left over from a move that has ended, by a database that came back as a copy: it is deleted
        // before anything is copied.
        SlotState::Importing => Ok(of(order, SlotState::Moved, order.epoch)),
        // A reverse: what followed is the owner's.
        SlotState::Following if row.move_id < order.move_id => Ok(taken),
        // An attempt that was discarded stays so.
        SlotState::Empty if !row.is_of(order.move_id, order.attempt) => Ok(taken),
        state => Err(Refused::State(state)),
    }
}

fn follow(row: SlotRow, order: &Order) -> Result<SlotRow, Refused> {
    let mine = row.is_of(order.move_id, order.attempt);
    match row.state {
        SlotState::Frozen if mine => Ok(of(order, SlotState::Following, order.epoch.next())),
        SlotState::Following if mine => Ok(row),
        state => Err(Refused::State(state)),
    }
}

fn purge(row: SlotRow, order: &Order) -> Result<SlotRow, Refused> {
    let mine = row.is_of(order.move_id, order.attempt);
    match row.state {
        SlotState::Frozen | SlotState::Following | SlotState::Moved
            if mine && row.epoch <= order.epoch.next() =>
        {
            Ok(of(order, SlotState::Moved, order.epoch.next()))
        }
        SlotState::Empty if mine => Ok(row),
        state => Err(Refused::State(state)),
    }
}

fn discard(row: SlotRow, order: &Order) -> Result<SlotRow, Refused> {
    let epoch = row.epoch.max(order.epoch);
    match row.state {
        SlotState::Empty => Ok(of(order, SlotState::Empty, epoch)),
        SlotState::Importing => Ok(of(order, SlotState::Moved, epoch)),
        // The target of a reverse that never began; or what a quarantine left.
        SlotState::Following | SlotState::Moved if row.epoch <= order.epoch.next() => {
            Ok(of(order, SlotState::Moved, epoch))
        }
        state => Err(Refused::State(state)),
    }
}
