//! A catalog that was lost, worked out from the shards' own rows. Pure: either all of it is certain, or it
//! is refused, saying what is not.
//!
//! Who owns a slot is who owns (or froze) it at the highest epoch. An unfinished move ends as the rows can
//! prove: if nobody shows that it flipped, as an abort would, with the source; if one shard shows it, with
//! the target. Slots that a move ever touched get an epoch above everything any row carried, and one more:
//! the lost catalog may have been one ahead of all rows. So whatever is still under way is refused.
//! What is left of moves is given to the coordinator as the moves they were, to be cleaned up as usual.

use super::transfer::{
    AbortReason, Attempt, Kind, Move, MoveId, MovingSlot, Phase, SlotRow, SlotState, Wish,
};
use crate::id::ShardId;
use crate::slot::{Epoch, Slot};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

/// Reasons that are told one by one; of more, how many.
const REASONS_MAX: usize = 20;
/// Coordinators may have been heard of by processes that remember nothing any more.
const LEADER_TERM_MARGIN: u64 = 100;

/// What one shard-node says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Found {
    pub shard: ShardId,
    /// Where it was asked.
    pub address: String,
    pub partitions: u32,
    /// It holds rows of slots it does not know of.
    pub foreign: bool,
    /// Slots it never had to do with are left out.
    pub rows: BTreeMap<Slot, SlotRow>,
    /// The highest term of a coordinator in its rows, or that it heard of.
    pub leader_term: u64,
}

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Rebuilt {
    /// Whose each slot is: all of them, by number.
    pub slots: Vec<(Slot, ShardId, Epoch)>,
    /// What is left of moves, by number. Their slots' epochs are those of the present attempt.
    pub moves: Vec<Move>,
    /// Of the highest move that any row names.
    pub last_move: MoveId,
    /// Coordinators begin above it.
    pub leader_term: u64,
    /// Slots whose epoch is another than their owner's row says.
    pub renewed: u32,
}

/// Why it is not certain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Uncertain(pub Vec<String>);

impl fmt::Display for Uncertain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = self.0.len().min(REASONS_MAX);
        f.write_str(&self.0[..shown].join("; "))?;
        match self.0.len() - shown {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// `partitions`: what the router that asks is set to.
pub fn rebuild(found: &[Found], partitions: u32) -> Result<Rebuilt, Uncertain> {
    let mut reasons = unlike(found, partitions);
    let flipped = flipped(found);
    let mut rebuilt = Rebuilt::default();
    let mut left: BTreeMap<MoveId, Left> = BTreeMap::new();
    for slot in Slot::all() {
        let rows: Vec<(ShardId, SlotRow)> = found
            .iter()
            .filter_map(|one| one.rows.get(&slot).map(|row| (one.shard, *row)))
            .collect();
        match owner(&rows, &flipped) {
            Ok(owner) => {
                let row = rows.iter().find(|(shard, _)| *shard == owner).map(|(_, row)| row.epoch);
                let epoch = epoch(&rows, row.unwrap_or(Epoch(1)));
                rebuilt.renewed += u32::from(row != Some(epoch));
                rebuilt.slots.push((slot, owner, epoch));
                note_left(&mut left, slot, &rows, (owner, epoch), &flipped);
            }
            Err(why) => reasons.push(format!("slot {slot}: {why}")),
        }
    }
    if !reasons.is_empty() {
        return Err(Uncertain(reasons));
    }
    rebuilt.moves = left.into_iter().map(|(id, left)| left.into_move(id)).collect();
    let all = || found.iter().flat_map(|one| one.rows.values());
    rebuilt.last_move = all().map(|row| row.move_id).max().unwrap_or_default();
    let heard = found.iter().map(|one| one.leader_term).max().unwrap_or(0);
    rebuilt.leader_term = if heard == 0 { 0 } else { heard + LEADER_TERM_MARGIN };
    Ok(rebuilt)
}

/// Whether these nodes are one cluster's, each once.
fn unlike(found: &[Found], partitions: u32) -> Vec<String> {
    let mut reasons = Vec::new();
    if found.is_empty() {
        reasons.push("there is no shard".to_owned());
    }
    let mut seen: BTreeMap<ShardId, &str> = BTreeMap::new();
    for one in found {
        let Found { shard, address, .. } = one;
        if let Some(other) = seen.insert(*shard, address) {
            reasons.push(format!("{other} and {address} both say that they are shard {shard}"));
        }
        if one.partitions != partitions {
            reasons.push(format!(
                "shard {shard} is set to {} partitions, this router to {partitions}",
                one.partitions
            ));
        }
        if one.foreign {
            reasons.push(format!(
                "shard {shard} holds rows of slots that its slot rows do not know: data of another \
                 cluster?"
            ));
        }
    }
    reasons
}

/// Attempts of moves of which some shard shows that they flipped: it follows, or is the owner after a
/// source that froze. All slots of a move flip together.
fn flipped(found: &[Found]) -> BTreeSet<(MoveId, Attempt)> {
    let mut flipped = BTreeSet::new();
    let mut frozen: BTreeMap<(Slot, MoveId, Attempt), Epoch> = BTreeMap::new();
    let rows = || found.iter().flat_map(|one| one.rows.iter());
    for (slot, row) in rows() {
        match row.state {
            SlotState::Following => drop(flipped.insert((row.move_id, row.attempt))),
            SlotState::Frozen => {
                frozen.insert((*slot, row.move_id, row.attempt), row.epoch);
            }
            _ => {}
        }
    }
    for (slot, row) in rows() {
        let froze = frozen.get(&(*slot, row.move_id, row.attempt));
        if row.state == SlotState::Owned && froze.is_some_and(|epoch| *epoch < row.epoch) {
            flipped.insert((row.move_id, row.attempt));
        }
    }
    flipped
}

fn owner(
    rows: &[(ShardId, SlotRow)],
    flipped: &BTreeSet<(MoveId, Attempt)>,
) -> Result<ShardId, String> {
    let has_it = |row: &SlotRow| match row.state {
        SlotState::Owned => true,
        // Its move is known to have flipped: it gave the slot away, though it has not heard so.
        SlotState::Frozen => !flipped.contains(&(row.move_id, row.attempt)),
        _ => false,
    };
    let top = rows.iter().filter(|(_, row)| has_it(row)).map(|(_, row)| row.epoch).max();
    // Who gave it away at a later epoch than anybody has it: whoever copied for that attempt is the owner.
    let given = rows.iter().find(|(_, row)| {
        let gave = matches!(row.state, SlotState::Following | SlotState::Frozen)
            && flipped.contains(&(row.move_id, row.attempt));
        gave && top
            .is_none_or(|top| top < row.epoch || top == row.epoch && row.state == SlotState::Frozen)
    });
    if let Some((giver, gave)) = given {
        let copies = |row: &SlotRow| {
            row.state == SlotState::Importing && row.is_of(gave.move_id, gave.attempt)
        };
        let takers: Vec<ShardId> =
            rows.iter().filter(|(_, row)| copies(row)).map(|(shard, _)| *shard).collect();
        return match takers[..] {
            [taker] => Ok(taker),
            _ => Err(format!(
                "shard {giver} gave it away by move {} at epoch {}, and no shard has what it took",
                gave.move_id, gave.epoch
            )),
        };
    }
    let Some(top) = top else {
        let states: Vec<String> = rows
            .iter()
            .map(|(shard, row)| format!("{} on shard {shard}", row.state.name()))
            .collect();
        return Err(match states.is_empty() {
            true => "no shard knows of it".to_owned(),
            false => format!("nobody owns it: it is {}", states.join(", ")),
        });
    };
    // Taken away without a freeze, or held until it is granted again: what is there may be nowhere else.
    let newer = rows.iter().find(|(_, row)| row.state == SlotState::Quarantined && top < row.epoch);
    if let Some((shard, row)) = newer {
        let epoch = row.epoch;
        return Err(format!("shard {shard} holds it quarantined since epoch {epoch}"));
    }
    let owners: Vec<ShardId> = rows
        .iter()
        .filter(|(_, row)| has_it(row) && row.epoch == top)
        .map(|(shard, _)| *shard)
        .collect();
    match owners[..] {
        [owner] => Ok(owner),
        _ => {
            let owners: Vec<String> = owners.iter().map(ToString::to_string).collect();
            Err(format!("shards {} both own it at epoch {top}", owners.join(" and ")))
        }
    }
}

/// As the owner's row says, if no move ever touched the slot; else above everything.
fn epoch(rows: &[(ShardId, SlotRow)], stands: Epoch) -> Epoch {
    if rows.iter().all(|(_, row)| row.move_id == MoveId(0)) {
        return stands;
    }
    let highest = rows.iter().map(|(_, row)| row.epoch.0).max().unwrap_or(0);
    // An attempt is never above the epoch: each begins at the next one.
    let attempt = rows.iter().map(|(_, row)| u64::from(row.attempt.0)).max().unwrap_or(0);
    Epoch((highest + 2).max(attempt + 1))
}

/// What is left of one move.
struct Left {
    source: ShardId,
    target: ShardId,
    attempt: Attempt,
    phase: Phase,
    slots: Vec<MovingSlot>,
}

/// At most one shard besides the owner has something of a slot, for a slot is in one move at a time. What
/// else there is stays, and `catalog check` shows it.
fn note_left(
    left: &mut BTreeMap<MoveId, Left>,
    slot: Slot,
    rows: &[(ShardId, SlotRow)],
    (owner, epoch): (ShardId, Epoch),
    flipped: &BTreeSet<(MoveId, Attempt)>,
) {
    let is_left = |row: &SlotRow| {
        matches!(
            row.state,
            SlotState::Importing | SlotState::Following | SlotState::Moved | SlotState::Frozen
        ) && row.move_id != MoveId(0)
    };
    let others = rows.iter().filter(|(shard, row)| *shard != owner && is_left(row));
    let Some((other, row)) = others.max_by_key(|(_, row)| (row.move_id, row.attempt)) else {
        return;
    };
    let has_flipped = flipped.contains(&(row.move_id, row.attempt));
    let not_heard =
        rows.iter().any(|(shard, row)| *shard == owner && row.state == SlotState::Importing);
    let (source, target, phase) = match row.state {
        // The copy of an attempt that is given up.
        SlotState::Importing => (owner, *other, Phase::Aborting),
        _ if has_flipped && not_heard => (*other, owner, Phase::Flipped),
        SlotState::Frozen | SlotState::Following => (*other, owner, Phase::Following),
        _ => (*other, owner, Phase::Cleaning),
    };
    // Of the same move the owner may know a later attempt.
    let of_move = rows.iter().filter(|(_, any)| any.move_id == row.move_id);
    let newest = of_move.map(|(_, row)| row.attempt).max().unwrap_or(row.attempt);
    let attempt = if phase == Phase::Aborting { newest } else { row.attempt };
    // e0 of the attempt: the next epoch is the catalog's.
    let moving = MovingSlot { slot, epoch: Epoch(epoch.0 - 1) };
    let known = left.entry(row.move_id).or_insert(Left {
        source,
        target,
        attempt,
        phase,
        slots: Vec::new(),
    });
    let same_way = (known.source, known.target) == (source, target);
    let discarded = (known.source, known.target) == (target, source)
        && known.phase == Phase::Aborting
        && phase == Phase::Cleaning;
    if discarded {
        // The target of an attempt that was given up, further on than others of its slots.
        known.slots.push(moving);
        return;
    }
    let turned = (known.source, known.target) == (target, source)
        && known.phase == Phase::Cleaning
        && phase == Phase::Aborting;
    if turned {
        (known.source, known.target, known.phase) = (source, target, phase);
        known.attempt = known.attempt.max(attempt);
        known.slots.push(moving);
        return;
    }
    if same_way {
        known.attempt = known.attempt.max(attempt);
        known.phase = earlier(known.phase, phase);
        known.slots.push(moving);
    }
}

/// All slots of a move are in one phase: the one from which all of them can go on.
fn earlier(one: Phase, other: Phase) -> Phase {
    if one <= other { one } else { other }
}

impl Left {
    fn into_move(self, id: MoveId) -> Move {
        let Left { source, target, attempt, phase, slots } = self;
        Move {
            id,
            kind: Kind::Normal,
            source,
            target,
            phase,
            attempt,
            slots,
            window: Duration::ZERO,
            wish: Wish::Proceed,
            aborted: (phase == Phase::Aborting).then_some(AbortReason::Operator),
        }
    }
}

#[cfg(test)]
mod tests;
