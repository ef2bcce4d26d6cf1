//! The last batches that went from the bus to conn-nodes, for whoever asks how a message went. Kept by
//! batch: a few numbers for each event, nothing that is allocated or locked for one.

use parking_lot::Mutex;
use shardline_wire::internal::{DispatchSeen, Event};
use std::collections::VecDeque;

/// Seconds of full load.
const BATCHES_MAX: usize = 1_024;
/// Events of all batches, and indices of them, together: about a MiB.
const PARTS_MAX: usize = 65_536;

pub(crate) struct Remembered {
    inner: Mutex<Inner>,
}

struct Inner {
    batches: VecDeque<Batch>,
    parts: usize,
    /// What was before is not remembered.
    since_ms: i64,
}

/// Times are wall clocks, for people.
pub(crate) struct Batch {
    pub(crate) taken_ms: i64,
    pub(crate) dispatched_ms: i64,
    /// (entity, ver)
    pub(crate) events: Vec<(u64, u64)>,
    pub(crate) streams: Vec<Part>,
}

/// What one stream needed.
pub(crate) struct Part {
    pub(crate) node: String,
    /// Indices of events, in order.
    pub(crate) needed: Vec<usize>,
    /// All of it was taken.
    pub(crate) was_taken: bool,
}

impl Batch {
    pub(crate) fn of(events: &[Event], taken_ms: i64) -> Batch {
        let events = events.iter().map(|event| (event.entity, event.ver)).collect();
        Batch { taken_ms, dispatched_ms: taken_ms, events, streams: Vec::new() }
    }

    fn parts(&self) -> usize {
        self.events.len() + self.streams.iter().map(|part| part.needed.len()).sum::<usize>()
    }

    fn seen(&self, index: usize) -> DispatchSeen {
        let nodes = |was_taken: bool| {
            let parts = self.streams.iter().filter(|part| part.was_taken == was_taken);
            let parts = parts.filter(|part| part.needed.binary_search(&index).is_ok());
            parts.map(|part| part.node.clone()).collect()
        };
        DispatchSeen {
            taken_ms: self.taken_ms,
            dispatched_ms: self.dispatched_ms,
            events: u32::try_from(self.events.len()).unwrap_or(u32::MAX),
            nodes: nodes(true),
            full: nodes(false),
        }
    }
}

impl Remembered {
    pub(crate) fn new(now_ms: i64) -> Remembered {
        let inner = Inner { batches: VecDeque::new(), parts: 0, since_ms: now_ms };
        Remembered { inner: Mutex::new(inner) }
    }

    pub(crate) fn put(&self, batch: Batch) {
        let mut inner = self.inner.lock();
        inner.parts += batch.parts();
        inner.batches.push_back(batch);
        while BATCHES_MAX < inner.batches.len() || PARTS_MAX < inner.parts {
            let Some(forgotten) = inner.batches.pop_front() else { return };
            inner.parts -= forgotten.parts();
            inner.since_ms = forgotten.dispatched_ms;
        }
    }

    /// What is remembered of the event, and since when anything is.
    pub(crate) fn find(&self, entity: u64, ver: u64) -> (Option<DispatchSeen>, i64) {
        let inner = self.inner.lock();
        let seen = inner.batches.iter().rev().find_map(|batch| {
            let index = batch.events.iter().position(|event| *event == (entity, ver))?;
            Some(batch.seen(index))
        });
        (seen, inner.since_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(taken_ms: i64, events: &[(u64, u64)]) -> Batch {
        let streams = vec![
            Part { node: "a".to_owned(), needed: vec![0], was_taken: true },
            Part { node: "b".to_owned(), needed: vec![0, 1], was_taken: false },
        ];
        Batch { taken_ms, dispatched_ms: taken_ms + 1, events: events.to_vec(), streams }
    }

    #[test]
    fn an_event_is_found_with_the_nodes_that_needed_it() {
        let remembered = Remembered::new(5);
        remembered.put(batch(10, &[(7, 1), (8, 1)]));
        let (seen, since_ms) = remembered.find(7, 1);
        let seen = seen.expect("remembered");
        assert_eq!((seen.taken_ms, seen.dispatched_ms, seen.events, since_ms), (10, 11, 2, 5));
        assert_eq!((seen.nodes, seen.full), (vec!["a".to_owned()], vec!["b".to_owned()]));
        let seen = remembered.find(8, 1).0.expect("remembered");
        assert_eq!((seen.nodes, seen.full), (vec![], vec!["b".to_owned()]));
        assert_eq!(remembered.find(7, 2).0, None);
    }

    #[test]
    fn the_oldest_are_forgotten_and_since_when_is_known() {
        let remembered = Remembered::new(5);
        for number in 0..=BATCHES_MAX as u64 {
            remembered.put(batch(10, &[(7, number), (8, number)]));
        }
        let (seen, since_ms) = remembered.find(7, 0);
        assert_eq!((seen, since_ms), (None, 11));
        assert!(remembered.find(7, 1).0.is_some());
        let wide: Vec<(u64, u64)> = (0..PARTS_MAX as u64 - 3).map(|ver| (9, ver)).collect();
        remembered.put(batch(20, &wide));
        assert!(remembered.find(7, 2).0.is_none() && remembered.find(9, 5).0.is_some());
    }
}
