//! A slot in motion: writes wait in their order and go on at the newer epoch; reads do not wait for
//! writes.

use crate::fixture::{Held, Node, World, chat_in, send, until};
use shardline_wire::call::{NodeOp, Outcome};
use shardline_wire::internal::{Call, GetHistory, call::Op};
use shardline_wire::refusal::Code;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::Instant;

const SLOT: u32 = 0;

fn submit(node: &Node, numbers: std::ops::Range<u32>) -> Vec<oneshot::Receiver<Outcome>> {
    numbers.map(|number| node.submit(send(chat_in(SLOT, 1), number))).collect()
}

async fn outcomes(waiting: Vec<oneshot::Receiver<Outcome>>) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    for outcome in waiting {
        let outcome = tokio::time::timeout(Duration::from_secs(10), outcome).await;
        outcomes.push(outcome.expect("in time").expect("each is answered"));
    }
    outcomes
}

fn check_stored(world: &World, numbers: std::ops::Range<u32>) {
    let stored = world.shards.stored.lock().clone();
    let expected: Vec<Vec<u8>> = numbers.map(|number| number.to_be_bytes().to_vec()).collect();
    assert_eq!(stored, expected);
}

fn read() -> NodeOp {
    let op = Some(Op::GetHistory(GetHistory::default()));
    NodeOp::Call(Call { entity: chat_in(SLOT, 1), op, ..Call::default() })
}

#[tokio::test(start_paused = true)]
async fn writes_of_a_moving_slot_are_stored_in_their_order_by_its_new_shard() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    let (source, target) = (world.shards.at("one"), world.shards.at("two"));

    let mut waiting = submit(&node, 0..20);
    source.put(SLOT, Held::Frozen(2));
    // Refusals come back in any order, and new writes meanwhile.
    source.hold();
    waiting.extend(submit(&node, 20..40));
    source.answer_all();
    waiting.extend(submit(&node, 40..60));
    assert!(node.ask(read()).await.is_ok(), "a frozen slot is read from");

    source.give_away(SLOT);
    target.put(SLOT, Held::Owned(3));
    world.catalog.put_slot(SLOT, 2, 3);
    waiting.extend(submit(&node, 60..80));
    for outcome in outcomes(waiting).await {
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    check_stored(&world, 0..80);
    world.stop().await;
}

/// Each that is parked wakes the one that releases: that must not put off its look at the map.
#[tokio::test(start_paused = true)]
async fn writes_go_on_soon_after_a_flip_however_many_arrive() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    world.shards.at("one").put(SLOT, Held::Frozen(2));
    let mut waiting = submit(&node, 0..1);
    for number in 1..100 {
        waiting.extend(submit(&node, number..number + 1));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    world.shards.at("one").give_away(SLOT);
    world.shards.at("two").put(SLOT, Held::Owned(3));
    world.catalog.put_slot(SLOT, 2, 3);
    let flipped = Instant::now();
    for number in 100..160 {
        waiting.extend(submit(&node, number..number + 1));
        tokio::time::sleep(Duration::from_millis(1)).await;
        if !world.shards.stored.lock().is_empty() {
            break;
        }
    }
    let late = flipped.elapsed();
    assert!(late < Duration::from_millis(30), "{late:?}");
    for outcome in outcomes(waiting).await {
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn writes_refused_for_an_old_map_go_again_in_order() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    // The slot was given away and came back: the shard is ahead of the map.
    world.shards.at("one").put(SLOT, Held::Owned(4));
    world.shards.at("one").hold();
    let waiting = submit(&node, 0..30);
    world.catalog.put_slot(SLOT, 1, 4);
    world.shards.at("one").answer_all();
    for outcome in outcomes(waiting).await {
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    check_stored(&world, 0..30);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn only_a_newer_epoch_releases_parked_writes() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    let shard = world.shards.at("one");
    shard.put(SLOT, Held::Frozen(2));
    let waiting = submit(&node, 0..3);
    // The shard would take them again, and the map shows the frozen epoch: neither opens the gate.
    shard.put(SLOT, Held::Owned(1));
    world.catalog.put_slot(SLOT, 1, 2);
    until("the map shows epoch 2", || {
        let slot = shardline_domain::slot::Slot::new(SLOT).expect("a slot");
        router.map.place(slot).is_some_and(|place| place.epoch.0 == 2)
    })
    .await;
    tokio::time::sleep(Duration::from_millis(200)).await;
    check_stored(&world, 0..0);
    shard.put(SLOT, Held::Owned(3));
    world.catalog.put_slot(SLOT, 1, 3);
    for outcome in outcomes(waiting).await {
        assert!(outcome.is_ok(), "{outcome:?}");
    }
    check_stored(&world, 0..3);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn writes_that_waited_too_long_are_refused_and_none_is_lost() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    world.shards.at("one").put(SLOT, Held::Frozen(2));
    let since = Instant::now();
    let mut parked = outcomes(submit(&node, 0..1_001)).await;
    let waited = since.elapsed();
    assert!(Duration::from_secs(2) <= waited && waited < Duration::from_secs(4), "{waited:?}");
    // One more than there is room for was refused at once; all the same way.
    assert_eq!(parked.len(), 1_001);
    for outcome in parked.drain(..) {
        assert_eq!(outcome.expect_err("it waited too long").code(), Code::TryAgain);
    }
    // Other slots never noticed.
    assert!(node.ask(send(chat_in(16_383, 1), 1)).await.is_ok());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_shard_that_is_late_does_not_close_the_gate() {
    let world = World::new();
    world.catalog.put_slot(SLOT, 1, 5);
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    // Its slot row is older than the map: it could not reach the catalog.
    world.shards.at("one").put(SLOT, Held::Owned(4));
    let refusal = node.ask(send(chat_in(SLOT, 1), 0)).await.expect_err("the shard is late");
    assert_eq!(refusal.code(), Code::TryAgain);
    world.shards.at("one").put(SLOT, Held::Owned(5));
    assert!(node.ask(send(chat_in(SLOT, 1), 1)).await.is_ok());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_read_follows_its_slot() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    world.shards.at("one").give_away(SLOT);
    world.shards.at("two").put(SLOT, Held::Owned(2));
    let waiting = node.submit(read());
    world.catalog.put_slot(SLOT, 2, 2);
    let outcome = outcomes(vec![waiting]).await.remove(0);
    assert!(outcome.is_ok(), "{outcome:?}");
    assert_eq!(world.shards.at("two").calls.load(Ordering::SeqCst), 1);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopping_router_answers_what_it_parked() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    world.shards.at("one").put(SLOT, Held::Frozen(2));
    let waiting = submit(&node, 0..5);
    world.stop().await;
    for outcome in outcomes(waiting).await {
        assert_eq!(outcome.expect_err("the router stops").code(), Code::TryAgain);
    }
}
