//! Two successive moves of one slot, walked to the end: every order of crashes, restarts, elections,
//! writes, and of messages that are late, doubled, overtaken or lost.
//!
//! The rules walked are the ones that coordinator, catalog and shards call. Data is a few vers; what a
//! shard reads of another, and when it stores it, are two steps.

mod check;
mod rules;
mod steps;
mod world;

use super::{Kind, Phase};
use check::{Quiet, Violation};
use rules::{Planted, Rules};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use steps::{Scope, Steps};
use world::World;

/// A broken rule, and the way to it.
struct Broken {
    violation: Violation,
    way: Vec<String>,
}

/// How many moments there are, and how moves end in them: which of the two, its kind, its attempt.
struct Walked {
    moments: usize,
    ends: HashSet<(usize, Kind, u32, Phase)>,
}

/// Walks breadth first; every moment there is, or the shortest way to a violation.
fn walk(planted: Option<Planted>, scope: Scope) -> Result<Walked, Broken> {
    let mut steps = Steps::new(Rules(planted), scope);
    let by_consequence = Rules(planted).by_consequence();
    let mut quiet = Quiet::default();
    let mut numbers: HashMap<World, usize> = HashMap::new();
    let mut ends = HashSet::new();
    let mut parents: Vec<(usize, &'static str)> = Vec::new();
    let start = steps.start();
    numbers.insert(start.clone(), 0);
    parents.push((0, "start"));
    let mut open = vec![(0, start)];
    while !open.is_empty() {
        let mut further = Vec::new();
        for (number, world) in open {
            let next = steps.next(&world);
            let next = next.map_err(|at| {
                let (violation, (name, after)) = *at;
                let mut broken = broken(violation, number, &parents, &numbers);
                broken.way.push(format!("{name}: {after:?}"));
                broken
            })?;
            for (name, after) in next {
                if let Entry::Vacant(place) = numbers.entry(after.clone()) {
                    let new = parents.len();
                    place.insert(new);
                    parents.push((number, name));
                    let mut stands = || if by_consequence { Ok(()) } else { quiet.check(&after) };
                    check::moment(&after)
                        .and_then(|()| stands())
                        .map_err(|violation| broken(violation, new, &parents, &numbers))?;
                    let ended = after.legs().filter(|(_, leg)| leg.phase.is_end());
                    ends.extend(ended.map(|(leg, at)| (leg, at.kind, at.attempt, at.phase)));
                    further.push((new, after));
                }
            }
        }
        open = further;
    }
    Ok(Walked { moments: parents.len(), ends })
}

fn broken(
    violation: Violation,
    mut number: usize,
    parents: &[(usize, &'static str)],
    numbers: &HashMap<World, usize>,
) -> Broken {
    let worlds: HashMap<usize, &World> = numbers.iter().map(|(world, at)| (*at, world)).collect();
    let mut way = Vec::new();
    loop {
        let (parent, name) = parents[number];
        way.push(format!("{name}: {:?}", worlds[&number]));
        if number == 0 {
            break;
        }
        number = parent;
    }
    way.reverse();
    Broken { violation, way }
}

/// Every invariant holds in as many moments as expected, and every way to end is among them.
fn holds(scope: Scope, expected: usize) {
    let Walked { moments, ends } = match walk(None, scope) {
        Ok(walked) => walked,
        Err(Broken { violation, way }) => panic!("{violation}:\n{}", way.join("\n")),
    };
    for (leg, kind) in [(0, Kind::Normal), (1, Kind::Normal), (1, Kind::Reverse)] {
        for attempt in 1..=scope.attempts[leg] {
            for end in [Phase::Done, Phase::Aborted] {
                let reached = ends.contains(&(leg, kind, attempt, end));
                assert!(reached, "{kind:?} {leg} never ends {end:?} in attempt {attempt}");
            }
        }
    }
    assert_eq!(moments, expected, "the rules, or the walk, reach other moments");
}

const PLAIN: Scope =
    Scope { writes: 1, attempts: [1, 1], quarantines: 0, losses: 0, elections: false };
const RETRIED: Scope = Scope { attempts: [2, 1], ..PLAIN };
const BACK_RETRIED: Scope = Scope { attempts: [1, 2], ..PLAIN };
const QUARANTINED: Scope = Scope { quarantines: 1, ..PLAIN };
const COPIED: Scope = Scope { losses: 1, ..PLAIN };
const ELECTED: Scope = Scope { elections: true, ..PLAIN };

#[test]
fn nothing_is_lost_between_several_writes() {
    holds(Scope { writes: 2, ..PLAIN }, 10_033);
}

#[test]
fn nothing_is_lost_when_a_move_is_tried_again() {
    holds(RETRIED, 32_479);
    holds(BACK_RETRIED, 38_051);
}

#[test]
fn nothing_is_lost_with_two_coordinators() {
    holds(ELECTED, 63_079);
}

#[test]
fn nothing_is_lost_when_a_database_comes_back_another() {
    holds(QUARANTINED, 87_395);
}

#[test]
fn nothing_is_lost_when_a_copy_of_a_database_comes_back() {
    holds(COPIED, 255_145);
}

/// The walk would be worth nothing if it could not see these.
#[test]
fn a_rule_left_out_is_found() {
    let mut found = Vec::new();
    let stranger = "one accepts writes that is not the owner";
    let lost = "the owner lacks an acknowledged write";
    let expected = [
        (Planted::GrantBeforeFlip, PLAIN, stranger),
        (Planted::ThawByTimeout, PLAIN, stranger),
        (Planted::AbortAtTheSameEpoch, PLAIN, "a move does not end"),
        (Planted::AbortAfterFlip, PLAIN, "nobody accepts writes when all is quiet"),
        (Planted::ImportOfAnyAttempt, RETRIED, "an import of another attempt had an effect"),
        (Planted::ImportAfterDiscard, PLAIN, "rows of a slot where nothing of it should be"),
        (Planted::PurgeOfAnyMove, PLAIN, lost),
        (Planted::FlipBeforeSettled, PLAIN, lost),
        (Planted::SettleUnfrozen, PLAIN, lost),
        (Planted::FreezeAtAnyEpoch, PLAIN, "a move does not end"),
        (Planted::BurntBeginsAgain, PLAIN, "something is left when the move has ended"),
        (Planted::OldLeaderWrites, ELECTED, "an older leader wrote after a newer one"),
        (Planted::QuarantineHearsOldWords, QUARANTINED, stranger),
        (Planted::QuarantineForgetsFreeze, QUARANTINED, stranger),
        (Planted::FlipOfAnyTerm, COPIED, lost),
        (Planted::CopyServesByItself, COPIED, stranger),
        (Planted::CopyCountsAsComplete, COPIED, lost),
    ];
    for (planted, scope, _) in expected {
        found.push((planted, walk(Some(planted), scope).map_err(|broken| broken.violation).err()));
    }
    assert_eq!(found, expected.map(|(planted, _, violation)| (planted, Some(violation))));
}
