//! Who is let in, how, and how a connection ends.

use crate::client::{Bench, token, token_issued_at, until};
use crate::world::UsersShard;
use serde_json::{Value, json};
use shardline_backends::presence::Presence;
use shardline_daemon::clock;
use shardline_domain::id::UserId;
use std::time::Duration;
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::Message;

/// What a first frame gets: an error with this code, then this close code.
async fn check_turned_away(bench: &Bench, frame: &str, error: &str, id: Value, close: u16) {
    let mut client = bench.connect().await;
    client.text(frame).await;
    let answer = client.frame().await;
    assert_eq!((&answer["type"], &answer["code"]), (&json!("error"), &json!(error)), "{answer}");
    assert_eq!(answer["id"], id, "{answer}");
    let (closing, code) = client.closed().await;
    assert_eq!((code, &closing["code"]), (close, &json!(close)), "{frame}");
    assert_eq!(closing["retry"], "never");
}

fn hello(token: &str) -> String {
    json!({"type": "hello", "id": 3, "token": token, "device": "test"}).to_string()
}

#[tokio::test]
async fn nobody_is_let_in_without_a_good_hello() {
    let bench = Bench::start().await;
    let anyone = r#"{"type":"ping","id":9}"#;
    check_turned_away(&bench, anyone, "unauthenticated", json!(9), 4505).await;
    check_turned_away(&bench, "garbage", "unauthenticated", Value::Null, 4505).await;
    check_turned_away(&bench, r#"{"type":"hello","id":4}"#, "unauthenticated", json!(4), 4505)
        .await;
    check_turned_away(&bench, &hello("no token"), "unauthenticated", json!(3), 4505).await;
    let old = token_issued_at(5, 5, clock::now_ms() - 60 * 60 * 1000);
    check_turned_away(&bench, &hello(&old), "unauthenticated", json!(3), 4501).await;
    bench.world.end_session_silently(77);
    check_turned_away(&bench, &hello(&token(5, 77)), "unauthenticated", json!(3), 4502).await;
    // What comes behind a bad first frame is not looked at.
    let both = format!(r#"[{anyone},{}]"#, hello(&token(5, 5)));
    check_turned_away(&bench, &both, "unauthenticated", json!(9), 4505).await;
}

#[tokio::test]
async fn one_that_says_nothing_is_turned_away_after_five_seconds() {
    let bench = Bench::start().await;
    let mut client = bench.connect().await;
    // Longer than a test waits for a frame.
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    let answer = client.frame().await;
    assert_eq!(answer["code"], "unauthenticated");
    assert_eq!(client.closed().await.1, 4505);
}

/// A hello is refused for now, within this time, and leaves nothing behind.
async fn check_sent_away(bench: &Bench, code: &str, within: Duration) {
    let started = Instant::now();
    let mut client = bench.connect().await;
    client.text(&hello(&token(5, 5))).await;
    // Longer than a test waits for a frame.
    let error = loop {
        if let Ok(frame) = tokio::time::timeout(within, client.frame()).await {
            break frame;
        }
        assert!(started.elapsed() < within, "no answer");
    };
    assert_eq!((&error["type"], &error["id"]), (&json!("error"), &json!(3)), "{error}");
    assert_eq!((&error["code"], &error["retry"]), (&json!(code), &json!("later")), "{error}");
    let (closing, close) = client.closed().await;
    assert_eq!((close, &closing["reason"]), (4004, &json!("unavailable")));
    assert_eq!(closing["retry_after_ms"], error["retry_after_ms"]);
    assert!(closing["retry_after_ms"].as_u64().is_some_and(|after| 0 < after), "{closing}");
    assert!(started.elapsed() < within);
    until("the connection is given up", || bench.node.connections() == 0).await;
    let nodes = bench.presence.nodes_of(&[UserId::new(5).expect("an id")]).await;
    assert!(nodes.expect("answers")[0].is_empty(), "it stays in presence");
}

#[tokio::test]
async fn a_user_whose_shard_is_away_is_sent_away_to_come_back() {
    let bench = Bench::start().await;
    bench.world.users_shard(UsersShard::Down);
    check_sent_away(&bench, "try_again", Duration::from_secs(2)).await;
    bench.world.users_shard(UsersShard::Up);
    bench.client(5).await;
}

#[tokio::test]
async fn a_hello_waits_a_bounded_time_for_a_shard_that_never_answers() {
    let bench = Bench::start().await;
    for hangs in [UsersShard::Hangs, UsersShard::ListsHang] {
        bench.world.users_shard(hangs);
        check_sent_away(&bench, "unavailable", Duration::from_millis(4_900)).await;
    }
}

#[tokio::test]
async fn of_many_who_come_at_once_some_wait_in_line_and_the_rest_is_told_when_to_come() {
    let bench = Bench::start_with(|config| {
        config.rates.admissions_a_second = 5.try_into().expect("not zero");
    })
    .await;
    let mut clients = Vec::new();
    for user in 1..=40 {
        let mut client = bench.connect().await;
        client.text(&hello(&token(user, user))).await;
        clients.push(client);
    }
    let (mut welcomed, mut delays) = (0, Vec::new());
    for client in &mut clients {
        let answer = client.frame().await;
        if answer["type"] == "welcome" {
            welcomed += 1;
            continue;
        }
        assert_eq!((&answer["code"], &answer["retry"]), (&json!("rate_limited"), &json!("later")));
        let (closing, code) = client.closed().await;
        assert_eq!((code, &closing["reason"]), (4003, &json!("overloaded")), "{closing}");
        assert_eq!((&closing["retry"], &answer["id"]), (&json!("later"), &json!(3)));
        assert_eq!(closing["retry_after_ms"], answer["retry_after_ms"]);
        delays.extend(closing["retry_after_ms"].as_u64());
    }
    // Six at once, five in line, and whom a slow machine brings later.
    assert!(11 <= welcomed && !delays.is_empty(), "{welcomed} welcomed, told: {delays:?}");
    delays.sort_unstable();
    let is_spread = delays.last().is_some_and(|last| delays[0] + 500 <= *last);
    assert!(delays.len() < 10 || is_spread, "each its own time: {delays:?}");
    tokio::time::sleep(Duration::from_millis(delays[0])).await;
    bench.client(99).await;
}

#[tokio::test]
async fn a_session_that_ends_during_its_hello_leaves_nothing_behind() {
    let bench = Bench::start().await;
    bench.world.users_shard(UsersShard::ListsHang);
    let mut client = bench.connect().await;
    client.text(&hello(&token(5, 5))).await;
    let user = UserId::new(5).expect("an id");
    let nodes = async || bench.presence.nodes_of(&[user]).await.expect("answers").remove(0);
    while nodes().await.is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    bench.world.end_session(5, 5, "revoked");
    assert_eq!(client.closed().await.1, 4502);
    until("the connection is given up", || bench.node.connections() == 0).await;
    assert!(nodes().await.is_empty(), "it stays in presence");
}

#[tokio::test]
async fn welcome_says_who_one_is_and_what_the_limits_are() {
    let bench = Bench::start().await;
    let mut client = bench.connect().await;
    client.text(&hello(&token(5, 6))).await;
    let welcome = client.frame().await;
    assert_eq!(welcome["type"], "welcome");
    assert_eq!(welcome["id"], 3);
    assert_eq!((&welcome["user"], &welcome["session"]), (&json!("5"), &json!("6")));
    assert_eq!(welcome["limits"]["body_bytes"], 16 * 1024);
    let limits = json!({
        "body_bytes": 16 * 1024,
        "frame_bytes": 512 * 1024,
        "array_frames": 256,
        "page": 200,
        "members_page": 200,
        "title_chars": 128,
    });
    assert_eq!(welcome["limits"], limits);
    for field in ["node", "list_ver", "heads_every_ms", "idle_ms", "durability", "server_time_ms"] {
        assert!(!welcome[field].is_null(), "{field} is missing in {welcome}");
    }
    let again = client.ask(serde_json::from_str(&hello(&token(5, 6))).expect("JSON")).await;
    assert_eq!((&again["code"], &again["field"]), (&json!("bad_request"), &json!("type")));
    assert_eq!(client.ask(json!({"type": "ping", "id": 8})).await["type"], "pong");
}

#[tokio::test]
async fn a_session_is_in_presence_before_its_welcome_and_not_after_its_end() {
    let bench = Bench::start().await;
    let client = bench.client(5).await;
    let user = UserId::new(5).expect("an id");
    let nodes = bench.presence.nodes_of(&[user]).await.expect("answers");
    assert_eq!(nodes[0].iter().map(|node| node.as_str()).collect::<Vec<_>>(), ["node-1"]);
    drop(client);
    for _ in 0..200 {
        if bench.presence.nodes_of(&[user]).await.expect("answers")[0].is_empty() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it stays in presence");
}

#[tokio::test]
async fn routers_hear_yes_once_presence_is_whole_and_no_when_it_was_emptied() {
    let bench = Bench::start().await;
    let _client = bench.client(5).await;
    until("yes to both", || bench.world.said().values().filter(|yes| **yes).count() == 2).await;
    let says = bench.world.says();
    bench.presence.wipe();
    // The next session's entry shows the loss; it is let in all the same.
    let _other = bench.client(6).await;
    assert!(bench.world.said_no_since(says), "no was acknowledged before the welcome");
    until("yes again", || bench.world.said().values().filter(|yes| **yes).count() == 2).await;
    let users = [5, 6].map(|user| UserId::new(user).expect("an id"));
    let nodes = bench.presence.nodes_of(&users).await.expect("answers");
    assert!(nodes.iter().all(|nodes| nodes.len() == 1), "{nodes:?}");
}

#[tokio::test]
async fn a_token_that_expires_ends_the_connection_unless_it_is_renewed() {
    let bench = Bench::start().await;
    let life_ms = 15 * 60 * 1000;
    // 1.5 to 2.5 s are left: a token's times are whole seconds.
    let short = token_issued_at(5, 5, clock::now_ms() - life_ms + 2_500);
    let mut renewed = bench.connect().await;
    renewed.text(&hello(&short)).await;
    assert_eq!(renewed.frame().await["type"], "welcome");
    let mut ends = bench.connect().await;
    ends.text(&hello(&short)).await;
    assert_eq!(ends.frame().await["type"], "welcome");
    let ack = renewed.ask(json!({"type": "auth", "id": 1, "token": token(5, 5)})).await;
    assert!(ack["expires_at_ms"].as_i64().expect("a time") > clock::now_ms() + life_ms - 5_000);
    let others = renewed.ask(json!({"type": "auth", "id": 2, "token": token(6, 6)})).await;
    assert_eq!(others["code"], "unauthenticated");
    assert_eq!(ends.closed().await.1, 4501);
    assert_eq!(renewed.ask(json!({"type": "ping", "id": 3})).await["type"], "pong");
}

#[tokio::test]
async fn a_session_that_ended_is_closed_on_every_connection_and_no_other() {
    let bench = Bench::start().await;
    let mut first = bench.client(5).await;
    let mut second = bench.client(5).await;
    let mut other = bench.client(6).await;
    bench.world.end_session(5, 5, "revoked");
    assert_eq!(first.closed().await.1, 4502);
    assert_eq!(second.closed().await.1, 4502);
    bench.world.end_session(6, 6, "replaced");
    assert_eq!(other.closed().await.1, 4504);
    check_turned_away(&bench, &hello(&token(5, 5)), "unauthenticated", json!(3), 4502).await;
}

#[tokio::test]
async fn silence_is_answered_with_a_ping_and_then_with_a_close() {
    let bench = Bench::start_with(|config| config.idle = Duration::from_millis(400)).await;
    let mut client = bench.client(5).await;
    let ping = tokio::time::timeout(Duration::from_secs(2), async {
        use futures::StreamExt;
        // Read without answering: the library answers when it is polled again.
        matches!(client.socket.next().await, Some(Ok(Message::Ping(_))))
    });
    assert!(ping.await.expect("in time"));
    // Reading answers pings, so this one stays; one that does not read at all goes.
    for _ in 0..10 {
        assert_eq!(client.ask(json!({"type": "ping", "id": 1})).await["type"], "pong");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    until("only the idle one left", || bench.node.connections() == 1).await;
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert_eq!(client.closed().await.1, 4002);
}

#[tokio::test]
async fn a_stopping_node_sends_its_clients_elsewhere() {
    let bench = Bench::start().await;
    bench.world.chat(50, &[5]);
    let mut client = bench.client(5).await;
    bench.lifecycle.stop();
    let (closing, code) = client.closed().await;
    assert_eq!(
        (code, &closing["retry"], &closing["reason"]),
        (4000, &json!("now"), &json!("draining"))
    );
    assert!(bench.lifecycle.finish(Duration::from_secs(5)).await);
}
