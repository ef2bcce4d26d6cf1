//! What a plan promises, over random shards and random courses of adding and removing them.

use super::*;
use crate::slot::SLOTS;
use proptest::prelude::*;
use std::collections::BTreeSet;

fn shares(weights: &[u32]) -> Vec<Share> {
    weights
        .iter()
        .zip(0..)
        .map(|(weight, number)| Share { shard: ShardId(number), weight: *weight })
        .collect()
}

fn apply(owners: &mut Owners, moves: &[Move]) {
    for moved in moves {
        assert_eq!(owners.of(moved.slot), moved.from, "planned from what is there");
        assert_ne!(moved.from, Some(moved.to), "a move moves");
        owners.give(moved.slot, moved.to);
    }
}

fn placed(shares: &[Share]) -> Owners {
    let mut owners = Owners::none();
    let moves = plan(&owners, shares).expect("good shares");
    assert_eq!(moves.len(), usize::from(SLOTS), "every slot gets an owner");
    apply(&mut owners, &moves);
    owners
}

/// Every slot has one of the shards as owner, and none is `off` or more slots from its exact share.
fn balanced(owners: &Owners, shares: &[Share], off: i64) {
    let counts = owners.counts();
    assert_eq!(counts.values().sum::<u32>(), u32::from(SLOTS));
    let weights: i64 = shares.iter().map(|share| i64::from(share.weight)).sum();
    for share in shares {
        let has = i64::from(counts.get(&share.shard).copied().unwrap_or(0));
        let exact = i64::from(SLOTS) * i64::from(share.weight);
        assert!(
            (has * weights - exact).abs() < off * weights,
            "{share:?} has {has}, its share is {exact}/{weights}"
        );
    }
}

/// One course of operations: adds a shard of that weight, or removes one (by index, modulo).
#[derive(Clone, Debug)]
enum Change {
    Add(u32),
    Remove(usize),
}

fn change(weights: std::ops::Range<u32>) -> impl Strategy<Value = Change> {
    prop_oneof![weights.prop_map(Change::Add), any::<usize>().prop_map(Change::Remove)]
}

fn follow(start: &[u32], changes: &[Change]) {
    let mut shares = shares(start);
    let mut owners = placed(&shares);
    let mut next = 1000;
    for change in changes {
        match change {
            Change::Add(weight) => {
                let shard = ShardId(next);
                next += 1;
                shares.push(Share { shard, weight: *weight });
                let moves = plan(&owners, &shares).expect("good shares");
                for moved in &moves {
                    assert_eq!(moved.to, shard, "only to the new one: {moved:?}");
                }
                apply(&mut owners, &moves);
            }
            Change::Remove(index) => {
                if shares.len() < 2 {
                    continue;
                }
                let gone = shares.remove(index % shares.len()).shard;
                let moves = plan(&owners, &shares).expect("good shares");
                for moved in &moves {
                    assert_eq!(moved.from, Some(gone), "only its own: {moved:?}");
                }
                apply(&mut owners, &moves);
            }
        }
        // Its exact share rounded, and at most one slot beyond.
        balanced(&owners, &shares, 2);
        assert_eq!(plan(&owners, &shares), Ok(Vec::new()), "a plan leaves nothing to plan");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(6))]

    #[test]
    fn from_nothing_every_shard_gets_its_share(weights in prop::collection::vec(1..1000u32, 1..20)) {
        let shares = shares(&weights);
        balanced(&placed(&shares), &shares, 1);
    }

    #[test]
    fn adding_moves_only_to_it_and_removing_only_its_own(
        start in prop::collection::vec(1..20u32, 1..6),
        changes in prop::collection::vec(change(1..20), 1..4),
    ) {
        follow(&start, &changes);
    }

    #[test]
    fn after_any_change_of_weights_shares_are_exact_and_no_more_moves_than_needed(
        before in prop::collection::vec(1..100u32, 2..8),
        after in prop::collection::vec(1..100u32, 8),
    ) {
        let mut owners = placed(&shares(&before));
        let had = owners.counts();
        let shares = shares(&after[..before.len()]);
        let moves = plan(&owners, &shares).expect("good shares");
        apply(&mut owners, &moves);
        balanced(&owners, &shares, 1);
        let has = owners.counts();
        let gained: u32 =
            has.iter().map(|(shard, has)| has.saturating_sub(had.get(shard).copied().unwrap_or(0))).sum();
        prop_assert_eq!(moves.len(), usize::try_from(gained).expect("few"), "who gives does not get");
    }

    #[test]
    fn the_order_of_the_shards_does_not_matter(weights in prop::collection::vec(1..50u32, 1..10)) {
        let shares = shares(&weights);
        let reversed: Vec<Share> = shares.iter().rev().copied().collect();
        prop_assert_eq!(placed(&shares), placed(&reversed));
    }
}

#[test]
fn slots_are_moved_once_at_most() {
    let owners = placed(&shares(&[1, 1]));
    let moves = plan(&owners, &shares(&[3, 1, 2])).expect("good shares");
    let slots: BTreeSet<Slot> = moves.iter().map(|moved| moved.slot).collect();
    assert_eq!(slots.len(), moves.len());
}

#[test]
fn a_shard_is_spread_over_the_whole_id_space() {
    let owners = placed(&shares(&[1, 1, 1, 1]));
    for eighth in 0..8 {
        let slots = Slot::all().skip(eighth * 2048).take(2048);
        let own = slots.filter(|slot| owners.of(*slot) == Some(ShardId(0))).count();
        assert!((256..1024).contains(&own), "{own} of 2048 in part {eighth}");
    }
}

#[test]
fn what_makes_no_sense_is_refused() {
    let check =
        |shares: &[Share], expected| assert_eq!(plan(&Owners::none(), shares), Err(expected));
    check(&[], PlacementError::NoShards);
    check(&shares(&[1, 0]), PlacementError::ZeroWeight { shard: ShardId(1) });
    let twice = Share { shard: ShardId(7), weight: 1 };
    check(&[twice, twice], PlacementError::Twice { shard: ShardId(7) });
    let many = vec![1; usize::from(SLOTS) + 1];
    check(&shares(&many), PlacementError::TooMany { shards: many.len() });
}

#[test]
fn as_many_shards_as_slots_get_one_each() {
    let shares = shares(&vec![1; usize::from(SLOTS)]);
    assert!(quota::targets(&shares, &vec![0; shares.len()]).iter().all(|target| *target == 1));
}
