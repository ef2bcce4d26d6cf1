//! Sends: stored once, in order, and answered the same however often they come.

use crate::faults::Fault;
use crate::node::{Node, answer, eventually, refused, sent};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{GetHistory, RemoveMember, Send};
use shardline_wire::refusal::Code;
use std::sync::atomic::Ordering;

#[tokio::test]
async fn a_retry_gets_the_first_answer_and_another_body_a_conflict() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    let first = node.send(chat, 1, 7, "hello").await;
    assert_eq!((first.seq, first.ver, first.duplicate), (1, 4, false));
    for retry in [false, true] {
        let again = Send { retry, ..Node::send_op(1, 7, "hello") };
        let again = sent(node.call(chat, Op::Send(again)).await);
        assert!(again.duplicate);
        assert_eq!((again.seq, again.ver, again.sent_at_ms), (1, 4, first.sent_at_ms));
        let other = Send { retry, ..Node::send_op(1, 7, "other") };
        refused(node.call(chat, Op::Send(other)).await, Code::Conflict);
    }
    // The same id of another sender is another message.
    assert_eq!(node.send(chat, 2, 7, "other").await.seq, 2);
    assert_eq!(node.texts(chat, 2).await, ["hello", "other"]);
}

#[tokio::test]
async fn a_duplicate_that_only_the_database_knows_does_not_hurt_its_batch() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    let first = node.send(chat, 1, 1, "one").await;
    // After a restart memory knows nothing of it, and the sender does not say that it is a retry.
    let node = node.restart().await;
    let before = node.store.hold();
    let blocker = node.submit(chat, Op::Send(Node::send_op(2, 9, "first")));
    node.store.is_holding(before).await;
    let batch: Vec<_> = [(2, "two"), (1, "one"), (3, "three")]
        .map(|(number, text)| node.submit(chat, Op::Send(Node::send_op(1, number, text))))
        .into();
    node.store.let_pass();
    sent(answer(blocker).await);
    let mut answers = Vec::new();
    for outcome in batch {
        answers.push(sent(answer(outcome).await));
    }
    let seqs: Vec<(u64, bool)> = answers.iter().map(|one| (one.seq, one.duplicate)).collect();
    assert_eq!(seqs, [(3, false), (first.seq, true), (4, false)]);
    assert_eq!(node.texts(chat, 1).await, ["one", "first", "two", "three"]);
}

#[tokio::test]
async fn sends_of_one_batch_are_stored_in_order_and_once() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    node.store.hold();
    let before = node.store.count();
    let all: Vec<_> = (0..100_u8)
        .flat_map(|number| {
            // Each comes twice, at once.
            [(); 2].map(|()| {
                let mut send = Node::send_op(1, number, &format!("text {number}"));
                if 0 < number {
                    send.predecessor = vec![number - 1; 16];
                }
                node.submit(chat, Op::Send(send))
            })
        })
        .collect();
    node.store.let_pass();
    for (at, outcome) in all.into_iter().enumerate() {
        let sent = sent(answer(outcome).await);
        assert_eq!((sent.seq, sent.duplicate), (at as u64 / 2 + 1, at % 2 == 1));
    }
    assert!(node.store.count() - before <= 3, "one commit for what gathered");
    let page = node.history(chat, 2).await;
    assert_eq!(page.messages.len(), 100);
    assert!(page.messages.windows(2).all(|two| two[0].seq + 1 == two[1].seq));
    assert!(page.at_start && page.at_end);
}

#[tokio::test]
async fn a_send_is_stored_only_behind_its_predecessor() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    let second = Send { predecessor: vec![1; 16], ..Node::send_op(1, 2, "second") };
    refused(node.call(chat, Op::Send(second.clone())).await, Code::TryAgain);
    node.send(chat, 1, 1, "first").await;
    assert_eq!(sent(node.call(chat, Op::Send(second)).await).seq, 2);
    // Also when memory has forgotten it.
    let node = node.restart().await;
    let third = Send { predecessor: vec![2; 16], ..Node::send_op(1, 3, "third") };
    assert_eq!(sent(node.call(chat, Op::Send(third)).await).seq, 3);
    // One that was refused keeps back what follows.
    let gone = Send { reply_to: Some(99), ..Node::send_op(1, 4, "reply to nothing") };
    let behind = Send { predecessor: vec![4; 16], ..Node::send_op(1, 5, "behind") };
    let gone = node.submit(chat, Op::Send(gone));
    let behind = node.submit(chat, Op::Send(behind));
    refused(answer(gone).await, Code::BadRequest);
    refused(answer(behind).await, Code::TryAgain);
    assert_eq!(node.texts(chat, 2).await, ["first", "second", "third"]);
}

#[tokio::test]
async fn an_unknown_commit_is_settled_and_never_doubled() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    for (number, fault) in [(1, Fault::LostBefore), (2, Fault::LostAfter), (3, Fault::NotStored)] {
        node.store.fail_next(fault);
        let sent = node.send(chat, 1, number, "once").await;
        assert_eq!((sent.seq, sent.duplicate), (number.into(), false), "{fault:?}");
    }
    assert_eq!(node.store.settled.load(Ordering::SeqCst), 2);
    assert_eq!(node.send(chat, 1, 4, "on").await.seq, 4);
    assert_eq!(node.texts(chat, 2).await.len(), 4);
}

#[tokio::test]
async fn who_waits_too_long_for_an_unknown_commit_is_told_and_a_retry_finds_it() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    node.store.no_settling.store(true, Ordering::SeqCst);
    node.store.fail_next(Fault::LostAfter);
    refused(node.call(chat, Op::Send(Node::send_op(1, 1, "perhaps"))).await, Code::Unknown);
    // Nothing is decided while the lane does not know.
    refused(node.call(chat, Op::Send(Node::send_op(1, 2, "later"))).await, Code::TryAgain);
    node.store.no_settling.store(false, Ordering::SeqCst);
    let retry = Send { retry: true, ..Node::send_op(1, 1, "perhaps") };
    eventually("the lane goes on", async || match node.call(chat, Op::Send(retry.clone())).await {
        Ok(_) => true,
        Err(refusal) => {
            assert_eq!(refusal.code(), Code::TryAgain);
            false
        }
    })
    .await;
    let again = sent(node.call(chat, Op::Send(retry)).await);
    assert_eq!((again.seq, again.duplicate), (1, true));
    assert_eq!(node.texts(chat, 2).await, ["perhaps"]);
}

#[tokio::test]
async fn a_call_that_the_database_does_not_take_falls_alone() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    *node.store.poison.lock() = Some("poison".to_owned());
    let before = node.store.hold();
    let blocker = node.submit(chat, Op::Send(Node::send_op(2, 9, "first")));
    node.store.is_holding(before).await;
    let all: Vec<_> = ["a", "b", "poison", "c", "d"]
        .into_iter()
        .zip(1..)
        .map(|(text, number)| (text, node.submit(chat, Op::Send(Node::send_op(1, number, text)))))
        .collect();
    node.store.let_pass();
    sent(answer(blocker).await);
    for (text, outcome) in all {
        let outcome = answer(outcome).await;
        if text == "poison" {
            refused(outcome, Code::Internal);
        } else {
            sent(outcome);
        }
    }
    assert_eq!(node.texts(chat, 2).await, ["first", "a", "b", "c", "d"]);
}

#[tokio::test]
async fn who_may_not_write_is_told_why() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    refused(node.call(chat, Op::Send(Node::send_op(3, 1, "x"))).await, Code::NotMember);
    refused(node.call(chat + 1, Op::Send(Node::send_op(1, 1, "x"))).await, Code::NotFound);
    refused(node.call(chat, Op::Send(Node::send_op(1, 1, ""))).await, Code::BadRequest);
    refused(node.call(chat, Op::Send(Node::send_op(1, 1, "a\0b"))).await, Code::BadRequest);
    let long = "x".repeat(16 * 1024 + 1);
    refused(node.call(chat, Op::Send(Node::send_op(1, 1, &long))).await, Code::TooLarge);
    let bad_id = Send { client_msg_id: vec![1; 3], ..Node::send_op(1, 1, "x") };
    refused(node.call(chat, Op::Send(bad_id)).await, Code::BadRequest);

    let stored = node.send(chat, 2, 1, "mine").await;
    let leave = RemoveMember { actor: 2, user: 2 };
    node.call(chat, Op::RemoveMember(leave)).await.expect("left");
    refused(node.call(chat, Op::Send(Node::send_op(2, 2, "x"))).await, Code::NotMember);
    // But what was stored before stays answered.
    let again = node.send(chat, 2, 1, "mine").await;
    assert_eq!((again.seq, again.duplicate), (stored.seq, true));
}

#[tokio::test]
async fn bodies_are_kept_as_they_came() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    let bodies =
        [" \u{202e}x ", "'; DROP TABLE messages; --", "<script>1</script>", "日本\r\n\t🦀"];
    for (number, body) in (1..).zip(bodies) {
        node.send(chat, 1, number, body).await;
    }
    assert_eq!(node.texts(chat, 2).await, bodies);
}

#[tokio::test]
async fn while_the_database_is_down_nothing_is_stored_and_then_it_goes_on() {
    let node = Node::start().await;
    let chat = node.group(&[1, 2]).await;
    node.send(chat, 1, 1, "before").await;
    node.store.down.store(true, Ordering::SeqCst);
    for number in 2..=4 {
        let send = Op::Send(Node::send_op(1, number, "while"));
        refused(node.call(chat, send).await, Code::TryAgain);
    }
    let get = GetHistory { user: 1, ..GetHistory::default() };
    refused(node.call(chat, Op::GetHistory(get)).await, Code::TryAgain);
    node.store.down.store(false, Ordering::SeqCst);
    let after = Op::Send(Node::send_op(1, 5, "after"));
    eventually("it goes on", async || node.call(chat, after.clone()).await.is_ok()).await;
    assert_eq!(node.texts(chat, 1).await, ["before", "after"]);
}
