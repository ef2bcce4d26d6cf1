//! The hub alone: who gets what, and what it remembers of those who left.

use super::chat::Held;
use super::published::UserNews;
use super::*;
use crate::auth::Principal;
use crate::session::outgoing::Encoding;
use crate::session::queue::{Batch, Queue};
use prost::Message as _;
use shardline_domain::follow::Ask;
use shardline_domain::id::{SessionId, UserId};
use shardline_wire::client;
use shardline_wire::internal::{Event, EventKind, HeadView};

const CHAT: u64 = 70;
const LOG: u64 = 9;

struct Bench {
    hub: Hub,
    wished: mpsc::Receiver<Repair>,
}

impl Bench {
    fn new() -> Bench {
        let (hub, wished) = Hub::new();
        Bench { hub, wished }
    }

    /// A live session whose list has these chats.
    fn session(&self, user: u64, chats: &[u64]) -> Arc<Session> {
        let session = self.unwelcome(user);
        let row = |chat: &u64| ListRow { chat: *chat, list_ver: 1, ..ListRow::default() };
        let rows: Vec<_> = chats.iter().map(row).collect();
        self.hub.take_list(user, 1, &rows);
        session.go_live();
        session
    }

    fn unwelcome(&self, user: u64) -> Arc<Session> {
        let who = Principal {
            user: UserId::new(user).expect("an id"),
            session: SessionId::new(user).expect("an id"),
        };
        let queue = Arc::new(Queue::new(Encoding::Json));
        let session = Arc::new(Session::new(self.hub.next_connection(), who, "name", queue));
        self.hub.enter(&session);
        session
    }

    fn wishes(&mut self) -> Vec<Repair> {
        std::iter::from_fn(|| self.wished.try_recv().ok()).collect()
    }

    /// Nothing is kept of anybody.
    fn is_empty(&self) -> bool {
        self.hub.users.iter().all(|part| part.lock().is_empty())
            && self.hub.chats.iter().all(|part| part.lock().is_empty())
    }

    fn open(&self, session: &Arc<Session>, joined_ver: u64, to_ver: u64) -> Option<Held> {
        self.hub.begin_open(session, CHAT);
        self.opened(session, joined_ver, to_ver)
    }

    fn opened(&self, session: &Arc<Session>, joined_ver: u64, to_ver: u64) -> Option<Held> {
        let mut what = None;
        self.hub.opened(session, CHAT, joined_ver, (LOG, to_ver), 1_000, |held| {
            what = Some(held);
            bytes::Bytes::from_static(b"{\"ver\":0}")
        });
        what
    }
}

fn event(ver: u64) -> Event {
    let inner = client::Event {
        chat: CHAT,
        ver,
        log: LOG.to_string(),
        kind: "message".into(),
        ..client::Event::default()
    };
    Event {
        entity: CHAT,
        ver,
        log: LOG,
        kind: EventKind::Chat.into(),
        payload: inner.encode_to_vec().into(),
        ..Event::default()
    }
}

fn to(receivers: &[u64], ver: u64) -> Event {
    Event { receivers: receivers.to_vec(), ..event(ver) }
}

fn wide(ver: u64) -> Event {
    Event { wide: true, ..event(ver) }
}

fn membership(user: u64, ver: u64, left_ver: Option<u64>, receivers: &[u64]) -> Event {
    let member = client::Member {
        user,
        role: "member".into(),
        joined_ver: ver,
        left_ver,
        ..client::Member::default()
    };
    let inner = client::Event { chat: CHAT, ver, member: Some(member), ..Default::default() };
    let payload = inner.encode_to_vec().into();
    let is_wide = receivers.is_empty();
    Event { subject: user, payload, wide: is_wide, ..to(receivers, ver) }
}

fn news(user: u64, list_ver: u64, kind: &str, chat: u64) -> Event {
    let change = client::ListChange { kind: kind.into(), chat: Some(chat), user: None };
    let payload = client::List { list_ver, change: Some(change) }.encode_to_vec().into();
    Event {
        entity: user,
        ver: list_ver,
        kind: EventKind::List.into(),
        receivers: vec![user],
        payload,
        ..Event::default()
    }
}

/// The vers (or list_vers) of what waits for the session.
fn vers(session: &Session) -> Vec<u64> {
    let mut vers = Vec::new();
    while let Some(Some(Batch::Frames(frames))) = session.queue.try_take() {
        for frame in frames {
            let frame: serde_json::Value = serde_json::from_slice(&frame).expect("JSON");
            let ver = frame.get("ver").or(frame.get("list_ver"));
            vers.push(ver.and_then(serde_json::Value::as_u64).expect("a ver"));
        }
    }
    vers
}

#[test]
fn an_event_goes_to_all_sessions_of_its_receivers_once() {
    let bench = Bench::new();
    let sessions =
        [bench.session(1, &[CHAT]), bench.session(1, &[CHAT]), bench.session(2, &[CHAT])];
    let stranger = bench.session(3, &[]);
    bench.hub.on_heads(&[HeadView { entity: CHAT, ver: 4, log: LOG, ..HeadView::default() }]);
    for ver in [4, 5, 5, 6] {
        bench.hub.on_events([to(&[1, 2, 8], ver)]);
    }
    for session in &sessions {
        assert_eq!(vers(session), [5, 6]);
    }
    assert!(vers(&stranger).is_empty());
}

#[test]
fn until_its_head_is_known_a_followed_chat_is_held_and_asked_for() {
    let mut bench = Bench::new();
    let session = bench.session(1, &[CHAT]);
    bench.hub.on_events([to(&[1], 6)]);
    bench.hub.on_events([to(&[1], 5)]);
    assert!(vers(&session).is_empty());
    assert_eq!(bench.wishes(), [Repair::Chat(CHAT)]);
    assert!(matches!(bench.hub.ask_chat(CHAT), Some(Ask::Start { .. })));
    bench.hub.on_heads(&[HeadView { entity: CHAT, ver: 4, log: LOG, ..HeadView::default() }]);
    assert_eq!(vers(&session), [5, 6]);
}

#[test]
fn a_gap_is_wished_for_once() {
    let mut bench = Bench::new();
    let session = bench.session(1, &[CHAT]);
    bench.hub.on_heads(&[HeadView { entity: CHAT, ver: 1, log: LOG, ..HeadView::default() }]);
    for ver in [3, 4, 6] {
        bench.hub.on_events([to(&[1], ver)]);
    }
    assert_eq!(bench.wishes(), [Repair::Chat(CHAT)]);
    let Some(Ask::Changes { number, after: 1, up_to: 6 }) = bench.hub.ask_chat(CHAT) else {
        panic!("no ask")
    };
    let page = shardline_wire::internal::ChangesPage {
        events: [2, 5].map(|ver| to(&[1], ver)).to_vec(),
        to_ver: 6,
        log: LOG,
        ..Default::default()
    };
    assert!(!bench.hub.on_changes(CHAT, number, page));
    assert_eq!(vers(&session), [2, 3, 4, 5, 6]);
}

#[test]
fn who_is_not_welcomed_yet_gets_nothing() {
    let bench = Bench::new();
    let session = bench.unwelcome(1);
    bench.hub.on_events([to(&[1], 5)]);
    assert!(vers(&session).is_empty());
    session.go_live();
    bench.hub.on_events([to(&[1], 6)]);
    assert_eq!(vers(&session), [6]);
}

#[test]
fn nothing_is_kept_of_those_who_left() {
    let bench = Bench::new();
    let one = bench.session(1, &[CHAT, 71]);
    let two = bench.session(2, &[CHAT]);
    bench.hub.on_events([to(&[1, 2], 5)]);
    bench.open(&one, 1, 5);
    assert!(bench.hub.leave(&one).is_empty());
    assert!(!bench.is_empty());
    bench.hub.leave(&two);
    assert!(bench.is_empty());
    bench.hub.on_events([to(&[1, 2], 6)]);
    bench.hub.on_events([wide(7)]);
    bench.hub.on_events([news(1, 2, "chat_added", 72)]);
    assert!(bench.is_empty());
}

#[test]
fn a_chat_whose_interest_was_submitted_is_kept_until_it_is_withdrawn() {
    let bench = Bench::new();
    let session = bench.session(1, &[]);
    bench.open(&session, 1, 5);
    let place = crate::routers::Place::for_tests(1, 1);
    assert!(!bench.hub.claim(CHAT, place));
    assert_eq!(bench.hub.leave(&session), [CHAT]);
    assert!(!bench.is_empty());
    let mut withdrawn = None;
    bench.hub.withdraw(CHAT, |place| withdrawn = Some(place));
    assert_eq!(withdrawn, Some(place));
    assert!(bench.is_empty());
}

#[test]
fn a_large_chat_is_seen_from_where_one_read_until_one_left() {
    let bench = Bench::new();
    let (member, late) = (bench.session(1, &[CHAT]), bench.session(2, &[CHAT]));
    assert_eq!(bench.open(&member, 1, 5), Some(Held::All));
    bench.open(&late, 7, 5);
    assert_eq!(vers(&member), [0]);
    assert_eq!(vers(&late), [0]);
    for event in [wide(6), wide(7), membership(1, 8, Some(8), &[]), wide(9)] {
        bench.hub.on_events([event]);
    }
    // Its own leaving is the last it hears.
    assert_eq!(vers(&member), [6, 7, 8]);
    assert_eq!(vers(&late), [7, 8, 9]);
    bench.hub.on_events([membership(1, 10, None, &[])]);
    bench.hub.on_events([wide(11)]);
    assert_eq!(vers(&member), [10, 11]);
}

#[test]
fn of_a_large_chat_that_nobody_has_open_nothing_is_repaired() {
    let mut bench = Bench::new();
    let session = bench.session(1, &[CHAT]);
    let head = |ver| HeadView { entity: CHAT, ver, log: LOG, ..HeadView::default() };
    bench.hub.on_heads(&[head(5)]);
    bench.hub.on_events([membership(1, 9, None, &[])]);
    assert_eq!(vers(&session), [9]);
    bench.hub.on_heads(&[head(300)]);
    assert!(bench.wishes().is_empty());
    // Once somebody has it open, everything counts.
    bench.open(&session, 1, 400);
    bench.hub.on_events([wide(402)]);
    assert_eq!(bench.wishes(), [Repair::Chat(CHAT)]);
}

#[test]
fn what_comes_while_one_opens_is_kept_behind_the_reply() {
    let bench = Bench::new();
    let other = bench.session(2, &[CHAT]);
    bench.open(&other, 1, 5);
    let session = bench.session(1, &[CHAT]);
    bench.hub.begin_open(&session, CHAT);
    for ver in 6..10 {
        bench.hub.on_events([wide(ver)]);
    }
    assert!(vers(&session).is_empty());
    assert_eq!(bench.opened(&session, 1, 7), Some(Held::All));
    assert_eq!(vers(&session), [0, 8, 9]);
}

#[test]
fn of_too_much_that_came_while_one_opens_the_client_reads_the_rest() {
    let bench = Bench::new();
    let other = bench.session(2, &[CHAT]);
    bench.open(&other, 1, 5);
    let session = bench.session(1, &[CHAT]);
    bench.hub.begin_open(&session, CHAT);
    for ver in 6..500 {
        bench.hub.on_events([wide(ver)]);
    }
    assert_eq!(bench.opened(&session, 1, 5), Some(Held::NotAll));
    let vers = vers(&session);
    // What was kept has no hole.
    assert_eq!(vers[1..], (6..6 + vers.len() as u64 - 1).collect::<Vec<_>>());
}

#[test]
fn the_list_says_what_is_followed() {
    let mut bench = Bench::new();
    let session = bench.session(1, &[CHAT]);
    bench.hub.on_events([news(1, 2, "chat_added", 71)]);
    bench.hub.on_events([news(1, 3, "chat_gone", CHAT)]);
    assert_eq!(vers(&session), [2, 3]);
    assert_eq!(bench.hub.followed(1), [71]);
    assert_eq!(bench.wishes(), [Repair::Chat(71)]);
    bench.hub.on_events([news(1, 5, "chat_added", 72)]);
    assert_eq!(bench.wishes(), [Repair::User(1)]);
    assert!(vers(&session).is_empty());
    let number = bench.hub.ask_user(1).map(Ask::number);
    let row = ListRow { chat: 73, list_ver: 4, ..ListRow::default() };
    let missed = vec![(4, Arc::new(UserNews::of_row(&row)))];
    bench.hub.on_user_changes(1, number, 5, missed);
    assert_eq!(vers(&session), [4, 5]);
}

#[test]
fn a_history_that_changed_is_told_to_those_who_have_it_open() {
    let mut bench = Bench::new();
    let session = bench.session(1, &[CHAT]);
    bench.open(&session, 1, 5);
    vers(&session);
    bench.hub.on_events([Event { log: LOG + 1, ..to(&[1], 3) }]);
    assert!(vers(&session).is_empty());
    assert_eq!(bench.wishes(), [Repair::Chat(CHAT)]);
    assert!(matches!(bench.hub.ask_chat(CHAT), Some(Ask::Start { .. })));
    let head = HeadView { entity: CHAT, ver: 3, seq: 2, log: LOG + 1, ..HeadView::default() };
    bench.hub.on_heads(&[head]);
    // With their cursors, which are asked for elsewhere.
    assert_eq!(bench.wishes(), [Repair::Heads(CHAT)]);
    assert_eq!(bench.hub.head(CHAT), Some(head));
    let openers = bench.hub.openers(CHAT);
    assert!(openers.len() == 1 && Arc::ptr_eq(&openers[0], &session));
    bench.hub.on_heads(&[head]);
    assert_eq!(bench.wishes(), []);
}

#[test]
fn a_known_read_cursor_never_falls() {
    let bench = Bench::new();
    let _session = bench.session(1, &[CHAT]);
    assert_eq!(bench.hub.known_read(1, CHAT), None);
    for (seq, known) in [(4, 4), (2, 4), (9, 9)] {
        bench.hub.note_read(1, CHAT, seq);
        assert_eq!(bench.hub.known_read(1, CHAT), Some(known));
    }
    bench.hub.note_read(2, CHAT, 5);
    assert_eq!(bench.hub.known_read(2, CHAT), None);
}

#[test]
fn a_payload_that_cannot_be_read_is_dropped() {
    let bench = Bench::new();
    let session = bench.session(1, &[CHAT]);
    let broken = |event: Event| Event { payload: bytes::Bytes::from_static(b"\xff"), ..event };
    bench.hub.on_events([broken(news(1, 2, "chat_added", 71))]);
    bench
        .hub
        .on_events([broken(Event { kind: EventKind::SessionEnded.into(), ..news(1, 2, "", 1) })]);
    bench.hub.on_events([broken(membership(1, 5, None, &[1]))]);
    assert!(vers(&session).is_empty());
}
