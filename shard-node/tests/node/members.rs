//! Members and roles, their vers and events.

use crate::node::{Node, chat_view, refused};
use shardline_wire::call::{Answer, Outcome};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    AddMembers, CursorMark, GetChat, ListMembers, MembersChanged, MergeCursors, RemoveMember,
    SetRole,
};
use shardline_wire::refusal::Code;

fn changed(outcome: Outcome) -> MembersChanged {
    match outcome {
        Ok(Answer::MembersChanged(changed)) => changed,
        other => panic!("not changed: {other:?}"),
    }
}

#[tokio::test]
async fn adding_n_users_takes_n_vers_and_n_events() {
    let node = Node::start().await;
    let listener = node.listen().await;
    let chat = node.group(&[1, 2]).await;
    let add = |users: &[u64]| {
        Op::AddMembers(AddMembers { actor: 1, users: users.to_vec(), role: String::new() })
    };
    let added = changed(node.call(chat, add(&[5, 3, 2, 5])).await);
    assert_eq!(added.ver, 5);
    let joined: Vec<(u64, u64)> =
        added.members.iter().map(|member| (member.user, member.joined_ver)).collect();
    assert_eq!(joined, [(5, 4), (3, 5), (2, 3)]);
    // Nobody new: nothing happens.
    assert_eq!(changed(node.call(chat, add(&[5])).await).ver, 5);
    let events = listener.until(chat, 5).await;
    let members: Vec<(u64, u64, Vec<u64>)> = events
        .iter()
        .filter(|event| 3 < event.ver)
        .map(|event| (event.ver, event.subject, event.receivers.clone()))
        .collect();
    assert_eq!(members, [(4, 5, vec![1, 2, 5]), (5, 3, vec![1, 2, 3, 5])]);
    refused(node.call(chat, add(&[])).await, Code::BadRequest);
    refused(node.call(chat, add(&[0])).await, Code::BadRequest);
    let many: Vec<u64> = (10..=210).collect();
    refused(node.call(chat, add(&many)).await, Code::TooLarge);
}

#[tokio::test]
async fn large_groups_have_pages_and_wide_events() {
    let node = Node::start().await;
    let listener = node.listen().await;
    let chat = node.group(&[1, 2]).await;
    for hundred in 0..3_u64 {
        let users: Vec<u64> = (1_000 + hundred * 100..1_100 + hundred * 100).collect();
        let add = AddMembers { actor: 1, users, role: String::new() };
        node.call(chat, Op::AddMembers(add)).await.expect("added");
    }
    let (mut seen, mut after) = (Vec::new(), 0);
    loop {
        let list = ListMembers { user: 1, after, limit: 200, min_ver: 0 };
        let Ok(Answer::Members(page)) = node.call(chat, Op::ListMembers(list)).await else {
            panic!("not a page");
        };
        seen.extend(page.members.iter().map(|member| member.user));
        after = *seen.last().expect("not empty");
        if !page.more {
            break;
        }
    }
    assert_eq!(seen, [1, 2].into_iter().chain(1_000..1_300).collect::<Vec<_>>());
    let sent = node.send(chat, 1, 1, "to all").await;
    let events = listener.until(chat, sent.ver).await;
    let last = events.last().expect("not empty");
    assert!(last.wide && last.receivers.is_empty());
    assert_eq!(node.open(chat, 1, None).await.members.len(), 0);
}

#[tokio::test]
async fn roles_decide_who_may_do_what() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2, 3]).await;
    let role =
        |actor, user, role: &str| Op::SetRole(SetRole { actor, user, role: role.to_owned() });
    refused(node.call(chat, role(2, 3, "muted")).await, Code::Forbidden);
    refused(node.call(chat, role(1, 3, "king")).await, Code::BadRequest);
    refused(node.call(chat, role(1, 9, "muted")).await, Code::NotFound);
    assert_eq!(changed(node.call(chat, role(1, 2, "admin")).await).ver, 5);
    assert_eq!(changed(node.call(chat, role(1, 2, "admin")).await).ver, 5);
    assert_eq!(changed(node.call(chat, role(2, 3, "muted")).await).ver, 6);
    refused(node.call(chat, Op::Send(Node::send_op(3, 1, "x"))).await, Code::Muted);
    refused(node.call(chat, role(2, 1, "muted")).await, Code::Forbidden);
    let remove = |actor, user| Op::RemoveMember(RemoveMember { actor, user });
    refused(node.call(chat, remove(1, 1)).await, Code::Forbidden);
    refused(node.call(chat, remove(3, 2)).await, Code::Forbidden);
    refused(node.call(chat, remove(9, 9)).await, Code::NotMember);
    let removed = changed(node.call(chat, remove(2, 3)).await);
    assert_eq!(removed.members[0].left_ver, Some(7));
    changed(node.call(chat, remove(2, 2)).await);
    // The last one turns off the light.
    changed(node.call(chat, remove(1, 1)).await);
    refused(node.call(chat, Op::GetChat(GetChat { user: 1, min_ver: 0 })).await, Code::NotFound);
}

#[tokio::test]
async fn only_the_owner_hands_a_chat_over_and_is_an_admin_then() {
    let node = Node::start().await;
    let listener = node.listen().await;
    let chat = node.group(&[1, 2, 3]).await;
    let role =
        |actor, user, role: &str| Op::SetRole(SetRole { actor, user, role: role.to_owned() });
    changed(node.call(chat, role(1, 2, "admin")).await);
    for (actor, user) in [(2, 3), (2, 2), (3, 3), (3, 1)] {
        refused(node.call(chat, role(actor, user, "owner")).await, Code::Forbidden);
    }
    refused(node.call(chat, role(1, 9, "owner")).await, Code::NotFound);
    let add = AddMembers { actor: 1, users: vec![4], role: "owner".to_owned() };
    refused(node.call(chat, Op::AddMembers(add)).await, Code::BadRequest);

    let handed = changed(node.call(chat, role(1, 3, "owner")).await);
    let roles = |changed: &MembersChanged| -> Vec<(u64, String)> {
        changed.members.iter().map(|member| (member.user, member.role.clone())).collect()
    };
    let expected = [(3, "owner".to_owned()), (1, "admin".to_owned())];
    assert_eq!((roles(&handed).as_slice(), handed.ver), (expected.as_slice(), 7));
    // The answer was lost: the same again changes nothing.
    let again = changed(node.call(chat, role(1, 3, "owner")).await);
    assert_eq!((roles(&again).as_slice(), again.ver), (expected.as_slice(), 7));
    let events = listener.until(chat, 7).await;
    let subjects: Vec<u64> =
        events.iter().filter(|event| 5 < event.ver).map(|event| event.subject).collect();
    assert_eq!(subjects, [3, 1], "never without an owner");

    let node = node.restart().await;
    let remove = |actor, user| Op::RemoveMember(RemoveMember { actor, user });
    refused(node.call(chat, remove(1, 3)).await, Code::Forbidden);
    changed(node.call(chat, remove(3, 1)).await);
    changed(node.call(chat, remove(2, 2)).await);
    changed(node.call(chat, remove(3, 3)).await);
}

#[tokio::test]
async fn coming_back_starts_anew() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    node.send(chat, 1, 1, "one").await;
    node.call(chat, Op::RemoveMember(RemoveMember { actor: 2, user: 2 })).await.expect("left");
    node.send(chat, 1, 2, "two").await;
    let add = AddMembers { actor: 1, users: vec![2], role: String::new() };
    node.call(chat, Op::AddMembers(add)).await.expect("added");
    let node = node.restart().await;
    let view = chat_view(node.call(chat, Op::GetChat(GetChat { user: 2, min_ver: 0 })).await);
    assert_eq!((view.joined_ver, view.joined_seq, view.read_seq), (7, 2, 2));
}

#[tokio::test]
async fn cursors_merge_by_maximum_and_survive() {
    let node = Node::start().await;
    let mut chats = Vec::new();
    for _ in 0..6 {
        let chat = node.group(&[1, 2]).await;
        for number in 1..=4 {
            node.send(chat, 1, number, "x").await;
        }
        chats.push(chat);
    }
    let merge = |seq| {
        let mark = |chat: &u64| CursorMark { chat: *chat, epoch: 1, user: 2, seq };
        Op::MergeCursors(MergeCursors { marks: chats.iter().map(mark).collect() })
    };
    for (seq, expected) in [(3, 3), (1, 3), (99, 4)] {
        let Ok(Answer::CursorsMerged(merged)) = node.call(0, merge(seq)).await else {
            panic!("not merged");
        };
        assert_eq!(merged.marks.len(), chats.len());
        assert!(merged.marks.iter().all(|mark| mark.seq == expected), "{merged:?}");
    }
    let stranger = CursorMark { chat: chats[0], epoch: 1, user: 9, seq: 2 };
    let stranger = Op::MergeCursors(MergeCursors { marks: vec![stranger] });
    let Ok(Answer::CursorsMerged(merged)) = node.call(0, stranger).await else {
        panic!("not merged")
    };
    assert_eq!(merged.marks.len(), 1, "settled: there is nothing to keep");
    let node = node.restart().await;
    for chat in chats {
        let get = GetChat { user: 2, min_ver: 0 };
        assert_eq!(chat_view(node.call(chat, Op::GetChat(get)).await).read_seq, 4);
    }
}
