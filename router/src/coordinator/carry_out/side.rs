//! One side of a move, as its coordinator talks to it: the order it has, the answer that is awaited, the
//! last report. A report that could not be renewed counts as none.

use crate::coordinator::field::Field;
use crate::coordinator::orders::{self, Terms};
use futures::future::BoxFuture;
use shardline_daemon::clock::Stopwatch;
use shardline_domain::id::ShardId;
use shardline_domain::placement::transfer::{Attempt, Blocked, Move, Report, Task};
use shardline_wire::internal::MoveReport;
use shardline_wire::refusal::Refusal;
use std::future::pending;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, sleep_until};

/// How long a side may hold its answer back while it has no news.
const HOLD: Duration = Duration::from_secs(1);
/// The same for a side that waits for hours.
const HOLD_IN_WINDOW: Duration = Duration::from_secs(10);
/// From an answer to the next question of the same kind.
const ASK_GAP: Duration = Duration::from_millis(20);
const ASK_GAP_FROZEN: Duration = Duration::from_millis(2);
/// From a refusal, or no answer, to the next question.
const RETRY_GAP: Duration = Duration::from_millis(200);
const RETRY_GAP_FROZEN: Duration = Duration::from_millis(20);

pub(super) struct Side {
    shard: ShardId,
    peer: ShardId,
    /// What was ordered last.
    task: Option<(Task, Attempt)>,
    call: Option<BoxFuture<'static, Result<MoveReport, Refusal>>>,
    /// Not asked the same again before.
    next: Instant,
    report: Option<Report>,
    /// Its number.
    number: u64,
    heard: Option<MoveReport>,
    closed: Option<(Duration, Stopwatch)>,
    note: String,
}

impl Side {
    pub(super) fn new(shard: ShardId, peer: ShardId) -> Side {
        Side {
            shard,
            peer,
            task: None,
            call: None,
            next: Instant::now(),
            report: None,
            number: 0,
            heard: None,
            closed: None,
            note: String::new(),
        }
    }

    pub(super) fn report(&self) -> Option<&Report> {
        self.report.as_ref()
    }

    /// What people are shown of the last answer.
    pub(super) fn heard(&self) -> Option<&MoveReport> {
        self.heard.as_ref()
    }

    pub(super) fn note(&self) -> &str {
        &self.note
    }

    /// For how long its gate had been closed when it last said so.
    pub(super) fn take_closed(&mut self) -> Option<(Duration, Stopwatch)> {
        self.closed.take()
    }

    /// Gives the order, unless it was given and its answer is awaited, or was heard just now.
    pub(super) fn order(
        &mut self,
        field: &Field,
        present: &Move,
        task: Option<Task>,
        blocked: Blocked,
    ) {
        let wanted = task.map(|task| (task, present.attempt));
        if wanted != self.task {
            // An answer to the order before is of no use any more; the order itself goes on.
            (self.call, self.next) = (None, Instant::now());
            self.note.clear();
            self.task = wanted;
        }
        let Some(task) = task else { return };
        if self.call.is_some() || Instant::now() < self.next {
            return;
        }
        let Some(link) = field.link(self.shard) else {
            self.failed(format!("shard {} has no writer", self.shard), false);
            return;
        };
        let peer_address = field.address(self.peer);
        let terms = Terms {
            term: field.term,
            peer_shard: self.peer.0,
            peer_address: &peer_address,
            bytes_per_second: field.bytes_per_second.load(Ordering::Relaxed),
            wait: if blocked == Blocked::Window { HOLD_IN_WINDOW } else { HOLD },
            known_report: self.number,
        };
        let order = orders::order(present, task, &terms);
        self.call = Some(Box::pin(async move { link.order(order).await }));
    }

    /// The awaited answer, if there is one; else the time at which the next may be asked for. Safe to
    /// drop: what was not heard is awaited again.
    pub(super) async fn answer(&mut self, frozen: bool) {
        let Some(call) = &mut self.call else {
            return match self.task {
                Some(_) => sleep_until(self.next).await,
                None => pending().await,
            };
        };
        let answer = call.await;
        self.call = None;
        match answer {
            Ok(answer) => {
                self.note.clone_from(&answer.note);
                self.report = Some(orders::report(&answer));
                self.number = answer.number;
                self.closed = answer
                    .frozen_ms
                    .map(|ms| (Duration::from_millis(ms), Stopwatch::start()))
                    .or(self.closed);
                self.heard = Some(answer);
                self.next = Instant::now() + if frozen { ASK_GAP_FROZEN } else { ASK_GAP };
            }
            Err(refusal) => self.failed(refusal.message, frozen),
        }
    }

    fn failed(&mut self, why: String, frozen: bool) {
        self.note = format!("shard {}: {why}", self.shard);
        (self.report, self.number) = (None, 0);
        self.next = Instant::now() + if frozen { RETRY_GAP_FROZEN } else { RETRY_GAP };
    }
}
