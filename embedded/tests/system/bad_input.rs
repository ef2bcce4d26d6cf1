//! Bad input gets a clear error and costs nothing: a well-behaved client is answered all the while.

use crate::person::{PATIENCE, Place, text};
use shardline_client::frames::{History, server_frame::Frame};
use shardline_client::{Connection, Encoding, Incoming};
use tokio_tungstenite::tungstenite::Message;

pub(crate) async fn gets_an_error_and_costs_nothing(place: &Place) {
    let mut alice = place.person("alice", 0, Encoding::Json).await;
    let bob = place.person("bob", 0, Encoding::Json).await;
    let mallory = place.person("mallory", 0, Encoding::Json).await;
    let chat = alice.direct(&bob).await;
    alice.client.open(chat, None).await.expect("her chat");

    let node = &place.addresses[0];
    let mut socket = Connection::open(node, Encoding::Json).await.expect("a socket");
    socket.hello(&mallory.session.token, "test", PATIENCE).await.expect("welcome");
    let deep = format!("{}1{}", "[".repeat(5_000), "]".repeat(5_000));
    let long = format!(
        r#"{{"type":"send","id":7,"chat":"{chat}","client_msg_id":"11111111-1111-4111-8111-111111111111","body":{{"text":"{}"}}}}"#,
        "x".repeat(17_000)
    );
    let attacks: &[(&str, &str)] = &[
        ("{", "bad_request"),
        ("null", "bad_request"),
        ("[]", ""),
        (&deep, "bad_request"),
        (r#"{"id":1}"#, "bad_request"),
        (r#"{"type":"no such frame","id":1}"#, "bad_request"),
        (r#"{"type":"react","id":1,"chat":"1","seq":1}"#, "bad_request"),
        (r#"{"type":"hello","id":1,"token":"x","device":"d"}"#, "bad_request"),
        (r#"{"type":"open","id":1,"chat":"-1"}"#, "bad_request"),
        (r#"{"type":"open","id":1,"chat":"0"}"#, "bad_request"),
        (r#"{"type":"open","id":1,"chat":"9223372036854775808"}"#, "bad_request"),
        (r#"{"type":"open","id":1,"chat":12}"#, "bad_request"),
        (r#"{"type":"open","id":1,"chat":"12"}"#, "not_"),
        (r#"{"type":"history","id":1,"chat":"12","before_seq":-3}"#, "bad_request"),
        (r#"{"type":"history","id":1,"chat":"12","before_seq":1e99}"#, "bad_request"),
        (r#"{"type":"history","id":1,"chat":"12","limit":0}"#, "bad_request"),
        (r#"{"type":"chats","id":1,"cursor":"' OR 1=1 --"}"#, "bad_request"),
        (&long, "too_large"),
    ];
    for (attack, code) in attacks {
        let shown = &attack[..attack.len().min(80)];
        socket.send_message(Message::text(*attack)).await.expect("the connection stays");
        if code.is_empty() {
            continue;
        }
        let Frame::Error(error) = frame(&mut socket, shown).await else {
            panic!("{shown}: no error");
        };
        assert!(error.code.starts_with(code), "{shown}: {error:?}");
        assert_eq!(error.retry, "never", "{shown}");
    }
    for of_alice in [
        format!(r#"{{"type":"open","id":1,"chat":"{chat}"}}"#),
        format!(r#"{{"type":"history","id":1,"chat":"{chat}"}}"#),
        format!(r#"{{"type":"read","id":1,"chat":"{chat}","seq":1}}"#),
        format!(r#"{{"type":"edit","id":1,"chat":"{chat}","seq":1,"body":{{"text":"x"}}}}"#),
        format!(r#"{{"type":"delete","id":1,"chat":"{chat}","seq":1}}"#),
    ] {
        socket.send_message(Message::text(of_alice.clone())).await.expect("the connection stays");
        let Frame::Error(error) = frame(&mut socket, &of_alice).await else {
            panic!("{of_alice}: another person's chat");
        };
        assert!(matches!(error.code.as_str(), "not_member" | "not_found"), "{error:?}");
    }

    let none =
        "eyJhbGciOiJub25lIiwidHlwIjoiSldUIn0.eyJzdWIiOiIxIiwic2lkIjoiMSIsImV4cCI6OTk5OTk5OTk5OX0.";
    for token in ["", "x", none, &format!("{}x", alice.session.token)] {
        let mut socket = Connection::open(node, Encoding::Json).await.expect("a socket");
        assert!(socket.hello(token, "test", PATIENCE).await.is_err(), "{token:?}");
        assert!(alice.http.me(token).await.is_err(), "{token:?}");
    }

    let hostile =
        "'; DROP TABLE messages; -- <script>alert(1)</script> \u{202e}\u{200b} \\ \" % _ \r\n\t 🦀";
    let ack = alice.client.send(chat, hostile).await.expect("text is text");
    assert_eq!(ack.seq, Some(1), "nothing of the above was stored");
    assert_eq!(text(&alice.messages(chat, 1).await[0]), hostile);
    let page = bob.client.history(History { chat, ..History::default() }).await.expect("a page");
    assert_eq!(page.messages.len(), 1);
    assert_eq!(text(&page.messages[0]), hostile);
}

async fn frame(socket: &mut Connection, shown: &str) -> Frame {
    loop {
        match socket.next(PATIENCE).await.expect("an answer") {
            Incoming::Frame(frame) => match frame.frame {
                Some(Frame::Heads(_) | Frame::List(_) | Frame::Event(_)) | None => {}
                Some(frame) => return frame,
            },
            Incoming::Closed { code, reason } => panic!("{shown}: closed with {code:?} {reason}"),
        }
    }
}
