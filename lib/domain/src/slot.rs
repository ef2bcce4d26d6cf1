//! Slots: the 16,384 parts of the id space that are assigned to shards. A slot is the top bits of an
//! id, so that it is one contiguous key range, and more bits can be used later without rewriting rows.

use crate::id::EntityId;
use std::fmt;
use std::ops::RangeInclusive;

/// How many slots there are.
pub const SLOTS: u16 = 1 << SLOT_BITS;
const SLOT_BITS: u32 = 14;
/// Ids use 63 bits.
const ID_BITS: u32 = 63;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Slot(u16);

impl Slot {
    pub fn new(number: u32) -> Option<Slot> {
        u16::try_from(number).ok().filter(|number| *number < SLOTS).map(Slot)
    }

    pub fn of(entity: impl Into<EntityId>) -> Slot {
        let top = entity.into().get() >> (ID_BITS - SLOT_BITS);
        Slot(u16::try_from(top).expect("an id is below 2^63, so its slot is below 2^14"))
    }

    pub fn all() -> impl ExactSizeIterator<Item = Slot> + Clone {
        (0..SLOTS).map(Slot)
    }

    pub fn get(self) -> u16 {
        self.0
    }

    /// All ids in this slot (of slot 0, 0 is in the range but is no id).
    pub fn ids(self) -> RangeInclusive<u64> {
        let shift = ID_BITS - SLOT_BITS;
        let first = u64::from(self.0) << shift;
        first..=first | ((1 << shift) - 1)
    }

    /// The bus partition of this slot: its top bits. `partitions` is a power of two up to `SLOTS`.
    pub fn partition(self, partitions: Partitions) -> u32 {
        u32::from(self.0) >> (SLOT_BITS - partitions.bits)
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How many partitions the bus topic has: a power of two, fixed for the topic's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Partitions {
    bits: u32,
}

impl Partitions {
    pub fn new(count: u32) -> Option<Partitions> {
        let fits = count.is_power_of_two() && count <= u32::from(SLOTS);
        fits.then(|| Partitions { bits: count.trailing_zeros() })
    }

    pub fn count(self) -> u32 {
        1 << self.bits
    }
}

/// Of one slot's ownership: grows with every change, so that whoever is late is recognised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Epoch(pub u64);

impl Epoch {
    pub fn next(self) -> Epoch {
        Epoch(self.0 + 1)
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_id_is_in_the_range_of_its_slot() {
        for number in [1, 1 << 49, (1 << 49) - 1, i64::MAX as u64, 0x1234_5678_9abc_def0] {
            let slot = Slot::of(EntityId::new(number).expect("in range"));
            assert!(slot.ids().contains(&number), "{number} in {slot}");
        }
    }

    #[test]
    fn slots_cover_the_ids_without_a_gap() {
        let mut next = 0;
        for slot in Slot::all() {
            assert_eq!(*slot.ids().start(), next);
            next = slot.ids().end() + 1;
        }
        assert_eq!(next, 1 << 63);
    }

    #[test]
    fn partitions_are_equal_runs_of_slots() {
        let partitions = Partitions::new(64).expect("a power of two");
        assert_eq!(Slot::new(0).map(|s| s.partition(partitions)), Some(0));
        assert_eq!(Slot::new(255).map(|s| s.partition(partitions)), Some(0));
        assert_eq!(Slot::new(256).map(|s| s.partition(partitions)), Some(1));
        assert_eq!(Slot::new(16_383).map(|s| s.partition(partitions)), Some(63));
        assert_eq!(Partitions::new(48), None);
        assert_eq!(Partitions::new(32_768), None);
    }
}
