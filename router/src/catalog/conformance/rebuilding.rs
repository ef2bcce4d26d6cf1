//! A lost catalog made anew: once, all of it, and only in place of nothing.

use super::{
    LONG, SHORT, Store, alternating, bid, founded, leads, placed, position, row, shard, slot,
};
use crate::catalog::moves::Which;
use crate::catalog::operations::WEIGHT_OF_REBUILT;
use crate::catalog::{CatalogError, Rebuilt, RebuiltShard, ShardState};
use shardline_domain::id::ShardId;
use shardline_domain::placement::transfer::{
    AbortReason, Attempt, Kind, Move, MoveId, MovingSlot, Phase, Wish,
};
use shardline_domain::slot::Epoch;
use std::time::Duration;

fn lost() -> Rebuilt {
    let shard = |number: u32| RebuiltShard {
        shard: ShardId(number),
        writer_term: 7,
        writer: format!("node-{number}"),
        address: format!("h:{number}"),
        lanes: [(0, 50, 40), (1, 60, 60)].map(position).to_vec(),
    };
    let left = Move {
        id: MoveId(12),
        kind: Kind::Normal,
        source: ShardId(0),
        target: ShardId(1),
        phase: Phase::Aborting,
        attempt: Attempt(3),
        slots: vec![MovingSlot { slot: slot(4), epoch: Epoch(8) }],
        window: Duration::ZERO,
        wish: Wish::Proceed,
        aborted: Some(AbortReason::Operator),
    };
    let mut slots: Vec<_> =
        alternating().into_iter().map(|(slot, shard)| row(slot.get().into(), shard.0, 2)).collect();
    slots[4].epoch = Epoch(9);
    Rebuilt {
        shards: vec![shard(0), shard(1)],
        slots,
        moves: vec![left],
        last_move: MoveId(15),
        leader_term: 40,
    }
}

pub async fn a_lost_catalog_is_rebuilt_as_it_was(a: &Store, b: &Store) {
    let before = a.lead("a", LONG).await.expect("an answer").term;
    a.rebuild(&lost(), "anna").await.expect("it is empty");

    let shards = b.shards().await.expect("an answer");
    assert_eq!(shards.len(), 2);
    for (row, number) in shards.iter().zip(0..) {
        assert_eq!((row.shard, row.weight), (ShardId(number), WEIGHT_OF_REBUILT));
        assert_eq!((row.state, row.writer_term), (ShardState::Active, 7));
        assert_eq!((row.address.clone(), row.writer_alive), (format!("h:{number}"), false));
    }
    let lanes = b.lane_positions(ShardId(1)).await.expect("an answer");
    assert_eq!(lanes, [(0, 50, 40), (1, 60, 60)].map(position));
    let mut slots = b.slots_since(0).await.expect("an answer").slots;
    slots.sort_by_key(|row| row.slot);
    assert_eq!(slots, lost().slots);

    // What is left of the move goes on as it is, for whoever leads next.
    let (found, moving) = b.find_move(MoveId(12)).await.expect("an answer").expect("it is there");
    assert_eq!(found.present(moving), lost().moves[0]);
    assert_eq!(b.moves(Which::Live).await.expect("an answer").len(), 1);
    let held = b.locate_slot(slot(4)).await.expect("an answer").expect("placed").held;
    let held = held.expect("the move holds it");
    assert_eq!((held.move_id, held.attempt, held.phase), (MoveId(12), Attempt(3), Phase::Aborting));

    // Whoever led begins again, above every coordinator that was heard of.
    assert!(before < 40);
    assert!(40 < leads(b, "a").await);
    // A writer that goes on finds itself; a new one gets a new term.
    assert!(a.renew_writer(&bid(0, "node-0", SHORT), 7).await.expect("an answer").granted);
    let grant = b.acquire_writer(&bid(1, "other", LONG)).await.expect("an answer");
    assert_eq!((grant.granted, grant.term), (true, 8));
    let changes = b.changes(9).await.expect("an answer");
    assert_eq!((changes.len(), changes[0].by.as_str()), (1, "anna"));
    assert!(changes[0].what.contains("16384 slots, 1 moves"), "{}", changes[0].what);
}

pub async fn only_an_empty_catalog_is_rebuilt(a: &Store, b: &Store) {
    let refused = |result: Result<(), CatalogError>| match result {
        Err(CatalogError::Refused(why)) => assert!(why.contains("not empty"), "{why}"),
        other => panic!("{other:?}"),
    };
    let (one, two) = (lost(), lost());
    let (one, two) = tokio::join!(a.rebuild(&one, "anna"), b.rebuild(&two, "bert"));
    assert!(one.is_ok() != two.is_ok(), "{one:?} {two:?}");
    refused(one.and(two));
    assert_eq!(a.changes(9).await.expect("an answer").len(), 1);
    let term = leads(a, "a").await;
    assert!(!a.found(term, &[shard(9)], &placed(9)).await.expect("an answer"), "it is there");
}

pub async fn a_catalog_that_is_in_use_is_not_rebuilt(a: &Store, b: &Store) {
    let term = founded(a).await;
    let refused = b.rebuild(&lost(), "anna").await;
    assert!(matches!(refused, Err(CatalogError::Refused(_))), "{refused:?}");
    let row = b.locate_slot(slot(4)).await.expect("an answer").expect("placed").row;
    assert_eq!(row.epoch, Epoch(1), "nothing was changed");
    assert_eq!(a.lead("founder", LONG).await.expect("an answer").term, term);
}

pub async fn what_is_done_elsewhere_is_noted(a: &Store, b: &Store) {
    a.note_change("anna", "user 7 is removed").await.expect("an answer");
    b.note_change("bert", "chat 8 tells user 9 again").await.expect("an answer");
    let changes = a.changes(9).await.expect("an answer");
    let said: Vec<_> = changes.iter().map(|row| (row.by.as_str(), row.what.as_str())).collect();
    assert_eq!(
        said,
        [("bert", "chat 8 tells user 9 again"), ("anna", "user 7 is removed")],
        "newest first"
    );
}
