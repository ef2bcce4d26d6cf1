//! Each way an unfinished move can stand, and that the rules of moves take what was rebuilt.

use super::*;
use crate::placement::transfer::{Held, Order, Task, Word, hear, obey};
use proptest::prelude::*;

const MOVE: MoveId = MoveId(7);

fn row(state: SlotState, epoch: u64) -> SlotRow {
    SlotRow { state, epoch: Epoch(epoch), move_id: MOVE, attempt: Attempt(1) }
}

fn plain(epoch: u64) -> SlotRow {
    SlotRow { move_id: MoveId(0), attempt: Attempt(0), ..row(SlotState::Owned, epoch) }
}

fn slot() -> Slot {
    Slot::new(5).expect("a slot")
}

/// Shard 0 has all slots at epoch 1, but of slot 5 the rows are as given.
fn cluster(rows: &[(u32, SlotRow)]) -> Vec<Found> {
    let shard = |number: u32| Found {
        shard: ShardId(number),
        address: format!("h:{number}"),
        partitions: 64,
        foreign: false,
        rows: BTreeMap::new(),
        leader_term: 9,
    };
    let mut found: Vec<Found> = (0..3).map(shard).collect();
    found[0].rows = Slot::all().map(|slot| (slot, plain(1))).collect();
    found[0].rows.remove(&slot());
    for (number, row) in rows {
        found[*number as usize].rows.insert(slot(), *row);
    }
    found
}

fn check(rows: &[(u32, SlotRow)], owner: u32, epoch: u64, left: Option<(u32, u32, Phase)>) {
    let rebuilt = rebuild(&cluster(rows), 64).unwrap_or_else(|why| panic!("{rows:?}: {why}"));
    assert_eq!(rebuilt.slots.len(), Slot::all().len());
    assert_eq!(rebuilt.slots[5], (slot(), ShardId(owner), Epoch(epoch)), "{rows:?}");
    assert_eq!(rebuilt.slots[6].2, Epoch(1), "others keep their epochs");
    let moves: Vec<_> = rebuilt
        .moves
        .iter()
        .map(|left| {
            assert_eq!((left.id, left.slots.len()), (MOVE, 1));
            assert_eq!(left.slots[0], MovingSlot { slot: slot(), epoch: Epoch(epoch - 1) });
            (left.source.0, left.target.0, left.phase)
        })
        .collect();
    assert_eq!(moves, Vec::from_iter(left), "{rows:?}");
}

fn refused(found: &[Found], says: &str) {
    let why = rebuild(found, 64).expect_err("it is not certain").to_string();
    assert!(why.contains(says), "{why}");
}

#[test]
fn slots_that_never_moved_keep_their_epochs() {
    let rebuilt = rebuild(&cluster(&[(0, plain(3))]), 64).expect("certain");
    assert_eq!(rebuilt.slots[5], (slot(), ShardId(0), Epoch(3)));
    assert_eq!((rebuilt.renewed, rebuilt.last_move, rebuilt.leader_term), (0, MoveId(0), 109));
    assert_eq!(rebuilt.moves, []);
}

#[test]
fn an_unfinished_move_ends_as_an_abort_would() {
    use SlotState::{Empty, Frozen, Importing, Moved, Owned};
    let back = Some((0, 1, Phase::Aborting));
    check(&[(0, row(Owned, 4)), (1, row(Importing, 4))], 0, 6, back);
    check(&[(0, row(Frozen, 4)), (1, row(Importing, 4))], 0, 6, back);
    check(&[(0, row(Frozen, 4))], 0, 6, None);
    check(&[(0, row(Owned, 4)), (1, row(Empty, 4))], 0, 6, None);
    // Its copy is being deleted already.
    check(&[(0, row(Owned, 5)), (1, row(Moved, 4))], 0, 7, Some((1, 0, Phase::Cleaning)));
    // A later attempt that only the source has heard of.
    let again = SlotRow { attempt: Attempt(2), ..row(Owned, 5) };
    let found = cluster(&[(0, again), (1, row(Importing, 4))]);
    assert_eq!(rebuild(&found, 64).expect("certain").moves[0].attempt, Attempt(2));
}

#[test]
fn a_move_that_is_seen_to_have_flipped_goes_on() {
    use SlotState::{Following, Frozen, Importing, Moved, Owned};
    let flipped = Some((0, 1, Phase::Flipped));
    check(&[(0, row(Following, 5)), (1, row(Importing, 4))], 1, 7, flipped);
    let follows = Some((0, 1, Phase::Following));
    check(&[(0, row(Frozen, 4)), (1, row(Owned, 5))], 1, 7, follows);
    check(&[(0, row(Following, 5)), (1, row(Owned, 5))], 1, 7, follows);
    let cleaned = Some((0, 1, Phase::Cleaning));
    check(&[(0, row(Moved, 5)), (1, row(Owned, 5))], 1, 7, cleaned);
}

#[test]
fn all_slots_of_a_move_end_the_same_way() {
    use SlotState::{Following, Frozen, Importing, Owned};
    // One shows that it flipped; of the other nobody has heard yet.
    let mut found = cluster(&[(0, row(Following, 5)), (1, row(Importing, 4))]);
    let other = Slot::new(9).expect("a slot");
    found[0].rows.insert(other, row(Frozen, 4));
    found[1].rows.insert(other, row(Importing, 4));
    let rebuilt = rebuild(&found, 64).expect("certain");
    assert_eq!(rebuilt.slots[9], (other, ShardId(1), Epoch(6)));
    assert_eq!(rebuilt.moves.len(), 1);
    assert_eq!((rebuilt.moves[0].phase, rebuilt.moves[0].slots.len()), (Phase::Flipped, 2));
    // The same, shown by a target that has heard of one slot.
    let mut found = cluster(&[(0, row(Frozen, 4)), (1, row(Owned, 5))]);
    found[0].rows.insert(other, row(Frozen, 4));
    found[1].rows.insert(other, row(Importing, 4));
    let rebuilt = rebuild(&found, 64).expect("certain");
    assert_eq!(rebuilt.slots[9].1, ShardId(1));
    assert_eq!(rebuilt.moves[0].phase, Phase::Flipped);
}

#[test]
fn what_is_not_certain_is_refused() {
    use SlotState::{Following, Importing, Owned, Quarantined};
    refused(&cluster(&[]), "slot 5: no shard knows of it");
    let both = [(0, row(Owned, 4)), (1, row(Owned, 4))];
    refused(&cluster(&both), "shards 0 and 1 both own it at epoch 4");
    refused(&cluster(&[(1, row(Importing, 4))]), "nobody owns it: it is importing on shard 1");
    refused(&cluster(&[(0, row(Following, 5))]), "shard 0 gave it away by move 7 at epoch 5");
    let held = [(0, row(Owned, 4)), (1, row(Quarantined, 6))];
    refused(&cluster(&held), "shard 1 holds it quarantined since epoch 6");
    let good = [(0, plain(1))];
    let mut twice = cluster(&good);
    twice[2].shard = ShardId(0);
    twice[2].rows = BTreeMap::new();
    refused(&twice, "h:0 and h:2 both say that they are shard 0");
    let mut other = cluster(&good);
    other[1].partitions = 16;
    refused(&other, "shard 1 is set to 16 partitions, this router to 64");
    other[1] = Found { partitions: 64, foreign: true, ..other[1].clone() };
    refused(&other, "data of another cluster");
    refused(&[], "there is no shard");
}

/// Every order that was given before is refused by the slot's new owner, and it takes the new epoch.
#[test]
fn late_orders_find_a_later_epoch() {
    use SlotState::{Frozen, Importing, Owned};
    for state in [Owned, Frozen] {
        let rows = [(0, row(state, 4)), (1, row(Importing, 4))];
        let rebuilt = rebuild(&cluster(&rows), 64).expect("certain");
        let left = &rebuilt.moves[0];
        let held = Held {
            move_id: left.id,
            attempt: left.attempt,
            phase: left.phase,
            source: left.source,
            target: left.target,
        };
        let word = Word { owner: ShardId(0), epoch: rebuilt.slots[5].2, held: Some(held) };
        let heard = hear(rows[0].1, ShardId(0), &word).expect("it is the owner");
        assert!(heard.accepts_writes(word.epoch));
        let (move_id, attempt, epoch) = (MOVE, Attempt(1), Epoch(4));
        let freeze = Order { term: 9, move_id, attempt, epoch, task: Task::Freeze };
        assert!(obey(heard, 0, &freeze).is_err());
        let discard =
            Order { term: 110, epoch: left.slots[0].epoch, task: Task::Discard, ..freeze };
        let gone = obey(rows[1].1, 9, &discard).expect("the copy is let go");
        assert_eq!(gone.state, SlotState::Moved);
    }
}

fn rows() -> impl Strategy<Value = SlotRow> {
    let state = proptest::sample::select(SlotState::ALL.to_vec());
    (state, 1..6_u64, 1..3_u64, 1..3_u32).prop_map(|(state, epoch, move_id, attempt)| SlotRow {
        state,
        epoch: Epoch(epoch),
        move_id: MoveId(move_id),
        attempt: Attempt(attempt),
    })
}

proptest! {
    // Each case looks at all slots.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However rows stand, what is certain has an owner that holds the slot's data, an epoch above all
    /// rows, and moves that hold no slot twice.
    #[test]
    fn what_is_rebuilt_is_above_everything(rows in proptest::collection::vec(rows(), 1..=3)) {
        let numbered: Vec<(u32, SlotRow)> = (0..).zip(rows.iter().copied()).collect();
        let found = cluster(&numbered);
        if let Ok(rebuilt) = rebuild(&found, 64) {
            let (_, owner, epoch) = rebuilt.slots[5];
            let stands = rows[owner.0 as usize];
            prop_assert!(matches!(
                stands.state,
                SlotState::Owned | SlotState::Frozen | SlotState::Importing
            ));
            prop_assert!(rows.iter().all(|row| row.epoch < epoch));
            prop_assert!(rows.iter().all(|row| row.move_id <= rebuilt.last_move));
            prop_assert!(rebuilt.moves.len() <= 1);
            for left in &rebuilt.moves {
                let owns = if left.phase.has_flipped() { left.target } else { left.source };
                prop_assert_eq!(owns, owner);
                prop_assert!(u64::from(left.attempt.0) <= left.slots[0].epoch.0);
            }
        }
    }
}
