//! Events reach the conn-nodes that need them, in order, and nobody waits for a stuck one.

use crate::fixture::{World, chat_in, event, until};
use async_trait::async_trait;
use shardline_backends::Unavailable;
use shardline_backends::presence::{Entry, Mark, NodeId, Presence, Standing};
use shardline_domain::id::UserId;
use shardline_wire::call::NodeOp;
use shardline_wire::internal::{Event, EventKind, Signal};
use std::sync::Arc;
use std::sync::atomic::Ordering;

const CHAT: u64 = 77;

#[tokio::test(start_paused = true)]
async fn events_go_where_their_receivers_are() {
    let world = World::new();
    let router = world.start("a").await;
    let (here, there) = (world.node(&router, "here").await, world.node(&router, "there").await);
    world.consumes(CHAT, &[&here, &there]).await;
    world.put_user(1, "here").await;
    world.put_user(2, "there").await;
    here.is_complete().await;
    there.is_complete().await;
    let events = [event(CHAT, 1, &[1]), event(CHAT, 2, &[1, 2]), event(CHAT, 3, &[1])];
    world.publish(&events).await;
    until("all arrived", || here.sink.events().len() == 3).await;
    assert_eq!(here.sink.heard(), ["event 1", "event 2", "event 3"]);
    assert_eq!(there.sink.heard(), ["event 2"]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_not_in_presence_gets_everything_until_it_says_so() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    world.consumes(CHAT, &[&node]).await;
    world.publish(&[event(CHAT, 1, &[5])]).await;
    until("it arrived", || node.sink.has_heard("event 1")).await;
    node.is_complete().await;
    world.put_user(6, "n").await;
    world.publish(&[event(CHAT, 2, &[5]), event(CHAT, 3, &[6])]).await;
    until("it arrived", || node.sink.has_heard("event 3")).await;
    assert_eq!(node.sink.events(), ["event 1", "event 3"]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn followers_get_wide_events_and_others_do_not() {
    let world = World::new();
    let router = world.start("a").await;
    let (follows, other) = (world.node(&router, "f").await, world.node(&router, "o").await);
    world.consumes(CHAT, &[&follows, &other]).await;
    assert!(follows.follow(CHAT).await.is_ok());
    follows.is_complete().await;
    let wide = Event { wide: true, ..event(CHAT, 1, &[]) };
    world.publish(&[wide]).await;
    until("it arrived", || follows.sink.has_heard("event 1")).await;
    // In order: had the first been pushed there, it would be there before this one.
    world.publish(&[event(CHAT, 2, &[3])]).await;
    until("it arrived", || other.sink.has_heard("event 2")).await;
    assert!(!other.sink.has_heard("event 1"));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_node_hears_behind_first_and_delays_nobody() {
    let world = World::new();
    let router = world.start("a").await;
    let (stuck, free) = (world.node(&router, "s").await, world.node(&router, "f").await);
    world.consumes(CHAT, &[&stuck, &free]).await;
    stuck.sink.is_stuck.store(true, Ordering::SeqCst);
    world.publish(&[event(CHAT, 1, &[1]), event(CHAT, 2, &[1])]).await;
    until("the other got them", || free.sink.events().len() == 2).await;
    stuck.sink.is_stuck.store(false, Ordering::SeqCst);
    // Without a further event.
    until("it hears", || !stuck.sink.heard().is_empty()).await;
    world.publish(&[event(CHAT, 3, &[1])]).await;
    until("it hears", || stuck.sink.has_heard("event 3")).await;
    assert_eq!(stuck.sink.heard(), ["behind", "event 3"]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn old_events_become_heads_but_an_ended_session_is_always_told() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    world.consumes(CHAT, &[&node]).await;
    let old = |ver, kind: EventKind| {
        let fresh = event(CHAT, ver, &[1]);
        let committed_at_ms = fresh.committed_at_ms - 61_000;
        Event { committed_at_ms, kind: kind.into(), ..fresh }
    };
    world.publish(&[old(1, EventKind::Chat), old(2, EventKind::SessionEnded)]).await;
    until("it hears", || node.sink.has_heard("behind") && node.sink.has_heard("event 2")).await;
    assert!(!node.sink.has_heard("event 1"));
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_none_stops_nothing() {
    use shardline_backends::bus::Bus as _;
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    world.consumes(CHAT, &[&node]).await;
    world.bus.publish(0, vec![0xff; 9].into()).await.expect("memory");
    world.publish(&[event(CHAT, 4, &[1])]).await;
    until("the next arrives", || node.sink.has_heard("event 4")).await;
    assert!(node.sink.has_heard("behind"));
    world.stop().await;
}

/// Presence that is away.
struct Away;

#[async_trait]
impl Presence for Away {
    async fn begin(&self, _: &Mark) -> Result<(), Unavailable> {
        away()
    }
    async fn enter(&self, _: &Mark, _: &[Entry]) -> Result<Standing, Unavailable> {
        away()
    }
    async fn leave(&self, _: &Mark, _: &[Entry]) -> Result<(), Unavailable> {
        away()
    }
    async fn refresh(&self, _: &Mark, _: &[Entry]) -> Result<Standing, Unavailable> {
        away()
    }
    async fn nodes_of(&self, _: &[UserId]) -> Result<Vec<Vec<NodeId>>, Unavailable> {
        // Never an answer: the look-up has its deadline.
        std::future::pending().await
    }
}

fn away<T>() -> Result<T, Unavailable> {
    Err(Unavailable { system: "presence", reason: "on purpose".to_owned() })
}

#[tokio::test(start_paused = true)]
async fn while_presence_is_away_every_node_gets_every_event() {
    let world = World::new();
    let router = world.start_with("a", Arc::new(Away)).await;
    let node = world.node(&router, "n").await;
    world.consumes(CHAT, &[&node]).await;
    node.is_complete().await;
    world.publish(&[event(CHAT, 1, &[5])]).await;
    until("it arrived", || node.sink.has_heard("event 1")).await;
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn every_stream_learns_of_a_new_router_and_the_two_share_the_chats() {
    let world = World::new();
    let one = world.start("router-1").await;
    let node = world.node(&one, "n").await;
    world.consumes(CHAT, &[&node]).await;
    let other = world.start("router-5").await;
    until("the first tells of it", || node.sink.has_heard("routers 2")).await;
    let second = world.node(&other, "n").await;
    // Of the three partitions the new router owns the first two.
    world.consumes(chat_in(0, 9), &[&second]).await;
    world.consumes(chat_in(16_383, 9), &[&node]).await;
    let chats = [chat_in(0, 1), chat_in(8_000, 1), chat_in(16_383, 1)];
    for (chat, ver) in chats.iter().zip(1..) {
        world.publish(&[event(*chat, ver, &[1])]).await;
    }
    let count = |ver: u64| {
        let word = format!("event {ver}");
        [&node, &second].iter().filter(|node| node.sink.has_heard(&word)).count()
    };
    until("each arrives by one of them", || (1..=3).all(|ver| count(ver) == 1)).await;
    assert!(!node.sink.events().is_empty() && !second.sink.events().is_empty());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stopping_router_says_who_goes_on() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    world.stop().await;
    // The second list is the one without it.
    assert!(node.sink.has_heard("routers 2"), "{:?}", node.sink.heard());
    assert!(router.list().routers.is_empty());
    assert!(router.stopped().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn signals_reach_users_and_followers() {
    let world = World::new();
    let router = world.start("a").await;
    let (here, there) = (world.node(&router, "here").await, world.node(&router, "there").await);
    world.put_user(1, "here").await;
    here.is_complete().await;
    there.is_complete().await;
    assert!(there.follow(CHAT).await.is_ok());
    let signal = |chat, users: &[u64]| Signal { chat, users: users.to_vec(), signal: None };
    assert!(here.ask(NodeOp::Signal(signal(5, &[1]))).await.is_ok());
    assert!(here.ask(NodeOp::Signal(signal(CHAT, &[]))).await.is_ok());
    until("both arrive", || here.sink.has_heard("signal 5") && there.sink.has_heard("signal 77"))
        .await;
    assert!(!here.sink.has_heard("signal 77") && !there.sink.has_heard("signal 5"));
    world.stop().await;
}
