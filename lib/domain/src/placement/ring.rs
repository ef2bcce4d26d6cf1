//! Which of the shards a slot prefers: a consistent-hash ring with virtual nodes by weight.

use super::Share;
use crate::id::ShardId;
use crate::slot::Slot;
use consistent_hash::{DefaultHash, Node, RingHash, StaticHashRing};

/// Virtual nodes of the heaviest shard: shares are exact anyway, the ring only has to spread them.
const VIRTUAL_NODES_MAX: u64 = 128;

pub(super) struct Ring {
    ring: StaticHashRing<'static, u32, (), DefaultHash>,
}

impl Ring {
    pub(super) fn of(shares: &[Share]) -> Ring {
        let heaviest = u64::from(shares.iter().map(|share| share.weight).max().unwrap_or(1));
        let nodes = shares.iter().map(|share| {
            let quantity = u64::from(share.weight) * VIRTUAL_NODES_MAX / heaviest;
            let quantity = usize::try_from(quantity.max(1)).expect("at most VIRTUAL_NODES_MAX");
            Node::new(share.shard.0).quantity(quantity)
        });
        Ring { ring: StaticHashRing::new(DefaultHash, nodes) }
    }

    /// Every shard of the ring once, the most preferred first.
    pub(super) fn preferred(&self, slot: Slot) -> impl Iterator<Item = ShardId> {
        self.ring.calc_candidates(&slot.get()).map(|node| ShardId(node.key))
    }
}

/// All slots in an order that has nothing to do with their numbers, so that what is taken from a shard
/// is taken evenly from all partitions.
pub(super) fn scattered() -> Vec<Slot> {
    let mut slots: Vec<Slot> = Slot::all().collect();
    slots.sort_by_key(|slot| (DefaultHash.hash_item(&("slot", slot.get())), *slot));
    slots
}
