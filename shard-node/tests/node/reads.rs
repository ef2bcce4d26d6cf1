//! Many who read the same at once, and what is read without the database.

use crate::node::{Node, answer, eventually, text};
use shardline_wire::call::{Answer, Outcome};
use shardline_wire::client;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{Edit, GetHistory, OpenChat};
use std::sync::atomic::Ordering;
use tokio::sync::oneshot;

const MEMBERS: u64 = 50;

fn ask_for_history(node: &Node, chat: u64, user: u64) -> oneshot::Receiver<Outcome> {
    node.submit(chat, Op::GetHistory(GetHistory { user, limit: 50, ..GetHistory::default() }))
}

async fn texts(outcome: oneshot::Receiver<Outcome>) -> Vec<String> {
    match answer(outcome).await {
        Ok(Answer::History(page)) => page.messages.into_iter().map(text).collect(),
        other => panic!("not a page: {other:?}"),
    }
}

async fn chat_of_many(node: &Node) -> u64 {
    let members: Vec<u64> = (1..=MEMBERS).collect();
    let chat = node.group(&members).await;
    for number in 1..=3 {
        node.send(chat, 1, number, &format!("said {number}")).await;
    }
    chat
}

async fn reads_begun(node: &Node, count: u64) {
    eventually("reads begin", async || count <= node.store.reads.load(Ordering::SeqCst)).await;
}

#[tokio::test]
async fn an_answer_is_never_older_than_its_question() {
    let node = Node::start().await;
    let chat = chat_of_many(&node).await;
    let before = node.store.hold_reads();
    let first = ask_for_history(&node, chat, 1);
    reads_begun(&node, before + 1).await;
    let body = Some(client::Body { text: "edited".to_owned() });
    let edit = Edit { actor: 1, seq: 2, body, if_ver: None };
    node.call(chat, Op::Edit(edit)).await.expect("edited");
    let later = ask_for_history(&node, chat, 2);
    node.store.let_reads_pass();
    assert_eq!(texts(first).await.len(), 3);
    assert_eq!(texts(later).await, ["said 1", "edited", "said 3"]);
}

#[tokio::test]
async fn everybody_who_reads_the_same_at_once_is_one_read() {
    let node = Node::start().await;
    let chat = chat_of_many(&node).await;
    let before = node.store.hold_reads();
    let first = ask_for_history(&node, chat, 1);
    reads_begun(&node, before + 1).await;
    let others: Vec<_> = (2..=MEMBERS).map(|user| ask_for_history(&node, chat, user)).collect();
    // One who is not a member gets no share of it.
    let stranger = ask_for_history(&node, chat, 999);
    assert!(answer(stranger).await.is_err());
    node.store.let_reads_pass();
    let expected = texts(first).await;
    for other in others {
        assert_eq!(texts(other).await, expected);
    }
    assert_eq!(node.store.reads.load(Ordering::SeqCst), before + 2);
}

#[tokio::test]
async fn a_chat_that_everybody_opens_after_a_restart_is_loaded_once() {
    let node = Node::start().await;
    let chat = chat_of_many(&node).await;
    let head = node.history(chat, 1).await.head_ver;
    let node = node.restart().await;
    let before = node.store.hold_reads();
    let open = |user| OpenChat { user, since_ver: Some(head), limit: 50, ..OpenChat::default() };
    let opens: Vec<_> =
        (1..=MEMBERS).map(|user| node.submit(chat, Op::OpenChat(open(user)))).collect();
    reads_begun(&node, before + 1).await;
    node.store.let_reads_pass();
    for opened in opens {
        assert!(matches!(answer(opened).await, Ok(Answer::Opened(opened)) if opened.resumed));
    }
    // The chat and its last message; some may ask for the latter only when it was read.
    let reads = node.store.reads.load(Ordering::SeqCst) - before;
    assert!((2..=4).contains(&reads), "{reads} reads");
    let read = node.store.reads.load(Ordering::SeqCst);
    node.open(chat, 1, Some(head)).await;
    assert_eq!(node.store.reads.load(Ordering::SeqCst), read, "all of it is in memory");
}

#[tokio::test]
async fn a_short_absence_is_made_good_from_memory() {
    let node = Node::start().await;
    let chat = chat_of_many(&node).await;
    let since = node.history(chat, 2).await.head_ver;
    for number in 4..=9 {
        node.send(chat, 1, number, &format!("said {number}")).await;
    }
    let before = node.store.reads.load(Ordering::SeqCst);
    let opened = node.open(chat, 2, Some(since)).await;
    assert!(opened.resumed && !opened.more);
    let missed: Vec<String> = opened.messages.into_iter().map(text).collect();
    assert_eq!(missed, (4..=9).map(|number| format!("said {number}")).collect::<Vec<_>>());
    assert_eq!(node.store.reads.load(Ordering::SeqCst), before);

    // An edit is not a birth: the database says how the message is now.
    let body = Some(client::Body { text: "edited".to_owned() });
    let edit = Edit { actor: 1, seq: 5, body, if_ver: None };
    node.call(chat, Op::Edit(edit)).await.expect("edited");
    let opened = node.open(chat, 2, Some(since)).await;
    let missed: Vec<String> = opened.messages.into_iter().map(text).collect();
    assert_eq!(missed[1], "edited");
    assert!(before < node.store.reads.load(Ordering::SeqCst));
}
