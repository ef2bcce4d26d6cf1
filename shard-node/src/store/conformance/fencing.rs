//! Who may write, and what waits for whom.

use super::*;
use tokio::sync::watch;

pub async fn nobody_writes_before_the_first_takeover(database: &dyn Database) {
    let store = database.open().await;
    assert_eq!(store.writer().await.expect("a read"), None);
    let refused = store.commit(0, &Script::new(0).sends(&[7])).await;
    assert!(matches!(refused, Err(CommitError::Fenced { term: 0 })), "{refused:?}");
    assert!(matches!(store.put_slots(&[], &[]).await, Err(StoreError::Fenced { term: 0 })));
    assert!(matches!(store.advance(0, 0, 0).await, Err(StoreError::Fenced { term: 0 })));
    assert_eq!(head(&*store, 7).await, None);
    assert_eq!(store.lane_positions().await.expect("a read"), []);
    assert_eq!(store.slots().await.expect("a read"), []);
    assert!(!store.durability().await.expect("a read").is_empty());
}

pub async fn two_processes_may_open_an_empty_database_at_once(database: &dyn Database) {
    let (one, other, third) = tokio::join!(database.open(), database.open(), database.open());
    one.take_over(writer(1), 1).await.expect("nobody has a higher term");
    assert_eq!(other.writer().await.expect("a read"), Some(writer(1)));
    assert_eq!(third.writer().await.expect("a read"), Some(writer(1)));
}

pub async fn a_takeover_ends_what_an_older_writer_may_do(database: &dyn Database) {
    let (old, new) = (writing_store(database).await, database.open().await);
    let mut script = Script::new(1);
    script.send(&*old, &CHATS).await;
    new.take_over(writer(2), 2).await.expect("a higher term");
    assert_eq!(old.writer().await.expect("a read"), Some(writer(2)));

    let writes = script.sends(&CHATS);
    let refused = old.commit(1, &writes).await;
    assert!(matches!(refused, Err(CommitError::Fenced { term: 2 })), "{refused:?}");
    let to = SlotRow::unmoved(3, SlotState::Owned, 1);
    for lanes in [&[][..], &[0], &[1]] {
        let put = old.put_slots(lanes, &[SlotChange { from: SlotRow::none(3), to }]).await;
        assert!(matches!(put, Err(StoreError::Fenced { term: 2 })), "{put:?}");
    }
    assert!(matches!(old.advance(1, 1, 1).await, Err(StoreError::Fenced { term: 2 })));
    let again = old.take_over(writer(1), 2).await;
    assert!(matches!(again, Err(StoreError::Fenced { term: 2 })), "{again:?}");

    assert_eq!(new.slots().await.expect("a read"), []);
    assert_eq!(head(&*new, CHATS[0]).await.map(|head| head.ver), Some(1));
    new.commit(1, &writes).await.expect("the new writer goes on where the old one was");
    // The same term with another incarnation is another process.
    old.take_over(Writer { incarnation: 5, ..writer(3) }, 2).await.expect("a higher term");
    let refused = new.commit(1, &script.sends(&CHATS)).await;
    assert!(matches!(refused, Err(CommitError::Fenced { term: 3 })), "{refused:?}");
}

pub async fn a_takeover_lets_nothing_through_that_it_did_not_wait_for(database: &dyn Database) {
    for term in 1..8 {
        let (old, new) = (database.open().await, database.open().await);
        old.take_over(writer(2 * term), 2).await.expect("a higher term");
        let chat = 1_000 + term;
        let (acknowledged, stored) = watch::channel(0);
        let committing = async {
            let mut script = Script::new(0);
            script.position = new.lane_positions().await.expect("a read")[0].committed;
            loop {
                let writes = script.sends(&[chat]);
                match old.commit(0, &writes).await {
                    Ok(()) => acknowledged.send_replace(writes.heads[0].head.ver),
                    Err(error) => return error,
                };
            }
        };
        let taking = async {
            let mut stored = stored.clone();
            stored.wait_for(|ver| 3 + term <= *ver).await.expect("commits go on");
            new.take_over(writer(2 * term + 1), 2).await.expect("a higher term");
            head(&*new, chat).await.expect("it was stored").ver
        };
        let (error, seen) = in_time("a takeover", async { tokio::join!(committing, taking) }).await;
        let after = head(&*new, chat).await.expect("it was stored").ver;
        assert_eq!(seen, after, "a commit of the old writer came after the takeover");
        let told = *stored.borrow();
        match error {
            CommitError::Fenced { .. } | CommitError::NotStored(_) => assert_eq!(told, after),
            CommitError::Unknown(_) => assert!(after == told || after == told + 1),
            error => panic!("{error:?}"),
        }
    }
}

pub async fn a_takeover_ends_a_transaction_that_is_stuck(database: &dyn Database) {
    let Some((old, wire)) = database.open_by_wire().await else { return };
    old.take_over(writer(1), 2).await.expect("nobody has a higher term");
    let mut script = Script::new(0);
    script.send(&*old, &CHATS).await;
    wire.cut(Cut::CommitLost);
    let lost = old.commit(0, &script.sends(&CHATS)).await;
    assert!(matches!(lost, Err(CommitError::Unknown(_))), "{lost:?}");

    // The server still holds that transaction and its lane row.
    let new = database.open().await;
    in_time("a takeover", new.take_over(writer(2), 2)).await.expect("a higher term");
    assert_eq!(head(&*new, CHATS[0]).await.map(|head| head.ver), Some(1));
    let mut next = Script::new(0);
    (next.position, next.heads) = (1, HashMap::new());
    for chat in CHATS {
        next.heads.insert(chat, head(&*new, chat).await.expect("it was stored"));
    }
    in_time("a commit", next.send(&*new, &CHATS)).await;
    let settled = old.settle(0, 2, script.empty().journal.nonce).await;
    assert!(matches!(settled, Err(StoreError::Fenced { term: 2 })), "{settled:?}");
}

/// A process that lost its term with a COMMIT unanswered may become the writer again.
pub async fn a_later_term_owes_no_answer_of_an_earlier_one(database: &dyn Database) {
    let Some((store, wire)) = database.open_by_wire().await else { return };
    store.take_over(writer(1), 2).await.expect("nobody has a higher term");
    let mut script = Script::new(0);
    script.send(&*store, &CHATS).await;
    wire.cut(Cut::CommitLost);
    let lost = store.commit(0, &script.sends(&CHATS)).await;
    assert!(matches!(lost, Err(CommitError::Unknown(_))), "{lost:?}");

    in_time("a takeover", store.take_over(writer(2), 2)).await.expect("a higher term");
    let mut next = Script::new(0);
    (next.position, next.heads) = (1, HashMap::new());
    for chat in CHATS {
        next.heads.insert(chat, head(&*store, chat).await.expect("it was stored"));
    }
    in_time("a commit", next.send(&*store, &CHATS)).await;
}

pub async fn a_writer_may_take_over_again_with_more_lanes(database: &dyn Database) {
    let store = writing_store(database).await;
    let mut script = Script::new(1);
    script.send(&*store, &CHATS).await;
    store.take_over(writer(1), 4).await.expect("it is the same writer");
    script.send(&*store, &CHATS).await;
    Script::new(3).send(&*store, &[5]).await;
    let refused = store.commit(4, &Script::new(4).sends(&[6])).await;
    assert!(matches!(refused, Err(CommitError::Fenced { .. })), "{refused:?}");
    store.take_over(writer(2), 1).await.expect("a higher term");
    let lanes: Vec<_> = store.lane_positions().await.expect("a read");
    assert_eq!(lanes.iter().map(|row| row.lane).collect::<Vec<_>>(), [0, 1, 2, 3]);
    assert_eq!(lanes.iter().map(|row| row.committed).collect::<Vec<_>>(), [0, 2, 0, 1]);
    let refused = store.commit(0, &Script::new(0).sends(&[CHATS[0]])).await;
    assert!(matches!(refused, Err(CommitError::Stale)), "{refused:?}");
}

pub async fn a_slot_change_waits_for_running_commits(database: &dyn Database) {
    let Some((store, wire)) = database.open_by_wire().await else { return };
    store.take_over(writer(1), 3).await.expect("nobody has a higher term");
    for lane in [0, 2] {
        wire.cut(Cut::CommitSlow(Duration::from_millis(300)));
        let mut script = Script::new(lane);
        let entity = u64::from(lane) + 1;
        let chats = [entity];
        let committing = script.send(&*store, &chats);
        let changing = async {
            wire.was_cut().await;
            let from = slot_row(&*store, 9).await;
            let to = SlotRow::unmoved(9, SlotState::Frozen, 1 + u64::from(lane));
            // All lanes, or the one of the slot.
            let lanes = if lane == 0 { Vec::new() } else { vec![lane] };
            put(&*store, &lanes, &[SlotChange { from, to }]).await;
            assert!(head(&*store, entity).await.is_some(), "it did not wait for lane {lane}");
        };
        in_time("a commit and a slot change", async { tokio::join!(committing, changing) }).await;
    }
}

pub async fn a_slot_change_gets_in_under_steady_commits(database: &dyn Database) {
    let store = writing_store(database).await;
    let (stop, stopped) = watch::channel(false);
    let lane = |lane: u16| {
        let (store, stopped) = (store.clone(), stopped.clone());
        async move {
            let mut script = Script::new(lane);
            while !*stopped.borrow() {
                script.send(&*store, &[10 + u64::from(lane), 20 + u64::from(lane)]).await;
                tokio::task::yield_now().await;
            }
            script.position
        }
    };
    let changing = async {
        let mut from = SlotRow::none(9);
        for epoch in 1..=10_u8 {
            let to = SlotRow::unmoved(9, SlotState::Owned, epoch.into());
            let change = [SlotChange { from, to }];
            let lanes = [&[][..], &[0], &[0, 1]][usize::from(epoch % 3)];
            in_time("a slot change", put(&*store, lanes, &change)).await;
            from = to;
        }
        stop.send_replace(true);
    };
    let (one, other, ()) =
        in_time("lanes and slot changes", async { tokio::join!(lane(0), lane(1), changing) }).await;
    assert!(0 < one && 0 < other);
    assert_eq!(store.slots().await.expect("a read").first().map(|row| row.epoch), Some(10));
}

pub async fn lanes_do_not_hinder_each_other(database: &dyn Database) {
    let store = writing_store(database).await;
    let lane = |lane: u16| {
        let store = store.clone();
        async move {
            // Neighbours in every index belong to the other lane.
            let chats: Vec<u64> = (1..=60).map(|n| 2 * n + u64::from(lane)).collect();
            let mut script = Script::new(lane);
            for round in 0..20 {
                let mut writes = script.sends(&chats);
                for chat in &chats {
                    let row = MemberRow { read_seq: round, ..member(*chat, 100 + round % 3) };
                    writes.members.push(row);
                    writes.cursors.push(CursorRow { chat: *chat, user: 100, seq: round });
                }
                store.commit(lane, &writes).await.expect("lanes share no rows");
            }
        }
    };
    in_time("two lanes", async { tokio::join!(lane(0), lane(1)) }).await;
    assert_eq!(head(&*store, 2).await.map(|head| head.ver), Some(20));
    assert_eq!(head(&*store, 121).await.map(|head| head.ver), Some(20));
}
