//! The last events that went into sessions' queues, for whoever asks how a message went. Kept by batch,
//! as routers and repairs bring them: three numbers for an event, one lock for all of them.

use parking_lot::Mutex;
use shardline_wire::internal::AppliedSeen;
use std::collections::VecDeque;

/// Seconds of full load.
const BATCHES_MAX: usize = 4_096;
/// Of all batches together: less than a MiB.
const EVENTS_MAX: usize = 32_768;

/// An event that was delivered here.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Delivered {
    pub(crate) chat: u64,
    pub(crate) ver: u64,
    /// Whose queues it went into.
    pub(crate) sessions: u32,
}

pub(crate) struct Remembered {
    inner: Mutex<Inner>,
}

struct Inner {
    batches: VecDeque<(i64, Vec<Delivered>)>,
    events: usize,
    /// What was before is not remembered.
    since_ms: i64,
}

impl Remembered {
    pub(crate) fn new(now_ms: i64) -> Remembered {
        let inner = Inner { batches: VecDeque::new(), events: 0, since_ms: now_ms };
        Remembered { inner: Mutex::new(inner) }
    }

    pub(crate) fn put(&self, now_ms: i64, events: Vec<Delivered>) {
        if events.is_empty() {
            return;
        }
        let mut inner = self.inner.lock();
        inner.events += events.len();
        inner.batches.push_back((now_ms, events));
        while BATCHES_MAX < inner.batches.len() || EVENTS_MAX < inner.events {
            let Some((at_ms, forgotten)) = inner.batches.pop_front() else { return };
            inner.events -= forgotten.len();
            inner.since_ms = at_ms;
        }
    }

    /// What is remembered of the event, and since when anything is.
    pub(crate) fn find(&self, chat: u64, ver: u64) -> (Option<AppliedSeen>, i64) {
        let inner = self.inner.lock();
        let seen = inner.batches.iter().rev().find_map(|(at_ms, events)| {
            let event = events.iter().find(|event| (event.chat, event.ver) == (chat, ver))?;
            Some(AppliedSeen { queued_ms: *at_ms, sessions: event.sessions })
        });
        (seen, inner.since_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivered(ver: u64) -> Delivered {
        Delivered { chat: 7, ver, sessions: 2 }
    }

    #[test]
    fn what_was_delivered_is_found_until_it_is_forgotten() {
        let remembered = Remembered::new(5);
        remembered.put(9, Vec::new());
        remembered.put(10, vec![delivered(1), delivered(2)]);
        let seen = AppliedSeen { queued_ms: 10, sessions: 2 };
        assert_eq!(remembered.find(7, 2), (Some(seen), 5));
        assert_eq!(remembered.find(8, 2), (None, 5));
        for ver in 3..BATCHES_MAX as u64 + 3 {
            remembered.put(20, vec![delivered(ver)]);
        }
        assert_eq!(remembered.find(7, 2), (None, 10));
        let many = (0..EVENTS_MAX as u64).map(|ver| delivered(100_000 + ver)).collect();
        remembered.put(30, many);
        assert_eq!(remembered.find(7, BATCHES_MAX as u64), (None, 20));
        assert!(remembered.find(7, 100_000).0.is_some());
    }
}
