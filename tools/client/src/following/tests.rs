//! Which chat is asked about when.

use super::*;
use crate::frames::{ChatItem, Message};

const CHAT: u64 = 7;
const GAP: Duration = Duration::from_secs(2);

struct Case {
    following: Following,
    now: Instant,
    out: Vec<Seen>,
}

fn event(ver: u64) -> Event {
    Event { chat: CHAT, ver, log: "9".to_owned(), kind: "message".to_owned(), ..Event::default() }
}

fn opened(state: &str, log: &str, vers: &[u64], to_ver: u64, head_ver: u64) -> Opened {
    let chat = ChatItem { chat: CHAT, log: log.to_owned(), head_ver, ..ChatItem::default() };
    let message = |ver: &u64| Message { chat: CHAT, ver: *ver, ..Message::default() };
    Opened {
        chat: Some(chat),
        state: state.to_owned(),
        messages: vers.iter().map(message).collect(),
        to_ver,
        more: to_ver < head_ver,
        ..Opened::default()
    }
}

impl Case {
    /// A chat the user opened when it was at ver 3.
    fn open() -> Case {
        let following = Following::new(GAP..=GAP, Box::new(|| 0.5));
        let mut case = Case { following, now: Instant::now(), out: Vec::new() };
        case.following.want(CHAT);
        case.following.on_page(&opened("resynced", "9", &[1, 2, 3], 3, 3), case.now, &mut case.out);
        assert!(case.seen().is_empty(), "the page is the answer of the open");
        case
    }

    fn event(&mut self, ver: u64) {
        self.following.on_event(event(ver), self.now, &mut self.out);
    }

    fn opened(&mut self, opened: Opened) {
        self.following.on_opened(opened, self.now, &mut self.out);
    }

    /// The vers delivered since the last look; 0 stands for a resync.
    fn seen(&mut self) -> Vec<u64> {
        let seen = std::mem::take(&mut self.out).into_iter().filter_map(|seen| match seen {
            Seen::Event(event) => Some(event.ver),
            Seen::Resynced(_) => Some(0),
            _ => None,
        });
        seen.collect()
    }

    fn ask(&mut self) -> Option<u64> {
        self.following.take_due(self.now).map(|ask| {
            assert_eq!(ask.chat, CHAT);
            ask.since.map_or(0, |(log, ver)| {
                assert_eq!(log, "9");
                ver
            })
        })
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }
}

#[test]
fn events_come_once_and_in_order() {
    let mut case = Case::open();
    for ver in [4, 3, 4, 5, 1, 5] {
        case.event(ver);
    }
    assert_eq!(case.seen(), [4, 5]);
    assert_eq!(case.following.next_due(), None);
}

#[test]
fn a_gap_that_closes_by_itself_asks_nobody() {
    let mut case = Case::open();
    case.event(5);
    assert_eq!(case.following.next_due(), Some(case.now + GAP));
    case.pass(GAP / 2);
    case.event(4);
    assert_eq!(case.seen(), [4, 5]);
    case.pass(GAP);
    assert_eq!(case.ask(), None);
}

#[test]
fn a_gap_that_stays_is_asked_about_once_and_filled_in_order() {
    let mut case = Case::open();
    case.event(6);
    case.pass(GAP);
    assert_eq!(case.ask(), Some(3));
    case.event(8);
    case.pass(10 * GAP);
    assert_eq!(case.ask(), None, "the answer is on its way");
    assert!(case.seen().is_empty());
    case.opened(opened("resumed", "9", &[4, 5, 6, 7], 7, 7));
    assert_eq!(case.seen(), [4, 5, 6, 7, 8]);
    assert_eq!(case.following.next_due(), None);
}

#[test]
fn a_head_that_is_ahead_is_a_gap() {
    let mut case = Case::open();
    let head = Head { chat: CHAT, head_ver: 4, log: "9".to_owned(), ..Head::default() };
    case.following.on_heads(std::slice::from_ref(&head), case.now);
    case.pass(GAP);
    assert_eq!(case.ask(), Some(3));
    case.opened(opened("resumed", "9", &[4], 4, 4));
    assert_eq!(case.seen(), [4]);
    case.following.on_heads(&[head], case.now);
    assert_eq!(case.following.next_due(), None);
}

#[test]
fn a_long_gap_is_filled_page_by_page_without_waiting() {
    let mut case = Case::open();
    case.following.on_head(CHAT, "9", 9, case.now);
    case.pass(GAP);
    assert_eq!(case.ask(), Some(3));
    case.opened(opened("resumed", "9", &[4, 5, 6], 6, 9));
    assert_eq!(case.ask(), Some(6));
    case.opened(opened("resumed", "9", &[7, 8, 9], 9, 9));
    assert_eq!((case.seen(), case.ask()), (vec![4, 5, 6, 7, 8, 9], None));
}

#[test]
fn an_answer_that_failed_is_asked_for_again_after_the_delay() {
    let mut case = Case::open();
    case.event(5);
    case.pass(GAP);
    assert_eq!(case.ask(), Some(3));
    case.following.on_failed(CHAT, case.now, GAP);
    assert_eq!(case.ask(), None);
    case.pass(GAP);
    assert_eq!(case.ask(), Some(3));
}

#[test]
fn a_resync_begins_anew_and_held_events_follow_it() {
    for log in ["9", "10"] {
        let mut case = Case::open();
        let mut held = event(13);
        held.log = log.to_owned();
        case.following.on_event(held, case.now, &mut case.out);
        case.pass(GAP);
        assert_eq!(case.following.take_due(case.now).map(|ask| ask.chat), Some(CHAT));
        case.opened(opened("resynced", log, &[11, 12], 12, 12));
        assert_eq!(case.seen(), [0, 13], "log {log}");
        assert_eq!(case.following.next_due(), None);
    }
}

#[test]
fn a_resync_may_lead_back_before_what_was_delivered() {
    let mut case = Case::open();
    case.event(4);
    case.following.on_connected(case.now);
    assert_eq!(case.ask(), Some(4));
    case.opened(opened("resynced", "9", &[1, 2], 2, 2));
    case.event(3);
    assert_eq!(case.seen(), [4, 0, 3]);
}

#[test]
fn a_new_connection_resumes_each_wanted_chat_whether_or_not_it_is_behind() {
    let mut case = Case::open();
    case.following.on_connected(case.now);
    // An event does not stop it: this connection has not registered the chat.
    case.event(4);
    assert_eq!(case.ask(), Some(4));
    // Pushed while the answer was on its way.
    case.event(5);
    case.opened(opened("resumed", "9", &[5, 6], 6, 6));
    assert_eq!(case.seen(), [4, 5, 6]);
    // An ask that the connection took with it is made again.
    case.event(8);
    case.pass(GAP);
    assert_eq!(case.ask(), Some(6));
    case.following.on_connected(case.now);
    assert_eq!(case.ask(), Some(6));
}

#[test]
fn a_chat_nobody_opened_is_followed_from_its_first_event_on() {
    let mut following = Following::new(GAP..=GAP, Box::new(|| 0.5));
    let (mut now, mut out) = (Instant::now(), Vec::new());
    following.on_event(event(40), now, &mut out);
    following.on_event(event(42), now, &mut out);
    assert_eq!(out, [Seen::Event(Box::new(event(40)))]);
    now += GAP;
    let ask = OpenAsk { chat: CHAT, since: Some(("9".to_owned(), 40)), passing: true };
    assert_eq!(following.take_due(now), Some(ask));
    assert!(following.has_unopened());
    following.on_connected(now);
    assert_eq!(following.take_due(now), None, "its head says whether to ask");
}

#[test]
fn a_user_may_resume_from_what_they_kept() {
    let mut following = Following::new(GAP..=GAP, Box::new(|| 0.5));
    let (now, mut out) = (Instant::now(), Vec::new());
    following.want_since(CHAT, "9".to_owned(), 5, now);
    let ask = OpenAsk { chat: CHAT, since: Some(("9".to_owned(), 5)), passing: false };
    assert_eq!(following.take_due(now), Some(ask));
    following.on_opened(opened("resumed", "9", &[6], 6, 6), now, &mut out);
    let resumed = Seen::Resumed { chat: CHAT, after_ver: 5, to_ver: 6 };
    assert!(matches!(&out[..], [first, Seen::Event(_)] if *first == resumed), "{out:?}");
}

#[test]
fn an_open_says_which_events_came_before_its_page() {
    let following = Following::new(GAP..=GAP, Box::new(|| 0.5));
    let mut case = Case { following, now: Instant::now(), out: Vec::new() };
    // The chat's birth is heard before the user opens it, and some of it again after the page was made.
    for ver in 1..=4 {
        case.event(ver);
    }
    case.following.want(CHAT);
    case.following.on_page(&opened("resynced", "9", &[3], 3, 3), case.now, &mut case.out);
    case.event(5);
    let steps: Vec<(bool, u64)> = std::mem::take(&mut case.out)
        .into_iter()
        .map(|seen| match seen {
            Seen::Opened { ver, .. } => (true, ver),
            Seen::Event(event) => (false, event.ver),
            other => panic!("{other:?}"),
        })
        .collect();
    let events = |vers: [u64; 4]| vers.map(|ver| (false, ver));
    assert_eq!(steps[..4], events([1, 2, 3, 4]));
    assert_eq!(steps[4..], [(true, 4), (false, 5)]);
}
