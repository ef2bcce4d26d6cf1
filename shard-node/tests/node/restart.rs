//! What a restart keeps: everything that was acknowledged, and what the bus has still to get.

use crate::node::{Node, chat_view, eventually, refused};
use async_trait::async_trait;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{Edit, GetChat};
use shardline_wire::client;
use shardline_wire::refusal::Code;
use std::collections::BTreeSet;

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

/// A bus that takes nothing.
struct Deaf;

#[async_trait]
impl shardline_backends::bus::Bus for Deaf {
    async fn ensure_topic(&self, _: u32) -> Result<(), shardline_backends::bus::TopicError> {
        Ok(())
    }
    fn publish(&self, _: u32, _: bytes::Bytes) -> shardline_backends::bus::Published {
        // A record too large is the only failure that this form can make; a full one is waited for.
        unreachable!("the relay is not started on it")
    }
    fn consume(&self) -> std::sync::Arc<dyn shardline_backends::bus::Consumer> {
        unreachable!("nobody reads it")
    }
}

#[tokio::test]
async fn what_was_not_relayed_is_relayed_after_a_restart() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    for number in 1..=10 {
        node.send(chat, 1, number, &format!("text {number}")).await;
    }
    let body = Some(client::Body { text: "changed".to_owned() });
    let edit = Edit { actor: 1, seq: 3, body, if_ver: None };
    node.call(chat, Op::Edit(edit)).await.expect("edited");
    let (dir, catalog) = node.stop().await;
    // As if nothing had arrived: the positions are put back, and the journal with them.
    let file = dir.path().join("shard.db");
    let rewound = rewind(&file);
    assert!(rewound.contains(&chat));
    let node = Node::start_without_waiting(dir, catalog).await;
    let listener = node.listen().await;
    let events = listener.until(chat, 14).await;
    let vers: BTreeSet<u64> = events.iter().map(|event| event.ver).collect();
    // The edit shows in the message's own event, too; ver 1 to 3 made the chat.
    assert!((4..=14).all(|ver| vers.contains(&ver)), "{vers:?}");
    assert!(events.iter().filter(|event| 3 < event.ver).all(|event| event.receivers == [1, 2]));
}

fn rewind(_: &std::path::Path) -> BTreeSet<u64> {
    BTreeSet::new()
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
