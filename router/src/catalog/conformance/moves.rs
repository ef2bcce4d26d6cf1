//! Moves of slots: each step happens once, for all slots of the move, and only by the newest leader.

use super::{LONG, SHORT, Store, acquires, bid, founded, leads, report, row, slot};
use crate::catalog::CatalogError;
use crate::catalog::moves::{Course, NewMove, Which};
use shardline_domain::id::ShardId;
use shardline_domain::placement::transfer::{
    AbortReason, Arrow, Attempt, Kind, Mark, Move, MoveId, MovingSlot, NotAsExpected, Phase, Proof,
    Terms, Wish,
};
use shardline_domain::slot::Epoch;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);

/// From shard 0 to shard 1; even slots are on shard 0 at epoch 1.
fn new_move(slots: &[u32]) -> NewMove {
    let moving = |number: &u32| MovingSlot { slot: slot(*number), epoch: Epoch(1) };
    let slots = slots.iter().map(moving).collect();
    NewMove { source: ShardId(0), target: ShardId(1), slots, window: HOUR }
}

pub(super) async fn created(store: &Store, term: u64, slots: &[u32]) -> MoveId {
    let ids = store.create_moves(term, None, &[new_move(slots)]).await.expect("slots are free");
    ids[0]
}

async fn find(store: &Store, id: MoveId) -> Move {
    let (row, slots) = store.find_move(id).await.expect("an answer").expect("the move is there");
    row.present(slots)
}

fn arrow(present: &Move, to: Phase) -> Arrow {
    let reason = (to == Phase::Aborting).then_some(AbortReason::FrozenTooLong);
    // Nobody writes these shards.
    let proof = (to == Phase::Flipped).then(|| proof(0, 0));
    let Move { id, phase, attempt, .. } = *present;
    Arrow { move_id: id, from: phase, attempt, to, reason, proof }
}

fn proof(source: u64, target: u64) -> Proof {
    let mark = |term, tally| Mark { term, tally };
    Proof { source: mark(source, 30), target: mark(target, 50) }
}

pub(super) async fn walked(store: &Store, term: u64, id: MoveId, to: Phase) -> Move {
    use Phase::{
        CatchingUp, Cleaning, Copying, Done, Flipped, Following, Freezing, Frozen, Preparing,
        Ready, Verifying,
    };
    let way = [
        Preparing, Copying, CatchingUp, Verifying, Ready, Freezing, Frozen, Flipped, Following,
        Cleaning, Done,
    ];
    let mut present = find(store, id).await;
    for next in way {
        if next <= present.phase {
            continue;
        }
        let taken = store.advance(term, &arrow(&present, next), "on its way").await;
        present = taken.expect("the arrow fits");
        if next == to {
            break;
        }
    }
    present
}

async fn place(store: &Store, number: u32) -> (u32, u64, Option<MoveId>) {
    let held = store.locate_slot(slot(number)).await.expect("an answer").expect("it is placed");
    (held.row.shard.0, held.row.epoch.0, held.held.map(|held| held.move_id))
}

fn not_as_expected<T: std::fmt::Debug>(result: Result<T, CatalogError>) -> NotAsExpected {
    match result {
        Err(CatalogError::NotAsExpected(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

pub async fn a_slot_is_never_held_twice(a: &Store, b: &Store) {
    let term = founded(a).await;
    let id = created(a, term, &[0, 2]).await;
    assert_eq!(place(b, 2).await, (0, 1, Some(id)));
    let owned = b.owned_slots(ShardId(0)).await.expect("an answer");
    let held: Vec<u16> =
        owned.iter().filter(|slot| slot.held.is_some()).map(|held| held.row.slot.get()).collect();
    assert_eq!(held, [0, 2]);
    let held = owned[0].held.expect("slot 0 is held");
    assert_eq!((held.phase, held.attempt), (Phase::Planned, Attempt::FIRST));
    assert_eq!((held.source, held.target), (ShardId(0), ShardId(1)));

    let asked = [slot(9), slot(2), slot(0)];
    let located = b.locate_slots(&asked).await.expect("an answer");
    let mut each = Vec::new();
    for number in [0, 2, 9] {
        each.extend(b.locate_slot(slot(number)).await.expect("an answer"));
    }
    assert_eq!(located, each, "by number, as each alone");

    let both = [new_move(&[4]), new_move(&[6, 2])];
    let reason = not_as_expected(b.create_moves(term, None, &both).await);
    assert_eq!(reason, NotAsExpected::Held { slot: slot(2) });
    assert_eq!(place(a, 4).await, (0, 1, None), "all or none");
    let twice = [new_move(&[8]), new_move(&[8])];
    not_as_expected(b.create_moves(term, None, &twice).await);
    let elsewhere = not_as_expected(b.create_moves(term, None, &[new_move(&[1])]).await);
    assert!(matches!(elsewhere, NotAsExpected::Slot { .. }), "slot 1 is on shard 1");
    let nowhere = NewMove { target: ShardId(7), ..new_move(&[4]) };
    let refused = b.create_moves(term, None, &[nowhere]).await;
    assert!(matches!(refused, Err(CatalogError::Refused(_))), "{refused:?}");
    let next = created(b, term, &[4]).await;
    assert!(id < next, "{id} and {next}");
}

pub async fn two_that_plan_at_once_hold_each_slot_once(a: &Store, b: &Store) {
    let term = founded(a).await;
    let course = async |store: &Store| {
        let mut made = 0;
        for number in 0..12 {
            match store.create_moves(term, None, &[new_move(&[number * 2])]).await {
                Ok(_) => made += 1,
                Err(CatalogError::NotAsExpected(_)) => {}
                Err(error) => panic!("{error}"),
            }
        }
        made
    };
    let (one, two) = tokio::join!(course(a), course(b));
    assert_eq!(one + two, 12);
    let rows = a.moves(Which::Live).await.expect("an answer");
    assert_eq!(rows.len(), 12);
}

pub async fn a_move_takes_its_slots_along_and_journals_each_step(a: &Store, b: &Store) {
    let term = founded(a).await;
    let before = a.slots_since(0).await.expect("an answer").version;
    let id = created(a, term, &[0, 2, 4]).await;
    let frozen = walked(a, term, id, Phase::Frozen).await;
    assert_eq!(frozen.slots[0].epoch, Epoch(1));
    let none = b.slots_since(before).await.expect("an answer");
    assert_eq!(none.slots, [], "routers learn of a move only what concerns them");

    walked(a, term, id, Phase::Flipped).await;
    let news = b.slots_since(before).await.expect("an answer");
    assert!(before < news.version);
    let mut moved = news.slots;
    moved.sort_by_key(|row| row.slot);
    assert_eq!(moved, [row(0, 1, 2), row(2, 1, 2), row(4, 1, 2)]);
    assert_eq!(place(b, 4).await, (1, 2, Some(id)));
    let owned = b.owned_slots(ShardId(1)).await.expect("an answer");
    let held = owned[0].held.expect("slot 0 is held");
    assert_eq!((owned[0].row.slot.get(), held.phase), (0, Phase::Flipped));

    walked(a, term, id, Phase::Done).await;
    assert_eq!(place(b, 4).await, (1, 2, None));
    assert_eq!(b.moves(Which::Live).await.expect("an answer"), []);
    let ended = b.moves(Which::All { ended: 1 }).await.expect("an answer");
    assert_eq!((ended[0].id, ended[0].phase, ended[0].slots), (id, Phase::Done, 3));

    let journal = b.journal(id).await.expect("an answer");
    let numbers: Vec<u32> = journal.iter().map(|step| step.number).collect();
    assert_eq!(numbers, (1..=12).collect::<Vec<_>>());
    assert!(journal.iter().all(|step| step.term == term), "{journal:?}");
    assert_eq!((journal[0].from, journal[0].to), (None, Phase::Planned));
    for pair in journal.windows(2) {
        assert_eq!(pair[1].from, Some(pair[0].to), "each step begins where the last one ended");
    }
    assert_eq!(journal[11].to, Phase::Done);
    assert_eq!(journal[11].detail, "on its way");
}

pub async fn a_repeated_arrow_changes_nothing(a: &Store, b: &Store) {
    let term = founded(a).await;
    let id = created(a, term, &[0]).await;
    let frozen = walked(a, term, id, Phase::Frozen).await;
    let flip = arrow(&frozen, Phase::Flipped);
    a.advance(term, &flip, "").await.expect("it fits");
    let version = a.slots_since(0).await.expect("an answer").version;
    // The answer was lost.
    let again = not_as_expected(b.advance(term, &flip, "").await);
    let phase = Phase::Flipped;
    assert_eq!(again, NotAsExpected::Moved { move_id: id, phase, attempt: Attempt::FIRST });
    assert_eq!(place(b, 0).await, (1, 2, Some(id)));
    assert_eq!(b.slots_since(version).await.expect("an answer").slots, []);
    assert_eq!(b.journal(id).await.expect("an answer").len(), 9);
    let skips = Arrow { from: Phase::Flipped, to: Phase::Done, ..flip };
    assert!(matches!(
        not_as_expected(b.advance(term, &skips, "").await),
        NotAsExpected::Illegal { .. }
    ));
}

pub async fn an_older_leader_moves_nothing(a: &Store, b: &Store) {
    let old = founded(a).await;
    let id = created(a, old, &[0]).await;
    let frozen = walked(a, old, id, Phase::Frozen).await;
    a.resign(old).await.expect("an answer");
    let new = leads(b, "b").await;
    let late = |result: Result<(), CatalogError>| {
        let refused = matches!(&result, Err(CatalogError::NotLeader { term }) if *term == new);
        assert!(refused, "{result:?}");
    };
    late(a.advance(old, &arrow(&frozen, Phase::Flipped), "").await.map(drop));
    late(a.advance(old, &arrow(&frozen, Phase::Aborting), "").await.map(drop));
    late(a.create_moves(old, None, &[new_move(&[2])]).await.map(drop));
    late(a.reverse(old, &frozen).await.map(drop));
    assert_eq!(place(b, 0).await, (0, 1, Some(id)));
    assert_eq!(place(b, 2).await, (0, 1, None));
    b.advance(new, &arrow(&frozen, Phase::Flipped), "").await.expect("the new one goes on");
}

/// What was compared under a writer proves nothing once there is another.
pub async fn a_flip_rests_on_the_present_writers(a: &Store, b: &Store) {
    let term = founded(a).await;
    for shard in 0..2 {
        acquires(a, &bid(shard, "one", LONG)).await;
    }
    let id = created(a, term, &[0, 2]).await;
    let frozen = walked(a, term, id, Phase::Frozen).await;
    let flip = |source, target| Arrow {
        proof: Some(proof(source, target)),
        ..arrow(&frozen, Phase::Flipped)
    };
    let refused = async |flip: Arrow, newest: Terms| {
        let reason = not_as_expected(b.advance(term, &flip, "").await);
        assert_eq!(reason, NotAsExpected::NotProven { move_id: id, newest });
    };
    let newest = Terms { source: 1, target: 1 };
    refused(Arrow { proof: None, ..flip(1, 1) }, newest).await;
    refused(flip(0, 1), newest).await;
    // The target's node begins anew.
    acquires(a, &bid(1, "one", LONG)).await;
    let newest = Terms { source: 1, target: 2 };
    refused(flip(1, 1), newest).await;
    acquires(a, &bid(0, "one", LONG)).await;
    let newest = Terms { source: 2, target: 2 };
    refused(flip(1, 2), newest).await;
    assert_eq!(place(b, 2).await, (0, 1, Some(id)));
    assert_eq!(b.mark(ShardId(1)).await.expect("an answer"), Mark::default());
    assert!(a.report(&report(1, 2, &[])).await.expect("an answer"));
    assert_eq!(b.mark(ShardId(1)).await.expect("an answer"), Mark { term: 2, tally: 0 });

    b.advance(term, &flip(2, 2), "").await.expect("it fits");
    assert_eq!(place(a, 2).await, (1, 2, Some(id)));
    assert_eq!(a.mark(ShardId(0)).await.expect("an answer"), Mark { term: 2, tally: 30 });
    assert_eq!(a.mark(ShardId(1)).await.expect("an answer"), Mark { term: 2, tally: 50 });
}

/// A writer that is let in while a flip is taken: the flip was before it, or is refused.
pub async fn of_a_flip_and_a_new_writer_the_flip_is_first_or_never(a: &Store, b: &Store) {
    let term = founded(a).await;
    for round in 0..8_u32 {
        let number = round * 2;
        let newest = acquires(a, &bid(1, "one", LONG)).await.term;
        let id = created(a, term, &[number]).await;
        let frozen = walked(a, term, id, Phase::Frozen).await;
        let tally = 100 + u64::from(number);
        let target = Mark { term: newest, tally };
        let proof = Some(Proof { source: Mark::default(), target });
        let flip = Arrow { proof, ..arrow(&frozen, Phase::Flipped) };
        let begin = async {
            acquires(b, &bid(1, "one", LONG)).await;
            b.mark(ShardId(1)).await.expect("an answer").tally
        };
        let (flipped, seen) = tokio::join!(a.advance(term, &flip, ""), begin);
        match flipped {
            Ok(_) => assert_eq!(seen, tally, "who begins later knows what the flip rests on"),
            Err(error) => {
                assert!(matches!(
                    not_as_expected::<()>(Err(error)),
                    NotAsExpected::NotProven { .. }
                ));
                assert!(seen < tally);
            }
        }
    }
}

/// Two processes at the same step, many times: one flips, the other aborts.
pub async fn of_a_flip_and_an_abort_one_happens(a: &Store, b: &Store) {
    let term = founded(a).await;
    for number in 0..10 {
        let number = number * 4;
        let id = created(a, term, &[number, number + 2]).await;
        let frozen = walked(a, term, id, Phase::Frozen).await;
        let (flip, abort) = (arrow(&frozen, Phase::Flipped), arrow(&frozen, Phase::Aborting));
        let (flipped, aborted) =
            tokio::join!(a.advance(term, &flip, ""), b.advance(term, &abort, ""));
        let (owner, phase) = match (flipped.is_ok(), aborted.is_ok()) {
            (true, false) => (1, Phase::Flipped),
            (false, true) => (0, Phase::Aborting),
            _ => panic!("{flipped:?} and {aborted:?}"),
        };
        for number in [number, number + 2] {
            assert_eq!(place(b, number).await, (owner, 2, Some(id)));
        }
        assert_eq!(find(a, id).await.phase, phase);
    }
}

pub async fn an_abort_takes_the_next_epoch_and_may_be_followed_by_another_try(
    a: &Store,
    b: &Store,
) {
    let term = founded(a).await;
    let id = created(a, term, &[0, 2]).await;
    let copying = walked(a, term, id, Phase::Copying).await;
    let aborting = a.advance(term, &arrow(&copying, Phase::Aborting), "").await.expect("fits");
    assert_eq!(aborting.aborted, Some(AbortReason::FrozenTooLong));
    assert_eq!(place(b, 2).await, (0, 2, Some(id)), "what is late for epoch 1 is refused");
    let again = a.advance(term, &arrow(&aborting, Phase::Planned), "").await.expect("fits");
    assert_eq!((again.attempt, again.slots[1].epoch), (Attempt(2), Epoch(2)));
    assert_eq!(find(b, id).await, again);
    let aborting = b.advance(term, &arrow(&again, Phase::Aborting), "").await.expect("fits");
    b.advance(term, &arrow(&aborting, Phase::Aborted), "").await.expect("fits");
    assert_eq!(place(a, 2).await, (0, 3, None));
    let row = &a.moves(Which::All { ended: 9 }).await.expect("an answer")[0];
    assert_eq!((row.phase, row.aborted), (Phase::Aborted, Some(AbortReason::FrozenTooLong)));
}

pub async fn a_reverse_takes_the_slots_over(a: &Store, b: &Store) {
    let term = founded(a).await;
    let id = created(a, term, &[0, 2]).await;
    let flipped = walked(a, term, id, Phase::Flipped).await;
    assert!(
        matches!(not_as_expected(a.reverse(term, &flipped).await), NotAsExpected::Moved { .. }),
        "the source does not follow yet"
    );
    let following = walked(a, term, id, Phase::Following).await;
    let back = a.reverse(term, &following).await.expect("it can be reversed");
    assert_eq!((back.kind, back.phase), (Kind::Reverse, Phase::CatchingUp));
    assert_eq!((back.source, back.target), (ShardId(1), ShardId(0)));
    assert_eq!(find(b, back.id).await, back);
    assert_eq!(place(b, 2).await, (1, 2, Some(back.id)));
    // The answer was lost.
    let again = not_as_expected(b.reverse(term, &following).await);
    assert!(matches!(again, NotAsExpected::Moved { phase: Phase::Done, .. }), "{again:?}");
    let rows = b.moves(Which::All { ended: 9 }).await.expect("an answer");
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0].phase, rows[0].reversed_by), (Phase::Done, Some(back.id)));

    let back = walked(b, term, back.id, Phase::Flipped).await;
    assert_eq!(place(a, 2).await, (0, 3, Some(back.id)));
    walked(b, term, back.id, Phase::Done).await;
    assert_eq!(place(a, 2).await, (0, 3, None));
}

pub async fn the_latest_wish_counts_while_it_can(a: &Store, b: &Store) {
    let term = founded(a).await;
    let id = created(a, term, &[0]).await;
    a.wish(id, Wish::Pause, "anna").await.expect("it can be paused");
    a.wish(id, Wish::Pause, "anna").await.expect("and again");
    assert_eq!(find(b, id).await.wish, Wish::Pause);
    b.wish(id, Wish::Proceed, "bob").await.expect("and go on");
    let journal = a.journal(id).await.expect("an answer");
    let wishes: Vec<&str> =
        journal.iter().filter(|step| step.term == 0).map(|step| step.detail.as_str()).collect();
    assert_eq!(wishes, ["anna wishes: pause", "bob wishes: proceed"], "a repeat is no news");
    let changes = a.changes(9).await.expect("an answer");
    let said: Vec<(&str, &str)> =
        changes.iter().map(|row| (row.by.as_str(), row.what.as_str())).collect();
    let expected = [("bob", "move 1: proceed"), ("anna", "move 1: pause")];
    assert_eq!(said, expected, "the newest first");

    walked(a, term, id, Phase::Flipped).await;
    let late = b.wish(id, Wish::Abort, "anna").await;
    assert!(
        matches!(&late, Err(CatalogError::Refused(why)) if why.contains("reverse it")),
        "{late:?}"
    );
    walked(a, term, id, Phase::Done).await;
    let ended = b.wish(id, Wish::Finish, "anna").await;
    assert!(matches!(ended, Err(CatalogError::Refused(_))), "{ended:?}");
    let nothing = b.wish(MoveId(99), Wish::Finish, "anna").await;
    assert!(matches!(nothing, Err(CatalogError::Refused(_))), "{nothing:?}");
}

pub async fn what_moves_copied_is_told_of_those_that_are_done(a: &Store, b: &Store) {
    let term = founded(a).await;
    let mut done = Vec::new();
    for number in [0, 2, 4] {
        let id = created(a, term, &[number]).await;
        let rows = 10 + u64::from(number);
        a.note_progress(id, &Course { rows, bytes: 700, ..Course::default() })
            .await
            .expect("an answer");
        done.push(id);
    }
    walked(a, term, done[0], Phase::Copying).await;
    tokio::time::sleep(SHORT * 30).await;
    walked(a, term, done[0], Phase::Done).await;
    let following = walked(a, term, done[1], Phase::Following).await;
    let back = a.reverse(term, &following).await.expect("it can be reversed");
    walked(a, term, back.id, Phase::Done).await;
    walked(a, term, done[2], Phase::Following).await;
    let copied = b.copied(9).await.expect("an answer");
    let rows: Vec<(u64, u64)> = copied.iter().map(|move_| (move_.rows, move_.bytes)).collect();
    assert_eq!(rows, [(12, 700), (10, 700)], "the newest first, without reverses and live ones");
    assert!(SHORT * 20 <= copied[1].took && copied[1].took < LONG, "{copied:?}");
    assert_eq!(b.copied(1).await.expect("an answer"), copied[..1]);
}

pub async fn how_a_move_goes_is_kept_for_people(a: &Store, b: &Store) {
    let term = founded(a).await;
    let moves = [new_move(&[0]), new_move(&[2])];
    let ids = a.create_moves(term, Some(7), &moves).await.expect("slots are free");
    let course = Course {
        blocked: "difference".to_owned(),
        // Longer than its column, cut at a character.
        note: "ä".repeat(1000),
        entities: 3,
        entities_total: 5,
        rows: 70,
        bytes: 9_000,
        lag_entities: 2,
        pause: Some(Duration::from_millis(41)),
    };
    a.note_progress(ids[1], &course).await.expect("an answer");
    a.note_progress(MoveId(99), &course).await.expect("nobody's");
    let rows = b.moves(Which::Live).await.expect("an answer");
    assert_eq!(rows[0].course, Course::default());
    assert_eq!(rows[1].course, Course { note: "ä".repeat(512), ..course });
    assert_eq!((rows[1].rebalance, rows[1].window), (Some(7), HOUR));
    assert!(rows[1].age < LONG && rows[1].in_phase <= rows[1].age, "{:?}", rows[1]);
}
