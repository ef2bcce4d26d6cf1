//! What clients may write, and what they should not have.

use super::*;
use proptest::prelude::*;
use prost::Message as _;
use shardline_wire::client::ClientFrame;

const MSG_ID: &str = "0190b5a0-7b1c-7e6a-9d0e-1234567890AB";

/// The one frame of a text, as (id, field of the error).
fn refused(text: &str) -> (Option<u64>, Option<String>) {
    let mut frames = decode_text(text);
    assert_eq!(frames.len(), 1, "{text}");
    let Incoming { id, call } = frames.remove(0);
    let refusal = call.expect_err(text);
    assert_eq!(refusal.code(), Code::BadRequest, "{text}");
    (id, refusal.field)
}

fn taken(text: &str) -> (Option<u64>, Call) {
    let mut frames = decode_text(text);
    assert_eq!(frames.len(), 1, "{text}");
    let Incoming { id, call } = frames.remove(0);
    (id, call.expect(text))
}

fn check_field(text: &str, id: impl Into<Option<u64>>, field: &str) {
    assert_eq!(refused(text), (id.into(), Some(field.to_owned())), "{text}");
}

fn send(fields: &str) -> String {
    format!(
        r#"{{"type":"send","id":7,"chat":"5","client_msg_id":"{MSG_ID}","body":{{"text":"hi"}}{fields}}}"#
    )
}

#[test]
fn both_ways_read_the_same_send() {
    for fields in ["", r#","retry":true"#, r#","reply_to":3"#, r#","new":[{"a":null}]"#] {
        let text = send(fields);
        let short = quick(&text).expect("well-formed");
        assert_eq!(short, careful(&text), "{text}");
    }
    let (id, call) = taken(&send(""));
    let Call::Send(send) = call else { panic!("a send") };
    assert_eq!((id, send.chat, send.retry, send.reply_to), (Some(7), 5, false, None));
    assert_eq!(send.client_msg_id.len(), 16);
}

#[test]
fn escapes_in_ids_are_read_the_careful_way() {
    let text = send("").replace(r#""5""#, r#""\u0035""#);
    assert!(quick(&text).is_none());
    assert_eq!(taken(&text), taken(&send("")));
}

#[test]
fn an_error_names_its_field_and_repeats_the_id() {
    check_field(r#"{"id":1}"#, 1, "type");
    check_field(r#"{"id":1,"type":5}"#, 1, "type");
    check_field(r#"{"id":1,"type":1e999}"#, 1, "type");
    check_field(r#"{"id":1,"type":"nope","chat":-3}"#, 1, "type");
    for kind in ["react", "hide", "typing"] {
        check_field(&format!(r#"{{"id":1,"type":"{kind}","chat":"5"}}"#), 1, "type");
    }
    check_field(r#"{"id":1,"type":"open"}"#, 1, "chat");
    check_field(r#"{"id":1,"type":"open","chat":5}"#, 1, "chat");
    check_field(r#"{"id":1,"type":"open","chat":"0"}"#, 1, "chat");
    check_field(r#"{"id":1,"type":"open","chat":"9223372036854775808"}"#, 1, "chat");
    check_field(r#"{"id":1,"type":"open","chat":"5","since_ver":-1}"#, 1, "since_ver");
    check_field(r#"{"id":1,"type":"open","chat":"5","since_ver":1.5}"#, 1, "since_ver");
    check_field(r#"{"id":1,"type":"read","chat":"5","seq":1e400}"#, 1, "seq");
    check_field(r#"{"id":1,"type":"read","chat":"5","seq":18446744073709551616}"#, 1, "seq");
    check_field(&send("").replace(MSG_ID, "x"), 7, "client_msg_id");
    check_field(&send("").replace(MSG_ID, &MSG_ID.replace('-', "")), 7, "client_msg_id");
    check_field(&send("").replace(r#""hi""#, "5"), 7, "body.text");
    check_field(&send("").replace(r#"{"text":"hi"}"#, "{}"), 7, "body.text");
    check_field(&send("").replace(r#"{"text":"hi"}"#, "[]"), 7, "body");
    check_field(&send(r#","retry":"yes""#), 7, "retry");
    check_field(r#"{"id":2,"type":"hello"}"#, 2, "token");
}

#[test]
fn an_id_that_cannot_be_one_is_named_itself() {
    for id in ["-1", "1.5", "1e3", "\"7\"", "{}", "[1]", "true", "18446744073709551616", "1e999"] {
        check_field(&format!(r#"{{"type":"ping","id":{id}}}"#), None, "id");
    }
    assert_eq!(taken(r#"{"type":"ping","id":null}"#).0, None);
    assert_eq!(taken(r#"{"type":"ping"}"#).0, None);
    assert_eq!(taken(r#"{"type":"ping","id":18446744073709551615}"#).0, Some(u64::MAX));
}

#[test]
fn what_is_no_object_is_no_frame() {
    for text in ["", "5", "null", "\"hi\"", "true", "{", "{]", "nope", "{\"type\":\"ping\"} x"] {
        assert_eq!(refused(text).0, None, "{text}");
    }
}

#[test]
fn deep_nesting_is_ignored_or_refused_but_never_followed() {
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(taken(&format!(r#"{{"type":"ping","id":1,"x":{deep}}}"#)).0, Some(1));
    check_field(&format!(r#"{{"type":"open","id":1,"chat":{deep}}}"#), 1, "chat");
    check_field(&format!(r#"{{"type":"ping","id":{deep}}}"#), None, "id");
    assert_eq!(refused(&deep).0, None);
    assert_eq!(refused(&"[".repeat(100_000)).0, None);
}

#[test]
fn frames_of_an_array_are_read_one_by_one() {
    let text = format!(
        r#" [ {}, {{"type":"open","id":2,"chat":-1}} ,{{"type":"ping","id":3}}, 4 ] "#,
        send("")
    );
    let frames = decode_text(&text);
    let read: Vec<_> = frames.iter().map(|frame| (frame.id, frame.call.is_ok())).collect();
    assert_eq!(read, [(Some(7), true), (Some(2), false), (Some(3), true), (None, false)]);
    assert_eq!(decode_text("[]"), []);
}

#[test]
fn sends_alone_in_an_array_take_the_short_way_and_come_out_the_same() {
    let text = format!("[{},{}]", send(""), send(r#","retry":true"#));
    let frames = decode_text(&text);
    let one_by_one = vec![careful(&send("")), careful(&send(r#","retry":true"#))];
    assert_eq!(frames, one_by_one);
}

#[test]
fn an_array_has_at_most_256_frames_and_of_a_longer_one_nothing_is_done() {
    let ping = r#"{"type":"ping"}"#;
    let array = |frame: &str, count: usize| format!("[{}]", vec![frame; count].join(","));
    assert_eq!(decode_text(&array(ping, 256)).len(), 256);
    assert_eq!(decode_text(&array(&send(""), 256)).len(), 256);
    assert_eq!(refused(&array(ping, 257)), (None, None));
    assert_eq!(refused(&array(&send(""), 257)), (None, None));
}

#[test]
fn a_broken_array_does_nothing() {
    for text in ["[", "[,]", "[{\"type\":\"ping\"}", "[{\"type\":\"ping\"},]", "[{}]]", "[{} {}]"] {
        assert_eq!(refused(text).0, None, "{text}");
    }
}

#[test]
fn the_binary_form_is_the_same_frames() {
    let ping = ClientFrame { id: Some(3), call: Some(Call::Ping(client::Ping {})) };
    let unknown = ClientFrame { id: Some(4), call: None };
    let react = ClientFrame { id: Some(5), call: Some(Call::React(client::React::default())) };
    let bytes = ClientFrames { frames: vec![ping, unknown, react] }.encode_to_vec();
    let frames = decode_binary(&bytes).expect("decodes");
    assert_eq!(frames[0], Incoming { id: Some(3), call: Ok(Call::Ping(client::Ping {})) });
    for (frame, id) in frames[1..].iter().zip([4, 5]) {
        let refusal = frame.call.as_ref().expect_err("refused");
        assert_eq!((frame.id, refusal.field.as_deref()), (Some(id), Some("type")));
    }
    assert_eq!(decode_binary(b"\xff"), Err(BadFraming));
    let many = ClientFrames { frames: vec![ClientFrame::default(); 257] }.encode_to_vec();
    assert_eq!(decode_binary(&many).expect("decodes").len(), 1);
}

#[test]
fn a_body_is_checked_where_it_comes_in() {
    let of = |text: &str| check_body(Some(client::Body { text: text.to_owned() }));
    assert!(of(" \u{202e}<script>").is_ok());
    assert_eq!(of("").expect_err("empty").code(), Code::BadRequest);
    assert_eq!(of("a\0").expect_err("nul").code(), Code::BadRequest);
    let too_large = of(&"x".repeat(16 * 1024 + 1)).expect_err("too large");
    assert_eq!((too_large.code(), too_large.field.as_deref()), (Code::TooLarge, Some("body.text")));
    assert_eq!(check_body(None).expect_err("none").field.as_deref(), Some("body"));
}

/// JSON of any shape, with the contract's own names in it often enough to get far.
fn json(depth: u32) -> BoxedStrategy<String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        any::<i64>().prop_map(|n| n.to_string()),
        any::<u64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_map(|n| format!("{n:e}")),
        prop::sample::select(vec!["1e999", "-0", "0.5", "\"5\"", "\"\\ud800\"", "\"send\""])
            .prop_map(str::to_owned),
        any::<String>().prop_map(|text| serde_json::to_string(&text).expect("writes")),
    ];
    let key = prop::sample::select(vec![
        "type",
        "id",
        "chat",
        "client_msg_id",
        "body",
        "text",
        "seq",
        "retry",
        "token",
        "x",
        "limit",
    ]);
    leaf.prop_recursive(depth, 64, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6)
                .prop_map(|items| format!("[{}]", items.join(","))),
            prop::collection::vec((key.clone(), inner), 0..8).prop_map(|entries| {
                let entries = entries.iter().map(|(key, value)| format!("\"{key}\":{value}"));
                format!("{{{}}}", entries.collect::<Vec<_>>().join(","))
            }),
        ]
    })
    .boxed()
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in any::<String>()) {
        decode_text(&text);
    }

    #[test]
    fn no_bytes_make_it_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        drop(decode_binary(&bytes));
        decode_text(&String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn json_of_any_shape_is_answered(text in json(4)) {
        let frames = decode_text(&text);
        prop_assert!(!frames.is_empty() || text.trim() == "[]");
    }

    #[test]
    fn a_good_id_is_always_repeated(
        id in any::<u64>(),
        kind in prop::sample::select(vec![
            "hello", "auth", "send", "edit", "delete", "react", "open", "close_chat", "history",
            "chats", "read", "hide", "typing", "ping", "", "nope",
        ]),
        field in prop::sample::select(vec!["chat", "seq", "body", "token", "limit", "x"]),
        value in json(3),
    ) {
        let text = format!(r#"{{"{field}":{value},"id":{id},"type":"{kind}"}}"#);
        let frames = decode_text(&text);
        prop_assert_eq!(frames.len(), 1);
        prop_assert_eq!(frames[0].id, Some(id), "{}", text);
    }

    #[test]
    fn a_text_cut_anywhere_is_answered(at in any::<prop::sample::Index>()) {
        let text = format!("[{},{{\"type\":\"ping\",\"id\":1}}]", send(r#","x":{"y":[1,2]}"#));
        let cut = &text[..at.index(text.len())];
        prop_assert!(decode_text(cut).iter().all(|frame| frame.call.is_err()));
    }
}
