//! What any Shardline does, whatever it is made of.

use crate::person::{PASSWORD, PATIENCE, Place, text};
use shardline_client::frames::{Chats, History};
use shardline_client::{Connection, Encoding, Incoming};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// Two people, each on a node of their own if there are two, in both encodings: everybody sees every
/// message once, in the order of its seq, on every device, the sender's own included.
pub(crate) async fn two_people_talk(place: &Place) {
    let last = place.addresses.len() - 1;
    let mut alice = place.person("alice", 0, Encoding::Json).await;
    let mut bob = place.person("bob", last, Encoding::Proto).await;
    let mut tablet =
        place.device("bob's tablet".to_owned(), bob.session.clone(), 0, Encoding::Json).await;
    let chat = alice.direct(&bob).await;
    assert_eq!(bob.direct(&alice).await, chat, "a direct chat is one, whoever begins");
    for person in [&alice, &bob, &tablet] {
        person.client.open(chat, None).await.expect("their chat");
    }

    let mut waiting = Vec::new();
    for number in 0..50 {
        let speaker = if number % 2 == 0 { &alice } else { &bob };
        waiting.push(speaker.client.submit(chat, format!("number {number}")).await);
    }
    let mut seqs = BTreeSet::new();
    for pending in waiting {
        let ack = pending.await.expect("an acknowledgement");
        assert!(seqs.insert(ack.seq.expect("an ack of a send has a seq")), "a seq given twice");
    }
    assert_eq!(seqs, (1..=50).collect());

    let seen = alice.messages(chat, 50).await;
    assert!(seen.iter().map(|message| message.seq).eq(1..=50));
    for of in [0, 1] {
        let numbers = seen.iter().map(text).filter_map(|text| text.strip_prefix("number "));
        let numbers: Vec<u32> = numbers.filter_map(|number| number.parse().ok()).collect();
        let own: Vec<_> = numbers.iter().filter(|number| **number % 2 == of).collect();
        assert!(own.is_sorted(), "what one person sent keeps its order: {own:?}");
    }
    assert_eq!(bob.messages(chat, 50).await, seen);
    assert_eq!(tablet.messages(chat, 50).await, seen);
}

/// A retry gets the first answer, and another body under the same id is refused.
pub(crate) async fn a_retry_gets_the_first_answer(place: &Place) {
    let alice = place.person("alice", 0, Encoding::Json).await;
    let bob = place.person("bob", 0, Encoding::Json).await;
    let chat = alice.direct(&bob).await;
    let mut send = shardline_client::frames::Send {
        chat,
        client_msg_id: rand::random::<[u8; 16]>().to_vec(),
        body: Some(shardline_client::frames::Body { text: "once".to_owned() }),
        reply_to: None,
        retry: false,
    };
    let first = alice.client.send_raw(send.clone()).await.expect("stored");
    for retry in [true, false] {
        send.retry = retry;
        let again = alice.client.send_raw(send.clone()).await.expect("known");
        assert_eq!((again.seq, again.ver), (first.seq, first.ver));
        assert_eq!(again.duplicate, Some(true));
    }
    send.body = Some(shardline_client::frames::Body { text: "another".to_owned() });
    let refused = alice.client.send_raw(send).await.expect_err("another body");
    assert!(refused.to_string().contains("conflict"), "{refused}");
}

/// Who was away for 500 messages and some edits gets exactly what was missed.
pub(crate) async fn who_was_away_catches_up_exactly(place: &Place) {
    let alice = place.person("alice", 0, Encoding::Json).await;
    let mut bob = place.person("bob", place.addresses.len() - 1, Encoding::Json).await;
    let chat = alice.direct(&bob).await;
    let opened = bob.client.open(chat, None).await.expect("their chat");
    alice.client.send(chat, "before").await.expect("stored");
    let before = bob.messages(chat, 1).await.remove(0);
    bob.client.stop().await;

    let mut waiting = Vec::new();
    for number in 0..500 {
        waiting.push(alice.client.submit(chat, format!("missed {number}")).await);
    }
    let mut last = None;
    for pending in waiting {
        last = Some(pending.await.expect("an acknowledgement"));
    }
    let edit = alice.client.edit(chat, 10, "changed meanwhile").await.expect("an edit");
    alice.client.delete(chat, 11).await.expect("a deletion");
    let head = edit.ver.expect("an ver") + 1;
    assert_eq!(last.and_then(|ack| ack.seq), Some(501));

    let mut back = place.device(bob.name.clone(), bob.session.clone(), 0, Encoding::Proto).await;
    let log = opened.chat.expect("the chat").log;
    back.client.resume(chat, &log, before.ver).await.expect("resumed");
    let mut seqs = BTreeSet::new();
    let mut highest = before.ver;
    while highest < head {
        let event = back.events(chat, 1).await.remove(0);
        assert!(highest < event.ver, "events come in ver order");
        highest = event.ver;
        if let Some(message) = event.message {
            match message.seq {
                10 => assert_eq!(text(&message), "changed meanwhile"),
                11 => assert!(message.deleted && message.body.is_none()),
                _ => {}
            }
            seqs.insert(message.seq);
        }
    }
    assert_eq!(seqs, (2..=501).collect(), "all that was missed, nothing else");
}

/// Pages in both directions, cursors that only grow, unread by the formula, the list's order.
pub(crate) async fn history_cursors_and_the_list_agree(place: &Place) {
    let alice = place.person("alice", 0, Encoding::Json).await;
    let bob = place.person("bob", place.addresses.len() - 1, Encoding::Json).await;
    let carol = place.person("carol", 0, Encoding::Json).await;
    let (chat, other) = (alice.direct(&bob).await, carol.direct(&bob).await);
    for number in 1..=120 {
        alice.client.send(chat, format!("{number}")).await.expect("stored");
    }
    carol.client.send(other, "later").await.expect("stored");

    let mut before = None;
    let mut seqs = Vec::new();
    loop {
        let ask = History { chat, before_seq: before, limit: Some(50), ..History::default() };
        let page = bob.client.history(ask).await.expect("a page");
        assert!(page.messages.is_sorted_by_key(|message| message.seq));
        seqs.splice(0..0, page.messages.iter().map(|message| message.seq));
        before = page.messages.first().map(|message| message.seq);
        if page.at_start {
            break;
        }
    }
    assert!(seqs.iter().copied().eq(1..=120), "backwards: {seqs:?}");
    let ask = History { chat, after_seq: Some(100), limit: Some(200), ..History::default() };
    let page = bob.client.history(ask).await.expect("a page");
    assert!(page.messages.iter().map(|message| message.seq).eq(101..=120) && page.at_end);

    assert_eq!(bob.unread(chat).await, 120);
    assert_eq!(alice.unread(chat).await, 0, "one's own sends count as read");
    assert_eq!(bob.client.read(chat, 70).await, Ok(70));
    assert_eq!(bob.client.read(chat, 40).await, Ok(70), "a cursor only grows");
    assert_eq!(bob.unread(chat).await, 50);
    assert_eq!(bob.client.read(chat, u64::MAX >> 11).await, Ok(120), "beyond the head is the head");
    assert_eq!(bob.unread(chat).await, 0);

    let list = bob.client.chats(Chats::default()).await.expect("the list");
    let order: Vec<u64> = list.items.iter().map(|item| item.chat).collect();
    assert_eq!(order, [other, chat], "newest activity first");
    alice.client.send(chat, "now this is the newest").await.expect("stored");
    let list = bob.client.chats(Chats::default()).await.expect("the list");
    let last = list.items[0].last_message.as_ref().map(text);
    assert_eq!(last, Some("now this is the newest"));
    assert_eq!(bob.client.read(chat, 121).await, Ok(121));
    let said = bob.client.send(chat, "indeed").await.expect("an acknowledgement");
    assert_eq!(said.seq, Some(122));
    assert_eq!(bob.client.read(chat, 60).await, Ok(122), "one's own sends count here, too");
}

/// A group: who joins sees it, who is removed gets that as the last event and is refused from then on.
pub(crate) async fn members_come_and_go(place: &Place) {
    let last = place.addresses.len() - 1;
    let mut alice = place.person("alice", 0, Encoding::Json).await;
    let mut bob = place.person("bob", last, Encoding::Json).await;
    let mut carol = place.person("carol", last, Encoding::Proto).await;
    let token = alice.client.token();
    let id = uuid::Uuid::from_u128(rand::random());
    let made = alice.http.create_group(&token, "group", "three", &[bob.user()], id).await;
    let chat = made.expect("a group").item.chat;
    let again = alice.http.create_group(&token, "group", "three", &[bob.user()], id).await;
    assert!(again.is_ok_and(|again| again.existed && again.item.chat == chat));

    assert!(carol.client.send(chat, "not a member").await.is_err());
    alice.client.open(chat, None).await.expect("her chat");
    bob.client.open(chat, None).await.expect("his chat");
    alice.http.add_members(&token, chat, &[carol.user()], None).await.expect("added");
    let (joined, member) = bob.member(chat, carol.user()).await;
    assert_eq!((member.joined_ver, member.left_ver), (joined.ver, None));
    in_the_list(&carol.client, chat).await;
    carol.client.send(chat, "hello").await.expect("now a member");
    assert_eq!(text(&bob.messages(chat, 1).await[0]), "hello");
    assert_eq!(text(&carol.messages(chat, 1).await[0]), "hello");

    alice.http.remove_member(&token, chat, carol.user()).await.expect("removed");
    let (left, member) = loop {
        let (event, member) = carol.member(chat, carol.user()).await;
        if member.left_ver.is_some() {
            break (event, member);
        }
    };
    assert_eq!(member.left_ver, Some(left.ver));
    alice.client.send(chat, "without carol").await.expect("stored");
    assert_eq!(text(&bob.messages(chat, 1).await[0]), "without carol");
    assert!(carol.client.send(chat, "still here?").await.is_err());
    let ask = History { chat, ..History::default() };
    assert!(carol.client.history(ask).await.is_err());
    assert_eq!(alice.messages(chat, 2).await.len(), 2);
}

async fn in_the_list(client: &shardline_client::Client, chat: u64) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let list = client.chats(Chats::default()).await.expect("the list");
        if list.items.iter().any(|item| item.chat == chat) {
            return;
        }
        assert!(Instant::now() < deadline, "the chat never came onto the list");
        sleep(Duration::from_millis(20)).await;
    }
}

/// A session that was ended stops working on every node, at once for its open connections.
pub(crate) async fn an_ended_session_is_closed(place: &Place) {
    let alice = place.person("alice", 0, Encoding::Json).await;
    let second = alice.http.log_in(&alice.name, PASSWORD, "another").await.expect("a log-in");
    let node = place.addresses.last().expect("an address");
    let mut socket = Connection::open(node, Encoding::Json).await.expect("a socket");
    socket.hello(&second.token, "another", PATIENCE).await.expect("welcome");

    alice.http.log_out(&alice.client.token(), Some(second.session)).await.expect("ended");
    loop {
        match socket.next(PATIENCE).await.expect("frames, then the close") {
            Incoming::Frame(_) => {}
            Incoming::Closed { code, .. } => break assert_eq!(code, Some(4502)),
        }
    }
    let mut late = Connection::open(node, Encoding::Json).await.expect("a socket");
    assert!(late.hello(&second.token, "another", PATIENCE).await.is_err());
    assert!(alice.http.refresh(&second.refresh_token).await.is_err());
    let renewed = alice.http.refresh(&alice.session.refresh_token).await.expect("not this one");
    assert_eq!(renewed.session, alice.session.session);
}
