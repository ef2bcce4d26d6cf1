//! /v1/chats/{chat}/messages.

use crate::world::{Person, Reply, World, new_id, world};
use reqwest::Method;
use serde_json::{Value, json};
use shardline_wire::internal::call::Op;
use shardline_wire::refusal::{Code, Refusal};

struct Two {
    world: World,
    anna: Person,
    bob: Person,
    eve: Person,
    path: String,
}

async fn two() -> Two {
    let world = world().await;
    let (anna, bob) = (world.person("anna").await, world.person("bob").await);
    let eve = world.person("eve").await;
    let chat = world.direct(&anna, &bob).await;
    Two { world, anna, bob, eve, path: format!("/v1/chats/{chat}/messages") }
}

impl Two {
    async fn send(&self, body: Value) -> Reply {
        self.world.post(&self.anna, &self.path, body).await
    }

    async fn history(&self, query: &str) -> Reply {
        self.world.get(&self.bob, &format!("{}{query}", self.path)).await
    }
}

fn seqs(reply: &Reply) -> Vec<u64> {
    let messages = reply.body["messages"].as_array().expect("messages");
    messages.iter().map(|message| message["seq"].as_u64().expect("a seq")).collect()
}

#[tokio::test]
async fn a_message_is_stored_once_and_kept_verbatim() {
    let two = two().await;
    for text in [
        "Robert'); DROP TABLE messages;--",
        "<script>alert('x')</script>&amp;\\u0041",
        " \n\t \u{feff}\u{202e}\u{7f}\u{1}end ",
        "🎉👨‍👩‍👧 e\u{301} é",
        "%s%n${jndi:ldap://x}{{7*7}}",
    ] {
        let id = new_id();
        let body = json!({"client_msg_id": id.to_uppercase(), "body": {"text": text}});
        let first = two.send(body.clone()).await.expect(201);
        assert_eq!(
            (&first.body["client_msg_id"], &first.body["duplicate"]),
            (&json!(id), &json!(false))
        );
        let again = two.send(body).await.expect(200);
        for field in ["seq", "ver", "log", "sent_at_ms", "chat"] {
            assert_eq!(again.body[field], first.body[field], "{field}");
        }
        assert_eq!(again.body["duplicate"], true);
        let other = json!({"client_msg_id": id, "body": {"text": "another"}});
        two.send(other).await.problem(409, "conflict", "");
        let page = two.history("?limit=1").await.expect(200);
        assert_eq!(page.body["messages"][0]["body"]["text"], text);
        assert_eq!(page.body["messages"][0]["sender_name"], "anna");
        assert_eq!(page.body["messages"][0]["client_msg_id"], id);
    }
    assert_eq!(two.history("").await.number("head_seq"), 5);
    two.world.stop().await;
}

#[tokio::test]
async fn a_body_of_the_largest_size_comes_through_however_json_writes_it() {
    let two = two().await;
    let text = "\u{1}".repeat(16 * 1024);
    let send = async |text: &str| {
        two.send(json!({"client_msg_id": new_id(), "body": {"text": text}})).await
    };
    send(&text).await.expect(201);
    assert_eq!(two.history("").await.body["messages"][0]["body"]["text"], text);
    send(&format!("{text}x")).await.problem(413, "too_large", "body.text");
    two.world.stop().await;
}

#[tokio::test]
async fn what_cannot_be_a_message_is_refused_by_field() {
    let two = two().await;
    let id = new_id();
    let text = json!({"text": "x"});
    for (body, field) in [
        (json!({"body": text}), "client_msg_id"),
        (json!({"client_msg_id": "", "body": text}), "client_msg_id"),
        (json!({"client_msg_id": id.replace('-', ""), "body": text}), "client_msg_id"),
        (json!({"client_msg_id": 7, "body": text}), "client_msg_id"),
        (json!({"client_msg_id": id}), "body"),
        (json!({"client_msg_id": id, "body": {}}), "body.text"),
        (json!({"client_msg_id": id, "body": "x"}), "body"),
        (json!({"client_msg_id": id, "body": ["x"]}), "body"),
        (json!([id, {"text": "x"}]), ""),
        (json!({"client_msg_id": id, "body": {"text": ""}}), "body.text"),
        (json!({"client_msg_id": id, "body": {"text": "a\0b"}}), "body.text"),
        (json!({"client_msg_id": id, "body": {"text": null}}), "body.text"),
        (json!({"client_msg_id": id, "body": text, "reply_to": -1}), "reply_to"),
        (json!({"client_msg_id": id, "body": text, "reply_to": u64::MAX}), "reply_to"),
    ] {
        two.send(body).await.problem(400, "bad_request", field);
    }
    assert_eq!(two.history("").await.number("head_seq"), 0);
    two.world.stop().await;
}

#[tokio::test]
async fn pages_go_both_ways_and_say_where_the_ends_are() {
    let two = two().await;
    for number in 0..12 {
        two.world
            .send(&two.anna, &two.path[10..two.path.len() - 9], &number.to_string())
            .await
            .expect(201);
    }
    let page = two.history("?limit=5").await.expect(200);
    assert_eq!(seqs(&page), [8, 9, 10, 11, 12]);
    assert_eq!((&page.body["at_start"], &page.body["at_end"]), (&json!(false), &json!(true)));
    assert_eq!(page.number("head_seq"), 12);
    assert!(page.body["log"].is_string());
    let page = two.history("?before_seq=4").await.expect(200);
    assert_eq!(seqs(&page), [1, 2, 3]);
    assert_eq!((&page.body["at_start"], &page.body["at_end"]), (&json!(true), &json!(false)));
    let page = two.history("?after_seq=4&limit=2").await.expect(200);
    assert_eq!(seqs(&page), [5, 6]);
    assert_eq!(
        two.history("?limit=100000").await.expect(200).number("head_ver"),
        page.number("head_ver")
    );

    for (query, field) in [
        ("?before_seq=5&after_seq=2", "after_seq"),
        ("?limit=0", "limit"),
        ("?limit=-3", "limit"),
        ("?limit=", "limit"),
        ("?before_seq=-1", "before_seq"),
        ("?before_seq=9223372036854775808", "before_seq"),
        ("?after_seq=1.0", "after_seq"),
        ("?after_seq=0x10", "after_seq"),
        ("?min_ver=99999999999999999999999", "min_ver"),
        ("?before_seq=1&before_seq=2", "before_seq"),
    ] {
        two.history(query).await.problem(400, "bad_request", field);
    }
    // A shard that is behind what the client has seen is asked again.
    let behind = Refusal::new(Code::Behind, "older than asked");
    two.world.toy.refuse_once(|op| matches!(op, Op::GetHistory(_)), behind);
    let seen = page.number("head_ver");
    two.history(&format!("?min_ver={seen}")).await.expect(200);
    two.world.stop().await;
}

#[tokio::test]
async fn edits_and_deletions_say_what_they_changed() {
    let two = two().await;
    let (world, path) = (&two.world, &two.path);
    let sent =
        two.send(json!({"client_msg_id": new_id(), "body": {"text": "one"}})).await.expect(201);
    let one = format!("{path}/1");
    let edit = json!({"body": {"text": "two"}, "if_ver": sent.number("ver")});
    let edited = world.patch(&two.anna, &one, edit.clone()).await.expect(200);
    assert_eq!(edited.number("seq"), 1);
    assert!(sent.number("ver") < edited.number("ver"));
    assert!(edited.body["chat"].is_string());
    world.patch(&two.anna, &one, edit).await.problem(409, "conflict", "if_ver");
    world.patch(&two.bob, &one, json!({"body": {"text": "x"}})).await.problem(403, "forbidden", "");
    world.patch(&two.eve, &one, json!({"body": {"text": "x"}})).await.problem(
        403,
        "not_member",
        "",
    );
    let message = two.history("").await.body["messages"][0].clone();
    assert_eq!((&message["body"]["text"], &message["ver"]), (&json!("two"), &sent.body["ver"]));
    assert!(message["edited_at_ms"].is_u64());

    world.delete(&two.bob, &one).await.problem(403, "forbidden", "");
    let stale = json!({"if_ver": sent.number("ver")});
    let token = Some(two.anna.token.as_str());
    let reply = world.at(0, Method::DELETE, &one, token, Some(stale)).await;
    reply.problem(409, "conflict", "if_ver");
    let deleted = world.delete(&two.anna, &one).await.expect(200);
    assert_eq!(deleted.number("seq"), 1);
    let message = two.history("").await.body["messages"][0].clone();
    assert_eq!(message["deleted"], true);
    assert!(message.get("body").is_none());

    world.delete(&two.anna, &format!("{path}/99")).await.problem(404, "not_found", "");
    for bad in ["0", "-1", "x", "1.5", "9223372036854775808"] {
        world.delete(&two.anna, &format!("{path}/{bad}")).await.problem(400, "bad_request", "seq");
    }
    let empty = json!({"body": {"text": ""}});
    world.patch(&two.anna, &one, empty).await.problem(400, "bad_request", "body.text");
    two.world.stop().await;
}

#[tokio::test]
async fn a_stranger_neither_reads_nor_writes() {
    let two = two().await;
    let body = json!({"client_msg_id": new_id(), "body": {"text": "hi"}});
    two.world.post(&two.eve, &two.path, body).await.problem(403, "not_member", "");
    two.world.get(&two.eve, &two.path).await.problem(403, "not_member", "");
    assert_eq!(two.history("").await.number("head_seq"), 0);
    two.world.stop().await;
}

#[tokio::test]
async fn a_send_whose_answer_is_lost_is_stored_once() {
    let two = two().await;
    let body = json!({"client_msg_id": new_id(), "body": {"text": "once"}});
    let lost = Refusal::unknown("lost");
    two.world.toy.refuse_once(|op| matches!(op, Op::Send(_)), lost);
    let ack = two.send(body.clone()).await.ok();
    assert_eq!(ack.number("seq"), 1);
    assert_eq!(two.history("").await.number("head_seq"), 1);
    let later = Refusal::try_again("a frozen slot", 250);
    two.world.toy.refuse_once(|op| matches!(op, Op::Send(_)), later);
    let reply = two.send(json!({"client_msg_id": new_id(), "body": {"text": "x"}})).await;
    // Repeated inside, or told to come back: never half done.
    if reply.status != 201 {
        let reply = reply.problem(503, "try_again", "");
        assert_eq!(reply.number("retry_after_ms"), 250);
    }
    let muted = Refusal::new(Code::Muted, "muted in this chat");
    two.world.toy.refuse_once(|op| matches!(op, Op::Send(_)), muted);
    two.send(json!({"client_msg_id": new_id(), "body": {"text": "x"}}))
        .await
        .problem(403, "muted", "");
    two.world.stop().await;
}
