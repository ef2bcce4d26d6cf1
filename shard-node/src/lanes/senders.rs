//! Sending is reading: how far each recent sender of a lane has read by sending. Kept in memory,
//! written with a later commit, and rebuilt after a restart from the messages past `covered`.

use crate::store::CursorRow;
use parking_lot::Mutex;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;
use std::time::Duration;

/// How long a sender's cursor waits before it is written.
const WAIT_MAX: Duration = Duration::from_secs(5);
/// Waiting cursors that are written without further waiting.
const WAITING_MAX: usize = 10_000;
/// Cursors written by one commit.
const PER_COMMIT_MAX: usize = 512;

/// (chat, user) -> seq.
type Marks = BTreeMap<(u64, u64), u64>;

/// Shared with readers, who see a sender's own messages as read at once.
pub(crate) struct Senders {
    inner: Mutex<Inner>,
}

struct Inner {
    /// Of slots that are about to be frozen: written at once.
    urgent: Marks,
    /// Noted since the last flush began.
    fresh: Marks,
    /// Being written, a part with each commit.
    flushing: Marks,
    /// Once `flushing` is empty, cursors are stored up to this journal position.
    flushing_to: u64,
    covered: u64,
    flushed_at: Duration,
}

impl Senders {
    /// `now` is any monotonic time, the same in all calls.
    pub(crate) fn new(covered: u64, now: Duration) -> Senders {
        let inner = Inner {
            urgent: Marks::new(),
            fresh: Marks::new(),
            flushing: Marks::new(),
            flushing_to: covered,
            covered,
            flushed_at: now,
        };
        Senders { inner: Mutex::new(inner) }
    }

    pub(crate) fn note(&self, chat: u64, user: u64, seq: u64) {
        merge(&mut self.inner.lock().fresh, (chat, user), seq);
    }

    /// What is not written yet of one chat: (user, seq). To be asked before the chat is loaded, so
    /// that nothing falls between.
    pub(crate) fn of_chat(&self, chat: u64) -> Vec<(u64, u64)> {
        let inner = self.inner.lock();
        let range = (chat, 0)..=(chat, u64::MAX);
        let marks = [&inner.urgent, &inner.flushing, &inner.fresh];
        let parts = marks.map(|marks| marks.range(range.clone()));
        parts.into_iter().flatten().map(|((_, user), seq)| (*user, *seq)).collect()
    }

    /// Whether a commit is due for the cursors' sake alone.
    pub(crate) fn due(&self, now: Duration) -> bool {
        let inner = self.inner.lock();
        !inner.urgent.is_empty() || !inner.flushing.is_empty() || inner.is_due(now)
    }

    pub(crate) fn is_empty(&self) -> bool {
        let inner = self.inner.lock();
        inner.urgent.is_empty() && inner.fresh.is_empty() && inner.flushing.is_empty()
    }

    /// What goes with the commit after position `committed`. The same again until `wrote` is called.
    pub(crate) fn take(&self, committed: u64, now: Duration) -> Vec<CursorRow> {
        let mut inner = self.inner.lock();
        if inner.flushing.is_empty() && inner.is_due(now) {
            inner.flushing = std::mem::take(&mut inner.fresh);
            inner.flushing_to = committed;
            inner.flushed_at = now;
        }
        let rows = inner.urgent.iter().chain(&inner.flushing).take(PER_COMMIT_MAX);
        rows.map(|((chat, user), seq)| CursorRow { chat: *chat, user: *user, seq: *seq }).collect()
    }

    /// A commit at `position` wrote these, and its own sends are noted already.
    pub(crate) fn wrote(&self, rows: &[CursorRow], position: u64) {
        let mut inner = self.inner.lock();
        for row in rows {
            let key = (row.chat, row.user);
            inner.flushing.remove(&key);
            if inner.urgent.get(&key).is_some_and(|seq| *seq <= row.seq) {
                inner.urgent.remove(&key);
            }
        }
        if inner.flushing.is_empty() && inner.urgent.is_empty() {
            let to = if inner.fresh.is_empty() { position } else { inner.flushing_to };
            inner.covered = inner.covered.max(to);
        }
    }

    /// What waits of these chats goes with the next commits, before anything else. They take no sends
    /// any more.
    pub(crate) fn hasten(&self, chats: &RangeInclusive<u64>) {
        let mut inner = self.inner.lock();
        let Inner { urgent, fresh, flushing, .. } = &mut *inner;
        for marks in [fresh, flushing] {
            let keys = (*chats.start(), 0)..=(*chats.end(), u64::MAX);
            let found: Vec<_> = marks.range(keys).map(|(key, seq)| (*key, *seq)).collect();
            for (key, seq) in found {
                marks.remove(&key);
                merge(urgent, key, seq);
            }
        }
    }

    /// Whether something of these chats is not written yet.
    pub(crate) fn holds(&self, chats: &RangeInclusive<u64>) -> bool {
        let inner = self.inner.lock();
        let keys = (*chats.start(), 0)..=(*chats.end(), u64::MAX);
        [&inner.urgent, &inner.fresh, &inner.flushing]
            .iter()
            .any(|marks| marks.range(keys.clone()).next().is_some())
    }

    /// Of chats that went to another shard, which has their cursors.
    pub(crate) fn forget_range(&self, chats: &RangeInclusive<u64>) {
        let mut inner = self.inner.lock();
        let Inner { urgent, fresh, flushing, .. } = &mut *inner;
        for marks in [urgent, fresh, flushing] {
            marks.retain(|(chat, _), _| !chats.contains(chat));
        }
    }

    /// The journal position up to which every sender's cursor is stored.
    pub(crate) fn covered(&self) -> u64 {
        self.inner.lock().covered
    }
}

impl Inner {
    fn is_due(&self, now: Duration) -> bool {
        let waited = now.saturating_sub(self.flushed_at);
        WAITING_MAX <= self.fresh.len() || (!self.fresh.is_empty() && WAIT_MAX <= waited)
    }
}

fn merge(marks: &mut Marks, key: (u64, u64), seq: u64) {
    let mark = marks.entry(key).or_insert(0);
    *mark = seq.max(*mark);
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Duration = Duration::from_secs(50);

    fn row(chat: u64, user: u64, seq: u64) -> CursorRow {
        CursorRow { chat, user, seq }
    }

    #[test]
    fn a_position_is_covered_once_everything_up_to_it_is_written() {
        let senders = Senders::new(3, START);
        senders.note(1, 9, 4);
        senders.note(1, 9, 2);
        assert!(!senders.due(START));
        assert_eq!(senders.take(4, START), []);
        senders.wrote(&[], 5);
        assert_eq!(senders.covered(), 3);

        let later = START + WAIT_MAX;
        assert!(senders.due(later));
        assert_eq!(senders.take(5, later), [row(1, 9, 4)]);
        // The commit failed: the same again, though more was noted.
        senders.note(1, 9, 7);
        assert_eq!(senders.take(5, later), [row(1, 9, 4)]);
        assert_eq!(senders.of_chat(1), [(9, 4), (9, 7)]);
        senders.wrote(&[row(1, 9, 4)], 6);
        assert_eq!(senders.covered(), 5);
    }

    #[test]
    fn without_sends_every_commit_is_covered() {
        let senders = Senders::new(3, START);
        senders.wrote(&[], 4);
        assert_eq!(senders.covered(), 4);
        assert!(senders.is_empty());
    }

    #[test]
    fn many_cursors_are_written_in_parts() {
        let senders = Senders::new(0, START);
        for user in 1..=600 {
            senders.note(1, user, 1);
        }
        let later = START + WAIT_MAX;
        let part = senders.take(10, later);
        assert_eq!(part.len(), PER_COMMIT_MAX);
        senders.wrote(&part, 11);
        assert_eq!(senders.covered(), 0);
        let rest = senders.take(11, later);
        assert_eq!(rest.len(), 600 - PER_COMMIT_MAX);
        senders.wrote(&rest, 12);
        assert_eq!(senders.covered(), 12);
    }

    #[test]
    fn cursors_of_a_slot_that_freezes_are_written_at_once() {
        let senders = Senders::new(0, START);
        senders.note(1, 9, 4);
        senders.note(5, 9, 6);
        assert_eq!(senders.take(1, START), []);
        senders.hasten(&(0..=3));
        assert!(senders.due(START) && senders.holds(&(0..=3)));
        assert_eq!(senders.take(1, START), [row(1, 9, 4)]);
        assert_eq!(senders.of_chat(1), [(9, 4)]);
        senders.wrote(&[row(1, 9, 4)], 2);
        assert!(!senders.holds(&(0..=3)) && senders.holds(&(4..=6)));
        // The other one is not stored yet.
        assert_eq!(senders.covered(), 0);
        senders.forget_range(&(4..=6));
        assert!(senders.is_empty());
    }
}
