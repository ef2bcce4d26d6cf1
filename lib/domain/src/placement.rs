//! Which shard has which slot: weighted shares decide how many, a consistent-hash ring decides which,
//! and whatever can stay stays.
//!
//! Promised of a plan: a shard that is added only receives and nobody else does; of a shard that is
//! removed only its own slots move; a shard whose weight did not change keeps what its share allows.
//! Every shard ends with its exact share (slots by weight) rounded up or down, save that after adding
//! or removing it may be one slot beyond that where otherwise a slot would move between two others.
//! (For shards with a share of less than one slot only the sums hold.)

pub mod audit;
pub mod batches;
pub mod pace;
mod plan;
mod quota;
pub mod rebuild;
mod ring;
pub mod transfer;

pub use plan::plan;

use crate::id::ShardId;
use crate::slot::{SLOTS, Slot};
use std::collections::{BTreeMap, BTreeSet};
use thiserror::Error;

/// A shard and its part of all slots, relative to the other weights.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Share {
    pub shard: ShardId,
    pub weight: u32,
}

/// The owner of every slot; a slot may have none yet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owners(Vec<Option<ShardId>>);

impl Owners {
    pub fn none() -> Owners {
        Owners(vec![None; usize::from(SLOTS)])
    }

    pub fn of(&self, slot: Slot) -> Option<ShardId> {
        self.0[usize::from(slot.get())]
    }

    pub fn give(&mut self, slot: Slot, to: ShardId) {
        self.0[usize::from(slot.get())] = Some(to);
    }

    /// How many slots each shard has; shards without any are not in it.
    pub fn counts(&self) -> BTreeMap<ShardId, u32> {
        let mut counts = BTreeMap::new();
        for shard in self.0.iter().flatten() {
            *counts.entry(*shard).or_default() += 1;
        }
        counts
    }
}

/// One slot to be moved; `from` is None if it had no owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Move {
    pub slot: Slot,
    pub from: Option<ShardId>,
    pub to: ShardId,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum PlacementError {
    #[error("there is no shard to place slots on")]
    NoShards,
    #[error("shard {shard} has weight 0; remove it instead")]
    ZeroWeight { shard: ShardId },
    #[error("shard {shard} is there twice")]
    Twice { shard: ShardId },
    #[error("there are {shards} shards and only {SLOTS} slots")]
    TooMany { shards: usize },
}

fn check(shares: &[Share]) -> Result<(), PlacementError> {
    if shares.is_empty() {
        return Err(PlacementError::NoShards);
    }
    if usize::from(SLOTS) < shares.len() {
        return Err(PlacementError::TooMany { shards: shares.len() });
    }
    let mut seen = BTreeSet::new();
    for share in shares {
        if share.weight == 0 {
            return Err(PlacementError::ZeroWeight { shard: share.shard });
        }
        if !seen.insert(share.shard) {
            return Err(PlacementError::Twice { shard: share.shard });
        }
    }
    Ok(())
}
