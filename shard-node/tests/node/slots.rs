//! Slots and terms: who serves what, and who no longer does.

use crate::catalog::TestCatalog;
use crate::node::{Node, answer, eventually, refused, sent};
use shardline_shard_node::store::{Store, Writer};
use shardline_wire::call::{Done, Shard};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{Call, GetChat};
use shardline_wire::refusal::Code;
use std::sync::atomic::Ordering;

async fn call_at(node: &Node, entity: u64, epoch: u64, op: Op) -> shardline_wire::call::Outcome {
    let (done, outcome) = Done::channel();
    node.shard.submit(Call { entity, epoch, op: Some(op) }, done);
    answer(outcome).await
}

#[tokio::test]
async fn another_epoch_is_refused_and_a_newer_one_asked_for() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    let send = |number| Op::Send(Node::send_op(1, number, "x"));
    refused(call_at(&node, chat, 0, send(1)).await, Code::WrongEpoch);
    // Nobody knows of such an epoch.
    refused(call_at(&node, chat, 9, send(1)).await, Code::TryAgain);
    // The catalog does know: the slot is taken over, then served.
    let epoch = node.catalog.give_slots(1);
    let all: Vec<_> = (1..=20).map(|number| node.submit(chat, send(number))).collect();
    for (seq, outcome) in (1..).zip(all) {
        assert_eq!(sent(answer(outcome).await).seq, seq, "in the order asked");
    }
    let get = || Op::GetChat(GetChat { user: 1, min_ver: 0 });
    match call_at(&node, chat, epoch - 1, get()).await {
        Err(refusal) => assert_eq!((refusal.code(), refusal.epoch), (Code::WrongEpoch, epoch)),
        Ok(answer) => panic!("not refused: {answer:?}"),
    }
    let epoch = node.catalog.give_slots(2);
    match call_at(&node, chat, epoch, get()).await {
        Err(refusal) => assert_eq!((refusal.code(), refusal.epoch), (Code::WrongEpoch, epoch)),
        Ok(answer) => panic!("not refused: {answer:?}"),
    }
}

#[tokio::test]
async fn while_the_catalog_is_away_known_slots_are_served() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    node.catalog.away.store(true, Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    node.send(chat, 1, 1, "on").await;
    assert_eq!(node.texts(chat, 2).await, ["on"]);
    let op = Op::Send(Node::send_op(1, 2, "x"));
    refused(call_at(&node, chat, 2, op).await, Code::TryAgain);
}

/// A lease lasts for 1.8 s and each renewal takes one: its duties must not wait for each other.
#[tokio::test]
async fn a_catalog_that_is_slow_for_a_second_takes_no_lease() {
    let node = Node::start().await;
    *node.catalog.slow.lock() = std::time::Duration::from_secs(1);
    let before = node.catalog.renewals.load(Ordering::SeqCst);
    tokio::time::sleep(std::time::Duration::from_secs(6)).await;
    let renewals = node.catalog.renewals.load(Ordering::SeqCst) - before;
    assert!(4 <= renewals, "{renewals} renewals in six seconds");
    assert!(node.shard.is_writer());
}

#[tokio::test]
async fn a_process_that_was_replaced_stops_serving_and_comes_back_as_a_standby() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    node.send(chat, 1, 1, "before").await;
    // Another process takes the database over.
    let other = Writer { term: 1_000, incarnation: 7 };
    let file = node.file();
    let store = shardline_shard_node::store::sqlite::SqliteStore::open(&file).await.expect("opens");
    store.take_over(other, 2).await.expect("taken over");
    refused(node.call(chat, Op::Send(Node::send_op(1, 2, "after"))).await, Code::Unavailable);
    eventually("it notices", async || !node.shard.is_writer()).await;
    let get = || Op::GetChat(GetChat { user: 1, min_ver: 0 });
    refused(node.call(chat, get()).await, Code::Unavailable);
    assert_eq!(store.heads(&[chat]).await.expect("heads")[0].seq, 1);
}

#[tokio::test]
async fn an_idle_process_that_was_replaced_notices_by_itself() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    let file = node.file();
    let store = shardline_shard_node::store::sqlite::SqliteStore::open(&file).await.expect("opens");
    store.take_over(Writer { term: 1_000, incarnation: 7 }, 2).await.expect("taken over");
    eventually("it notices", async || !node.shard.is_writer()).await;
    refused(node.call(chat, Op::Send(Node::send_op(1, 2, "after"))).await, Code::Unavailable);
}

#[tokio::test]
async fn a_standby_waits_for_the_catalog() {
    let catalog = TestCatalog::new();
    catalog.away.store(true, Ordering::SeqCst);
    let dir = tempfile::tempdir().expect("a temporary directory");
    let node = Node::start_without_waiting(dir, catalog).await;
    refused(node.call(5, Op::Send(Node::send_op(1, 1, "x"))).await, Code::Unavailable);
    assert!(!node.shard.is_writer());
    node.catalog.away.store(false, Ordering::SeqCst);
    eventually("it writes", async || node.shard.is_writer()).await;
    let chat = node.group(&[1, 2]).await;
    node.send(chat, 1, 1, "x").await;
}
