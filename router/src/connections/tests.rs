//! Streams of conn-nodes: what comes first, and what a full queue does.

use super::*;
use crate::catalog::Router;
use shardline_domain::slot::Partitions;
use shardline_wire::internal::Event;

/// Takes as much as it has room for.
struct Sink {
    room: Mutex<usize>,
    heard: Mutex<Vec<String>>,
}

impl Sink {
    fn with_room(room: usize) -> Arc<Sink> {
        Arc::new(Sink { room: Mutex::new(room), heard: Mutex::default() })
    }

    fn set_room(&self, room: usize) {
        *self.room.lock() = room;
    }

    fn check(&self, expected: &[&str]) {
        assert_eq!(*self.heard.lock(), expected);
        self.heard.lock().clear();
    }
}

impl NodeSink for Sink {
    fn push(&self, push: Push) -> Result<(), Full> {
        let mut room = self.room.lock();
        *room = room.checked_sub(1).ok_or(Full)?;
        self.heard.lock().push(match push {
            Push::Behind => "behind".to_owned(),
            Push::Routers(list) => format!("routers {}", list.number),
            Push::Events(events) => format!("events {}", events.len()),
            Push::Signals(signals) => format!("signals {}", signals.len()),
            Push::Recall(recall) => format!("recall {}", recall.number),
        });
        Ok(())
    }
}

fn connections() -> Connections {
    let me = Router { id: "a".to_owned(), address: "a:1".to_owned() };
    let partitions = Partitions::new(4).expect("a power of two");
    let routers = Routers::new(me.clone(), partitions);
    routers.apply(7, &[me]);
    Connections::new(Arc::new(routers))
}

fn one_event() -> Push {
    Push::Events(vec![Event::default()])
}

#[test]
fn a_new_stream_hears_behind_first_and_then_the_list() {
    let (connections, sink) = (connections(), Sink::with_room(10));
    let stream = connections.accept(NodeHello::default(), sink.clone());
    assert!(connections.push(&stream, one_event()));
    sink.check(&["behind", "routers 7", "events 1"]);
}

#[test]
fn a_stream_that_was_full_hears_behind_before_later_events() {
    let (connections, sink) = (connections(), Sink::with_room(3));
    let stream = connections.accept(NodeHello::default(), sink.clone());
    assert!(connections.push(&stream, one_event()));
    assert!(!connections.push(&stream, one_event()));
    sink.set_room(1);
    assert!(!connections.push(&stream, one_event()), "there was room for behind only");
    sink.set_room(9);
    assert!(connections.push(&stream, one_event()));
    sink.check(&["behind", "routers 7", "events 1", "behind", "behind", "events 1"]);
}

#[test]
fn a_lost_signal_leaves_no_mark() {
    let (connections, sink) = (connections(), Sink::with_room(2));
    let stream = connections.accept(NodeHello::default(), sink.clone());
    assert!(!connections.push(&stream, Push::Signals(Vec::new())));
    sink.set_room(9);
    assert!(connections.push(&stream, one_event()));
    sink.check(&["behind", "routers 7", "events 1"]);
}

#[tokio::test]
async fn what_is_due_is_said_without_another_event() {
    let (connections, sink) = (Arc::new(connections()), Sink::with_room(0));
    let _stream = connections.accept(NodeHello::default(), sink.clone());
    sink.check(&[]);
    let stop = CancellationToken::new();
    let tended = connections.clone().tend(stop.clone());
    sink.set_room(9);
    let heard = async {
        while sink.heard.lock().len() < 2 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    tokio::join!(tended, heard);
    sink.check(&["behind", "routers 7"]);
}

#[tokio::test]
async fn a_list_that_came_before_the_first_look_is_told() {
    let (connections, sink) = (Arc::new(connections()), Sink::with_room(9));
    let _stream = connections.accept(NodeHello::default(), sink.clone());
    let others = ["a", "b"].map(|id| Router { id: id.to_owned(), address: format!("{id}:1") });
    connections.routers.apply(8, &others);
    let stop = CancellationToken::new();
    let heard = async {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        stop.cancel();
    };
    tokio::join!(connections.clone().tend(stop.clone()), heard);
    sink.check(&["behind", "routers 7", "routers 8"]);
}

#[test]
fn a_stuck_stream_does_not_hold_others() {
    let (connections, stuck, free) = (connections(), Sink::with_room(0), Sink::with_room(9));
    let first = connections.accept(NodeHello::default(), stuck.clone());
    let second = connections.accept(NodeHello::default(), free.clone());
    assert!(!connections.push(&first, one_event()));
    assert!(connections.push(&second, one_event()));
    free.check(&["behind", "routers 7", "events 1"]);
}

#[test]
fn a_stream_that_ended_is_forgotten() {
    let connections = connections();
    let stream = connections.accept(NodeHello::default(), Sink::with_room(9));
    connections.remove(&stream);
    assert!(connections.load().is_empty());
}
