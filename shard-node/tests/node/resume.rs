//! Opening a chat again: exactly what was missed, whatever happened meanwhile.

use crate::node::{Node, new_group, refused, text};
use shardline_wire::call::Answer;
use shardline_wire::client;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    AddMembers, ChangesPage, Delete, Edit, GetChanges, OpenChat, PatchChat, RemoveMember, SetRole,
};
use shardline_wire::refusal::Code;
use std::collections::BTreeMap;

/// What a client holds of a chat, by the contract's own rules.
#[derive(Default, PartialEq, Debug)]
struct Held {
    messages: BTreeMap<u64, (u64, String, bool)>,
    members: BTreeMap<u64, String>,
    title: String,
    ver: u64,
}

impl Held {
    fn take(&mut self, message: client::Message) {
        let newer = self
            .messages
            .get(&message.seq)
            .is_none_or(|(known, _, _)| *known < message.changed_ver);
        if newer {
            let state = (message.changed_ver, text(message.clone()), message.deleted);
            self.messages.insert(message.seq, state);
        }
    }

    fn apply(&mut self, event: client::Event) {
        if let Some(message) = event.message {
            self.take(message);
        }
        if let Some(member) = event.member {
            match member.left_ver {
                Some(_) => drop(self.members.remove(&member.user)),
                None => drop(self.members.insert(member.user, member.role)),
            }
        }
        if let Some(item) = event.chat_item {
            self.title = item.title;
        }
    }

    /// Opens again until there is no more, as a client does.
    async fn resume(&mut self, node: &Node, chat: u64, user: u64) {
        loop {
            let opened = node.open(chat, user, Some(self.ver)).await;
            assert!(opened.resumed, "a gap of up to 100 is always filled");
            opened.messages.into_iter().for_each(|message| self.take(message));
            opened.changes.into_iter().for_each(|event| self.apply(event));
            assert!(self.ver <= opened.to_ver);
            self.ver = opened.to_ver;
            if !opened.more {
                return;
            }
        }
    }

    async fn anew(node: &Node, chat: u64, user: u64) -> Held {
        let opened = node.open(chat, user, None).await;
        assert!(!opened.resumed);
        let mut held = Held { ver: opened.to_ver, ..Held::default() };
        let page = node.history(chat, user).await;
        assert!(page.at_start && page.at_end);
        page.messages.into_iter().for_each(|message| held.take(message));
        held.members = opened.members.into_iter().map(|one| (one.user, one.role)).collect();
        held.title = opened.chat.and_then(|view| view.item).expect("an item").title;
        held
    }
}

async fn do_something(node: &Node, chat: u64, step: u8) {
    let body = Some(client::Body { text: format!("edited {step}") });
    let member = 100 + u64::from(step % 3);
    let op = match step % 7 {
        0 => Op::Edit(Edit { actor: 1, seq: u64::from(step / 3) + 1, body, if_ver: None }),
        1 => Op::Delete(Delete { actor: 1, seq: u64::from(step / 4) + 1, if_ver: None }),
        2 => Op::AddMembers(AddMembers { actor: 1, users: vec![member], role: String::new() }),
        3 => Op::SetRole(SetRole {
            actor: 1,
            user: 2,
            role: ["muted", "admin"][usize::from(step % 2)].to_owned(),
        }),
        4 => Op::RemoveMember(RemoveMember { actor: 1, user: member }),
        5 => Op::PatchChat(PatchChat {
            actor: 1,
            title: Some(format!("title {step}")),
            history: None,
            if_ver: None,
        }),
        _ => Op::Edit(Edit { actor: 1, seq: 1, body, if_ver: None }),
    };
    // Some of these are refused, as they would be in life.
    drop(node.call(chat, op).await);
    node.send(chat, 1, 100 + step, &format!("later {step}")).await;
}

#[tokio::test]
async fn from_any_ver_a_client_comes_to_hold_what_one_who_opens_anew_holds() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    for number in 1..=15 {
        node.send(chat, 1, number, &format!("text {number}")).await;
    }
    // Clients that fell behind at every ver on the way.
    let mut clients = vec![Held::anew(&node, chat, 1).await];
    for step in 0..30 {
        do_something(&node, chat, step).await;
        clients.push(Held::anew(&node, chat, 1).await);
    }
    // From the database as well as from memory.
    let node = node.restart().await;
    let now = Held::anew(&node, chat, 1).await;
    assert!(60 < now.ver);
    for mut client in clients {
        let since = client.ver;
        client.resume(&node, chat, 1).await;
        assert_eq!(client, now, "since {since}");
    }
}

#[tokio::test]
async fn a_message_comes_once_in_its_present_state() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    node.send(chat, 1, 1, "one").await;
    for text in ["two", "three"] {
        let body = Some(client::Body { text: text.to_owned() });
        node.call(chat, Op::Edit(Edit { actor: 1, seq: 1, body, if_ver: None }))
            .await
            .expect("edited");
    }
    // Ver 3 is the last before the message: birth 4, edits 5 and 6.
    let opened = node.open(chat, 2, Some(3)).await;
    assert_eq!(opened.messages.len(), 1);
    assert_eq!((opened.messages[0].ver, opened.messages[0].changed_ver), (4, 6));
    assert_eq!(opened.changes.len(), 0);
    let opened = node.open(chat, 2, Some(4)).await;
    assert_eq!(opened.messages.len(), 0);
    let vers: Vec<(u64, &str)> =
        opened.changes.iter().map(|event| (event.ver, event.kind.as_str())).collect();
    assert_eq!(vers, [(6, "edit")]);
    assert_eq!(opened.to_ver, 6);
    assert_eq!(node.open(chat, 2, Some(6)).await.changes.len(), 0);
}

#[tokio::test]
async fn a_long_gap_comes_in_pages_or_anew() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    for round in 0..6 {
        let all: Vec<_> = (0..200_u8)
            .map(|number| {
                let mut send = Node::send_op(1, number, "x");
                send.client_msg_id[0] = 100 + round;
                node.submit(chat, Op::Send(send))
            })
            .collect();
        for outcome in all {
            crate::node::sent(crate::node::answer(outcome).await);
        }
    }
    let mut held = Held { ver: 603, ..Held::default() };
    held.resume(&node, chat, 2).await;
    assert_eq!(held.messages.len(), 600);
    assert_eq!(held.messages.keys().next(), Some(&601));
    // More than a thousand changes: the latest page.
    let opened = node.open(chat, 2, Some(3)).await;
    assert!(!opened.resumed);
    assert_eq!((opened.messages.len(), opened.to_ver, opened.at_start), (50, 1_203, false));
}

#[tokio::test]
async fn another_log_or_a_ver_from_the_future_begins_anew() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    let open = |log: Option<&str>, since_ver| {
        let log = log.map(str::to_owned);
        Op::OpenChat(OpenChat { user: 1, since_ver: Some(since_ver), log, limit: 50, min_ver: 0 })
    };
    let resumed = async |op| match node.call(chat, op).await {
        Ok(Answer::Opened(opened)) => opened.resumed,
        other => panic!("not opened: {other:?}"),
    };
    let log = node.history(chat, 1).await.log.to_string();
    assert!(resumed(open(Some(&log), 1)).await);
    assert!(resumed(open(None, 3)).await);
    assert!(!resumed(open(Some("1"), 1)).await);
    assert!(!resumed(open(None, 4)).await);
    let behind = OpenChat { user: 1, min_ver: 4, ..OpenChat::default() };
    refused(node.call(chat, Op::OpenChat(behind)).await, Code::Behind);
    let stranger = OpenChat { user: 9, ..OpenChat::default() };
    refused(node.call(chat, Op::OpenChat(stranger)).await, Code::NotMember);
}

#[tokio::test]
async fn who_joined_later_reads_from_there_if_the_chat_says_so() {
    let node = Node::start().await;
    let (chat, create) = new_group(&[1, 2], "joined");
    node.call(chat, Op::CreateChat(create)).await.expect("created");
    for number in 1..=3 {
        node.send(chat, 1, number, &format!("before {number}")).await;
    }
    let add = AddMembers { actor: 1, users: vec![3], role: String::new() };
    node.call(chat, Op::AddMembers(add)).await.expect("added");
    node.send(chat, 1, 4, "after").await;
    assert_eq!(node.texts(chat, 3).await, ["after"]);
    assert!(node.history(chat, 3).await.at_start);
    let opened = node.open(chat, 3, Some(1)).await;
    assert_eq!(opened.messages.into_iter().map(text).collect::<Vec<_>>(), ["after"]);
    let view = opened.chat.expect("a chat");
    assert_eq!((view.joined_seq, view.read_seq), (3, 3));
    let body = Some(client::Body { text: "changed".to_owned() });
    node.call(chat, Op::Edit(Edit { actor: 1, seq: 2, body, if_ver: None })).await.expect("edited");
    assert_eq!(node.open(chat, 3, Some(8)).await.changes.len(), 0);
    assert_eq!(node.open(chat, 2, Some(8)).await.changes.len(), 1);
}

#[tokio::test]
async fn a_node_that_missed_events_gets_them_as_they_were() {
    let node = Node::start().await;
    let listener = node.listen().await;
    let chat = node.group(&[1, 2]).await;
    node.send(chat, 1, 1, "one").await;
    let add = AddMembers { actor: 1, users: vec![3], role: String::new() };
    node.call(chat, Op::AddMembers(add)).await.expect("added");
    node.send(chat, 1, 2, "two").await;
    node.call(chat, Op::RemoveMember(RemoveMember { actor: 1, user: 2 })).await.expect("removed");
    node.send(chat, 3, 3, "three").await;
    let published = listener.until(chat, 8).await;
    let get = GetChanges { since_ver: 3, limit: 100, min_ver: 8 };
    let page: ChangesPage = match node.call(chat, Op::GetChanges(get)).await {
        Ok(Answer::Changes(page)) => page,
        other => panic!("not a page: {other:?}"),
    };
    assert_eq!((page.to_ver, page.more, page.resync), (8, false, false));
    let published: Vec<_> = published.into_iter().filter(|event| 3 < event.ver).collect();
    let short = |events: &[shardline_wire::internal::Event]| {
        let all = events.iter();
        all.map(|one| (one.ver, one.receivers.clone(), one.subject, one.log)).collect::<Vec<_>>()
    };
    assert_eq!(short(&page.events), short(&published));
    // Messages are the same to the byte.
    assert_eq!(page.events[0].payload, published[0].payload);
    let ahead = GetChanges { since_ver: 3, limit: 100, min_ver: 9 };
    refused(node.call(chat, Op::GetChanges(ahead)).await, Code::Behind);
}
