//! Moves in the catalog: what is kept of each, and the atomic steps that change it.
//!
//! A slot is held by at most one move, from the step that makes the move to the one that ends it (or
//! hands its slots to the move that reverses it). Every step of a coordinator carries its term.
//! Rows are locked in the catalog's order: leader, the slots' counter, shards, slots, holds, the move.

use super::{CatalogError, SlotRow};
use async_trait::async_trait;
use shardline_domain::id::ShardId;
use shardline_domain::placement::pace::Copied;
use shardline_domain::placement::transfer::{
    AbortReason, Arrow, Attempt, Entry, Held, Kind, Move, MoveId, MovingSlot, NotAsExpected, Phase,
    SlotEffect, Terms, Wish,
};
use shardline_domain::slot::{Epoch, Slot};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Each method is one atomic step. After `Unavailable` it may or may not have happened: a repeated
/// step finds what the first one left, and changes nothing twice.
#[async_trait]
pub trait MoveStore: Send + Sync {
    /// Makes the moves, all or none, each PLANNED and holding its slots. Their numbers are given out
    /// under the lock that protects slots: of two moves of a slot, the later has the higher.
    /// `NotAsExpected` if a slot is held or not where the plan saw it; `Refused` if a target takes no
    /// slots. `NotLeader` if `term` is not the newest.
    async fn create_moves(
        &self,
        term: u64,
        rebalance: Option<u64>,
        moves: &[NewMove],
    ) -> Result<Vec<MoveId>, CatalogError>;

    /// Takes the arrow: the move's row, all its slots and a journal row change together, or nothing
    /// does. The move as it then is. `NotAsExpected` if somebody was faster. A flip also checks that its
    /// proof is of both shards' present writers, and keeps the tallies it rests on.
    async fn advance(&self, term: u64, arrow: &Arrow, detail: &str) -> Result<Move, CatalogError>;

    /// Ends a following move and hands its slots to its reverse, which it returns.
    async fn reverse(&self, term: u64, present: &Move) -> Result<Move, CatalogError>;

    /// What an operator wants of a move; the latest wish counts. `Refused` if that cannot be wished now.
    async fn wish(&self, id: MoveId, wish: Wish, by: &str) -> Result<(), CatalogError>;

    /// Moves by number, without their slots.
    async fn moves(&self, which: Which) -> Result<Vec<MoveRow>, CatalogError>;

    /// One move with its slots, by number. A plain read.
    async fn find_move(
        &self,
        id: MoveId,
    ) -> Result<Option<(MoveRow, Vec<MovingSlot>)>, CatalogError>;

    /// Which slots are held, and by what. A plain read.
    async fn holds(&self) -> Result<Vec<(Slot, MoveId)>, CatalogError>;

    /// A move's journal, in order.
    async fn journal(&self, id: MoveId) -> Result<Vec<Step>, CatalogError>;

    /// What the latest moves that were done copied, and how long their last attempt took for it; the
    /// newest first, at most so many. Reverses copy nothing and are left out.
    async fn copied(&self, latest: u32) -> Result<Vec<Copied>, CatalogError>;

    /// For whoever watches: not journaled, and of no consequence.
    async fn note_progress(&self, id: MoveId, course: &Course) -> Result<(), CatalogError>;
}

/// Which moves to list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Which {
    Live,
    /// At most so many that ended, the latest, besides the live ones.
    All {
        ended: u32,
    },
}

/// A move to be made. Not empty; the slots by number, each at the epoch the plan saw.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewMove {
    pub source: ShardId,
    pub target: ShardId,
    pub slots: Vec<MovingSlot>,
    pub window: Duration,
}

/// A move's row. Times are by the database's clock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MoveRow {
    pub id: MoveId,
    pub kind: Kind,
    pub source: ShardId,
    pub target: ShardId,
    pub phase: Phase,
    pub attempt: Attempt,
    pub wish: Wish,
    pub aborted: Option<AbortReason>,
    /// How many.
    pub slots: u32,
    pub window: Duration,
    pub rebalance: Option<u64>,
    pub reversed_by: Option<MoveId>,
    pub age: Duration,
    pub in_phase: Duration,
    pub course: Course,
}

/// How a move goes, for people.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Course {
    pub blocked: String,
    pub note: String,
    pub entities: u64,
    pub entities_total: u64,
    pub rows: u64,
    pub bytes: u64,
    pub lag_entities: u64,
    /// How long writes to its slots waited at the flip.
    pub pause: Option<Duration>,
}

/// One row of a move's journal.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Step {
    pub number: u32,
    pub at_ms: i64,
    /// None for the first.
    pub from: Option<Phase>,
    /// As `from`: a wish.
    pub to: Phase,
    pub attempt: Attempt,
    /// 0: not a coordinator's.
    pub term: u64,
    pub detail: String,
}

/// A slot with the move that holds it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct HeldSlot {
    pub row: SlotRow,
    pub held: Option<Held>,
}

/// Longest note, journal detail and the like, in bytes: what their columns hold.
pub const NOTE_BYTES_MAX: usize = 1024;

impl MoveRow {
    /// The move as the rules see it. `slots` are its own, not empty.
    pub fn present(&self, slots: Vec<MovingSlot>) -> Move {
        Move {
            id: self.id,
            kind: self.kind,
            source: self.source,
            target: self.target,
            phase: self.phase,
            attempt: self.attempt,
            slots,
            window: self.window,
            wish: self.wish,
            aborted: self.aborted,
        }
    }
}

/// Cut to what its column holds, at a character.
pub(super) fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(NOTE_BYTES_MAX)]
}

/// A move's row as its columns, by name of `MOVE_COLUMNS`.
pub(super) struct MoveColumns {
    pub(super) id: u64,
    pub(super) kind: u8,
    pub(super) source: u32,
    pub(super) target: u32,
    pub(super) phase: u8,
    pub(super) attempt: u32,
    pub(super) wish: u8,
    pub(super) aborted: Option<u8>,
    pub(super) slots: u32,
    pub(super) window_ms: u64,
    pub(super) rebalance: Option<u64>,
    pub(super) reversed_by: Option<u64>,
    pub(super) created_ms: i64,
    pub(super) phase_ms: i64,
    pub(super) blocked: String,
    pub(super) note: String,
    /// entities, entities_total, rows, bytes, lag_entities
    pub(super) counts: [u64; 5],
    pub(super) pause_ms: Option<u64>,
}

/// In the order in which `MoveColumns` are read.
pub(super) const MOVE_COLUMNS: &str = "move, kind, source, target, phase, attempt, wish, aborted, \
    slots, window_ms, rebalance, reversed_by, created_ms, phase_ms, blocked, note, entities, \
    entities_total, copied_rows, copied_bytes, lag_entities, pause_ms";

pub(super) fn move_row(columns: MoveColumns, now_ms: i64) -> Result<MoveRow, CatalogError> {
    let id = columns.id;
    let wrong = |what: &str, number: u8| {
        CatalogError::Corrupt(format!("move {id} has the {what} {number}"))
    };
    let since = |at: i64| Duration::from_millis(u64::try_from(now_ms - at).unwrap_or(0));
    let [entities, entities_total, rows, bytes, lag_entities] = columns.counts;
    let aborted = columns.aborted.map(|number| {
        AbortReason::from_number(number).ok_or_else(|| wrong("abort reason", number))
    });
    Ok(MoveRow {
        id: MoveId(id),
        kind: Kind::from_number(columns.kind).ok_or_else(|| wrong("kind", columns.kind))?,
        source: ShardId(columns.source),
        target: ShardId(columns.target),
        phase: phase(columns.phase)?,
        attempt: Attempt(columns.attempt),
        wish: Wish::from_number(columns.wish).ok_or_else(|| wrong("wish", columns.wish))?,
        aborted: aborted.transpose()?,
        slots: columns.slots,
        window: Duration::from_millis(columns.window_ms),
        rebalance: columns.rebalance,
        reversed_by: columns.reversed_by.map(MoveId),
        age: since(columns.created_ms),
        in_phase: since(columns.phase_ms),
        course: Course {
            blocked: columns.blocked,
            note: columns.note,
            entities,
            entities_total,
            rows,
            bytes,
            lag_entities,
            pause: columns.pause_ms.map(Duration::from_millis),
        },
    })
}

pub(super) fn phase(number: u8) -> Result<Phase, CatalogError> {
    Phase::from_number(number)
        .ok_or_else(|| CatalogError::Corrupt(format!("a move is in the phase {number}")))
}

/// From (slot, epoch of the first attempt): each further attempt has the next epoch.
pub(super) fn moving_slots(
    rows: Vec<(u32, u64)>,
    attempt: Attempt,
) -> Result<Vec<MovingSlot>, CatalogError> {
    let later = u64::from(attempt.0.saturating_sub(1));
    rows.into_iter()
        .map(|(number, epoch)| {
            let slot = Slot::new(number)
                .ok_or_else(|| CatalogError::Corrupt(format!("a move has slot {number}")))?;
            Ok(MovingSlot { slot, epoch: Epoch(epoch + later) })
        })
        .collect()
}

/// n, at_ms, from_phase, to_phase, attempt, term, detail
pub(super) type StepColumns = (u32, i64, Option<u8>, u8, u32, u64, String);

/// From (slot, move).
pub(super) fn holds(rows: Vec<(u32, u64)>) -> Result<Vec<(Slot, MoveId)>, CatalogError> {
    let hold = |(number, id): (u32, u64)| {
        let slot = Slot::new(number)
            .ok_or_else(|| CatalogError::Corrupt(format!("slot {number} is held")))?;
        Ok((slot, MoveId(id)))
    };
    rows.into_iter().map(hold).collect()
}

/// Of one move: its rows, its bytes, when copying began and ended.
pub(super) const COPIED: &str = "SELECT m.copied_rows, m.copied_bytes, \
    MAX(CASE WHEN l.to_phase = 3 THEN l.at_ms END), MAX(CASE WHEN l.to_phase = 4 THEN l.at_ms END) \
    FROM (SELECT move, copied_rows, copied_bytes FROM moves WHERE phase = 12 AND kind = 1 \
    ORDER BY move DESC LIMIT ?) m JOIN move_log l ON l.move = m.move AND l.from_phase <> l.to_phase \
    GROUP BY m.move, m.copied_rows, m.copied_bytes ORDER BY m.move DESC";

pub(super) type CopiedColumns = (u64, u64, Option<i64>, Option<i64>);

/// Without those whose journal does not tell, or whose clock went back.
pub(super) fn copied(rows: Vec<CopiedColumns>) -> Vec<Copied> {
    let one = |(rows, bytes, began, ended): CopiedColumns| {
        let took = u64::try_from(ended?.checked_sub(began?)?).ok()?;
        Some(Copied { rows, bytes, took: Duration::from_millis(took) })
    };
    rows.into_iter().filter_map(one).collect()
}

pub(super) fn step(columns: StepColumns) -> Result<Step, CatalogError> {
    let (number, at_ms, from, to, attempt, term, detail) = columns;
    let from = from.map(phase).transpose()?;
    Ok(Step { number, at_ms, from, to: phase(to)?, attempt: Attempt(attempt), term, detail })
}

/// slot, move, attempt, phase, source, target
pub(super) type HeldColumns = (u32, u64, u32, u8, u32, u32);

/// What holds a slot, with the slot's number.
pub(super) fn held(columns: HeldColumns) -> Result<(u32, Held), CatalogError> {
    let (slot, id, attempt, number, source, target) = columns;
    let held = Held {
        move_id: MoveId(id),
        attempt: Attempt(attempt),
        phase: phase(number)?,
        source: ShardId(source),
        target: ShardId(target),
    };
    Ok((slot, held))
}

/// Whether the new moves may hold their slots. `entries` are the slots as they are, locked.
pub(super) fn may_hold(
    moves: &[NewMove],
    entries: &BTreeMap<Slot, Entry>,
) -> Result<(), CatalogError> {
    let mut taken = BTreeSet::new();
    for new in moves {
        if new.source == new.target || new.slots.is_empty() {
            return Err(CatalogError::Refused("a move of nothing, or to where it is".to_owned()));
        }
        for moving in &new.slots {
            let slot = moving.slot;
            let entry = entries
                .get(&slot)
                .ok_or_else(|| CatalogError::Refused(format!("slot {slot} is not placed")))?;
            if entry.held_by.is_some() || !taken.insert(slot) {
                return Err(NotAsExpected::Held { slot }.into());
            }
            if (entry.owner, entry.epoch) != (new.source, moving.epoch) {
                let (owner, epoch) = (entry.owner, entry.epoch);
                return Err(NotAsExpected::Slot { slot, owner, epoch }.into());
            }
        }
    }
    Ok(())
}

/// Whether the arrow fits the move and all of its slots; the move after it. `entries` are locked, in
/// the order of the move's slots; of an arrow that keeps slots as they are none is looked at, for only
/// this move's own arrows change them. `newest`: of both writers, locked; only of a flip.
pub(super) fn stepped(
    arrow: &Arrow,
    present: &Move,
    entries: &[(Slot, Entry)],
    newest: Terms,
) -> Result<Move, CatalogError> {
    let next = arrow.step(present)?;
    arrow.check_proof(newest)?;
    if arrow.effect() == SlotEffect::Keep {
        return Ok(next);
    }
    same_slots(present, entries)?;
    for (moving, (_, entry)) in present.slots.iter().zip(entries) {
        arrow.slot(present, moving, entry)?;
    }
    Ok(next)
}

/// Whether the move can be ended by its reverse, which gets the number `next`.
pub(super) fn reversed(
    present: &Move,
    entries: &[(Slot, Entry)],
    next: MoveId,
) -> Result<Move, CatalogError> {
    if present.phase != Phase::Following {
        let Move { id, phase, attempt, .. } = *present;
        return Err(NotAsExpected::Moved { move_id: id, phase, attempt }.into());
    }
    same_slots(present, entries)?;
    for (moving, (slot, entry)) in present.slots.iter().zip(entries) {
        if entry.held_by != Some(present.id) {
            return Err(NotAsExpected::Held { slot: *slot }.into());
        }
        if (entry.owner, entry.epoch) != (present.target, moving.epoch.next()) {
            let (owner, epoch) = (entry.owner, entry.epoch);
            return Err(NotAsExpected::Slot { slot: *slot, owner, epoch }.into());
        }
    }
    Ok(present.reversed(next))
}

fn same_slots(present: &Move, entries: &[(Slot, Entry)]) -> Result<(), CatalogError> {
    let same = present.slots.iter().map(|moving| moving.slot).eq(entries.iter().map(|row| row.0));
    if same {
        return Ok(());
    }
    Err(CatalogError::Corrupt(format!("move {} lost some of its slots", present.id)))
}

pub(super) fn no_move(id: MoveId) -> CatalogError {
    CatalogError::Refused(format!("there is no move {id}"))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
