//! Facts reach the users' lists, whatever is away meanwhile, and whoever acted sees it at once.

use crate::node::{Node, answer, eventually, new_group};
use shardline_wire::call::Answer;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{AddMembers, ApplyFact, EndChat, GetList, ListPage, RemoveMember};
use std::sync::atomic::Ordering;
use std::time::Duration;

async fn list(node: &Node, user: u64, since_list_ver: Option<u64>) -> ListPage {
    ask(node, user, GetList { since_list_ver, chat: None }).await
}

async fn ask(node: &Node, user: u64, get: GetList) -> ListPage {
    match node.call(user, Op::GetList(get)).await {
        Ok(Answer::List(page)) => page,
        other => panic!("not a list: {other:?}"),
    }
}

async fn chats(node: &Node, user: u64) -> Vec<u64> {
    list(node, user, None).await.rows.iter().map(|row| row.chat).collect()
}

#[tokio::test]
async fn one_row_of_the_list_is_read_alone() {
    let node = Node::start().await;
    let anna = node.user(1).await;
    let (one, other) = (77, 99);
    for chat in [one, other] {
        let fact = ApplyFact { chat, ver: 1, joined: true, kind: "group".to_owned() };
        node.call(anna, Op::ApplyFact(fact)).await.expect("applied");
    }
    let row = async |chat, since_list_ver| {
        let page = ask(&node, anna, GetList { since_list_ver, chat: Some(chat) }).await;
        assert_eq!(page.list_ver, list(&node, anna, None).await.list_ver);
        page.rows.iter().map(|row| (row.chat, row.gone)).collect::<Vec<_>>()
    };
    assert_eq!(row(one, None).await, [(one, false)]);
    assert_eq!(row(other, Some(0)).await, [(other, false)]);
    assert_eq!(row(88, None).await, []);
    let left = ApplyFact { chat: one, ver: 2, joined: false, kind: "group".to_owned() };
    node.call(anna, Op::ApplyFact(left)).await.expect("applied");
    assert_eq!(row(one, None).await, []);
    assert_eq!(row(one, Some(0)).await, [(one, true)]);
}

#[tokio::test]
async fn who_creates_or_leaves_a_chat_sees_it_in_the_list_at_once() {
    let node = Node::start().await;
    let (anna, bert) = (node.user(1).await, node.user(2).await);
    let chat = node.group(&[anna, bert]).await;
    assert_eq!(chats(&node, anna).await, [chat]);
    eventually("the other sees it, too", async || chats(&node, bert).await == [chat]).await;
    let before = list(&node, bert, None).await.list_ver;
    let leave = RemoveMember { actor: bert, user: bert };
    node.call(chat, Op::RemoveMember(leave)).await.expect("left");
    assert_eq!(chats(&node, bert).await, [0_u64; 0]);
    let since = list(&node, bert, Some(before)).await;
    assert!(since.resumed);
    assert_eq!(
        since.rows.iter().map(|row| (row.chat, row.gone)).collect::<Vec<_>>(),
        [(chat, true)]
    );
    node.call(chat, Op::EndChat(EndChat { actor: anna })).await.expect("ended");
    assert_eq!(chats(&node, anna).await, [0_u64; 0]);
}

#[tokio::test]
async fn facts_are_delivered_after_a_restart() {
    let node = Node::start().await;
    let (anna, bert) = (node.user(1).await, node.user(2).await);
    node.catalog.routes.store(false, Ordering::SeqCst);
    let (chat, create) = new_group(&[anna, bert], "all");
    // Its own fact cannot be applied: the answer comes all the same, but late.
    let created = node.submit(chat, Op::CreateChat(create));
    let waited = shardline_daemon::clock::Stopwatch::start();
    answer(created).await.expect("created");
    assert!(Duration::from_secs(1) < waited.elapsed());
    assert_eq!(chats(&node, anna).await, [0_u64; 0]);
    let (dir, catalog) = node.stop().await;

    catalog.routes.store(true, Ordering::SeqCst);
    let node = Node::start_in(dir, catalog).await;
    for user in [anna, bert] {
        eventually("the list shows it", async || chats(&node, user).await == [chat]).await;
    }
    // And the rows go away, so that the next start has nothing to do.
    eventually("the outbox empties", async || {
        let store: &dyn shardline_shard_node::store::Store = &*node.store;
        store.outbox(10).await.is_ok_and(|rows| rows.is_empty())
    })
    .await;
}

#[tokio::test]
async fn a_late_fact_does_not_revive_what_was_left() {
    let node = Node::start().await;
    let anna = node.user(1).await;
    let fact =
        |ver, joined| Op::ApplyFact(ApplyFact { chat: 77, ver, joined, kind: "group".to_owned() });
    node.call(anna, fact(5, false)).await.expect("applied");
    let list_ver = list(&node, anna, None).await.list_ver;
    node.call(anna, fact(3, true)).await.expect("too old, but settled");
    assert_eq!(chats(&node, anna).await, [0_u64; 0]);
    assert_eq!(list(&node, anna, None).await.list_ver, list_ver);
    node.call(anna, fact(9, true)).await.expect("applied");
    assert_eq!(chats(&node, anna).await, [77]);
}

#[tokio::test]
async fn facts_for_users_that_are_not_there_do_not_stay_for_ever() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    let add = AddMembers { actor: 1, users: vec![3, 4, 5], role: String::new() };
    node.call(chat, Op::AddMembers(add)).await.expect("added");
    eventually("the outbox empties", async || {
        let store: &dyn shardline_shard_node::store::Store = &*node.store;
        store.outbox(10).await.is_ok_and(|rows| rows.is_empty())
    })
    .await;
}
