//! Shards that come and go, rebalances, the throttle: what operators change, and that it is journaled.

use super::{LONG, SHORT, Store, acquires, bid, created, founded, report, slot, walked};
use crate::catalog::moves::{NewMove, Which};
use crate::catalog::operations::{JoiningShard, Keep, RebalanceState, ShardChange};
use crate::catalog::{CatalogError, ShardState};
use shardline_domain::id::ShardId;
use shardline_domain::placement::transfer::{Mark, MoveId, MovingSlot, Phase};
use shardline_domain::slot::Epoch;
use std::time::Duration;

fn joining(shard: u32) -> JoiningShard {
    JoiningShard { shard: ShardId(shard), weight: 50, address: format!("h:{shard}") }
}

fn changed(shard: u32, weight: u32, state: ShardState) -> ShardChange {
    ShardChange { shard: ShardId(shard), weight, state, unchanged: false }
}

fn why<T: std::fmt::Debug>(result: Result<T, CatalogError>) -> String {
    match result {
        Err(CatalogError::Refused(why)) => why,
        other => panic!("{other:?}"),
    }
}

pub async fn a_shard_joins_and_becomes_active(a: &Store, b: &Store) {
    founded(a).await;
    let expected = changed(2, 50, ShardState::Joining);
    assert_eq!(a.add_shard(&joining(2), "anna").await.expect("it joins"), expected);
    // The answer was lost.
    let again = b.add_shard(&joining(2), "anna").await.expect("it joined");
    assert_eq!(again, ShardChange { unchanged: true, ..expected });
    let other = JoiningShard { address: "elsewhere:1".to_owned(), ..joining(2) };
    assert!(why(b.add_shard(&other, "bob").await).contains("already in the cluster"));
    let row = b.shards().await.expect("an answer").pop().expect("three of them");
    assert_eq!(
        (row.shard, row.state, row.address.as_str()),
        (ShardId(2), ShardState::Joining, "h:2")
    );

    let grant = b.acquire_writer(&bid(2, "node", LONG)).await.expect("an answer");
    assert_eq!((grant.granted, grant.term), (true, 1));
    assert!(a.activate_shard(ShardId(2)).await.expect("an answer"));
    assert!(!b.activate_shard(ShardId(2)).await.expect("an answer"), "it is");
    assert_eq!(b.shards().await.expect("an answer")[2].state, ShardState::Active);
    let changes = b.changes(9).await.expect("an answer");
    let who: Vec<&str> = changes.iter().map(|row| row.by.as_str()).collect();
    assert_eq!(who, ["coordinator", "anna"], "refusals and repeats change nothing");
}

pub async fn weights_and_draining_change(a: &Store, b: &Store) {
    founded(a).await;
    let heavier = a.set_weight(ShardId(1), 300, "anna").await.expect("an answer");
    assert_eq!(heavier, changed(1, 300, ShardState::Active));
    assert!(b.set_weight(ShardId(1), 300, "anna").await.expect("an answer").unchanged);
    assert!(why(b.set_weight(ShardId(1), 0, "anna").await).contains("above 0"));
    assert!(why(b.set_weight(ShardId(9), 5, "anna").await).contains("no shard 9"));
    let drains = b.set_draining(ShardId(1), true, "anna").await.expect("an answer");
    assert_eq!(drains, changed(1, 300, ShardState::Draining));
    assert!(why(a.set_draining(ShardId(0), true, "anna").await).contains("the last one"));
    let new = NewMove {
        source: ShardId(0),
        target: ShardId(1),
        slots: vec![MovingSlot { slot: slot(0), epoch: Epoch(1) }],
        window: Duration::ZERO,
    };
    let term = a.lead("founder", LONG).await.expect("an answer").term;
    assert!(why(a.create_moves(term, None, &[new]).await).contains("takes no slots"));
    let back = a.set_draining(ShardId(1), false, "anna").await.expect("an answer");
    assert_eq!(back.state, ShardState::Active);
}

pub async fn a_shard_that_holds_anything_is_not_removed(a: &Store, b: &Store) {
    let term = founded(a).await;
    assert!(why(a.remove_shard(ShardId(1), "anna").await).contains("still has 8192 slots"));
    a.add_shard(&joining(2), "anna").await.expect("it joins");
    acquires(a, &bid(2, "node", LONG)).await;
    let moving = NewMove {
        source: ShardId(0),
        target: ShardId(2),
        slots: vec![MovingSlot { slot: slot(0), epoch: Epoch(1) }],
        window: Duration::ZERO,
    };
    a.create_moves(term, None, &[moving]).await.expect("slots are free");
    let held = why(b.remove_shard(ShardId(2), "anna").await);
    assert!(held.contains("moves that have not ended: 1"), "{held}");
    assert_eq!(b.shards().await.expect("an answer").len(), 3);

    a.add_shard(&joining(3), "anna").await.expect("it joins");
    acquires(a, &bid(3, "node", LONG)).await;
    assert!(a.report(&report(3, 1, &[(0, 10, 8), (1, 4, 4)])).await.expect("an answer"));
    assert!(why(b.remove_shard(ShardId(3), "anna").await).contains("2 commits"));
    assert!(a.report(&report(3, 1, &[(0, 10, 10)])).await.expect("an answer"));
    let gone = b.remove_shard(ShardId(3), "anna").await.expect("it is empty");
    assert_eq!(gone, changed(3, 50, ShardState::Removed));
    assert!(a.remove_shard(ShardId(3), "anna").await.expect("it is gone").unchanged);
    assert!(why(b.remove_shard(ShardId(9), "anna").await).contains("no shard 9"));
}

pub async fn a_removed_shard_is_gone_but_its_terms_stay_used(a: &Store, b: &Store) {
    founded(a).await;
    a.add_shard(&joining(2), "anna").await.expect("it joins");
    acquires(a, &bid(2, "node", LONG)).await;
    a.report(&report(2, 1, &[(0, 10, 10)])).await.expect("an answer");
    a.remove_shard(ShardId(2), "anna").await.expect("it is empty");
    assert_eq!(b.shards().await.expect("an answer").len(), 2);
    why(b.renew_writer(&bid(2, "node", LONG), 1).await);
    why(b.acquire_writer(&bid(2, "node", LONG)).await);
    why(b.report(&report(2, 1, &[])).await);

    b.add_shard(&joining(2), "anna").await.expect("it comes back");
    assert_eq!(a.lane_positions(ShardId(2)).await.expect("an answer"), []);
    assert_eq!(a.mark(ShardId(2)).await.expect("an answer"), Mark::default());
    let grant = a.acquire_writer(&bid(2, "other", LONG)).await.expect("an answer");
    assert_eq!((grant.granted, grant.term), (true, 2));
}

pub async fn one_rebalance_runs_at_a_time(a: &Store, b: &Store) {
    assert_eq!(a.rebalance().await.expect("an answer"), None);
    let window = Duration::from_secs(60);
    let (one, two) =
        tokio::join!(a.begin_rebalance(window, "anna"), b.begin_rebalance(window, "bob"));
    let (begun, refused) = match (one, two) {
        (Ok(begun), Err(refused)) | (Err(refused), Ok(begun)) => (begun, refused),
        other => panic!("{other:?}"),
    };
    assert!(refused.to_string().contains("is running"), "{refused}");
    assert_eq!((begun.state, begun.window), (RebalanceState::Running, window));
    a.note_rebalance(begun.id, "waits").await.expect("an answer");
    assert_eq!(b.rebalance().await.expect("an answer").expect("one").note, "waits");

    let done = RebalanceState::Done;
    assert!(b.end_rebalance(begun.id, done, "", "coordinator").await.expect("an answer"));
    assert!(!a.end_rebalance(begun.id, done, "", "coordinator").await.expect("an answer"));
    a.note_rebalance(begun.id, "late").await.expect("an answer");
    let ended = a.rebalance().await.expect("an answer").expect("one");
    assert_eq!((ended.state, ended.note.as_str()), (done, ""));
    let next = a.begin_rebalance(window, "bob").await.expect("nothing runs");
    assert!(begun.id < next.id);
}

pub async fn the_throttle_is_kept(a: &Store, b: &Store) {
    assert_eq!(a.throttle().await.expect("an answer"), 0);
    a.set_throttle(5_000_000, "anna").await.expect("an answer");
    assert_eq!(b.throttle().await.expect("an answer"), 5_000_000);
    b.set_throttle(0, "bob").await.expect("an answer");
    assert_eq!(a.throttle().await.expect("an answer"), 0);
    let changes = a.changes(1).await.expect("an answer");
    assert_eq!((changes.len(), changes[0].by.as_str(), changes[0].number), (1, "bob", 2));
}

pub async fn what_has_ended_is_kept_by_number_and_age(a: &Store, b: &Store) {
    let term = founded(a).await;
    let mut ids = Vec::new();
    for number in [0, 2, 4, 6] {
        ids.push(created(a, term, &[number, number + 10]).await);
    }
    for id in &ids[..3] {
        walked(a, term, *id, Phase::Done).await;
    }
    for _ in 0..3 {
        let begun = a.begin_rebalance(Duration::ZERO, "anna").await.expect("none runs");
        a.end_rebalance(begun.id, RebalanceState::Done, "", "anna").await.expect("an answer");
    }
    let everything = Keep::LIMITS;
    assert_eq!(b.trim(term, &everything, 100).await.expect("an answer"), 0, "nothing is old");
    let late = b.trim(term + 1, &everything, 100).await;
    assert!(matches!(late, Err(CatalogError::NotLeader { .. })), "{late:?}");

    // One of each kind at a time, the oldest first.
    let keep = Keep { moves: 1, rebalances: 2, changes: 4, ..everything };
    assert_eq!(b.trim(term, &keep, 1).await.expect("an answer"), 3);
    assert_eq!(a.find_move(ids[0]).await.expect("an answer"), None);
    assert_eq!(a.journal(ids[0]).await.expect("an answer"), []);
    assert!(a.find_move(ids[1]).await.expect("an answer").is_some());
    assert_eq!(b.trim(term, &keep, 1).await.expect("an answer"), 2);
    assert_eq!(b.trim(term, &keep, 100).await.expect("an answer"), 0);
    let left: Vec<_> = moves(a).await;
    assert_eq!(left, ids[2..], "the newest that ended, and whatever lives");
    let changes = a.changes(9).await.expect("an answer");
    assert_eq!(changes.iter().map(|row| row.number).collect::<Vec<_>>(), [6, 5, 4, 3]);

    tokio::time::sleep(SHORT * 20).await;
    let keep = Keep { moves_for: Duration::ZERO, changes_for: Duration::ZERO, ..everything };
    assert!(0 < b.trim(term, &keep, 100).await.expect("an answer"));
    assert_eq!(b.trim(term, &keep, 100).await.expect("an answer"), 0);
    assert_eq!(moves(a).await, ids[3..], "what lives is never old");
    assert_eq!(a.rebalance().await.expect("an answer").expect("the newest").id, 3);
    assert_eq!(a.changes(9).await.expect("an answer").len(), 1);
    walked(a, term, ids[3], Phase::Done).await;
    // Numbers go on.
    assert!(ids[3] < created(a, term, &[8]).await);
    let next = a.begin_rebalance(Duration::ZERO, "anna").await.expect("none runs");
    assert_eq!(next.id, 4);
}

async fn moves(store: &Store) -> Vec<MoveId> {
    let rows = store.moves(Which::All { ended: 99 }).await.expect("an answer");
    rows.iter().map(|row| row.id).collect()
}
