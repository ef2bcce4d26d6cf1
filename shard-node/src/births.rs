//! A lane's latest messages by chat, so that a client who was away for seconds resumes without the
//! database. A bounded memory, not a truth: an answer is given only where every ver asked about is the
//! birth of a message that is here. An edit takes a ver of its own, so nothing here is outdated by it.

use crate::store::{HeadRow, MessageRow};
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

/// Of one lane: seconds of full load, minutes of an ordinary one.
const MESSAGES_MAX: usize = 8_192;
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// A row without its texts.
const ROW_BYTES: usize = 256;

#[derive(Default)]
pub(crate) struct Births {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    chats: HashMap<u64, Run>,
    /// (chat, ver) in the order stored. One whose row is gone already is passed over.
    order: VecDeque<(u64, u64)>,
    bytes: usize,
}

/// Messages of one chat, by ver, of one log.
struct Run {
    log: u64,
    rows: VecDeque<Arc<MessageRow>>,
}

impl Births {
    /// Messages that were stored, of each chat in order. Before the chat's head says so.
    pub(crate) fn put(&self, stored: impl IntoIterator<Item = (u64, Arc<MessageRow>)>) {
        let mut inner = self.inner.lock();
        for (log, row) in stored {
            inner.put(log, row);
        }
        inner.forget_oldest();
    }

    /// All there is in (since, up_to] of a chat, if that is nothing but messages and all of them are here;
    /// at most `limit`.
    pub(crate) fn between(
        &self,
        head: HeadRow,
        since: u64,
        up_to: u64,
        limit: usize,
    ) -> Option<Vec<Arc<MessageRow>>> {
        let count = usize::try_from(up_to.saturating_sub(since)).ok()?;
        if count == 0 {
            return Some(Vec::new());
        }
        let inner = self.inner.lock();
        let run = inner.chats.get(&head.entity).filter(|run| run.log == head.log)?;
        let first = run.rows.partition_point(|row| row.ver <= since);
        let end = run.rows.partition_point(|row| row.ver <= up_to);
        let is_all = end - first == count && count <= limit;
        is_all.then(|| run.rows.range(first..end).cloned().collect())
    }
}

impl Inner {
    fn put(&mut self, log: u64, row: Arc<MessageRow>) {
        let run = self.chats.entry(row.chat).or_insert_with(|| Run { log, rows: VecDeque::new() });
        let goes_on = run.log == log && run.rows.back().is_none_or(|last| last.ver < row.ver);
        if !goes_on {
            self.bytes -= run.rows.drain(..).map(|row| bytes(&row)).sum::<usize>();
            run.log = log;
        }
        self.bytes += bytes(&row);
        self.order.push_back((row.chat, row.ver));
        run.rows.push_back(row);
    }

    fn forget_oldest(&mut self) {
        while MESSAGES_MAX < self.order.len() || BYTES_MAX < self.bytes {
            let Some((chat, ver)) = self.order.pop_front() else { return };
            let Some(run) = self.chats.get_mut(&chat) else { continue };
            if run.rows.front().is_some_and(|row| row.ver == ver) {
                self.bytes -= run.rows.pop_front().map_or(0, |row| bytes(&row));
            }
            if run.rows.is_empty() {
                self.chats.remove(&chat);
            }
        }
    }
}

fn bytes(row: &MessageRow) -> usize {
    ROW_BYTES + row.text.len() + row.sender_name.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(chat: u64, ver: u64, text_bytes: usize) -> Arc<MessageRow> {
        let text = "x".repeat(text_bytes);
        Arc::new(MessageRow { text, ..MessageRow::bare(chat, ver, ver) })
    }

    fn put(births: &Births, log: u64, chat: u64, vers: &[u64]) {
        births.put(vers.iter().map(|ver| (log, row(chat, *ver, 10))));
    }

    fn check(births: &Births, log: u64, (since, up_to): (u64, u64), expected: Option<&[u64]>) {
        let head = HeadRow { entity: 7, log, ver: up_to, ..HeadRow::default() };
        let found = births.between(head, since, up_to, 100);
        let vers = found.map(|rows| rows.iter().map(|row| row.ver).collect::<Vec<_>>());
        assert_eq!(vers.as_deref(), expected, "({since}, {up_to}]");
    }

    #[test]
    fn a_run_without_a_gap_is_an_answer_and_a_gap_is_none() {
        let births = Births::default();
        // 14 was an edit.
        put(&births, 1, 7, &[11, 12, 13, 15, 16]);
        put(&births, 1, 8, &[17]);
        check(&births, 1, (14, 16), Some(&[15, 16]));
        check(&births, 1, (15, 16), Some(&[16]));
        check(&births, 1, (16, 16), Some(&[]));
        check(&births, 1, (10, 13), Some(&[11, 12, 13]));
        check(&births, 1, (13, 16), None);
        check(&births, 1, (9, 12), None);
        check(&births, 1, (15, 17), None);
        check(&births, 2, (15, 16), None);
    }

    #[test]
    fn another_log_begins_anew() {
        let births = Births::default();
        put(&births, 1, 7, &[11, 12]);
        put(&births, 2, 7, &[12]);
        check(&births, 1, (11, 12), None);
        check(&births, 2, (11, 12), Some(&[12]));
        check(&births, 2, (10, 12), None);
    }

    #[test]
    fn the_oldest_are_forgotten_by_number_and_by_size() {
        let births = Births::default();
        put(&births, 1, 7, &[1, 2, 3]);
        let many: Vec<u64> = (1..MESSAGES_MAX as u64).collect();
        put(&births, 1, 8, &many);
        check(&births, 1, (1, 3), None);
        check(&births, 1, (2, 3), Some(&[3]));
        births.put((0..2).map(|n| (1, row(9, n + 1, BYTES_MAX))));
        check(&births, 1, (2, 3), None);
        let inner = births.inner.lock();
        assert_eq!((inner.chats.len(), inner.order.len(), inner.bytes), (0, 0, 0));
    }
}
