//! Frames and their answers, good and bad.

use crate::client::{Bench, send};
use prost::Message as _;
use serde_json::{Value, json};
use shardline_wire::client::{
    ClientFrame, ClientFrames, Hello, Ping, ServerFrames, client_frame::Call, server_frame::Frame,
};
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
