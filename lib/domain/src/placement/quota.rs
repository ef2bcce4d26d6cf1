//! How many slots each shard is to have.
//!
//! Largest remainder alone is not enough: when a shard is added, its rounding may give another one a
//! slot more than it had. So rounding sticks to what is there: who has its share rounded up or down
//! already keeps it, and what is left over or missing goes where no slot moves between third parties.

use super::Share;
use crate::slot::SLOTS;

/// A shard's share while it is being rounded.
struct Quota {
    /// slots * weight, to be divided by the sum of weights.
    share: i128,
    floor: i64,
    ceil: i64,
    has: i64,
    target: i64,
}

/// What the shares ask of those that were there before, beyond their rounding.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Only shards without any slot gain.
    Added,
    /// There are slots to give away, and nobody new: nobody loses.
    Removed,
    /// Weights changed, or everything at once: shares alone count.
    Other,
}

/// The number of slots for each share, in the order given; the sum is `SLOTS`. `has` is how many slots
/// each has now. Weights are above 0.
pub(super) fn targets(shares: &[Share], has: &[u32]) -> Vec<u32> {
    let weights: i128 = shares.iter().map(|share| i128::from(share.weight)).sum();
    let owned: i64 = has.iter().copied().map(i64::from).sum();
    let slots = i64::from(SLOTS);
    let kind = match (owned == slots, has.contains(&0)) {
        (true, true) => Kind::Added,
        (false, false) => Kind::Removed,
        _ => Kind::Other,
    };
    let mut quotas: Vec<Quota> = shares
        .iter()
        .zip(has)
        .map(|(share, has)| quota(*share, i64::from(*has), weights, kind))
        .collect();

    let mut missing = slots - quotas.iter().map(|quota| quota.target).sum::<i64>();
    while missing != 0 {
        let step = missing.signum();
        let next = (0..quotas.len())
            .min_by_key(|index| (cost(&quotas[*index], step, weights, kind), shares[*index].shard))
            .expect("there is at least one shard");
        quotas[next].target += step;
        missing -= step;
    }
    quotas
        .iter()
        .map(|quota| u32::try_from(quota.target).expect("0 to SLOTS: no step goes below 0"))
        .collect()
}

fn quota(share: Share, has: i64, weights: i128, kind: Kind) -> Quota {
    let exact = i128::from(SLOTS) * i128::from(share.weight);
    let whole = |n: i128| i64::try_from(n).expect("at most SLOTS");
    let floor = whole(exact / weights);
    let ceil = whole((exact + weights - 1) / weights);
    // One below its share, it waits for a change that lets it gain; one above, for one that lets it lose.
    let waits = match kind {
        Kind::Added => 0 < has && has + 1 == floor,
        Kind::Removed => has == ceil + 1,
        Kind::Other => false,
    };
    let target = if waits { has } else { has.clamp(floor, ceil) };
    Quota { share: exact, floor, ceil, has, target }
}

/// What one slot more (step 1) or less (step -1) costs; the least is taken. First: never below none
/// and never more than one slot off the rounded share; then: nothing moves between third parties; then:
/// the share rounded up or down; then: the largest remainder.
fn cost(quota: &Quota, step: i64, weights: i128, kind: Kind) -> (bool, bool, bool, i128) {
    let target = quota.target + step;
    let far = target < 0 || target < quota.floor - 1 || quota.ceil + 1 < target;
    let third_party = match kind {
        Kind::Added => 0 < quota.has && quota.has < target,
        Kind::Removed => target < quota.has,
        Kind::Other => false,
    };
    let beyond = target < quota.floor || quota.ceil < target;
    let remainder = (quota.share - i128::from(quota.target) * weights) * i128::from(step);
    (far, third_party, beyond, -remainder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ShardId;
    use proptest::prelude::*;

    fn shares(weights: &[u32]) -> Vec<Share> {
        weights
            .iter()
            .zip(0..)
            .map(|(weight, number)| Share { shard: ShardId(number), weight: *weight })
            .collect()
    }

    fn check(weights: &[u32], has: &[u32], expected: &[u32]) {
        assert_eq!(targets(&shares(weights), has), expected);
    }

    #[test]
    fn the_largest_remainders_get_what_rounding_left() {
        check(&[1, 1, 1], &[0, 0, 0], &[5462, 5461, 5461]);
        // 4681.14, 11702.86
        check(&[2, 5], &[0, 0], &[4681, 11703]);
    }

    #[test]
    fn who_has_its_share_rounded_either_way_keeps_it() {
        check(&[1, 1, 1], &[5461, 5461, 5462], &[5461, 5461, 5462]);
    }

    #[test]
    fn a_changed_weight_moves_what_it_says() {
        check(&[3, 1], &[8192, 8192], &[12288, 4096]);
    }

    /// Where plain rounding would move a slot between two that were there before.
    #[test]
    fn a_slot_too_many_or_too_few_stays_with_who_gives_or_gets_anyway() {
        // The second's share is 6.99: it would gain. It keeps its 6, and the first gives one less.
        check(&[475, 1, 1866, 2], &[3323, 6, 13055, 0], &[3321, 6, 13043, 14]);
        // The last has 1140 of 1139.2: it would lose. It keeps them, and the third (3939.02) gets less.
        let weights = [513, 3393, 2365, 2882, 684];
        check(&weights, &[855, 5650, 3938, 4800, 1140], &[855, 5651, 3938, 4800, 1140]);
    }

    #[derive(Clone, Debug)]
    enum Change {
        Add(u32),
        Remove(usize),
    }

    fn changes(weights: std::ops::Range<u32>) -> impl Strategy<Value = Vec<Change>> {
        let change =
            prop_oneof![weights.prop_map(Change::Add), any::<usize>().prop_map(Change::Remove)];
        prop::collection::vec(change, 1..40)
    }

    /// No target is `off` or more slots from its exact share, and all slots are given.
    fn balanced(weights: &[u32], targets: &[u32], off: i64) {
        assert_eq!(targets.iter().sum::<u32>(), u32::from(SLOTS));
        let sum: i64 = weights.iter().copied().map(i64::from).sum();
        for (weight, target) in weights.iter().zip(targets) {
            let distance = i64::from(*target) * sum - i64::from(SLOTS) * i64::from(*weight);
            assert!(distance.abs() < off * sum, "{weight} of {sum} got {target}");
        }
    }

    fn course(mut weights: Vec<u32>, changes: &[Change]) {
        let mut has = targets(&shares(&weights), &vec![0; weights.len()]);
        balanced(&weights, &has, 1);
        for change in changes {
            match change {
                Change::Add(weight) => {
                    weights.push(*weight);
                    has.push(0);
                    let next = targets(&shares(&weights), &has);
                    for (next, has) in next.iter().zip(&has).take(weights.len() - 1) {
                        assert!(next <= has, "an old shard gained: {has} to {next}");
                    }
                    has = next;
                }
                Change::Remove(index) => {
                    if weights.len() < 2 {
                        continue;
                    }
                    weights.remove(index % has.len());
                    has.remove(index % has.len());
                    let next = targets(&shares(&weights), &has);
                    for (next, has) in next.iter().zip(&has) {
                        assert!(has <= next, "a shard that stays lost: {has} to {next}");
                    }
                    has = next;
                }
            }
            balanced(&weights, &has, 2);
            assert_eq!(targets(&shares(&weights), &has), has, "nothing is left to do");
        }
    }

    proptest! {
        #[test]
        fn no_third_party_gains_or_loses_and_shares_hold(
            start in prop::collection::vec(1..20u32, 1..8), changes in changes(1..20)
        ) {
            course(start, &changes);
        }

        #[test]
        fn so_it_is_with_many_shards_and_weights_far_apart(
            start in prop::collection::vec(1..5000u32, 1..150), changes in changes(1..5000)
        ) {
            course(start, &changes);
        }
    }
}
