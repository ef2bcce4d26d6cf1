//! Chats: created once, changed with a ver, ended for all; and lists of them.

use crate::node::{Node, chat_view, eventually, new_group, refused};
use shardline_domain::id::{ChatId, UserId};
use shardline_wire::call::Answer;
use shardline_wire::client;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    CreateChat, Delete, Edit, EndChat, EntityRef, GetChat, GetHeads, GetHistory, GetItems,
    PatchChat,
};
use shardline_wire::refusal::Code;

fn direct(creator: u64, peer: u64, probe: u32) -> (u64, CreateChat) {
    let id = |number| UserId::new(number).expect("an id");
    let chat = ChatId::of_direct(id(creator), id(peer), probe).get();
    let create = CreateChat {
        creator,
        kind: "direct".to_owned(),
        members: vec![peer],
        ..CreateChat::default()
    };
    (chat, create)
}

#[tokio::test]
async fn the_same_chat_is_created_once_whoever_asks() {
    let node = Node::start().await;
    let (chat, create) = direct(1, 2, 0);
    let view = chat_view(node.call(chat, Op::CreateChat(create.clone())).await);
    assert!(view.created);
    assert_eq!((view.peer, view.joined_ver), (2, 2));
    assert_eq!(view.item.map(|item| item.members_count), Some(2));
    let (same, by_peer) = direct(2, 1, 0);
    assert_eq!(same, chat);
    let view = chat_view(node.call(chat, Op::CreateChat(by_peer)).await);
    assert_eq!((view.created, view.peer), (false, 1));
    let (_, other) = direct(1, 3, 0);
    refused(node.call(chat, Op::CreateChat(other)).await, Code::Internal);
    let (own, alone) = direct(1, 1, 0);
    refused(node.call(own, Op::CreateChat(alone)).await, Code::BadRequest);

    let (group, create) = new_group(&[1, 2], "all");
    assert!(chat_view(node.call(group, Op::CreateChat(create.clone())).await).created);
    let node = node.restart().await;
    assert!(!chat_view(node.call(group, Op::CreateChat(create)).await).created);
}

#[tokio::test]
async fn an_id_that_belongs_to_something_else_is_a_clash() {
    let node = Node::start().await;
    let (chat, create) = direct(1, 2, 0);
    let user = shardline_wire::internal::CreateUser {
        name: "squatter".to_owned(),
        ..shardline_wire::internal::CreateUser::default()
    };
    node.call(chat, Op::CreateUser(user)).await.expect("a user with that id");
    refused(node.call(chat, Op::CreateChat(create.clone())).await, Code::IdClash);
    let node = node.restart().await;
    refused(node.call(chat, Op::CreateChat(create)).await, Code::IdClash);
    refused(node.call(chat, Op::Send(Node::send_op(1, 1, "x"))).await, Code::NotFound);
    let (next, create) = direct(1, 2, 1);
    assert!(chat_view(node.call(next, Op::CreateChat(create)).await).created);
}

#[tokio::test]
async fn settings_change_unless_somebody_was_faster() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    let patch = |actor, title: &str, if_ver| {
        let title = Some(title.to_owned());
        Op::PatchChat(PatchChat { actor, title, history: None, if_ver })
    };
    let item = |outcome| chat_view(outcome).item.expect("an item");
    let first = item(node.call(chat, patch(1, "one", Some(3))).await);
    assert_eq!((first.title.as_str(), first.head_ver), ("one", 4));
    refused(node.call(chat, patch(1, "two", Some(3))).await, Code::Conflict);
    // The same again is done already.
    assert_eq!(item(node.call(chat, patch(1, "one", Some(3))).await).head_ver, 4);
    refused(node.call(chat, patch(2, "two", None)).await, Code::Forbidden);
    refused(node.call(chat, patch(1, "", None)).await, Code::BadRequest);
    // A message is no change of the settings.
    node.send(chat, 1, 1, "x").await;
    assert_eq!(item(node.call(chat, patch(1, "two", Some(4))).await).head_ver, 6);
}

#[tokio::test]
async fn messages_are_edited_and_deleted_by_who_may() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    node.send(chat, 2, 1, "mine").await;
    let edit = |actor, text: &str, if_ver| {
        let body = Some(client::Body { text: text.to_owned() });
        Op::Edit(Edit { actor, seq: 1, body, if_ver })
    };
    let ver = |outcome| match outcome {
        Ok(Answer::Changed(changed)) => changed.ver,
        other => panic!("not changed: {other:?}"),
    };
    refused(node.call(chat, edit(1, "yours", None)).await, Code::Forbidden);
    assert_eq!(ver(node.call(chat, edit(2, "better", Some(4))).await), 5);
    assert_eq!(ver(node.call(chat, edit(2, "better", Some(4))).await), 5);
    refused(node.call(chat, edit(2, "best", Some(4))).await, Code::Conflict);
    // A retry of the send is still the first answer: an edit does not change its hash.
    assert!(node.send(chat, 2, 1, "mine").await.duplicate);
    let delete = |actor| Op::Delete(Delete { actor, seq: 1, if_ver: None });
    assert_eq!(ver(node.call(chat, delete(1)).await), 6);
    assert_eq!(ver(node.call(chat, delete(2)).await), 6);
    refused(node.call(chat, edit(2, "again", None)).await, Code::NotFound);
    assert!(node.send(chat, 2, 1, "mine").await.duplicate);
    let message = node.history(chat, 1).await.messages.remove(0);
    assert_eq!((message.deleted, message.body, message.changed_ver), (true, None, 6));
    let nothing = Op::Delete(Delete { actor: 1, seq: 2, if_ver: None });
    refused(node.call(chat, nothing).await, Code::NotFound);
}

#[tokio::test]
async fn an_ended_chat_is_gone_for_all() {
    let node = Node::start().await;
    let listener = node.listen().await;
    let chat = node.group(&[1, 2]).await;
    refused(node.call(chat, Op::EndChat(EndChat { actor: 2 })).await, Code::Forbidden);
    node.call(chat, Op::EndChat(EndChat { actor: 1 })).await.expect("ended");
    for op in [
        Op::Send(Node::send_op(2, 1, "x")),
        Op::GetChat(GetChat { user: 2, min_ver: 0 }),
        Op::GetHistory(GetHistory { user: 2, ..GetHistory::default() }),
        Op::EndChat(EndChat { actor: 1 }),
    ] {
        refused(node.call(chat, op).await, Code::NotFound);
    }
    let events = listener.until(chat, 4).await;
    assert_eq!(events.last().map(|event| event.receivers.clone()), Some(vec![1, 2]));
}

#[tokio::test]
async fn heads_and_items_of_many_chats_come_at_once() {
    let node = Node::start().await;
    let mut chats = Vec::new();
    for number in 1..=5 {
        let chat = node.group(&[1, 2]).await;
        node.send(chat, 2, number, &format!("last {number}")).await;
        chats.push(chat);
    }
    let node = node.restart().await;
    let entities: Vec<EntityRef> =
        chats.iter().chain([&12_345]).map(|chat| EntityRef { entity: *chat, epoch: 1 }).collect();
    for _ in 0..2 {
        // From the database, then (after the items were read) from memory.
        let get = GetHeads { entities: entities.clone() };
        let Ok(Answer::Heads(heads)) = node.call(0, Op::GetHeads(get)).await else {
            panic!("no heads");
        };
        assert_eq!(heads.heads.len(), 5);
        assert!(heads.heads.iter().all(|head| (head.seq, head.ver) == (1, 4)));
        let get =
            GetItems { user: 1, entities: entities.clone(), order_only: false, as_of_ms: None };
        let Ok(Answer::Items(items)) = node.call(0, Op::GetItems(get)).await else {
            panic!("no items");
        };
        let last: Vec<String> = items
            .items
            .into_iter()
            .filter_map(|view| view.item?.last_message)
            .map(crate::node::text)
            .collect();
        assert_eq!(last, ["last 1", "last 2", "last 3", "last 4", "last 5"]);
    }
    let get = GetItems { user: 9, entities, order_only: true, as_of_ms: None };
    let Ok(Answer::Items(none)) = node.call(0, Op::GetItems(get)).await else { panic!("no items") };
    assert_eq!(none.items.len(), 0);
}

#[tokio::test]
async fn pages_go_both_ways_and_say_where_they_end() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    for number in 1..=10 {
        node.send(chat, 1, number, &number.to_string()).await;
    }
    let check = async |before_seq, after_seq, limit, seqs: &[u64], at_start, at_end| {
        let get = GetHistory { user: 2, before_seq, after_seq, limit, min_ver: 0 };
        let Ok(Answer::History(page)) = node.call(chat, Op::GetHistory(get)).await else {
            panic!("not a page");
        };
        let found: Vec<u64> = page.messages.iter().map(|message| message.seq).collect();
        assert_eq!(found, seqs, "{before_seq:?} {after_seq:?}");
        assert_eq!(
            (page.at_start, page.at_end),
            (at_start, at_end),
            "{before_seq:?} {after_seq:?}"
        );
        assert_eq!((page.head_seq, page.head_ver), (10, 13));
    };
    check(None, None, 3, &[8, 9, 10], false, true).await;
    check(Some(8), None, 3, &[5, 6, 7], false, false).await;
    check(Some(3), None, 3, &[1, 2], true, false).await;
    check(Some(1), None, 3, &[], true, false).await;
    check(None, Some(0), 3, &[1, 2, 3], true, false).await;
    check(None, Some(8), 3, &[9, 10], false, true).await;
    check(None, Some(10), 3, &[], false, true).await;
    check(None, Some(u64::MAX), 3, &[], false, true).await;
    check(Some(u64::MAX), None, 3, &[8, 9, 10], false, true).await;
    check(Some(6), Some(3), 50, &[4, 5], false, false).await;
    check(None, None, 0, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10], true, true).await;
    let behind = GetHistory { user: 2, min_ver: 14, ..GetHistory::default() };
    refused(node.call(chat, Op::GetHistory(behind)).await, Code::Behind);
}

#[tokio::test]
async fn commits_are_reported() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    node.send(chat, 1, 1, "x").await;
    eventually("it is reported", async || {
        let reports = node.catalog.reports.lock();
        reports.last().is_some_and(|one| one.shard == 1 && !one.durability.is_empty())
    })
    .await;
}
