//! A server that does what the test says, over real sockets: it shows how the client behaves towards
//! one that drains, lies, loses and goes.
// Its tasks end with the test's runtime.
#![allow(clippy::disallowed_methods)]

mod reconnecting;
mod server;

use server::{Fake, Side, ack, error, event, item, opened, page, session, welcome};
use shardline_client::frames::client_frame::Call;
use shardline_client::frames::server_frame::Frame;
use shardline_client::frames::{Event, Head, Heads, Opened};
use shardline_client::{
    Client, Connection, ConnectionError, Encoding, Http, Incoming, Options, Seen, SendError, Timing,
};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

const CHAT: u64 = 7;
const SOON: Duration = Duration::from_secs(5);

fn options(encoding: Encoding) -> Options {
    Options {
        encoding,
        timing: Timing {
            gap_wait: Duration::from_millis(20)..=Duration::from_millis(40),
            reconnect_first: Duration::from_millis(5),
            reconnect_max: Duration::from_millis(50),
            ..Timing::default()
        },
        ..Options::default()
    }
}

fn connect(servers: &[&Fake], options: Options) -> (Client, Receiver<Seen>) {
    let addresses = servers.iter().map(|server| server.address()).collect();
    let http = Http::new(addresses).expect("an address");
    Client::connect(&http, session("token-1"), options)
}

/// A client with CHAT opened at ver 3, and the server's side of its connection.
async fn opened_client(fake: &Fake) -> (Client, Receiver<Seen>, Side) {
    let (client, seen) = connect(&[fake], options(fake.encoding));
    let mut side = fake.welcomed().await;
    let (answer, ()) = tokio::join!(client.open(CHAT, None), async {
        let (id, call) = side.call().await;
        assert!(matches!(call, Call::Open(open) if open.chat == CHAT && open.since_ver.is_none()));
        side.reply(id, Frame::Opened(opened("resynced", &[1, 2, 3], 3, 3))).await;
    });
    assert_eq!(answer.expect("opened").to_ver, 3);
    (client, seen, side)
}

async fn seen(seen: &mut Receiver<Seen>) -> Seen {
    timeout(SOON, seen.recv()).await.expect("something is seen").expect("the client goes on")
}

/// The vers of the next events, whatever else is seen between them.
async fn vers(from: &mut Receiver<Seen>, count: usize) -> Vec<u64> {
    let mut vers = Vec::new();
    while vers.len() < count {
        if let Seen::Event(event) = seen(from).await {
            vers.push(event.ver);
        }
    }
    vers
}

#[tokio::test]
async fn a_send_is_acknowledged_in_both_subprotocols() {
    for encoding in [Encoding::Json, Encoding::Proto] {
        let fake = Fake::start(encoding).await;
        let (client, _seen) = connect(&[&fake], options(encoding));
        let mut side = fake.welcomed().await;
        client.connected().await.expect("connected");
        let sending = client.submit(CHAT, "hi").await;
        let (id, call) = side.call().await;
        let Call::Send(send) = call else { panic!("not a send: {call:?}") };
        assert_eq!((send.chat, send.retry), (CHAT, false));
        assert_eq!(send.body.as_ref().map(|body| body.text.as_str()), Some("hi"));
        side.reply(id, ack(&send, 1)).await;
        assert_eq!(sending.await.expect("an ack").seq, Some(1));
    }
}

#[tokio::test]
async fn sends_of_a_lost_connection_go_again_in_order_as_repeats_with_the_same_ids() {
    let fake = Fake::start(Encoding::Json).await;
    let (client, _seen) = connect(&[&fake], options(Encoding::Json));
    let mut side = fake.welcomed().await;
    let mut pending = Vec::new();
    for text in ["a", "b", "c"] {
        pending.push(client.submit(CHAT, text).await);
    }
    let first = [side.send().await, side.send().await, side.send().await];
    side.reply(first[0].0, ack(&first[0].1, 1)).await;
    assert_eq!(pending.remove(0).await.expect("an ack").seq, Some(1));
    side.vanish();
    let mut side = fake.welcomed().await;
    for (seq, (_, before)) in (2..).zip(&first[1..]) {
        let (id, again) = side.send().await;
        assert_eq!((&again.client_msg_id, again.retry), (&before.client_msg_id, true));
        side.reply(id, ack(&again, seq)).await;
        assert_eq!(pending.remove(0).await.expect("an ack").seq, Some(seq));
    }
}

#[tokio::test]
async fn later_and_same_are_repeated_and_never_is_reported() {
    let fake = Fake::start(Encoding::Proto).await;
    let (client, _seen) = connect(&[&fake], options(Encoding::Proto));
    let mut side = fake.welcomed().await;
    let sending = client.submit(CHAT, "a").await;
    let mut ids = Vec::new();
    for retry in ["later", "same", "never"] {
        let (id, send) = side.send().await;
        assert_eq!(send.retry, !ids.is_empty());
        ids.push(send.client_msg_id);
        side.reply(id, error("a_code", retry, 10)).await;
    }
    ids.dedup();
    assert_eq!(ids.len(), 1);
    match sending.await {
        Err(SendError::Refused(refused)) => assert_eq!(refused.code, "a_code"),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn past_the_deadline_the_sender_knows_whether_anything_can_have_been_stored() {
    let fake = Fake::start(Encoding::Json).await;
    let short = Options { send_deadline: Duration::from_millis(200), ..options(Encoding::Json) };
    let (client, _seen) = connect(&[&fake], short);
    let mut side = fake.welcomed().await;
    let refused = client.submit(CHAT, "refused").await;
    let silent = client.submit(8, "silent").await;
    let (id, first) = side.send().await;
    assert_eq!(first.chat, CHAT);
    side.reply(id, error("try_again", "later", 60_000)).await;
    assert!(matches!(refused.await, Err(SendError::NotStored(_))));
    assert!(matches!(silent.await, Err(SendError::Unknown(_))));
}

/// As a half-open connection is: it takes everything and gives nothing.
#[tokio::test]
async fn a_server_that_owes_an_answer_and_says_nothing_is_left_for_the_next_address() {
    let (silent, other) = (Fake::start(Encoding::Json).await, Fake::start(Encoding::Json).await);
    let mut options = options(Encoding::Json);
    options.timing.silence_max = Duration::from_millis(300);
    let (client, _seen) = connect(&[&silent, &other], options);
    let mut side = silent.welcomed().await;
    let pending = client.submit(CHAT, "does anybody hear").await;
    let (_, first) = side.send().await;
    let mut side = other.welcomed().await;
    let (id, again) = side.send().await;
    assert_eq!((&again.client_msg_id, again.retry), (&first.client_msg_id, true));
    side.reply(id, ack(&again, 1)).await;
    assert_eq!(pending.await.expect("acknowledged").seq, Some(1));
}

#[tokio::test]
async fn what_the_user_sees_is_each_event_once_and_in_order() {
    let fake = Fake::start(Encoding::Json).await;
    let (_client, mut seen, mut side) = opened_client(&fake).await;
    side.push_all([5, 4, 4, 2, 6].map(event).to_vec()).await;
    assert_eq!(vers(&mut seen, 3).await, [4, 5, 6]);
}

#[tokio::test]
async fn a_gap_is_asked_for_after_a_moment_and_filled() {
    let fake = Fake::start(Encoding::Proto).await;
    let (_client, mut seen, mut side) = opened_client(&fake).await;
    side.push(event(6)).await;
    let (id, open) = side.open().await;
    assert_eq!((open.chat, open.since_ver, open.log.as_deref()), (CHAT, Some(3), Some("9")));
    side.push(event(7)).await;
    side.reply(id, Frame::Opened(opened("resumed", &[4, 5, 6], 6, 6))).await;
    assert_eq!(vers(&mut seen, 4).await, [4, 5, 6, 7]);
}

#[tokio::test]
async fn a_lost_last_event_is_found_by_the_heads_beacon() {
    let fake = Fake::start(Encoding::Json).await;
    let (_client, mut seen, mut side) = opened_client(&fake).await;
    let head = Head { chat: CHAT, head_seq: 4, head_ver: 4, read_seq: 0, log: "9".to_owned() };
    side.push(Frame::Heads(Heads { chats: vec![head], list_ver: 5 })).await;
    let (id, open) = side.open().await;
    assert_eq!(open.since_ver, Some(3));
    side.reply(id, Frame::Opened(opened("resumed", &[4], 4, 4))).await;
    assert_eq!(vers(&mut seen, 1).await, [4]);
}

#[tokio::test]
async fn a_new_connection_resumes_where_the_old_one_ended() {
    let fake = Fake::start(Encoding::Json).await;
    let (_client, mut seen, mut side) = opened_client(&fake).await;
    side.push(event(4)).await;
    assert_eq!(vers(&mut seen, 1).await, [4]);
    side.vanish();
    let mut side = fake.welcomed().await;
    let (id, open) = side.open().await;
    assert_eq!((open.since_ver, open.log.as_deref()), (Some(4), Some("9")));
    side.push(event(7)).await;
    let mut answer = opened("resumed", &[5], 5, 6);
    answer.changes = vec![];
    side.reply(id, Frame::Opened(answer)).await;
    // There was more: the next page is asked for at once.
    let (id, open) = side.open().await;
    assert_eq!(open.since_ver, Some(5));
    side.reply(id, Frame::Opened(opened("resumed", &[6, 7], 7, 7))).await;
    assert_eq!(vers(&mut seen, 3).await, [5, 6, 7]);
}

#[tokio::test]
async fn another_history_begins_with_a_resync() {
    let fake = Fake::start(Encoding::Json).await;
    let (_client, mut from, mut side) = opened_client(&fake).await;
    assert!(matches!(seen(&mut from).await, Seen::Opened { .. }));
    side.push(Frame::Event(Event { log: "10".to_owned(), ..raw_event(2) })).await;
    let (id, open) = side.open().await;
    assert_eq!(open.since_ver, None);
    let answer = Opened { chat: Some(item("10", 1)), ..opened("resynced", &[1], 1, 1) };
    side.reply(id, Frame::Opened(answer)).await;
    assert!(matches!(seen(&mut from).await, Seen::Resynced(page) if page.to_ver == 1));
    assert_eq!(vers(&mut from, 1).await, [2]);
}

fn raw_event(ver: u64) -> Event {
    match event(ver) {
        Frame::Event(event) => event,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_chat_that_was_never_opened_is_caught_up_after_a_reconnect() {
    let fake = Fake::start(Encoding::Json).await;
    let (_client, mut seen) = connect(&[&fake], options(Encoding::Json));
    let mut side = fake.welcomed().await;
    side.push(event(41)).await;
    assert_eq!(vers(&mut seen, 1).await, [41]);
    side.vanish();
    let mut side = fake.welcomed().await;
    let (id, call) = side.call().await;
    assert!(matches!(call, Call::Chats(_)), "{call:?}");
    side.reply(id, Frame::Chats(page(vec![item("9", 42)]))).await;
    let (id, open) = side.open().await;
    assert_eq!(open.since_ver, Some(41));
    side.reply(id, Frame::Opened(opened("resumed", &[42], 42, 42))).await;
    assert_eq!(vers(&mut seen, 1).await, [42]);
    let (_, call) = side.frame().await;
    assert!(matches!(call, Call::CloseChat(_)), "it need not stay open: {call:?}");
}

#[tokio::test]
async fn a_user_who_does_not_look_stops_the_reading_and_loses_nothing() {
    let fake = Fake::start(Encoding::Proto).await;
    let (_client, mut seen, mut side) = opened_client(&fake).await;
    let many = 20_000;
    let pushing = tokio::spawn(async move {
        for first in (4..4 + many).step_by(100) {
            side.push_all((first..first + 100).map(event).collect()).await;
        }
        side
    });
    tokio::time::sleep(Duration::from_millis(200)).await;
    let expected: Vec<u64> = (4..4 + many).collect();
    assert_eq!(vers(&mut seen, expected.len()).await, expected);
    pushing.await.expect("all was written");
}

#[tokio::test]
async fn a_bare_connection_matches_ids_and_keeps_the_rest() {
    let fake = Fake::start(Encoding::Json).await;
    let address = fake.address();
    let (client, mut side) =
        tokio::join!(Connection::open(&address, Encoding::Json), fake.accept());
    let mut client = client.expect("connected");
    let serving = tokio::spawn(async move {
        let (id, _) = side.call().await;
        side.push(event(1)).await;
        side.reply(id + 1, event(2)).await;
        side.reply(id, welcome(60_000)).await;
        side.close(4505, "unauthenticated").await;
    });
    client.hello("a token", "a device", SOON).await.expect("a welcome");
    for expected in [1, 2] {
        match client.next(SOON).await.expect("a frame") {
            Incoming::Frame(frame) => {
                assert!(matches!(frame.frame, Some(Frame::Event(event)) if event.ver == expected));
            }
            other => panic!("{other:?}"),
        }
    }
    let closed = Incoming::Closed { code: Some(4505), reason: "unauthenticated".to_owned() };
    assert_eq!(client.next(SOON).await.expect("the end"), closed);
    serving.await.expect("served");
    let refused = Connection::open("http://127.0.0.1:9", Encoding::Json).await;
    assert!(matches!(refused, Err(ConnectionError::Unreachable { .. })));
}
