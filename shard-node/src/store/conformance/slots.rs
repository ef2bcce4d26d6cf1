//! Slot rows: compared, then set; all of a call or none.

use super::*;

fn row(slot: u16, state: SlotState, epoch: u64, move_id: u64) -> SlotRow {
    SlotRow { move_id, attempt: 1, leader_term: 2, ..SlotRow::unmoved(slot, state, epoch) }
}

pub async fn rows_change_all_or_none(database: &dyn Database) {
    let store = writing_store(database).await;
    let owned = |slot| SlotRow::unmoved(slot, SlotState::Owned, 5);
    let first: Vec<_> =
        (0..4).map(|slot| SlotChange { from: SlotRow::none(slot), to: owned(slot) }).collect();
    put(&*store, &[], &first).await;

    let freeze = |slot| SlotChange { from: owned(slot), to: row(slot, SlotState::Frozen, 6, 9) };
    let mut changes: Vec<_> = (0..4).map(freeze).collect();
    changes[1].from.epoch = 4;
    changes[3].from.state = SlotState::Quarantined;
    changes.push(freeze(9));
    let refused = store.put_slots(&[0, 1], &changes).await.expect("it is the writer");
    assert_eq!(refused, SlotsPut::InTheWay(vec![owned(1), owned(3), SlotRow::none(9)]));
    let stored = store.slots().await.expect("a read");
    assert_eq!(stored, (0..4).map(owned).collect::<Vec<_>>());

    put(&*store, &[1, 0, 1], &(0..4).map(freeze).collect::<Vec<_>>()).await;
    let stored = store.slots().await.expect("a read");
    assert_eq!(stored, (0..4).map(|slot| freeze(slot).to).collect::<Vec<_>>());
    // Neither an epoch, a move, an attempt nor a leader's term goes down.
    let from = freeze(0).to;
    for to in [
        SlotRow { epoch: 5, ..from },
        SlotRow { move_id: 8, ..from },
        SlotRow { attempt: 0, ..from },
        SlotRow { state: SlotState::Owned, leader_term: 1, ..from },
    ] {
        let refused = store.put_slots(&[0], &[SlotChange { from, to }]).await;
        assert_eq!(refused.expect("it is the writer"), SlotsPut::InTheWay(vec![from]), "{to:?}");
    }
    // A lane that there is not has no writer.
    let refused = store.put_slots(&[7], &[SlotChange { from, to: from }]).await;
    if let Ok(put) = refused {
        assert_eq!(put, SlotsPut::Done, "one lock guards all lanes here");
    }
}

pub async fn a_change_may_be_asked_for_again(database: &dyn Database) {
    let store = writing_store(database).await;
    let importing = row(7, SlotState::Importing, 5, 9);
    let begin = SlotChange { from: SlotRow::none(7), to: importing };
    let later = SlotChange { from: importing, to: row(7, SlotState::Owned, 6, 9) };
    put(&*store, &[1], &[begin]).await;
    put(&*store, &[1], &[begin]).await;
    put(&*store, &[1], &[later]).await;
    put(&*store, &[1], &[later]).await;
    // The first, coming late.
    let refused = store.put_slots(&[1], &[begin]).await.expect("it is the writer");
    assert_eq!(refused, SlotsPut::InTheWay(vec![later.to]));
    // One that was done and one that was not, together.
    let other = SlotChange { from: SlotRow::none(8), to: row(8, SlotState::Importing, 5, 9) };
    put(&*store, &[0, 1], &[later, other]).await;
    // A newer leader that asks for the same is remembered.
    let newer = SlotChange { to: SlotRow { leader_term: 3, ..later.to }, ..later };
    put(&*store, &[1], &[newer]).await;
    assert_eq!(slot_row(&*store, 7).await, newer.to);
}

pub async fn all_slots_change_at_once(database: &dyn Database) {
    let store = writing_store(database).await;
    let owned = |slot| SlotRow::unmoved(slot, SlotState::Owned, 5);
    let all: Vec<_> =
        (0..16_384).map(|slot| SlotChange { from: SlotRow::none(slot), to: owned(slot) }).collect();
    put(&*store, &[], &all).await;
    put(&*store, &[], &all).await;
    let stored = store.slots().await.expect("a read");
    assert_eq!(stored, (0..16_384).map(owned).collect::<Vec<_>>());
}

pub async fn a_change_that_was_lost_on_its_way_is_repeated(database: &dyn Database) {
    let Some((store, wire)) = database.open_by_wire().await else { return };
    store.take_over(writer(1), 2).await.expect("nobody has a higher term");
    let mut script = Script::new(1);
    let mut from = SlotRow::none(7);
    for (epoch, cut) in [(1, Cut::CommitLost), (2, Cut::AnswerLost), (3, Cut::AtStatement)] {
        let change = [SlotChange { from, to: row(7, SlotState::Frozen, epoch, 9) }];
        wire.cut(cut);
        let lost = store.put_slots(&[1], &change).await;
        assert!(matches!(lost, Err(StoreError::Unavailable(_))), "{lost:?}");
        // The server may hold the lane's row still; whoever comes next ends that.
        in_time("a slot change", put(&*store, &[1], &change)).await;
        assert_eq!(slot_row(&*store, 7).await, change[0].to);
        in_time("a commit", script.send(&*store, &[5])).await;
        from = change[0].to;
    }
}

/// What a journal does not show is counted: whoever has less lacks something.
pub async fn slot_changes_and_imports_are_counted(database: &dyn Database) {
    let store = writing_store(database).await;
    let counted = async || store.tally().await.expect("a read");
    assert_eq!(counted().await, 0);
    let importing = row(3, SlotState::Importing, 5, 9);
    put(&*store, &[1], &[SlotChange { from: SlotRow::none(3), to: importing }]).await;
    assert_eq!(counted().await, 1);
    let mut script = Script::new(1);
    script.send(&*store, &[5]).await;
    assert_eq!(counted().await, 1, "a commit has its place in the journal");
    let fence = MoveFence { slot: 3, move_id: 9, attempt: 1 };
    let (parts, cursors, continuation) = (Vec::new(), Vec::new(), Vec::new());
    let import = Import { fence, step: 1, parts, cursors, entity: 0, continuation };
    for _ in 0..2 {
        store.import(&[1], std::slice::from_ref(&import)).await.expect("the first step");
        assert_eq!(counted().await, 2, "a step is done once");
    }
    let other = MoveFence { attempt: 2, ..fence };
    store.import(&[1], &[Import { fence: other, ..import }]).await.expect_err("another attempt");
    assert_eq!(counted().await, 2);
    let moved = SlotRow { state: SlotState::Moved, ..importing };
    put(&*store, &[1], &[SlotChange { from: importing, to: moved }]).await;
    let purge = Purge { fence, epoch: 5 };
    store.purge(1, &[purge], 100).await.expect("it may be purged").expect("nothing is left");
    assert_eq!(counted().await, 4);
    store.raise_tally(3).await.expect("it is the writer");
    assert_eq!(counted().await, 4);
    store.raise_tally(40).await.expect("it is the writer");
    let found = database.open().await.found().await.expect("a read");
    assert_eq!((counted().await, found.tally), (40, 40));
}

/// What a start goes by: whose the database was, and where.
pub async fn a_database_knows_where_its_slots_were_right(database: &dyn Database) {
    let first = database.open().await;
    let empty = first.found().await.expect("a read");
    assert_eq!((empty.writer, empty.origin, empty.tally), (None, None, 0));
    assert!(!empty.server.is_empty());
    assert!(matches!(first.keep_origin().await, Err(StoreError::Fenced { .. })));
    first.take_over(writer(1), 2).await.expect("nobody has a higher term");
    let taken = first.found().await.expect("a read");
    assert_eq!((taken.writer, taken.origin), (Some(writer(1)), None));
    first.keep_origin().await.expect("it is the writer");
    let origin = Some(Origin { server: empty.server.clone(), term: 1 });
    let second = database.open().await;
    let kept = second.found().await.expect("a read");
    assert_eq!((kept.origin, kept.server), (origin.clone(), empty.server));
    // A takeover alone says nothing about slots.
    second.take_over(writer(2), 2).await.expect("a higher term");
    assert!(first.keep_origin().await.is_err(), "of an older term");
    assert!(first.raise_tally(9).await.is_err(), "of an older term");
    let found = second.found().await.expect("a read");
    assert_eq!((found.writer, found.origin, found.tally), (Some(writer(2)), origin, 0));
}
