//! Two routers with one id: the second is told, the first goes on.

use crate::fixture::{World, chat_in, send, until};

#[tokio::test(start_paused = true)]
async fn a_router_whose_id_is_taken_waits_and_says_why() {
    let world = World::new();
    world.catalog.take_id("a");
    let router = world.begin("a", world.shards.clone(), world.presence.clone());
    let why = "a router at elsewhere:1 has the same id";
    until("it says why", || world.health.report().contains(why)).await;
    assert!(!world.health.is_ready());
    // Though the list names its id, nothing is its own.
    let slot = shardline_domain::slot::Slot::new(0).expect("a slot");
    assert!(!router.routers.owns(slot));

    world.catalog.free_id("a");
    until("it is ready", || world.health.is_ready()).await;
    let node = world.node(&router, "n").await;
    assert!(node.ask(send(chat_in(0, 1), 1)).await.is_ok());
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_router_that_was_replaced_stops() {
    let world = World::new();
    let router = world.start("a").await;
    world.catalog.take_id("a");
    let reason = world.lifecycle.failed().await;
    assert!(reason.contains("this router was replaced"), "{reason}");
    assert!(world.lifecycle.finish(std::time::Duration::from_secs(10)).await);
    assert!(router.stopped().is_cancelled());
    assert!(world.catalog.has_id("a"), "it did not leave in the other's name");
}
