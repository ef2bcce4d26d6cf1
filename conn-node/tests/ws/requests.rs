//! Frames and their answers, good and bad.

use crate::client::{Bench, send, token};
use crate::world::{LOG, UsersShard};
use prost::Message as _;
use serde_json::{Value, json};
use shardline_wire::client::{
    ClientFrame, ClientFrames, Hello, Ping, ServerFrames, client_frame::Call, server_frame::Frame,
};
use std::time::Duration;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::frame::{Frame as RawFrame, FrameHeader};
use tokio_tungstenite::tungstenite::{Bytes, Message};

const CHAT: u64 = 1 << 50;

#[tokio::test]
async fn a_bad_frame_gets_an_error_and_the_connection_stays() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5]);
    let mut client = bench.client(5).await;
    for (frame, field) in [
        (json!({"type": "nope", "id": 1}), "type"),
        (json!({"type": "react", "id": 1, "chat": "5", "seq": 1}), "type"),
        (json!({"type": "open", "id": 1}), "chat"),
        (json!({"type": "open", "id": 1, "chat": CHAT.to_string(), "limit": 0}), "limit"),
        (
            json!({"type": "history", "id": 1, "chat": CHAT.to_string(), "before_seq": 1, "after_seq": 2}),
            "after_seq",
        ),
        (json!({"type": "read", "id": 1, "chat": CHAT.to_string(), "seq": u64::MAX}), "seq"),
        (
            json!({"type": "send", "id": 1, "chat": CHAT.to_string(), "client_msg_id": "x", "body": {"text": "a"}}),
            "client_msg_id",
        ),
        (json!({"type": "chats", "id": 1, "cursor": "nonsense"}), "cursor"),
    ] {
        let answer = client.ask(frame.clone()).await;
        assert_eq!(answer["code"], "bad_request", "{frame}: {answer}");
        assert_eq!(
            (&answer["field"], &answer["retry"]),
            (&json!(field), &json!("never")),
            "{frame}"
        );
    }
    let too_large = client.ask(send(2, CHAT, &"x".repeat(16 * 1024 + 1))).await;
    assert_eq!(
        (&too_large["code"], &too_large["field"]),
        (&json!("too_large"), &json!("body.text"))
    );
    client.text(&"x".repeat(600 * 1024)).await;
    let answer = client.frame().await;
    assert_eq!((&answer["code"], &answer["id"]), (&json!("too_large"), &Value::Null));
    client.text("{not json").await;
    assert_eq!(client.frame().await["code"], "bad_request");
    assert_eq!(client.ask(json!({"type": "ping", "id": 3})).await["type"], "pong");
}

#[tokio::test]
async fn what_is_no_message_of_the_subprotocol_ends_the_connection() {
    let bench = Bench::start().await;
    let mut client = bench.client(5).await;
    client.bytes(vec![1, 2, 3]).await;
    assert_eq!(client.closed().await.1, 4500);

    let mut client = bench.client(5).await;
    client.text(&"x".repeat(2 * 1024 * 1024)).await;
    assert_eq!(client.closed().await.1, 4500);

    let mut client = bench.client(5).await;
    let header = FrameHeader {
        is_final: true,
        opcode: OpCode::Data(Data::Text),
        mask: Some([0; 4]),
        ..FrameHeader::default()
    };
    let bad = RawFrame::from_payload(header, Bytes::from_static(b"\xff\xfe"));
    client.raw(Message::Frame(bad)).await;
    assert_eq!(client.closed().await.1, 4500);
    // Others do not notice.
    assert_eq!(bench.client(6).await.ask(json!({"type": "ping", "id": 3})).await["type"], "pong");
}

#[tokio::test]
async fn frames_of_an_array_are_answered_one_by_one() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5]);
    let mut client = bench.client(5).await;
    let array = json!([{"type": "ping", "id": 1}, {"type": "nope", "id": 2}, send(3, CHAT, "hi")]);
    client.say(array).await;
    let mut answers = std::collections::BTreeMap::new();
    while answers.len() < 3 {
        let frame = client.frame().await;
        if let Some(id) = frame["id"].as_u64() {
            answers.insert(id, frame["type"].as_str().unwrap_or_default().to_owned());
        }
    }
    assert_eq!(answers.into_values().collect::<Vec<_>>(), ["pong", "error", "ack"]);
}

#[tokio::test]
async fn chats_history_read_and_close_are_answered() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5, 6]);
    bench.world.say(CHAT, 6, "one");
    bench.world.say(CHAT, 6, "two");
    let mut client = bench.client(5).await;
    let chats = client.ask(json!({"type": "chats", "id": 1})).await;
    assert_eq!(chats["items"][0]["chat"], CHAT.to_string());
    assert_eq!(chats["items"][0]["unread"], 2);
    let history = client.ask(json!({"type": "history", "id": 2, "chat": CHAT.to_string()})).await;
    assert_eq!(history["messages"][1]["body"]["text"], "two");
    let read = json!({"type": "read", "id": 3, "chat": CHAT.to_string(), "seq": 1});
    assert_eq!(client.ask(read).await["read_seq"], 1);
    let beyond = json!({"type": "read", "id": 4, "chat": CHAT.to_string(), "seq": 100});
    assert_eq!(client.ask(beyond).await["read_seq"], 2);
    let lower = json!({"type": "read", "id": 5, "chat": CHAT.to_string(), "seq": 1});
    assert_eq!(client.ask(lower).await["read_seq"], 2);
    client.open(CHAT).await;
    assert!(bench.world.has_interest(CHAT));
    let close = json!({"type": "close_chat", "id": 6, "chat": CHAT.to_string()});
    assert_eq!(client.ask(close).await["type"], "ack");
    crate::client::until("no interest", || !bench.world.has_interest(CHAT)).await;
}

#[tokio::test]
async fn an_open_reads_one_row_of_the_list_and_does_not_wait_long_for_it() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5, 6]);
    bench.world.chat(CHAT + 1, &[5, 6]);
    let mut client = bench.client(5).await;
    let lists = bench.world.asked("list");
    client.open(CHAT).await;
    assert_eq!((bench.world.asked("list"), bench.world.asked("row")), (lists, 1));
    for is in [UsersShard::Down, UsersShard::Hangs] {
        bench.world.users_shard(is);
        let started = Instant::now();
        client.open(CHAT).await;
        assert!(started.elapsed() < Duration::from_secs(3), "the chat's shard answers");
    }
}

#[tokio::test]
async fn what_was_just_read_shows_at_once_wherever_cursors_show() {
    // Nothing is flushed to the chat's shard.
    let bench = Bench::start_with(|config| {
        config.cursor_flush_every = Duration::from_secs(3600);
        config.heads_every = Duration::from_millis(300);
    })
    .await;
    bench.world.chat(CHAT, &[5, 6]);
    for text in ["one", "two", "three"] {
        bench.world.say(CHAT, 6, text);
    }
    let (mut client, mut other) = (bench.client(5).await, bench.client(6).await);
    let read = |seq: u64| json!({"type": "read", "id": 3, "chat": CHAT.to_string(), "seq": seq});
    assert_eq!(client.ask(read(2)).await["read_seq"], 2);
    assert_eq!(other.ask(read(3)).await["read_seq"], 3);
    for (who, own) in [(&mut client, 2), (&mut other, 3)] {
        let opened = who.open(CHAT).await;
        assert_eq!(opened["chat"]["read_seq"], own);
        assert_eq!(opened["read"], json!([["5", 2], ["6", 3]]));
        assert_eq!(opened["members"][1]["display_name"], "U 6");
        let chats = who.ask(json!({"type": "chats", "id": 4})).await;
        assert_eq!(chats["items"][0]["read_seq"], own);
        let heads = who.next("heads").await;
        assert_eq!(heads["chats"][0], json!([CHAT.to_string(), 3, 4, own, LOG.to_string()]));
    }
}

#[tokio::test]
async fn a_min_ver_that_no_chat_has_is_the_askers_mistake() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5, 6]);
    let ver = bench.world.say(CHAT, 6, "one");
    let mut client = bench.client(5).await;
    let ask = |min_ver: u64| json!({"type": "history", "id": 1, "chat": CHAT.to_string(), "min_ver": min_ver});
    assert_eq!(client.ask(ask(ver)).await["head_ver"], ver);
    let started = Instant::now();
    let answer = client.ask(ask(ver + 1)).await;
    assert_eq!(
        (&answer["code"], &answer["field"]),
        (&json!("bad_request"), &json!("min_ver")),
        "{answer}"
    );
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    // A chat that catches up meanwhile answers.
    client.say(ask(ver + 1)).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    bench.world.say(CHAT, 6, "two");
    assert_eq!(client.next("history").await["head_ver"], ver + 1);
}

#[tokio::test]
async fn an_array_has_at_most_256_frames() {
    let bench = Bench::start().await;
    let mut client = bench.client(5).await;
    let pings = |count: u64| (0..count).map(|id| json!({"type": "ping", "id": id})).collect();
    client.say(Value::Array(pings(256))).await;
    for id in 0..256 {
        let pong = client.frame().await;
        assert_eq!((&pong["type"], &pong["id"]), (&json!("pong"), &json!(id)));
    }
    client.say(Value::Array(pings(257))).await;
    let answer = client.frame().await;
    assert_eq!((&answer["code"], &answer["id"]), (&json!("bad_request"), &Value::Null));
    // None of them was taken.
    assert_eq!(client.ask(json!({"type": "ping", "id": 999})).await["id"], 999);
}

#[tokio::test]
async fn the_end_of_the_last_connection_takes_the_interest_back() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5]);
    let mut first = bench.client(5).await;
    let mut second = bench.client(5).await;
    first.open(CHAT).await;
    second.open(CHAT).await;
    drop(first);
    crate::client::until("one connection", || bench.node.connections() == 1).await;
    assert!(bench.world.has_interest(CHAT));
    drop(second);
    crate::client::until("no interest", || !bench.world.has_interest(CHAT)).await;
}

#[tokio::test]
async fn who_is_not_a_member_gets_neither_the_chat_nor_its_events() {
    let bench = Bench::start().await;
    bench.world.wide_chat(CHAT, &[6]);
    let mut client = bench.client(5).await;
    let answer = client.ask(json!({"type": "open", "id": 1, "chat": CHAT.to_string()})).await;
    assert_eq!(answer["code"], "not_member");
    crate::client::until("no interest", || !bench.world.has_interest(CHAT)).await;
    bench.world.say(CHAT, 6, "secret");
    client.hears_nothing().await;
}

#[tokio::test]
async fn the_protobuf_form_says_the_same() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5, 6]);
    let mut client = bench.connect_as(Some("shardline.v1+proto")).await;
    let frame = |id: u64, call: Call| ClientFrame { id: Some(id), call: Some(call) };
    let hello =
        Hello { token: crate::client::token(5, 5), device: "test".into(), client: String::new() };
    let frames = vec![frame(1, Call::Hello(hello)), frame(2, Call::Ping(Ping {}))];
    client.bytes(ClientFrames { frames }.encode_to_vec()).await;
    let mut answers = Vec::new();
    while answers.len() < 2 {
        let frames = ServerFrames::decode(client.binary().await).expect("decodes").frames;
        answers.extend(frames.into_iter().map(|frame| (frame.id, frame.frame)));
    }
    assert!(matches!(&answers[0], (Some(1), Some(Frame::Welcome(welcome))) if welcome.user == 5));
    assert!(matches!(&answers[1], (Some(2), Some(Frame::Pong(_)))));
    let ver = bench.world.say(CHAT, 6, "hi");
    let frames = ServerFrames::decode(client.binary().await).expect("decodes").frames;
    let Some(Frame::Event(event)) = &frames[0].frame else { panic!("{frames:?}") };
    assert_eq!((frames[0].id, event.ver, event.kind.as_str()), (None, ver, "message"));
    client.bytes(vec![0xff]).await;
}

#[tokio::test]
async fn what_is_read_is_shown_to_others_once_however_it_was_said() {
    let bench = Bench::start().await;
    bench.world.chat(CHAT, &[5, 6]);
    for text in ["one", "two", "three"] {
        bench.world.say(CHAT, 6, text);
    }
    let (mut reader, mut other) = (bench.client(5).await, bench.client(6).await);
    other.open(CHAT).await;
    let over_http = async |seq: u64| {
        let url = format!("http://{}/v1/chats/{CHAT}/read", bench.node.local_addr());
        let client = reqwest::Client::builder().no_proxy().build().expect("a client");
        let put = client.put(url).bearer_auth(token(5, 5)).json(&json!({"seq": seq}));
        put.send().await.expect("an answer").json::<Value>().await.expect("JSON")["read_seq"]
            .clone()
    };
    // The reader has nothing open: that is no condition.
    assert_eq!(over_http(1).await, 1);
    let signal = other.frame().await;
    let expected = |seq: u64| json!({"type": "signal", "kind": "read", "chat": CHAT.to_string(), "user": "5", "seq": seq});
    assert_eq!(signal, expected(1));
    let read = json!({"type": "read", "id": 3, "chat": CHAT.to_string(), "seq": 2});
    assert_eq!(reader.ask(read).await["read_seq"], 2);
    assert_eq!(other.frame().await, expected(2));
    // What is known already is told to nobody.
    assert_eq!(over_http(2).await, 2);
    assert_eq!(over_http(1).await, 2);
    other.hears_nothing().await;
}
