//! Whose turn it is: which planned moves may start, and which may freeze. Pure; a new leader works it
//! out again from the catalog.

use crate::catalog::moves::MoveRow;
use shardline_domain::id::ShardId;
use shardline_domain::limits::{FREEZES_AT_ONCE_MAX, MOVES_PER_SHARD_MAX};
use shardline_domain::placement::transfer::{MoveId, Phase, Wish};
use std::collections::{BTreeMap, BTreeSet};

/// Planned moves that may start, by number: a shard gives to, or takes from, only so many at a time.
/// Which are let in does not change while they wait.
pub(super) fn starters(live: &[MoveRow]) -> BTreeSet<MoveId> {
    let mut busy: BTreeMap<ShardId, usize> = BTreeMap::new();
    for row in live.iter().filter(|row| is_at_work(row.phase)) {
        for shard in [row.source, row.target] {
            *busy.entry(shard).or_default() += 1;
        }
    }
    let mut starters = BTreeSet::new();
    for row in live.iter().filter(|row| row.phase == Phase::Planned) {
        let shards = [row.source, row.target];
        let is_free =
            |shard: &ShardId| busy.get(shard).copied().unwrap_or_default() < MOVES_PER_SHARD_MAX;
        // One that is not to start, or to be given up at once, keeps nobody waiting.
        let starts = matches!(row.wish, Wish::Proceed | Wish::Finish);
        if starts && shards.iter().all(is_free) {
            starters.insert(row.id);
            for shard in shards {
                *busy.entry(shard).or_default() += 1;
            }
        }
    }
    starters
}

/// Following and cleaning are light work, and last.
fn is_at_work(phase: Phase) -> bool {
    use Phase::{
        Aborting, CatchingUp, Copying, Flipped, Freezing, Frozen, Preparing, Ready, Verifying,
    };
    matches!(
        phase,
        Preparing
            | Copying
            | CatchingUp
            | Verifying
            | Ready
            | Freezing
            | Frozen
            | Flipped
            | Aborting
    )
}

/// Moves whose writes wait, or may at any moment.
#[derive(Default)]
pub(super) struct Freezes(BTreeMap<MoveId, [ShardId; 2]>);

impl Freezes {
    /// Whether the move may freeze now; it keeps its turn until it gives it back.
    pub(super) fn take(&mut self, id: MoveId, shards: [ShardId; 2]) -> bool {
        if self.0.contains_key(&id) {
            return true;
        }
        let is_taken = |other: &[ShardId; 2]| other.iter().any(|shard| shards.contains(shard));
        if FREEZES_AT_ONCE_MAX <= self.0.len() || self.0.values().any(is_taken) {
            return false;
        }
        self.0.insert(id, shards);
        true
    }

    /// Of one that is frozen already, whoever let it.
    pub(super) fn has(&mut self, id: MoveId, shards: [ShardId; 2]) {
        self.0.insert(id, shards);
    }

    pub(super) fn give_back(&mut self, id: MoveId) {
        self.0.remove(&id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::moves::Course;
    use shardline_domain::placement::transfer::{Attempt, Kind};
    use std::time::Duration;

    fn row(id: u64, source: u32, target: u32, phase: Phase, wish: Wish) -> MoveRow {
        MoveRow {
            id: MoveId(id),
            kind: Kind::Normal,
            source: ShardId(source),
            target: ShardId(target),
            phase,
            attempt: Attempt::FIRST,
            wish,
            aborted: None,
            slots: 1,
            window: Duration::ZERO,
            rebalance: None,
            reversed_by: None,
            age: Duration::ZERO,
            in_phase: Duration::ZERO,
            course: Course::default(),
        }
    }

    fn check(rows: &[MoveRow], expected: &[u64]) {
        let ids: Vec<u64> = starters(rows).into_iter().map(|id| id.0).collect();
        assert_eq!(ids, expected);
    }

    #[test]
    fn a_shard_has_one_move_at_a_time_in_their_order() {
        let planned = |id, source, target| row(id, source, target, Phase::Planned, Wish::Proceed);
        check(&[planned(1, 0, 2), planned(2, 1, 2), planned(3, 1, 3)], &[1, 3]);
        let copying = row(1, 0, 2, Phase::Copying, Wish::Pause);
        check(&[copying, planned(2, 1, 2), planned(3, 1, 3)], &[3]);
        let following = row(1, 0, 2, Phase::Following, Wish::Proceed);
        check(&[following, planned(2, 1, 2), planned(3, 1, 3)], &[2]);
        let paused = row(1, 0, 2, Phase::Planned, Wish::Pause);
        check(&[paused, planned(2, 0, 2)], &[2]);
    }

    #[test]
    fn few_freeze_at_once_and_never_two_of_a_shard() {
        let mut freezes = Freezes::default();
        let shards = |one, two| [ShardId(one), ShardId(two)];
        assert!(freezes.take(MoveId(1), shards(0, 1)));
        assert!(freezes.take(MoveId(1), shards(0, 1)), "it has its turn");
        assert!(!freezes.take(MoveId(2), shards(2, 0)));
        for id in 2..=4 {
            let shard = u32::try_from(id).expect("small") * 2;
            assert!(freezes.take(MoveId(id), shards(shard, shard + 1)));
        }
        assert!(!freezes.take(MoveId(9), shards(20, 21)), "four at once");
        freezes.give_back(MoveId(1));
        assert!(freezes.take(MoveId(9), shards(0, 1)));
    }
}
