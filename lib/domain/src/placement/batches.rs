//! From single slots that are to move to moves as they are carried out: slots of one pair of shards go
//! together, as many as still fit into a pause that nobody notices; and what each will cost.

use super::Move;
use super::pace::Pace;
use crate::id::ShardId;
use crate::limits::{
    MOVE_BYTES_MAX, MOVE_EMPTY_SLOTS_MAX, MOVE_ENTITIES_MAX, MOVE_SLOTS_MAX, MOVES_PER_SHARD_MAX,
};
use crate::slot::Slot;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// What a slot holds, about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Load {
    pub entities: u64,
    pub rows: u64,
    pub bytes: u64,
}

impl Load {
    fn with(self, other: Load) -> Load {
        Load {
            entities: self.entities.saturating_add(other.entities),
            rows: self.rows.saturating_add(other.rows),
            bytes: self.bytes.saturating_add(other.bytes),
        }
    }

    fn fits(self) -> bool {
        self.entities <= MOVE_ENTITIES_MAX && self.bytes <= MOVE_BYTES_MAX
    }
}

/// One move to be: not empty, slots by number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Batch {
    pub source: ShardId,
    pub target: ShardId,
    pub slots: Vec<Slot>,
    pub load: Load,
}

/// A move's own steps, whatever it copies.
const STEPS_TIME: Duration = Duration::from_secs(1);
/// Freezing, the flip in the catalog, and its news to all routers.
const FLIP_TIME: Duration = Duration::from_millis(40);
/// Comparing heads of both sides once more.
const HEADS_PER_MILLISECOND: u64 = 100;
/// Rows of slots changed in one transaction, on three databases.
const SLOTS_PER_MILLISECOND: u64 = 50;

impl Batch {
    /// About how long it takes, when it may copy as fast as it can or `bytes_per_second` (0: no limit).
    pub fn takes(&self, pace: &Pace, bytes_per_second: u64) -> Duration {
        STEPS_TIME + pace.takes(&self.load, bytes_per_second)
    }

    /// About how long writes to each of its slots wait at the flip.
    pub fn pause(&self) -> Duration {
        let slots = u64::try_from(self.slots.len()).unwrap_or(u64::MAX);
        let heads = Duration::from_millis(self.load.entities / HEADS_PER_MILLISECOND);
        FLIP_TIME + heads + Duration::from_millis(slots / SLOTS_PER_MILLISECOND)
    }
}

/// The moves in the order in which they are to begin: pairs of shards take turns, so that as many as
/// possible work side by side; slots without anything in them go first, many at once. A slot that is
/// not in `loads` holds nothing. Moves without an owner to take from are left out: there
/// is nothing to copy.
pub fn batches(moves: &[Move], loads: &BTreeMap<Slot, Load>) -> Vec<Batch> {
    let mut pairs: BTreeMap<(ShardId, ShardId), Vec<Slot>> = BTreeMap::new();
    for moved in moves {
        if let Some(source) = moved.from {
            pairs.entry((source, moved.to)).or_default().push(moved.slot);
        }
    }
    let mut waiting: Vec<VecDeque<Batch>> = pairs
        .into_iter()
        .map(|((source, target), slots)| of_pair(source, target, slots, loads))
        .collect();
    let mut ordered = Vec::new();
    while !waiting.is_empty() {
        ordered.extend(waiting.iter_mut().filter_map(VecDeque::pop_front));
        waiting.retain(|pair| !pair.is_empty());
    }
    ordered
}

fn of_pair(
    source: ShardId,
    target: ShardId,
    mut slots: Vec<Slot>,
    loads: &BTreeMap<Slot, Load>,
) -> VecDeque<Batch> {
    slots.sort_unstable();
    let load = |slot: &Slot| loads.get(slot).copied().unwrap_or_default();
    let batch = |slots, load| Batch { source, target, slots, load };
    let (full, empty): (Vec<Slot>, Vec<Slot>) =
        slots.into_iter().partition(|slot| load(slot) != Load::default());
    let mut batches = VecDeque::new();
    for part in empty.chunks(MOVE_EMPTY_SLOTS_MAX) {
        batches.push_back(batch(part.to_vec(), Load::default()));
    }
    let mut open: Option<Batch> = None;
    for slot in full {
        let more = load(&slot);
        match &mut open {
            Some(open) if open.slots.len() < MOVE_SLOTS_MAX && open.load.with(more).fits() => {
                open.slots.push(slot);
                open.load = open.load.with(more);
            }
            _ => batches.extend(open.replace(batch(vec![slot], more))),
        }
    }
    batches.extend(open);
    batches
}

/// About how long all of them take, with as many at once as a shard may have.
pub fn takes(batches: &[Batch], pace: &Pace, bytes_per_second: u64) -> Duration {
    let mut free: BTreeMap<ShardId, Vec<Duration>> = BTreeMap::new();
    let mut end = Duration::ZERO;
    for batch in batches {
        let mut begin = Duration::ZERO;
        for shard in [batch.source, batch.target] {
            let places =
                free.entry(shard).or_insert_with(|| vec![Duration::ZERO; MOVES_PER_SHARD_MAX]);
            places.sort_unstable();
            begin = begin.max(places.first().copied().unwrap_or_default());
        }
        let ends = begin + batch.takes(pace, bytes_per_second);
        for shard in [batch.source, batch.target] {
            if let Some(first) = free.get_mut(&shard).and_then(|places| places.first_mut()) {
                *first = ends;
            }
        }
        end = end.max(ends);
    }
    end
}

/// Equal for equal moves: what was shown can be told from what would be done now. (FNV-1a.)
pub fn digest(batches: &[Batch]) -> u64 {
    let words = batches.iter().flat_map(|batch| {
        let head = [batch.source.0, batch.target.0, u32::MAX];
        head.into_iter().chain(batch.slots.iter().map(|slot| u32::from(slot.get())))
    });
    words.flat_map(u32::to_be_bytes).fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn slot(number: u32) -> Slot {
        Slot::new(number).expect("a slot")
    }

    fn moved(number: u32, from: u32, to: u32) -> Move {
        Move { slot: slot(number), from: Some(ShardId(from)), to: ShardId(to) }
    }

    fn load(entities: u64) -> Load {
        Load { entities, rows: entities * 10, bytes: entities * 1000 }
    }

    fn check(moves: &[Move], loads: &[(u32, u64)], expected: &[(u32, u32, &[u32])]) {
        let loads = loads.iter().map(|(number, entities)| (slot(*number), load(*entities)));
        let found = batches(moves, &loads.collect());
        let found: Vec<(u32, u32, Vec<u32>)> = found
            .iter()
            .map(|batch| {
                let slots = batch.slots.iter().map(|slot| u32::from(slot.get())).collect();
                (batch.source.0, batch.target.0, slots)
            })
            .collect();
        let expected: Vec<_> =
            expected.iter().map(|(from, to, slots)| (*from, *to, slots.to_vec())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn slots_of_a_pair_go_together_and_empty_ones_many_at_once() {
        let moves = [moved(9, 0, 2), moved(1, 0, 2), moved(4, 0, 2), moved(3, 0, 2)];
        check(&moves, &[(1, 5), (9, 7)], &[(0, 2, &[3, 4]), (0, 2, &[1, 9])]);
        let all: Vec<Move> = (0..5000).map(|number| moved(number, 0, 1)).collect();
        let found = batches(&all, &BTreeMap::new());
        assert_eq!(found.len(), 5000_usize.div_ceil(MOVE_EMPTY_SLOTS_MAX));
        assert_eq!(found.iter().map(|batch| batch.slots.len()).sum::<usize>(), 5000);
    }

    #[test]
    fn pairs_take_turns() {
        let moves = [moved(1, 0, 2), moved(2, 0, 2), moved(3, 1, 2), moved(4, 1, 2)];
        let loads = [(1, MOVE_ENTITIES_MAX), (2, 1), (3, MOVE_ENTITIES_MAX), (4, 1)];
        check(&moves, &loads, &[(0, 2, &[1]), (1, 2, &[3]), (0, 2, &[2]), (1, 2, &[4])]);
    }

    #[test]
    fn a_move_is_cut_by_entities_bytes_and_slots() {
        let half = MOVE_ENTITIES_MAX / 2;
        let moves = [moved(1, 0, 1), moved(2, 0, 1), moved(3, 0, 1)];
        check(&moves, &[(1, half), (2, half), (3, 1)], &[(0, 1, &[1, 2]), (0, 1, &[3])]);
        let large = Load { entities: 1, rows: 1, bytes: MOVE_BYTES_MAX };
        let loads: BTreeMap<Slot, Load> = [(slot(1), large), (slot(2), large)].into();
        assert_eq!(batches(&moves[..2], &loads).len(), 2, "a slot alone is never too much");
        let many: Vec<Move> = (0..200).map(|number| moved(number, 0, 1)).collect();
        let loads: BTreeMap<Slot, Load> = (0..200).map(|number| (slot(number), load(1))).collect();
        let sizes: Vec<usize> =
            batches(&many, &loads).iter().map(|batch| batch.slots.len()).collect();
        assert_eq!(
            sizes,
            [MOVE_SLOTS_MAX, MOVE_SLOTS_MAX, MOVE_SLOTS_MAX, 200 - 3 * MOVE_SLOTS_MAX]
        );
    }

    #[test]
    fn moves_of_other_shards_run_side_by_side() {
        let one = Batch {
            source: ShardId(0),
            target: ShardId(2),
            slots: vec![slot(1)],
            load: load(1000),
        };
        let same = Batch { source: ShardId(1), ..one.clone() };
        let other = Batch { source: ShardId(1), target: ShardId(3), ..one.clone() };
        let takes = |batches: &[Batch], limit| takes(batches, &Pace::ASSUMED, limit);
        let alone = takes(std::slice::from_ref(&one), 0);
        assert_eq!(takes(&[one.clone(), same], 0), alone * 2, "they share their target");
        assert_eq!(takes(&[one.clone(), other], 0), alone);
        assert!(alone < takes(std::slice::from_ref(&one), 1000), "a throttle slows it");
        assert!(one.pause() < Duration::from_millis(300), "{:?}", one.pause());
    }

    #[test]
    fn a_digest_tells_plans_apart() {
        let batch = |slots: &[u32]| Batch {
            source: ShardId(0),
            target: ShardId(1),
            slots: slots.iter().copied().map(slot).collect(),
            load: Load::default(),
        };
        let one = digest(&[batch(&[1, 2])]);
        assert_eq!(one, digest(&[batch(&[1, 2])]));
        assert_ne!(one, digest(&[batch(&[1]), batch(&[2])]));
        assert_ne!(one, digest(&[batch(&[1, 3])]));
    }
}
