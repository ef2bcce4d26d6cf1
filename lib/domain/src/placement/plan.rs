//! From who has what and who should have how much to a list of moves.

use super::ring::{Ring, scattered};
use super::{Move, Owners, PlacementError, Share, check, quota};
use crate::id::ShardId;
use crate::slot::Slot;
use std::collections::BTreeMap;

#[cfg(test)]
mod tests;

/// The moves, by slot, that bring `shares` from what they have to what their weights say; as few as
/// that takes. A shard that is not in `shares` gives all it has. The same input gives the same plan.
pub fn plan(owners: &Owners, shares: &[Share]) -> Result<Vec<Move>, PlacementError> {
    check(shares)?;
    let counts = owners.counts();
    let has: Vec<u32> =
        shares.iter().map(|share| counts.get(&share.shard).copied().unwrap_or(0)).collect();
    let targets = quota::targets(shares, &has);

    let mut open = Open { give: BTreeMap::new(), room: BTreeMap::new(), moves: Vec::new() };
    let mut receivers = Vec::new();
    for ((share, has), target) in shares.iter().zip(&has).zip(&targets) {
        open.give.insert(share.shard, has.saturating_sub(*target));
        if has < target {
            open.room.insert(share.shard, target - has);
            receivers.push(*share);
        }
    }
    if receivers.is_empty() {
        return Ok(Vec::new());
    }

    // First what the ring of all shards would have there anyway, then whatever is still needed.
    let slots = scattered();
    let everyone = Ring::of(shares);
    for slot in &slots {
        let first = everyone.preferred(*slot).next();
        open.place(*slot, owners.of(*slot), first.into_iter());
    }
    let moved: Vec<Slot> = open.moves.iter().map(|moved| moved.slot).collect();
    let mut still = vec![true; slots.len()];
    for slot in moved {
        still[usize::from(slot.get())] = false;
    }
    let receivers = Ring::of(&receivers);
    for slot in slots.iter().filter(|slot| still[usize::from(slot.get())]) {
        open.place(*slot, owners.of(*slot), receivers.preferred(*slot));
    }
    debug_assert!(open.room.values().all(|room| *room == 0));
    open.moves.sort_by_key(|moved| moved.slot);
    Ok(open.moves)
}

/// What is still to be done.
struct Open {
    /// How many slots each shard that stays has yet to give.
    give: BTreeMap<ShardId, u32>,
    /// How many slots each receiver has yet to get.
    room: BTreeMap<ShardId, u32>,
    moves: Vec<Move>,
}

impl Open {
    /// Moves the slot to the first of `candidates` with room, if its owner has to give one.
    fn place(
        &mut self,
        slot: Slot,
        from: Option<ShardId>,
        candidates: impl Iterator<Item = ShardId>,
    ) {
        // No owner, or one that goes: the slot must move.
        let mut gives = from.and_then(|from| self.give.get_mut(&from));
        if gives.as_deref() == Some(&0) {
            return;
        }
        for to in candidates {
            let Some(room) = self.room.get_mut(&to).filter(|room| 0 < **room) else { continue };
            *room -= 1;
            if let Some(gives) = gives.as_deref_mut() {
                *gives -= 1;
            }
            self.moves.push(Move { slot, from, to });
            return;
        }
    }
}
