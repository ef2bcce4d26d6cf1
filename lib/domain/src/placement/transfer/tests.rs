//! The table of phases, numbers that are stored, and single rules that the walk takes for granted.

use super::*;
use crate::limits::{FREEZE_TIME_MAX, MOVE_ATTEMPTS_MAX, MOVE_RETRY_AFTER};

const A: ShardId = ShardId(1);
const B: ShardId = ShardId(2);
const E0: Epoch = Epoch(7);
const E1: Epoch = Epoch(8);
const ID: MoveId = MoveId(3);
const FIRST: Attempt = Attempt::FIRST;

fn slot() -> Slot {
    Slot::new(5).expect("a slot")
}

fn moving(phase: Phase) -> Move {
    Move {
        id: ID,
        kind: Kind::Normal,
        source: A,
        target: B,
        phase,
        attempt: FIRST,
        slots: vec![MovingSlot { slot: slot(), epoch: E0 }],
        window: Duration::from_secs(60),
        wish: Wish::Proceed,
        aborted: None,
    }
}

fn row(state: SlotState, epoch: Epoch) -> SlotRow {
    SlotRow { state, epoch, move_id: ID, attempt: FIRST }
}

fn order(task: Task) -> Order {
    Order { term: 1, move_id: ID, attempt: FIRST, epoch: E0, task }
}

fn report(standing: Standing, progress: Progress) -> Report {
    Report { move_id: ID, attempt: FIRST, standing, relayed: true, progress }
}

const FACTS: Facts = Facts {
    in_phase: Duration::ZERO,
    writes_wait: Duration::ZERO,
    checks: Checks::Passed,
    turn: true,
    newest: Terms { source: 1, target: 1 },
};

const PROOF: Proof =
    Proof { source: Mark { term: 1, tally: 3 }, target: Mark { term: 1, tally: 5 } };

#[test]
fn stored_numbers_stay() {
    let phases: Vec<u8> = Phase::ALL.iter().map(|phase| *phase as u8).collect();
    assert_eq!(phases, (1..=14).collect::<Vec<u8>>());
    for phase in Phase::ALL {
        assert_eq!(Phase::from_number(phase as u8), Some(phase));
    }
    let states: Vec<u8> = SlotState::ALL.iter().map(|state| *state as u8).collect();
    assert_eq!(states, (1..=7).collect::<Vec<u8>>());
    assert_eq!(SlotState::from_number(1), Some(SlotState::Owned));
    assert_eq!(SlotState::from_number(8), None);
    assert_eq!(Phase::from_number(0), None);
    assert_eq!((Kind::from_number(2), Kind::from_number(3)), (Some(Kind::Reverse), None));
    assert_eq!((Wish::from_number(5), Wish::from_number(6)), (Some(Wish::Reverse), None));
    let lost = AbortReason::from_number(5);
    assert_eq!((lost, AbortReason::from_number(0)), (Some(AbortReason::CopyLost), None));
}

#[test]
fn only_a_frozen_move_flips_and_only_before_that_it_aborts() {
    for from in Phase::ALL {
        assert_eq!(from.may_become(Phase::Flipped), from == Phase::Frozen, "{}", from.name());
        let early = (from as u8) <= Phase::Frozen as u8;
        assert_eq!(from.may_become(Phase::Aborting), early, "{}", from.name());
        assert_eq!(from.is_end(), !Phase::ALL.iter().any(|to| from.may_become(*to)));
    }
}

#[test]
fn an_arrow_changes_only_what_it_expects() {
    let flip = Arrow {
        move_id: ID,
        from: Phase::Frozen,
        attempt: FIRST,
        to: Phase::Flipped,
        reason: None,
        proof: Some(PROOF),
    };
    let present = moving(Phase::Frozen);
    assert_eq!(flip.step(&present).map(|next| next.phase), Ok(Phase::Flipped));
    for other in [
        moving(Phase::Aborting),
        Move { attempt: FIRST.next(), ..moving(Phase::Frozen) },
        Move { id: MoveId(4), ..moving(Phase::Frozen) },
    ] {
        assert!(matches!(flip.step(&other), Err(NotAsExpected::Moved { .. })));
    }
    let skip = Arrow { to: Phase::Following, ..flip };
    assert!(matches!(skip.step(&present), Err(NotAsExpected::Illegal { .. })));

    let entry = Entry { owner: A, epoch: E0, held_by: Some(ID) };
    let after = |entry: Entry| flip.slot(&present, &present.slots[0], &entry);
    assert_eq!(after(entry), Ok(Entry { owner: B, epoch: E1, ..entry }));
    assert!(after(Entry { owner: B, ..entry }).is_err());
    assert!(after(Entry { epoch: E1, ..entry }).is_err());
    assert!(after(Entry { held_by: None, ..entry }).is_err());
    let abort = Arrow { to: Phase::Aborting, reason: Some(AbortReason::Operator), ..flip };
    let aborted = abort.slot(&present, &present.slots[0], &entry);
    assert_eq!(aborted, Ok(Entry { owner: A, epoch: E1, ..entry }));
    assert_eq!(abort.step(&present).map(|next| next.aborted), Ok(Some(AbortReason::Operator)));
}

#[test]
fn a_late_freeze_of_an_aborted_attempt_is_refused() {
    let thawed = row(SlotState::Owned, E1);
    assert_eq!(obey(thawed, 0, &order(Task::Freeze)), Err(Refused::OldEpoch(E1)));
    let frozen = obey(row(SlotState::Owned, E0), 0, &order(Task::Freeze));
    assert_eq!(frozen, Ok(row(SlotState::Frozen, E0)));
    assert_eq!(obey(row(SlotState::Frozen, E0), 0, &order(Task::Freeze)), frozen);
}

#[test]
fn orders_of_an_older_term_move_or_attempt_are_refused() {
    let owned = row(SlotState::Owned, E0);
    assert_eq!(obey(owned, 2, &order(Task::Freeze)), Err(Refused::OldTerm { seen: 2 }));
    for known in [
        SlotRow { attempt: FIRST.next(), ..owned },
        SlotRow { move_id: MoveId(4), attempt: Attempt(0), ..owned },
    ] {
        let refused = obey(known, 1, &order(Task::Freeze));
        let SlotRow { move_id, attempt, .. } = known;
        assert_eq!(refused, Err(Refused::OldMove { move_id, attempt }));
    }
}

#[test]
fn a_discarded_attempt_never_begins_again() {
    let burnt = obey(SlotRow::NONE, 0, &order(Task::Discard)).expect("an empty row");
    assert_eq!(burnt.state, SlotState::Empty);
    let again = obey(burnt, 0, &order(Task::Copy));
    assert_eq!(again, Err(Refused::State(SlotState::Empty)));
    let next = Order { attempt: FIRST.next(), epoch: E1, ..order(Task::Copy) };
    assert_eq!(obey(burnt, 0, &next).map(|row| row.state), Ok(SlotState::Importing));
}

#[test]
fn only_the_catalogs_word_about_this_attempt_makes_a_target_the_owner() {
    let importing = row(SlotState::Importing, E0);
    let flipped = moving(Phase::Flipped);
    let entry = Entry { owner: B, epoch: E1, held_by: Some(ID) };
    let taken = hear(importing, B, &entry.word(Some(&flipped)));
    assert_eq!(taken, Ok(row(SlotState::Owned, E1)));
    let other = Move { attempt: FIRST.next(), ..flipped };
    assert!(hear(importing, B, &entry.word(Some(&other))).is_err());
    assert!(hear(importing, B, &entry.word(None)).is_err());
    assert_eq!(
        hear(row(SlotState::Moved, E0), B, &entry.word(None)),
        Err(Refused::NeverImported),
        "its data is not here"
    );
}

#[test]
fn a_first_placement_is_taken_from_nothing() {
    let word = Word { owner: A, epoch: Epoch(1), held: None };
    let owned = hear(SlotRow::NONE, A, &word).expect("taken");
    assert!(owned.accepts_writes(Epoch(1)));
    assert!(!owned.accepts_writes(Epoch(2)));
    assert_eq!(hear(SlotRow::NONE, B, &word), Ok(SlotRow::NONE));
}

#[test]
fn a_slot_taken_away_without_a_freeze_is_kept_and_not_served() {
    let word = Word { owner: B, epoch: E1, held: None };
    let kept = hear(row(SlotState::Owned, E0), A, &word).expect("changed");
    assert_eq!(kept.state, SlotState::Quarantined);
    assert!(!may_purge(&kept, ID, FIRST, E1));
}

#[test]
fn a_quarantined_source_under_a_freeze_is_frozen_again() {
    let entry = Entry { owner: A, epoch: E0, held_by: Some(ID) };
    let held = quarantined(row(SlotState::Owned, E0));
    let frozen = hear(held, A, &entry.word(Some(&moving(Phase::Frozen))));
    assert_eq!(frozen, Ok(row(SlotState::Frozen, E0)));
    let owned = hear(held, A, &entry.word(Some(&moving(Phase::Copying))));
    assert_eq!(owned, Ok(row(SlotState::Owned, E0)));
}

#[test]
fn a_move_is_what_its_slots_have_in_common() {
    let tracked = (row(SlotState::Owned, E0), E0);
    let frozen = (row(SlotState::Frozen, E0), E0);
    assert_eq!(standing([tracked, tracked], ID, FIRST), Standing::Tracking);
    assert_eq!(standing([tracked, frozen], ID, FIRST), Standing::Other);
    assert_eq!(standing([frozen], ID, FIRST), Standing::Frozen);
    assert_eq!(standing([frozen], ID, FIRST.next()), Standing::Other);
    assert_eq!(standing([], ID, FIRST), Standing::Other);
}

fn next_phase(decision: Decision) -> Option<(Phase, Option<AbortReason>)> {
    match decision {
        Decision::Advance(arrow) => Some((arrow.to, arrow.reason)),
        _ => None,
    }
}

#[test]
fn a_long_freeze_aborts_unless_nothing_is_missing() {
    let late = Facts { writes_wait: FREEZE_TIME_MAX, ..FACTS };
    let settled = Progress { settled: Some(PROOF), ..Progress::default() };
    let target = report(Standing::Importing, settled);
    let frozen = moving(Phase::Frozen);
    let abort = Some((Phase::Aborting, Some(AbortReason::FrozenTooLong)));
    assert_eq!(next_phase(decide(&frozen, None, None, &late)), abort);
    assert_eq!(next_phase(decide(&moving(Phase::Freezing), None, None, &late)), abort);
    let flip = Some((Phase::Flipped, None));
    assert_eq!(next_phase(decide(&frozen, None, Some(&target), &late)), flip, "source or not");
    let old = Report { attempt: Attempt(0), ..target };
    assert_eq!(next_phase(decide(&frozen, None, Some(&old), &late)), abort);
}

#[test]
fn what_took_too_long_is_tried_again_later_and_not_for_ever() {
    let aborting = Move { aborted: Some(AbortReason::FrozenTooLong), ..moving(Phase::Aborting) };
    let source = report(Standing::OwnedAnew, Progress::default());
    let later = Facts { in_phase: MOVE_RETRY_AFTER, ..FACTS };
    assert_eq!(decide(&aborting, Some(&source), None, &FACTS), Decision::Wait(Blocked::Retry));
    let again = decide(&aborting, Some(&source), None, &later);
    assert_eq!(next_phase(again), Some((Phase::Planned, None)));
    let Decision::Advance(arrow) = again else { return };
    let next = arrow.step(&aborting).expect("legal");
    assert_eq!((next.attempt, next.slots[0].epoch), (FIRST.next(), E1));

    let last = Move { attempt: Attempt(MOVE_ATTEMPTS_MAX), ..aborting };
    let source = Report { attempt: last.attempt, ..source };
    let given_up = decide(&last, Some(&source), None, &later);
    assert!(matches!(given_up, Decision::Order { target: Some(Task::Discard), .. }));
}

#[test]
fn a_mismatch_is_never_ignored() {
    let differs =
        Progress { mismatched: true, close_rounds: 9, verified: true, ..Progress::default() };
    let target = report(Standing::Importing, differs);
    let source = report(Standing::Tracking, Progress::default());
    for phase in [Phase::Copying, Phase::Verifying, Phase::Ready, Phase::Frozen] {
        let decision = decide(&moving(phase), Some(&source), Some(&target), &FACTS);
        let reason = Some((Phase::Aborting, Some(AbortReason::Mismatch)));
        assert_eq!(next_phase(decision), reason, "{}", phase.name());
    }
}

#[test]
fn slots_are_cleaned_only_after_the_window_and_the_relay() {
    let following = moving(Phase::Following);
    let source = report(Standing::Following, Progress::default());
    let over = Facts { in_phase: following.window, ..FACTS };
    let blocked = |decision| match decision {
        Decision::Order { blocked, .. } | Decision::Wait(blocked) => Some(blocked),
        _ => None,
    };
    assert_eq!(blocked(decide(&following, Some(&source), None, &FACTS)), Some(Blocked::Window));
    let waits = Report { relayed: false, ..source };
    assert_eq!(blocked(decide(&following, Some(&waits), None, &over)), Some(Blocked::Relay));
    let clean = decide(&following, Some(&source), None, &over);
    assert_eq!(next_phase(clean), Some((Phase::Cleaning, None)));
    let finish = Move { wish: Wish::Finish, ..following.clone() };
    let clean = decide(&finish, Some(&source), None, &FACTS);
    assert_eq!(next_phase(clean), Some((Phase::Cleaning, None)));
    let reverse = Move { wish: Wish::Reverse, ..following };
    assert_eq!(decide(&reverse, Some(&source), None, &over), Decision::Reverse);
}

#[test]
fn a_paused_move_copies_nothing_but_does_not_stay_frozen() {
    let target = report(Standing::Importing, Progress::default());
    let paused = |phase| Move { wish: Wish::Pause, ..moving(phase) };
    let hold = decide(&paused(Phase::Copying), None, Some(&target), &FACTS);
    let expected =
        Decision::Order { source: None, target: Some(Task::Hold), blocked: Blocked::Paused };
    assert_eq!(hold, expected);
    let goes_on = decide(&paused(Phase::Frozen), None, Some(&target), &FACTS);
    assert!(matches!(goes_on, Decision::Order { target: Some(Task::Settle), .. }));
}

#[test]
fn wishes_that_come_too_late_are_refused() {
    let late = moving(Phase::Flipped).may_wish(Wish::Abort);
    assert_eq!(late, Err(WishError::TooLateToAbort { phase: Phase::Flipped }));
    assert_eq!(moving(Phase::Frozen).may_wish(Wish::Abort), Ok(()));
    assert_eq!(moving(Phase::Following).may_wish(Wish::Reverse), Ok(()));
    let cleaning = moving(Phase::Cleaning).may_wish(Wish::Reverse);
    assert_eq!(cleaning, Err(WishError::TooLateToReverse));
    let done = moving(Phase::Done).may_wish(Wish::Pause);
    assert_eq!(done, Err(WishError::Ended { phase: Phase::Done }));
}

#[test]
fn a_slot_that_is_followed_goes_back_or_finishes_first() {
    let following = moving(Phase::Following);
    assert_eq!(begin(&following, A), Begin::Reverse(ID));
    assert_eq!(begin(&following, ShardId(9)), Begin::FinishFirst(ID));
    assert_eq!(begin(&moving(Phase::Copying), A), Begin::Busy(ID));
    let back = following.reversed(MoveId(4));
    assert_eq!((back.source, back.target, back.phase), (B, A, Phase::CatchingUp));
    assert_eq!(back.slots[0].epoch, E1);
}

#[test]
fn leftovers_on_a_target_end_an_attempt_whoever_they_are_from() {
    let leftover = (row(SlotState::Moved, E0), E1);
    let next = FIRST.next();
    let standing = standing([leftover], ID, next);
    assert_eq!(standing, Standing::Moved);
    let again = Move { attempt: next, ..moving(Phase::Preparing) };
    let target = Report { attempt: next, ..report(standing, Progress::default()) };
    let lost = Some((Phase::Aborting, Some(AbortReason::CopyLost)));
    assert_eq!(next_phase(decide(&again, None, Some(&target), &FACTS)), lost);
}

#[test]
fn a_quarantined_target_lets_go_of_its_copy_only_after_an_abort() {
    let held = quarantined(row(SlotState::Importing, E0));
    let frozen = Entry { owner: A, epoch: E0, held_by: Some(ID) };
    let word = frozen.word(Some(&moving(Phase::Frozen)));
    assert_eq!(hear(held, B, &word), Ok(held), "the flip may be on its way");
    let flipped = Entry { owner: B, epoch: E1, held_by: Some(ID) };
    let word = flipped.word(Some(&moving(Phase::Flipped)));
    assert_eq!(hear(held, B, &word), Ok(row(SlotState::Owned, E1)));
    let aborted = Entry { owner: A, epoch: E1, held_by: Some(ID) };
    let word = aborted.word(Some(&moving(Phase::Aborting)));
    let given_up = hear(held, B, &word);
    assert_eq!(given_up, Ok(row(SlotState::Moved, E1)));
    let discarded = obey(row(SlotState::Moved, E1), 0, &order(Task::Discard));
    assert_eq!(discarded, given_up, "the order is of before the abort's epoch");
    assert!(may_purge(&row(SlotState::Moved, E1), ID, FIRST, E0));
}

#[test]
fn a_flip_rests_on_the_present_writers_of_both_shards() {
    let settled = Progress { settled: Some(PROOF), ..Progress::default() };
    let target = report(Standing::Importing, settled);
    let flip = decide(&moving(Phase::Frozen), None, Some(&target), &FACTS);
    let Decision::Advance(arrow) = flip else { panic!("{flip:?}") };
    let newest = Terms { source: 1, target: 1 };
    assert_eq!(arrow.check_proof(newest), Ok(()));
    for newest in [Terms { source: 2, target: 1 }, Terms { source: 1, target: 2 }] {
        let refused = Err(NotAsExpected::NotProven { move_id: ID, newest });
        assert_eq!(arrow.check_proof(newest), refused);
        // Who knows of the new writer waits for its word, and gives up in time.
        let facts = Facts { newest, ..FACTS };
        let again = decide(&moving(Phase::Frozen), None, Some(&target), &facts);
        assert!(matches!(again, Decision::Order { target: Some(Task::Settle), .. }));
        let late = Facts { writes_wait: FREEZE_TIME_MAX, ..facts };
        let abort = Some((Phase::Aborting, Some(AbortReason::FrozenTooLong)));
        assert_eq!(next_phase(decide(&moving(Phase::Frozen), None, Some(&target), &late)), abort);
    }
    let unproven = Arrow { proof: None, ..arrow };
    assert!(unproven.check_proof(newest).is_err());
    let other = Arrow { from: Phase::Frozen, to: Phase::Aborting, ..unproven };
    assert_eq!(other.check_proof(newest), Ok(()), "an abort rests on nothing");
}

#[test]
fn a_copy_is_granted_what_it_has() {
    let mine = |epoch| Word { owner: A, epoch, held: None };
    let granted = |row, word: Word, complete| regrant(row, A, &word, complete);
    let owned = row(SlotState::Owned, E0);
    assert_eq!(granted(owned, mine(E0), false), Ok(owned));
    let thawed = Ok(row(SlotState::Owned, E1));
    assert_eq!(granted(row(SlotState::Frozen, E0), mine(E1), false), thawed, "an abort");
    let later = Epoch(E0.0 + 2);
    assert_eq!(granted(owned, mine(later), false), Err(Refused::Incomplete), "it was away");
    assert_eq!(granted(owned, mine(later), true), Ok(row(SlotState::Owned, later)));
    // Of a copy to which a flip came, only the grant may be missing.
    let importing = row(SlotState::Importing, E0);
    assert_eq!(granted(importing, mine(E1), false), Err(Refused::Incomplete));
    assert_eq!(granted(importing, mine(E1), true), thawed);
    assert_eq!(granted(SlotRow::NONE, mine(E1), false), Err(Refused::Incomplete));
    let placed = granted(SlotRow::NONE, mine(Epoch(1)), false).map(|row| row.state);
    assert_eq!(placed, Ok(SlotState::Owned), "nothing ever moved here");
    // A row that the catalog knows nothing of is no ground to serve.
    let ahead = granted(row(SlotState::Owned, E1), mine(E0), true).map(|row| row.state);
    assert_eq!(ahead, Ok(SlotState::Quarantined));
}

#[test]
fn a_copy_without_the_freeze_is_frozen_or_gives_the_slot_up() {
    let owned = row(SlotState::Owned, E0);
    let entry = Entry { owner: A, epoch: E0, held_by: Some(ID) };
    let word = entry.word(Some(&moving(Phase::Frozen)));
    assert_eq!(regrant(owned, A, &word, false), Ok(row(SlotState::Frozen, E0)));
    let entry = Entry { owner: B, epoch: E1, held_by: Some(ID) };
    for phase in [Phase::Flipped, Phase::Following, Phase::Cleaning] {
        let word = entry.word(Some(&moving(phase)));
        assert_eq!(regrant(owned, A, &word, false), Ok(row(SlotState::Moved, E1)));
        // It forgot the move altogether.
        let before = SlotRow { move_id: MoveId(0), attempt: Attempt(0), ..owned };
        assert_eq!(regrant(before, A, &word, true), Ok(row(SlotState::Moved, E1)));
    }
    let gone = Word { owner: B, epoch: E1, held: None };
    let kept = regrant(owned, A, &gone, true).map(|row| row.state);
    assert_eq!(kept, Ok(SlotState::Quarantined));
}

#[test]
fn what_an_older_move_left_on_a_target_is_deleted_first() {
    let left = SlotRow { move_id: MoveId(1), ..row(SlotState::Importing, E0) };
    let begun = obey(left, 0, &order(Task::Copy));
    assert_eq!(begun, Ok(row(SlotState::Moved, E0)), "its standing ends the attempt");
    assert_eq!(obey(left, 0, &order(Task::Discard)), begun);
}
