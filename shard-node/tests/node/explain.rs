//! How a message went, as its shard tells an operator.

use crate::node::{Node, eventually, refused, sent};
use shardline_wire::call::Answer;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    CursorMark, Delete, ExplainMessage, MergeCursors, MessageExplained, RelayState,
};
use shardline_wire::refusal::Code;

async fn explained(node: &Node, chat: u64, seq: u64) -> MessageExplained {
    match node.call(chat, Op::ExplainMessage(ExplainMessage { seq })).await {
        Ok(Answer::MessageExplained(explained)) => explained,
        other => panic!("not explained: {other:?}"),
    }
}

#[tokio::test]
async fn a_message_is_told_with_its_commit_as_long_as_that_is_remembered() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2, 3]).await;
    node.send(chat, 1, 1, "one").await;
    let two = node.send(chat, 1, 2, "two").await;
    eventually("it is relayed", async || {
        explained(&node, chat, 2).await.commit.is_some_and(|commit| commit.relayed_ms.is_some())
    })
    .await;
    let seen = explained(&node, chat, 2).await;
    assert_eq!((seen.seq, seen.ver, seen.changed_ver), (two.seq, two.ver, two.ver));
    assert_eq!((seen.sender, seen.sent_at_ms), (1, two.sent_at_ms));
    assert_eq!((seen.head_seq, seen.head_ver, seen.log), (2, two.ver, two.log));
    assert_eq!(seen.relay(), RelayState::OnTheBus);
    let commit = seen.commit.expect("remembered");
    assert!(
        commit.queued_ms <= commit.committed_ms && Some(commit.committed_ms) <= commit.relayed_ms
    );
    assert_eq!((commit.entities, seen.position), (1, Some(seen.committed)));
    // The sender has read what it sent.
    assert_eq!((seen.members, seen.read_count, seen.read_by), (3, 1, vec![1]));

    let node = node.restart().await;
    let seen = explained(&node, chat, 2).await;
    assert_eq!((seen.commit, seen.relay()), (None, RelayState::OnTheBus));
    assert_eq!((seen.sent_at_ms, seen.ver), (two.sent_at_ms, two.ver));
}

#[tokio::test]
async fn who_has_read_it_and_that_it_is_gone_is_told() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2, 3]).await;
    node.send(chat, 1, 1, "one").await;
    node.send(chat, 1, 2, "two").await;
    let marks = [(2, 2), (3, 1)].map(|(user, seq)| CursorMark { chat, user, seq, epoch: 1 });
    let merge = MergeCursors { marks: marks.to_vec() };
    assert!(node.call(0, Op::MergeCursors(merge)).await.is_ok());
    let seen = explained(&node, chat, 1).await;
    assert_eq!((seen.read_count, seen.read_by), (3, vec![1, 2, 3]));
    assert_eq!(explained(&node, chat, 2).await.read_by, [1, 2]);

    let delete = Delete { actor: 1, seq: 1, if_ver: None };
    assert!(node.call(chat, Op::Delete(delete)).await.is_ok());
    let seen = explained(&node, chat, 1).await;
    assert!(seen.deleted && seen.ver < seen.changed_ver, "{seen:?}");
}

#[tokio::test]
async fn what_is_not_there_is_said() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    sent(node.call(chat, Op::Send(Node::send_op(1, 1, "one"))).await);
    for seq in [0, 2, u64::MAX] {
        let asked = Op::ExplainMessage(ExplainMessage { seq });
        refused(node.call(chat, asked).await, Code::NotFound);
    }
    let asked = Op::ExplainMessage(ExplainMessage { seq: 1 });
    refused(node.call(chat ^ 1, asked).await, Code::NotFound);
}
