//! Events of committed batches on their way from a lane to its relay, in commit order. When the bus
//! is away for long, bodies are dropped here and read from the database later: sends go on.

use bytes::Bytes;
use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// One commit: its journal position, and a record per bus partition it touched.
pub(crate) struct Committed {
    pub(crate) position: u64,
    pub(crate) records: Vec<(u32, Bytes)>,
}

impl Committed {
    fn bytes(&self) -> usize {
        let records: usize = self.records.iter().map(|(_, record)| record.len() + 64).sum();
        records + 64
    }
}

/// What comes next for the relay.
pub(crate) enum Next {
    Commit(Committed),
    /// These positions are only in the journal.
    Journal {
        from: u64,
        up_to: u64,
    },
    Nothing,
}

pub(crate) struct RelayQueue {
    inner: Mutex<Inner>,
    wake: Notify,
    bytes_max: usize,
}

struct Inner {
    commits: VecDeque<Committed>,
    bytes: usize,
    /// The lane's latest journal position.
    committed: u64,
    /// The last position handed out.
    taken: u64,
}

impl RelayQueue {
    /// `taken`: everything up to here is on the bus; `committed`: the journal's end.
    pub(crate) fn new(taken: u64, committed: u64, bytes_max: usize) -> RelayQueue {
        let inner = Inner { commits: VecDeque::new(), bytes: 0, committed, taken };
        RelayQueue { inner: Mutex::new(inner), wake: Notify::new(), bytes_max }
    }

    /// From the lane, in order.
    pub(crate) fn push(&self, commit: Committed) {
        let mut inner = self.inner.lock();
        inner.committed = commit.position;
        let bytes = commit.bytes();
        if inner.bytes + bytes <= self.bytes_max {
            inner.bytes += bytes;
            inner.commits.push_back(commit);
        }
        drop(inner);
        self.wake.notify_one();
    }

    pub(crate) fn next(&self) -> Next {
        let mut inner = self.inner.lock();
        let follows = match inner.commits.front() {
            Some(commit) => commit.position,
            None if inner.taken < inner.committed => inner.committed + 1,
            None => return Next::Nothing,
        };
        if follows == inner.taken + 1 {
            let Some(commit) = inner.commits.pop_front() else { return Next::Nothing };
            inner.bytes -= commit.bytes();
            inner.taken = commit.position;
            return Next::Commit(commit);
        }
        Next::Journal { from: inner.taken + 1, up_to: follows - 1 }
    }

    /// The relay read the journal up to here.
    pub(crate) fn took(&self, position: u64) {
        let mut inner = self.inner.lock();
        inner.taken = inner.taken.max(position);
    }

    /// The relay starts over after this position: what it took may not have arrived.
    pub(crate) fn back_to(&self, position: u64) {
        self.inner.lock().taken = position;
    }

    pub(crate) fn committed(&self) -> u64 {
        self.inner.lock().committed
    }

    /// Safe to drop: a wake-up is kept for the next wait.
    pub(crate) async fn wait(&self) {
        self.wake.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(position: u64) -> Committed {
        Committed { position, records: vec![(0, Bytes::from_static(&[0; 1_000]))] }
    }

    fn check(queue: &RelayQueue, expected: &str) {
        let next = match queue.next() {
            Next::Commit(commit) => format!("commit {}", commit.position),
            Next::Journal { from, up_to } => format!("journal {from}-{up_to}"),
            Next::Nothing => "nothing".to_owned(),
        };
        assert_eq!(next, expected);
    }

    #[test]
    fn commits_come_from_memory_in_order() {
        let queue = RelayQueue::new(4, 4, 10_000);
        check(&queue, "nothing");
        queue.push(commit(5));
        queue.push(commit(6));
        check(&queue, "commit 5");
        check(&queue, "commit 6");
        check(&queue, "nothing");
    }

    #[test]
    fn what_is_not_in_memory_comes_from_the_journal_first() {
        let queue = RelayQueue::new(4, 7, 2_500);
        check(&queue, "journal 5-7");
        for position in 8..=10 {
            queue.push(commit(position));
        }
        check(&queue, "journal 5-7");
        queue.took(7);
        check(&queue, "commit 8");
        check(&queue, "commit 9");
        // It did not fit.
        check(&queue, "journal 10-10");
        queue.push(commit(11));
        check(&queue, "journal 10-10");
        queue.took(10);
        check(&queue, "commit 11");
        check(&queue, "nothing");
    }

    #[test]
    fn what_failed_is_read_again() {
        let queue = RelayQueue::new(0, 0, 10_000);
        for position in 1..=3 {
            queue.push(commit(position));
        }
        check(&queue, "commit 1");
        check(&queue, "commit 2");
        queue.back_to(1);
        check(&queue, "journal 2-2");
        queue.took(2);
        check(&queue, "commit 3");
    }
}
