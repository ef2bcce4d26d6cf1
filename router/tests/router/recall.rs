//! What a router remembers of an event, and what its conn-nodes say of it.

use crate::fixture::{World, chat_in, event, until};
use shardline_wire::call::{NodeOp, RouterAccept};
use shardline_wire::internal::{AppliedSeen, NodeRecalled, RecallRequest, Recalled};
use std::sync::atomic::Ordering;

const CHAT: u64 = 77;

#[tokio::test(start_paused = true)]
async fn an_event_is_recalled_with_the_nodes_that_got_it_and_what_they_say() {
    let world = World::new();
    let router = world.start("a").await;
    let (says, silent) = (world.node(&router, "says").await, world.node(&router, "silent").await);
    world.consumes(CHAT, &[&says, &silent]).await;
    says.is_complete().await;
    silent.is_complete().await;
    world.put_user(1, "says").await;
    world.publish(&[event(CHAT, 5, &[1])]).await;
    until("it arrives", || says.sink.has_heard("event 5")).await;

    let asking = router.recall(RecallRequest { entity: CHAT, ver: 5 });
    let answering = async {
        until("it is asked", || says.sink.has_heard("recall 1")).await;
        let applied = Some(AppliedSeen { queued_ms: 9, sessions: 2 });
        let said = NodeRecalled { node: "whatever".to_owned(), applied, ..Default::default() };
        for number in [1, 2] {
            let recalled = Recalled { number, said: Some(said.clone()) };
            assert!(says.ask(NodeOp::Recalled(recalled)).await.is_ok());
        }
    };
    let (recalled, ()) = tokio::join!(asking, answering);
    assert_eq!(recalled.router, "a");
    let dispatch = recalled.dispatch.expect("remembered");
    assert_eq!((dispatch.nodes, dispatch.full), (vec!["says".to_owned()], vec![]));
    assert!(dispatch.taken_ms <= dispatch.dispatched_ms);
    let nodes: Vec<_> = recalled
        .nodes
        .iter()
        .map(|node| (node.node.as_str(), node.answered, node.applied.map(|seen| seen.sessions)))
        .collect();
    assert_eq!(nodes, [("says", true, Some(2)), ("silent", false, None)]);
    world.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_stuck_node_and_a_forgotten_event_cost_no_more_than_the_wait() {
    let world = World::new();
    let router = world.start("a").await;
    let node = world.node(&router, "n").await;
    node.sink.is_stuck.store(true, Ordering::SeqCst);
    let recalled = router.recall(RecallRequest { entity: chat_in(0, 4), ver: 1 }).await;
    assert_eq!(recalled.dispatch, None);
    assert!(recalled.nodes.iter().all(|node| !node.answered) && recalled.nodes.len() == 1);
    assert!(0 < recalled.since_ms);
    world.stop().await;
}
