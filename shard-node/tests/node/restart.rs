//! What a restart keeps: everything that was acknowledged, and what the bus has still to get.

use crate::node::{Node, chat_view, eventually, refused};
use prost::Message as _;
use shardline_wire::client;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{Edit, GetChat, RemoveMember};
use shardline_wire::refusal::Code;
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn everything_acknowledged_is_there_after_a_restart() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    for number in 1..=20 {
        node.send(chat, 1, number, &format!("text {number}")).await;
    }
    let node = node.restart().await;
    let texts: Vec<String> = (1..=20).map(|number| format!("text {number}")).collect();
    assert_eq!(node.texts(chat, 2).await, texts);
    assert_eq!(node.send(chat, 2, 1, "on").await.seq, 21);
}

#[tokio::test]
async fn a_sender_has_read_what_it_sent_also_after_a_restart() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    for number in 1..=5 {
        node.send(chat, 1, number, "x").await;
    }
    let read = async |node: &Node, user| {
        let get = GetChat { user, min_ver: 0 };
        chat_view(node.call(chat, Op::GetChat(get)).await).read_seq
    };
    assert_eq!((read(&node, 1).await, read(&node, 2).await), (5, 0));
    let node = node.restart().await;
    assert_eq!((read(&node, 1).await, read(&node, 2).await), (5, 0));
}

#[tokio::test]
async fn the_bus_gets_every_event_in_order_and_with_its_receivers() {
    let node = Node::start().await;
    let listener = node.listen().await;
    let chat = node.group(&[1, 2]).await;
    for number in 1..=30 {
        node.send(chat, 1, number, "x").await;
    }
    let events = listener.until(chat, 33).await;
    let vers: Vec<u64> = events.iter().map(|event| event.ver).collect();
    assert_eq!(vers, (1..=33).collect::<Vec<_>>());
    assert!(events.iter().all(|event| event.receivers == [1, 2] && !event.wide));
    assert!(events.iter().all(|event| event.log != 0 && event.epoch == 1));
    eventually("the report says so", async || {
        let reports = node.catalog.reports.lock();
        let lanes = reports.last().map(|report| report.lanes.clone()).unwrap_or_default();
        lanes.iter().any(|lane| 0 < lane.committed)
            && lanes.iter().all(|lane| lane.relayed == lane.committed)
    })
    .await;
}

#[tokio::test]
async fn while_the_bus_is_away_sends_go_on_and_it_gets_everything_later() {
    let node = Node::start().await;
    let listener = node.listen().await;
    let chat = node.group(&[1, 2]).await;
    node.bus.away.store(true, Ordering::SeqCst);
    for number in 1..=50 {
        node.send(chat, 1, number, &format!("text {number}")).await;
    }
    node.bus.away.store(false, Ordering::SeqCst);
    let events = listener.until(chat, 53).await;
    let vers: BTreeSet<u64> = events.iter().map(|event| event.ver).collect();
    assert_eq!(vers, (1..=53).collect());
}

#[tokio::test]
async fn what_the_bus_took_and_lost_goes_again() {
    let node = Node::start().await;
    let listener = node.listen().await;
    let chat = node.group(&[1, 2]).await;
    node.bus.silent.store(true, Ordering::SeqCst);
    for number in 1..=20 {
        node.send(chat, 1, number, &format!("text {number}")).await;
    }
    node.bus.lose_what_it_took();
    node.send(chat, 1, 21, "text 21").await;
    let events = listener.until(chat, 24).await;
    let vers: BTreeSet<u64> = events.iter().map(|event| event.ver).collect();
    assert_eq!(vers, (1..=24).collect());
}

#[tokio::test]
async fn what_was_not_relayed_is_relayed_after_a_restart() {
    let node = Node::start().await;
    node.bus.away.store(true, Ordering::SeqCst);
    let chat = node.group(&[1, 2]).await;
    for number in 1..=10 {
        node.send(chat, 1, number, &format!("text {number}")).await;
    }
    let body = Some(client::Body { text: "changed".to_owned() });
    let edit = Edit { actor: 1, seq: 3, body, if_ver: None };
    node.call(chat, Op::Edit(edit)).await.expect("edited");
    let leave = RemoveMember { actor: 2, user: 2 };
    node.call(chat, Op::RemoveMember(leave)).await.expect("left");
    let (dir, catalog) = node.stop().await;

    let node = Node::start_without_waiting(dir, catalog).await;
    let listener = node.listen().await;
    let events = listener.until(chat, 15).await;
    let vers: Vec<u64> = events.iter().map(|event| event.ver).collect();
    let mut sorted = vers.clone();
    sorted.sort_unstable();
    assert_eq!(vers, sorted);
    assert!((4..=15).all(|ver| vers.contains(&ver)), "{vers:?}");
    // Receivers are those of each event's moment; the one who left gets that event as the last.
    for event in events.iter().filter(|event| 3 < event.ver) {
        let expected: &[u64] = if event.ver < 15 { &[1, 2] } else { &[1] };
        assert_eq!(event.receivers, expected, "at {}", event.ver);
    }
    let last = events.last().expect("not empty");
    assert_eq!((last.ver, last.subject), (15, 2));
    let edited = client::Event::decode(
        events[vers.iter().position(|ver| *ver == 14).expect("there")].payload.clone(),
    );
    let edited = edited.expect("an event");
    assert_eq!(edited.kind, "edit");
    assert_eq!(edited.message.map(crate::node::text).as_deref(), Some("changed"));
}

#[tokio::test]
async fn what_the_bus_took_without_a_word_is_relayed_after_a_restart() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    node.bus.silent.store(true, Ordering::SeqCst);
    for number in 1..=10 {
        node.send(chat, 1, number, &format!("text {number}")).await;
    }
    let (dir, catalog) = node.stop().await;

    let node = Node::start_without_waiting(dir, catalog).await;
    let listener = node.listen().await;
    let events = listener.until(chat, 13).await;
    let vers: BTreeSet<u64> = events.iter().map(|event| event.ver).collect();
    assert!((4..=13).all(|ver| vers.contains(&ver)), "{vers:?}");
}

#[tokio::test]
async fn calls_to_a_stopped_node_are_refused() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    let shard = node.shard.clone();
    let (dir, catalog) = node.stop().await;
    let (done, outcome) = shardline_wire::call::Done::channel();
    let op = Some(Op::Send(Node::send_op(1, 1, "x")));
    let call = shardline_wire::internal::Call { entity: chat, epoch: 1, op };
    shardline_wire::call::Shard::submit(&*shard, call, done);
    refused(crate::node::answer(outcome).await, Code::Unavailable);
    drop((dir, catalog));
}
