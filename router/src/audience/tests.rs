//! Who gets an event, case by case.

use super::*;
use crate::catalog::Router;
use crate::connections::Connections;
use crate::routers::Routers;
use shardline_domain::slot::Partitions;
use shardline_wire::call::{Full, NodeSink, Push};
use shardline_wire::internal::NodeHello;

struct Deaf;

impl NodeSink for Deaf {
    fn push(&self, _: Push) -> Result<(), Full> {
        Ok(())
    }
}

/// Streams of nodes a, b, c and d; all but d say that presence is complete. b follows chat 9.
struct Case {
    streams: Streams,
    interest: Interest,
}

impl Case {
    fn new() -> Case {
        let me = Router { id: "r".to_owned(), address: "r:1".to_owned() };
        let partitions = Partitions::new(4).expect("a power of two");
        let connections = Connections::new(Arc::new(Routers::new(me, partitions)));
        for node in ["a", "b", "c", "d"] {
            let hello = NodeHello { node: node.to_owned(), boot: 1 };
            let stream = connections.accept(hello, Arc::new(Deaf));
            stream.set_complete(node != "d");
        }
        let interest = Interest::default();
        let b = connections.load()[1].number;
        assert!(interest.follow(b, 9).is_ok());
        Case { streams: Streams::as_of_now(&connections.load()), interest }
    }

    fn check(&self, event: &Event, located: &Located, expected: &str) {
        let audience = self.streams.audience(std::slice::from_ref(event), &self.interest, located);
        let nodes: String = self
            .streams
            .get()
            .iter()
            .zip(audience)
            .filter(|(_, events)| !events.is_empty())
            .map(|(stream, _)| stream.node.as_str())
            .collect();
        assert_eq!(nodes, expected);
    }
}

/// User 1 is on node a, user 2 on a and c, user 3 nowhere.
fn located() -> Located {
    let node = |node| NodeId::parse(node).expect("a name");
    Some(HashMap::from([(1, vec![node("a")]), (2, vec![node("a"), node("c")]), (3, vec![])]))
}

fn event(entity: u64, receivers: &[u64]) -> Event {
    Event {
        entity,
        kind: EventKind::Chat.into(),
        receivers: receivers.to_vec(),
        ..Event::default()
    }
}

#[test]
fn receivers_are_reached_by_presence_and_incomplete_nodes_always() {
    let case = Case::new();
    case.check(&event(8, &[1]), &located(), "ad");
    case.check(&event(8, &[1, 2]), &located(), "acd");
    case.check(&event(8, &[3]), &located(), "d");
}

#[test]
fn who_follows_a_chat_gets_it_at_every_size() {
    let case = Case::new();
    case.check(&event(9, &[1]), &located(), "abd");
    case.check(&Event { wide: true, ..event(9, &[]) }, &located(), "b");
}

#[test]
fn a_wide_event_reaches_its_subject_too() {
    let case = Case::new();
    case.check(&Event { wide: true, subject: 1, ..event(9, &[]) }, &located(), "abd");
    case.check(&Event { subject: 2, ..event(8, &[]) }, &located(), "acd");
}

#[test]
fn without_presence_everybody_gets_what_has_receivers() {
    let case = Case::new();
    case.check(&event(8, &[3]), &None, "abcd");
    case.check(&Event { wide: true, ..event(9, &[]) }, &None, "b");
}

#[test]
fn an_ended_session_is_told_to_all() {
    let case = Case::new();
    let ended = Event { kind: EventKind::SessionEnded.into(), ..event(3, &[3]) };
    case.check(&ended, &located(), "abcd");
}

#[test]
fn each_stream_gets_its_events_in_order_and_once() {
    let case = Case::new();
    let events = [event(9, &[1, 2]), event(8, &[3]), event(8, &[2, 1])];
    let audience = case.streams.audience(&events, &case.interest, &located());
    assert_eq!(audience, [vec![0, 2], vec![0], vec![0, 2], vec![0, 1, 2]]);
}

#[test]
fn only_receivers_are_looked_up_and_each_once() {
    let events =
        [event(8, &[2, 1]), event(8, &[1]), Event { wide: true, subject: 5, ..event(9, &[6, 7]) }];
    let users: Vec<u64> = all_receivers(events.iter()).iter().map(|user| user.get()).collect();
    assert_eq!(users, [1, 2, 5]);
}

#[test]
fn signals_go_to_users_or_to_followers() {
    let case = Case::new();
    let check = |chat, users: &[u64], located: &Located, expected: [bool; 4]| {
        assert_eq!(case.streams.for_signal(chat, users, &case.interest, located), expected);
    };
    check(9, &[1], &located(), [true, false, false, true]);
    check(9, &[], &located(), [false, true, false, false]);
    check(9, &[1], &None, [false, true, false, false]);
}
