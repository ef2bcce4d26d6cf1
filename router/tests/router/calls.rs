//! A call finds its shard, or is told why not.

use crate::fixture::{Held, World, chat_in, send};
use shardline_router::router::Router;
use shardline_wire::call::{NodeOp, RouterAccept};
use shardline_wire::internal::{
    ApplyFact, Call, EndSession, GetHistory, NodeHello, call::Op, reply::Answer,
};
use shardline_wire::refusal::Code;
use std::sync::Arc;
use std::sync::atomic::Ordering;

fn read(chat: u64) -> NodeOp {
    let op = Some(Op::GetHistory(GetHistory::default()));
    NodeOp::Call(Call { entity: chat, op, ..Call::default() })
}

#[tokio::test(start_paused = true)]
async fn a_call_goes_to_its_slots_shard_at_the_maps_epoch() {
    let world = World::new();
    world.catalog.put_slot(8_000, 2, 7);
    world.shards.at("two").put(8_000, Held::Owned(7));
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    let answer = node.ask(send(chat_in(8_000, 1), 1)).await;
    assert!(matches!(answer, Ok(Answer::Sent(sent)) if sent.ver == 7), "{answer:?}");
    assert_eq!(world.shards.at("one").calls.load(Ordering::SeqCst), 0);
    world.stop().await;
}

/// A chat whose partition this router owns, and one that is the other's.
fn mine_and_others(router: &Router) -> (u64, u64) {
    let slots = [0, 8_000, 16_383];
    let owns = |slot: &&u32| {
        router.routers.owns(shardline_domain::slot::Slot::new(**slot).expect("a slot"))
    };
    let mine = slots.iter().find(owns).expect("one of three is mine");
    let others = slots.iter().find(|slot| !owns(slot)).expect("one of three is the other's");
    (chat_in(*mine, 1), chat_in(*others, 1))
}

#[tokio::test(start_paused = true)]
async fn writes_and_interest_of_another_routers_chats_are_refused_with_the_list() {
    let world = World::new();
    let one = world.start("router-1").await;
    // Names chosen so that each of the two owns some of the three slots.
    let other = world.start("router-5").await;
    crate::fixture::until("both know both", || {
        one.list().routers.len() == 2 && other.list().routers.len() == 2
    })
    .await;
    let (mine, others) = mine_and_others(&one);
    let node = world.node(&one, "n").await;
    assert!(node.ask(send(mine, 1)).await.is_ok());
    assert!(node.follow(mine).await.is_ok());
    for outcome in [node.ask(send(others, 2)).await, node.follow(others).await] {
        let refusal = outcome.expect_err("it is the other's");
        assert_eq!(refusal.code(), Code::WrongRouter);
        let list = refusal.routers.expect("the list");
        assert_eq!((list.number, list.routers.len(), list.partitions), (2, 2, 8));
    }
    // Reads never stop, whoever owns.
    assert!(node.ask(read(others)).await.is_ok());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_call_without_sense_is_refused() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    let refused = |call| async { node.ask(NodeOp::Call(call)).await.expect_err("senseless") };
    assert_eq!(refused(Call::default()).await.code(), Code::BadRequest);
    for entity in [0, u64::MAX] {
        let op = Some(Op::GetHistory(GetHistory::default()));
        let refusal = refused(Call { entity, op, ..Call::default() }).await;
        assert_eq!(refusal.code(), Code::BadRequest);
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_slot_that_nobody_serves_answers_try_again() {
    let world = World::new();
    world.catalog.put_shard(3, "");
    world.catalog.put_slot(1, 3, 1);
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    for slot in [1, 2] {
        let refusal = node.ask(send(chat_in(slot, 1), 1)).await.expect_err("nobody serves it");
        assert_eq!(refusal.code(), Code::TryAgain);
        assert!(refusal.retry_after_ms.is_some());
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_shards_own_call_is_routed_too() {
    let world = World::new();
    let router = world.start("a").await;
    let op = Some(Op::ApplyFact(ApplyFact::default()));
    let call = Call { entity: chat_in(8_000, 5), op, ..Call::default() };
    assert!(router.route(call).await.is_ok());
    assert_eq!(world.shards.at("two").calls.load(Ordering::SeqCst), 1);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn known_maps_serve_while_the_catalog_is_away() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    world.catalog.is_away.store(true, Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert!(node.ask(send(chat_in(0, 1), 1)).await.is_ok());
    world.catalog.is_away.store(false, Ordering::SeqCst);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_writer_that_moved_is_found_at_its_new_address() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    world.shards.at("standby").put(0, Held::Owned(1));
    world.catalog.put_shard(1, "standby");
    crate::fixture::until("the map knows", || {
        router.shards.address(shardline_domain::id::ShardId(1)).as_deref() == Some("standby")
    })
    .await;
    assert!(node.ask(send(chat_in(0, 1), 1)).await.is_ok());
    assert_eq!(world.shards.at("standby").calls.load(Ordering::SeqCst), 1);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_dropped_stream_is_gone() {
    let world = World::new();
    let router = world.start("a").await;
    let sink = Arc::new(crate::fixture::TestNode::default());
    let stream = router.accept(NodeHello::default(), sink.clone());
    drop(stream);
    assert_eq!(Arc::strong_count(&sink), 1);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_ended_session_is_told_to_every_node_at_once() {
    let world = World::new();
    let router = world.start("a").await;
    let (one, other) = (world.node(&router, "n").await, world.node(&router, "o").await);
    one.is_complete().await;
    other.is_complete().await;
    let op = Some(Op::EndSession(EndSession { session: 9 }));
    let ended = Call { entity: chat_in(0, 4), op, ..Call::default() };
    // Nothing comes by the bus.
    assert!(one.ask(NodeOp::Call(ended.clone())).await.is_ok());
    assert!(one.sink.has_heard("event 0") && other.sink.has_heard("event 0"));
    other.sink.forget();
    world.shards.at("one").give_away(0);
    assert!(one.ask(NodeOp::Call(ended)).await.is_err());
    assert!(other.sink.events().is_empty(), "it did not end");
    world.stop().await;
}
