//! What is sent when, and what each answer does.

use super::*;

const CHAT: u64 = 7;
const OTHER: u64 = 8;

/// A queue with a clock, and what it put out.
struct Case {
    sends: Sends<u8>,
    now: Instant,
    next_id: u64,
    room: usize,
}

impl Case {
    fn new() -> Case {
        Case { sends: Sends::new(), now: Instant::now(), next_id: 1, room: usize::MAX }
    }

    fn push(&mut self, chat: u64, number: u8) {
        let send = Send { chat, client_msg_id: vec![number; 16], ..Send::default() };
        self.sends.push(send, number, self.now + Duration::from_secs(30));
    }

    /// What goes out now: (frame id, number, retry).
    fn due(&mut self) -> Vec<(u64, u8, bool)> {
        let (mut out, now) = (Vec::new(), self.now);
        let Case { sends, next_id, room, .. } = self;
        sends.wake(now);
        let fresh_id = || {
            *room = room.checked_sub(1)?;
            *next_id += 1;
            Some(*next_id - 1)
        };
        sends.take_due(now, fresh_id, |id, send| {
            out.push((id, send.client_msg_id[0], send.retry));
        });
        out
    }

    fn ack(&mut self, id: u64) -> Option<u8> {
        self.sends.on_ack(id, Ack::default()).map(|ended| ended.done)
    }

    fn error(&mut self, id: u64, retry: Retry, after_ms: Option<u64>) -> Option<u8> {
        let refused = Refused {
            code: "a_code".to_owned(),
            message: String::new(),
            field: None,
            retry,
            retry_after: after_ms.map(Duration::from_millis),
        };
        self.sends.on_error(id, refused, self.now, 0.0).map(|ended| ended.done)
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    fn expired(&mut self) -> Vec<(u8, bool)> {
        let mut expired = Vec::new();
        let now = self.now;
        self.sends.expire(now, |ended| {
            expired.push((ended.done, matches!(ended.outcome, Err(SendError::Unknown(_)))));
        });
        expired.sort_unstable();
        expired
    }
}

#[test]
fn sends_go_out_at_once_and_in_order() {
    let mut case = Case::new();
    case.push(CHAT, 1);
    case.push(CHAT, 2);
    assert_eq!(case.due(), [(1, 1, false), (2, 2, false)]);
    case.push(CHAT, 3);
    assert_eq!(case.due(), [(3, 3, false)]);
    assert_eq!((case.ack(2), case.ack(1), case.ack(3)), (Some(2), Some(1), Some(3)));
    assert_eq!((case.ack(1), case.sends.queued()), (None, 0));
    assert!(case.sends.chats.is_empty(), "an idle chat costs nothing");
}

#[test]
fn after_later_all_that_is_left_goes_again_in_order_and_after_the_delay() {
    let mut case = Case::new();
    for number in 1..=3 {
        case.push(CHAT, number);
    }
    assert_eq!(case.due().len(), 3);
    assert_eq!(case.error(1, Retry::Later, Some(100)), None);
    case.push(CHAT, 4);
    assert_eq!(case.due(), [], "two of them are still out");
    assert_eq!(case.error(2, Retry::Later, Some(300)), None);
    assert_eq!(case.error(3, Retry::Later, None), None);
    case.pass(299);
    assert_eq!(case.due(), []);
    case.pass(1);
    assert_eq!(case.sends.next_repeat(), Some(case.now));
    assert_eq!(case.due(), [(4, 1, true)], "one shows whether the server takes it now");
    assert_eq!(case.ack(4), Some(1));
    assert_eq!(case.due(), [(5, 2, true), (6, 3, true)]);
    assert_eq!(case.ack(5), Some(2));
    assert_eq!(case.due(), [(7, 4, false)]);
}

#[test]
fn each_acknowledgement_lets_one_more_out_until_another_refusal() {
    let mut case = Case::new();
    for number in 0..100 {
        case.push(CHAT, number);
    }
    let all = case.due();
    assert_eq!(all.len(), 100);
    for (id, _, _) in all {
        case.error(id, Retry::Later, None);
    }
    case.pass(2_000);
    let (mut outs, mut out) = (Vec::new(), case.due());
    while !out.is_empty() {
        outs.push(out.len());
        out.into_iter().for_each(|(id, _, _)| assert!(case.ack(id).is_some()));
        out = case.due();
    }
    assert_eq!(outs, [1, 2, 4, 8, 16, 32, 37]);
}

#[test]
fn what_waits_behind_the_window_goes_on_whatever_becomes_of_the_one_that_is_out() {
    for ends in [Retry::Never, Retry::Later] {
        let mut case = Case::new();
        case.push(CHAT, 1);
        case.pass(20_000);
        case.push(CHAT, 2);
        case.push(CHAT, 3);
        case.due();
        for id in 1..=3 {
            case.error(id, Retry::Later, Some(10));
        }
        case.pass(10);
        assert_eq!(case.due(), [(4, 1, true)]);
        // It is refused for good, or never answered.
        if ends == Retry::Never {
            assert_eq!(case.error(4, ends, None), Some(1));
        } else {
            case.pass(10_000);
            assert_eq!(case.expired(), [(1, true)]);
        }
        assert_eq!(case.due(), [(5, 2, true)]);
    }
}

#[test]
fn one_chats_trouble_stops_no_other() {
    let mut case = Case::new();
    case.push(CHAT, 1);
    case.due();
    case.error(1, Retry::Same, Some(60_000));
    case.push(OTHER, 2);
    assert_eq!(case.due(), [(2, 2, false)]);
}

#[test]
fn a_final_refusal_ends_one_send_and_the_others_go_on() {
    let mut case = Case::new();
    case.push(CHAT, 1);
    case.push(CHAT, 2);
    case.due();
    assert_eq!(case.error(1, Retry::Never, None), Some(1));
    assert_eq!(case.ack(2), Some(2));
}

#[test]
fn a_lost_connection_repeats_everything_that_was_out_and_nothing_is_out_of_order() {
    let mut case = Case::new();
    case.room = 2;
    for number in 1..=4 {
        case.push(CHAT, number);
    }
    assert_eq!(case.due(), [(1, 1, false), (2, 2, false)]);
    assert_eq!(case.ack(1), Some(1));
    case.sends.on_disconnected();
    assert_eq!(case.ack(2), None, "an answer of the old connection counts no more");
    case.room = 10;
    assert_eq!(case.due(), [(3, 2, true), (4, 3, false), (5, 4, false)]);
}

#[test]
fn a_new_connection_ends_the_wait_for_a_repeat() {
    let mut case = Case::new();
    case.push(CHAT, 1);
    case.due();
    case.error(1, Retry::Later, Some(60_000));
    case.sends.on_disconnected();
    assert_eq!(case.due(), [(2, 1, true)]);
}

#[test]
fn what_the_server_gives_no_room_for_waits() {
    let mut case = Case::new();
    case.room = 1;
    case.push(CHAT, 1);
    case.push(OTHER, 2);
    assert_eq!(case.due(), [(1, 1, false)]);
    assert_eq!(case.due(), []);
    case.room = 1;
    assert_eq!(case.due(), [(2, 2, false)]);
}

#[test]
fn a_deadline_says_whether_anything_can_have_been_stored() {
    let mut case = Case::new();
    case.push(CHAT, 1); // answered later only
    case.push(OTHER, 2); // out when given up
    case.push(9, 3); // lost, then answered later
    case.room = 3;
    assert_eq!(case.due(), [(1, 1, false), (2, 2, false), (3, 3, false)]);
    case.push(10, 4); // never sent
    case.error(1, Retry::Later, Some(60_000));
    case.error(3, Retry::Same, Some(60_000));
    case.pass(29_999);
    assert_eq!(case.expired(), []);
    assert!(case.sends.next_expiry() <= Some(case.now + Duration::from_millis(1)));
    case.pass(1);
    assert_eq!(case.expired(), [(1, false), (2, true), (3, true), (4, false)]);
    assert_eq!((case.sends.queued(), case.sends.next_expiry()), (0, None));
    assert_eq!(case.due(), []);
}

#[test]
fn repeats_without_a_given_delay_come_slower_and_slower() {
    let mut case = Case::new();
    case.push(CHAT, 1);
    let mut waits = Vec::new();
    for _ in 0..8 {
        let id = case.due()[0].0;
        case.error(id, Retry::Same, None);
        let next = case.sends.next_repeat().expect("a repeat");
        waits.push(next.duration_since(case.now).as_millis());
        case.now = next;
    }
    assert_eq!(waits, [50, 100, 200, 400, 800, 1600, 2000, 2000]);
}
