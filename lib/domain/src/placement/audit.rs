//! The catalog against the shards' own rows: exactly one shard owns each slot, at the catalog's epoch,
//! save where the move that holds the slot says otherwise. Pure: what was read comes in.

use super::transfer::{Held, Phase, SlotRow, SlotState};
use crate::id::ShardId;
use crate::slot::{Epoch, Slot};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

/// What the catalog says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CatalogSide {
    pub slots: BTreeMap<Slot, Placed>,
    /// The highest writer term that was granted for each shard.
    pub terms: BTreeMap<ShardId, u64>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Placed {
    pub owner: ShardId,
    pub epoch: Epoch,
    /// By a move that has not ended.
    pub held: Option<Held>,
}

/// What a shard's database says. Slots that it never had to do with are left out.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ShardSide {
    pub rows: BTreeMap<Slot, SlotRow>,
    pub writer_term: u64,
}

/// Both sides, in words.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Disagreement {
    pub what: What,
    pub slot: Option<Slot>,
    pub shard: Option<ShardId>,
    pub text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum What {
    /// The catalog does not say whose the slot is.
    Unplaced,
    /// The catalog's owner does not own it, and nobody else does.
    NoOwner,
    /// More than one shard owns it.
    SeveralOwners,
    /// Another shard than the catalog's owns it.
    OtherOwner,
    /// The owner has it at another epoch.
    OtherEpoch,
    /// A row that does not fit the move that holds the slot, or that no move explains.
    State,
    /// A shard that the catalog does not know, or that nothing was read of.
    UnknownShard,
    /// A writer stands in the lane rows that the catalog has not granted.
    Term,
}

impl What {
    pub fn name(self) -> &'static str {
        match self {
            What::Unplaced => "unplaced",
            What::NoOwner => "no_owner",
            What::SeveralOwners => "several_owners",
            What::OtherOwner => "other_owner",
            What::OtherEpoch => "other_epoch",
            What::State => "state",
            What::UnknownShard => "unknown_shard",
            What::Term => "term",
        }
    }
}

/// Everything in which they disagree, by slot. Shards that were not read are not judged.
pub fn audit(
    catalog: &CatalogSide,
    shards: &BTreeMap<ShardId, ShardSide>,
    unread: &BTreeSet<ShardId>,
) -> Vec<Disagreement> {
    let mut found = Vec::new();
    for (shard, side) in shards {
        match catalog.terms.get(shard) {
            None => found.push(Disagreement {
                what: What::UnknownShard,
                slot: None,
                shard: Some(*shard),
                text: format!("the catalog does not know shard {shard}"),
            }),
            Some(term) if *term < side.writer_term => found.push(Disagreement {
                what: What::Term,
                slot: None,
                shard: Some(*shard),
                text: format!(
                    "the catalog has granted term {term}, term {} stands in the lane rows",
                    side.writer_term
                ),
            }),
            Some(_) => {}
        }
    }
    for slot in Slot::all() {
        let rows: Rows = shards
            .iter()
            .filter_map(|(shard, side)| side.rows.get(&slot).map(|row| (*shard, *row)))
            .collect();
        let here = Here { slot, rows: &rows, unread };
        match catalog.slots.get(&slot) {
            Some(placed) => here.audit(placed, catalog, &mut found),
            None if catalog.terms.is_empty() => {}
            None => found.push(here.says(What::Unplaced, None, "the catalog does not place it")),
        }
    }
    found
}

type Rows = Vec<(ShardId, SlotRow)>;

/// One slot.
struct Here<'a> {
    slot: Slot,
    rows: &'a Rows,
    unread: &'a BTreeSet<ShardId>,
}

impl Here<'_> {
    fn audit(&self, placed: &Placed, catalog: &CatalogSide, found: &mut Vec<Disagreement>) {
        let (owner, epoch) = (placed.owner, placed.epoch);
        if !catalog.terms.contains_key(&owner) {
            let text = format!("the catalog places it on shard {owner}, which it does not know");
            found.push(self.says(What::UnknownShard, Some(owner), &text));
            return;
        }
        let owners: Vec<&(ShardId, SlotRow)> =
            self.rows.iter().filter(|(_, row)| row.state == SlotState::Owned).collect();
        let words = || format!("the catalog says shard {owner} at epoch {epoch}{}", held(placed));
        if 1 < owners.len() {
            let text = format!("{}; {} own it", words(), listed(&owners));
            found.push(self.says(What::SeveralOwners, None, &text));
        }
        for (shard, row) in self.rows {
            let fits = match side(placed, *shard) {
                Side::Owner => fits_owner(row, placed),
                Side::Other => fits_other(row, placed),
                Side::Nobody => row.state == SlotState::Empty,
            };
            if fits || 1 < owners.len() && row.state == SlotState::Owned {
                continue;
            }
            let what = match (row.state, *shard == owner) {
                (SlotState::Owned, false) => What::OtherOwner,
                (SlotState::Owned, true) => What::OtherEpoch,
                _ => What::State,
            };
            let text = format!("{}; the row of shard {shard} is {}", words(), shown(row));
            found.push(self.says(what, Some(*shard), &text));
        }
        let has_row = self.rows.iter().any(|(shard, row)| *shard == owner && row.epoch.0 != 0);
        if !has_row && owners.is_empty() && !self.unread.contains(&owner) {
            let text = format!("{}; no shard has a row of an owner", words());
            found.push(self.says(What::NoOwner, Some(owner), &text));
        }
    }

    fn says(&self, what: What, shard: Option<ShardId>, text: &str) -> Disagreement {
        Disagreement { what, slot: Some(self.slot), shard, text: text.to_owned() }
    }
}

/// What a shard has to do with a slot.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Owner,
    /// Of the move that holds the slot, the one that is not the owner.
    Other,
    Nobody,
}

fn side(placed: &Placed, shard: ShardId) -> Side {
    if shard == placed.owner {
        return Side::Owner;
    }
    match placed.held {
        Some(held) if shard == held.source || shard == held.target => Side::Other,
        _ => Side::Nobody,
    }
}

fn fits_owner(row: &SlotRow, placed: &Placed) -> bool {
    let epoch = placed.epoch;
    let is_owned = row.state == SlotState::Owned && row.epoch == epoch;
    let Some(held) = placed.held else { return is_owned };
    // The catalog's word was given, and not heard yet.
    let not_heard = row.epoch < epoch;
    is_owned
        || match held.phase {
            Phase::Freezing | Phase::Frozen => row.state == SlotState::Frozen && row.epoch == epoch,
            Phase::Aborting => {
                not_heard && matches!(row.state, SlotState::Owned | SlotState::Frozen)
            }
            // The next attempt waits until its source has heard of the abort; the first, of the owner.
            Phase::Planned | Phase::Preparing => not_heard && row.state == SlotState::Owned,
            Phase::Flipped => not_heard && row.state == SlotState::Importing,
            _ => false,
        }
}

fn fits_other(row: &SlotRow, placed: &Placed) -> bool {
    let Some(held) = placed.held else { return false };
    match held.phase {
        // The target's copy, or what is left of it. A reverse begins with what followed.
        Phase::Planned
        | Phase::Preparing
        | Phase::Copying
        | Phase::CatchingUp
        | Phase::Verifying
        | Phase::Ready
        | Phase::Freezing
        | Phase::Frozen
        | Phase::Aborting => matches!(
            row.state,
            SlotState::Empty | SlotState::Importing | SlotState::Following | SlotState::Moved
        ),
        // The old source.
        Phase::Flipped | Phase::Following | Phase::Cleaning => matches!(
            row.state,
            SlotState::Frozen | SlotState::Following | SlotState::Moved | SlotState::Empty
        ),
        Phase::Done | Phase::Aborted => row.state == SlotState::Empty,
    }
}

fn held(placed: &Placed) -> String {
    match placed.held {
        None => String::new(),
        Some(held) => format!(", held by move {} ({})", held.move_id, held.phase.name()),
    }
}

fn shown(row: &SlotRow) -> String {
    let SlotRow { state, epoch, move_id, attempt } = row;
    match move_id.0 {
        0 => format!("{} at epoch {epoch}", state.name()),
        _ => format!("{} at epoch {epoch} by move {move_id}, attempt {attempt}", state.name()),
    }
}

fn listed(rows: &[&(ShardId, SlotRow)]) -> String {
    let all: Vec<String> =
        rows.iter().map(|(shard, row)| format!("shard {shard} at epoch {}", row.epoch)).collect();
    all.join(" and ")
}

impl fmt::Display for Disagreement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.slot {
            Some(slot) => write!(f, "slot {slot}: {}", self.text),
            None => f.write_str(&self.text),
        }
    }
}

#[cfg(test)]
mod tests;
