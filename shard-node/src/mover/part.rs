//! What is remembered of one move between orders: the latest order, how far the work is, and what was
//! answered last.

use super::orders::{Order, standing_out};
use parking_lot::Mutex;
use shardline_domain::placement::transfer::{CLOSE_ROUNDS, Mark, Progress, Standing};
use shardline_wire::internal::{DatabaseMark, MoveReport};
use tokio::sync::{Notify, watch};

pub(super) struct Part {
    inner: Mutex<Inner>,
    /// The order changed, or the part ended.
    wake: Notify,
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct Inner {
    order: Option<Order>,
    works: bool,
    ended: bool,
    progress: Progress,
    counts: Counts,
    /// Why the latest order was not obeyed.
    refused: String,
    /// What the work waits for, or what went wrong last.
    note: String,
    /// What the copy gives way to, if to anything.
    gives_way: String,
    /// The last report that said something else than the one before.
    latest: MoveReport,
}

/// For people.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Counts {
    pub(super) entities: u64,
    pub(super) entities_total: u64,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) lag_entities: u64,
}

fn mark_out(mark: Mark) -> DatabaseMark {
    DatabaseMark { term: mark.term, tally: mark.tally }
}

impl Part {
    /// Reports are numbered from `first` on; random, so that numbers of an earlier process mean nothing.
    pub(super) fn new(first: u64) -> Part {
        let latest = MoveReport { number: first, ..MoveReport::default() };
        let inner = Mutex::new(Inner { latest, ..Inner::default() });
        Part { inner, wake: Notify::new(), changed: watch::Sender::new(0) }
    }

    /// Takes the order. True: somebody has to begin to work on it.
    pub(super) fn set(&self, order: Order, refused: String) -> bool {
        let mut inner = self.inner.lock();
        let same_attempt =
            inner.order.as_ref().is_some_and(|before| before.attempt == order.attempt);
        if !same_attempt {
            inner.progress = Progress::default();
            inner.counts = Counts::default();
        }
        inner.refused = refused;
        let same_work = inner
            .order
            .as_ref()
            .is_some_and(|before| (before.task, before.attempt) == (order.task, order.attempt));
        if !same_work {
            // What the work before waited for is no concern of this one.
            inner.note.clear();
            inner.gives_way.clear();
        }
        inner.order = Some(order);
        let begins = !inner.works;
        inner.works = true;
        drop(inner);
        if !same_work {
            self.wake.notify_one();
        }
        self.tell();
        begins
    }

    pub(super) fn end(&self) {
        self.inner.lock().ended = true;
        self.wake.notify_one();
    }

    /// None: there was none yet, or the part ended.
    pub(super) fn order(&self) -> Option<Order> {
        let inner = self.inner.lock();
        inner.order.clone().filter(|_| !inner.ended)
    }

    /// Safe to drop: a wake-up is kept.
    pub(super) async fn wait(&self) {
        self.wake.notified().await;
    }

    pub(super) fn progress(&self) -> Progress {
        self.inner.lock().progress
    }

    /// Of the work on this attempt; said of another, it is not heard.
    pub(super) fn proceed(&self, of: &Order, change: impl FnOnce(&mut Progress, &mut Counts)) {
        let mut inner = self.inner.lock();
        if inner.order.as_ref().is_some_and(|order| order.attempt == of.attempt) {
            let Inner { progress, counts, .. } = &mut *inner;
            change(progress, counts);
        }
        drop(inner);
        self.tell();
    }

    pub(super) fn note(&self, note: impl Into<String>) {
        self.inner.lock().note = note.into();
        self.tell();
    }

    pub(super) fn give_way(&self, to: String) {
        let before = std::mem::replace(&mut self.inner.lock().gives_way, to.clone());
        if before != to {
            self.tell();
        }
    }

    pub(super) fn tell(&self) {
        self.changed.send_modify(|changes| *changes += 1);
    }

    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(super) fn report(&self, standing: Standing) -> MoveReport {
        let inner = self.inner.lock();
        let Inner { order, progress, counts, refused, note, gives_way, .. } = &*inner;
        let notes = [refused, note, gives_way];
        let note = notes.into_iter().find(|note| !note.is_empty()).cloned();
        let mut report = MoveReport {
            copied: progress.copied,
            close_rounds: progress.close_rounds,
            stalled_rounds: progress.stalled_rounds,
            verified: progress.verified,
            mismatched: progress.mismatched,
            settled: progress.settled.is_some(),
            source_mark: progress.settled.map(|proof| mark_out(proof.source)),
            target_mark: progress.settled.map(|proof| mark_out(proof.target)),
            entities: counts.entities,
            entities_total: counts.entities_total,
            rows: counts.rows,
            bytes: counts.bytes,
            lag_entities: counts.lag_entities,
            note: note.unwrap_or_default(),
            ..MoveReport::default()
        };
        report.set_standing(standing_out(standing));
        if let Some(order) = order {
            (report.r#move, report.attempt) = (order.move_id.0, order.attempt.0);
        }
        report
    }

    /// The report with its number: a new one if the coordinator would decide otherwise by it than by the
    /// one before, or people would read something else.
    pub(super) fn numbered(&self, mut report: MoveReport) -> MoveReport {
        let mut inner = self.inner.lock();
        let matters = |report: &MoveReport| MoveReport {
            frozen_ms: None,
            close_rounds: report.close_rounds.min(CLOSE_ROUNDS),
            entities: 0,
            entities_total: 0,
            rows: 0,
            bytes: 0,
            lag_entities: 0,
            number: 0,
            ..report.clone()
        };
        let before = inner.latest.number;
        let is_news = matters(&inner.latest) != matters(&report);
        report.number = if is_news { before.checked_add(1).unwrap_or(1) } else { before };
        inner.latest = report.clone();
        report
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_that_says_something_else_has_another_number() {
        let part = Part::new(u64::MAX);
        let report = || part.report(Standing::Importing);
        let first = part.numbered(report()).number;
        assert_eq!(first, 1);
        let longer = MoveReport { frozen_ms: Some(9), rows: 9, ..report() };
        assert_eq!(part.numbered(longer).number, first);
        let settled = MoveReport { settled: true, ..report() };
        assert_eq!(part.numbered(settled.clone()).number, first + 1);
        // Whoever asks, and however often: what was told to one is not known to another.
        assert_eq!(part.numbered(settled).number, first + 1);
        part.give_way("to others".to_owned());
        assert_eq!(part.numbered(report()).number, first + 2);
        part.note("it waits");
        assert_eq!(report().note, "it waits");
        part.note("");
        assert_eq!(report().note, "to others");
    }
}
