//! What waits for a lane, in order, bounded. A lane that cannot commit refuses instead of queueing.

use crate::outbox::Outbox;
use crate::refusals;
use parking_lot::Mutex;
use prost::Message as _;
use shardline_daemon::clock;
use shardline_domain::slot::Slot;
use shardline_wire::call::Done;
use shardline_wire::internal::{Call, CursorMark, call};
use shardline_wire::refusal::Refusal;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Notify, oneshot};
use tokio::time::Instant;

/// Beyond this a lane is behind: who comes now would wait longer than is worth it, and waiting for what
/// nobody wants any more takes the place of others.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Calls waiting in one lane: some seconds of what it can commit.
const CALLS_MAX: usize = 16_384;
/// And their bytes.
const BYTES_MAX: usize = 32 * 1024 * 1024;

pub(crate) enum Job {
    Call {
        call: Call,
        done: Done,
    },
    /// A part of a MergeCursors: the chats of this lane.
    Cursors {
        marks: Vec<CursorMark>,
        answer: Box<dyn FnOnce(CursorsOutcome) + Send>,
    },
    /// (chat, ver, user) of facts that were applied: their outbox rows go with the next commit.
    Delivered(Vec<(u64, u64, u64)>),
    /// The gate of these slots is closed. Answered when nothing of the lane's writes into them is on its
    /// way, and their senders' cursors are stored.
    Drain {
        slots: Vec<Slot>,
        done: oneshot::Sender<Result<(), Refusal>>,
    },
}

pub(crate) type CursorsOutcome = Result<Vec<CursorMark>, Refusal>;

impl Job {
    /// About how many bytes it will write.
    pub(crate) fn bytes(&self) -> usize {
        const ROW: usize = 128;
        match self {
            Job::Call { call, .. } => match &call.op {
                Some(call::Op::Send(send)) => {
                    ROW + send.body.as_ref().map_or(0, |body| body.text.len())
                }
                Some(call::Op::AddMembers(add)) => ROW * (1 + 3 * add.users.len()),
                Some(call::Op::CreateChat(create)) => ROW * (1 + 3 * create.members.len()),
                _ => ROW + call.encoded_len(),
            },
            Job::Cursors { marks, .. } => 32 * marks.len(),
            Job::Delivered(keys) => 32 * keys.len(),
            Job::Drain { .. } => 0,
        }
    }

    /// Answers it with a refusal; a fact that was delivered will be deleted later.
    pub(crate) fn refuse(self, refusal: &Refusal, outbox: &Outbox) {
        match self {
            Job::Call { done, .. } => done.finish(Err(refusal.clone())),
            Job::Cursors { answer, .. } => answer(Err(refusal.clone())),
            Job::Delivered(keys) => outbox.delete_later(keys),
            // Whoever does not wait any more has given up.
            Job::Drain { done, .. } => drop(done.send(Err(refusal.clone()))),
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum QueueError {
    Full,
    /// The lane's commits fail at present.
    Stalled,
    /// The lane has ended.
    Closed,
}

impl QueueError {
    pub(crate) fn refusal(self) -> Refusal {
        match self {
            QueueError::Full => refusals::overloaded(),
            QueueError::Stalled => refusals::database_busy(),
            QueueError::Closed => refusals::not_writer(),
        }
    }
}

/// A batch, and since when its first call waited: a wall clock, for people.
pub(crate) struct Taken {
    pub(crate) jobs: Vec<Job>,
    pub(crate) since_ms: i64,
}

#[derive(Default)]
pub(crate) struct Queue {
    waiting: Mutex<Waiting>,
    wake: Notify,
}

#[derive(Default)]
struct Waiting {
    /// Each with the time it came.
    jobs: VecDeque<(Instant, Job)>,
    bytes: usize,
    stalled: bool,
    closed: bool,
}

impl Queue {
    pub(crate) fn new() -> Arc<Queue> {
        Arc::default()
    }

    /// Takes the job, or gives it back with the reason.
    #[expect(clippy::result_large_err, reason = "the job itself comes back")]
    pub(crate) fn push(&self, job: Job) -> Result<(), (Job, QueueError)> {
        let (bytes, now) = (job.bytes(), Instant::now());
        let mut waiting = self.waiting.lock();
        let error = if waiting.closed {
            Some(QueueError::Closed)
        } else if waiting.stalled {
            Some(QueueError::Stalled)
        } else if waiting.is_full(bytes) || waiting.is_behind(&job, now) {
            Some(QueueError::Full)
        } else {
            None
        };
        if let Some(error) = error {
            return Err((job, error));
        }
        let was_empty = waiting.jobs.is_empty();
        waiting.bytes += bytes;
        waiting.jobs.push_back((now, job));
        drop(waiting);
        if was_empty {
            self.wake.notify_one();
        }
        Ok(())
    }

    /// What gathered, in order, up to both limits; at least one job if there is any.
    pub(crate) fn take(&self, jobs_max: usize, bytes_max: usize) -> Taken {
        let mut waiting = self.waiting.lock();
        let waited = waiting.jobs.front().map_or(Duration::ZERO, |(came, _)| came.elapsed());
        let mut taken = Vec::with_capacity(waiting.jobs.len().min(jobs_max));
        let mut bytes = 0;
        while let Some((_, job)) = waiting.jobs.front() {
            let size = job.bytes();
            let fits = taken.len() < jobs_max && bytes + size <= bytes_max;
            if !fits && !taken.is_empty() {
                break;
            }
            bytes += size;
            waiting.bytes -= size;
            taken.extend(waiting.jobs.pop_front().map(|(_, job)| job));
        }
        let waited_ms = i64::try_from(waited.as_millis()).unwrap_or(i64::MAX);
        Taken { jobs: taken, since_ms: clock::now_ms().saturating_sub(waited_ms) }
    }

    /// From now on nothing is taken; what waits is given back.
    pub(crate) fn stall(&self) -> Vec<Job> {
        let mut waiting = self.waiting.lock();
        waiting.stalled = true;
        waiting.drain()
    }

    pub(crate) fn resume(&self) {
        self.waiting.lock().stalled = false;
    }

    /// As `stall`, for ever.
    pub(crate) fn close(&self) -> Vec<Job> {
        let mut waiting = self.waiting.lock();
        waiting.closed = true;
        waiting.drain()
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.lock().jobs.len()
    }

    /// Resolves when something may be there. Safe to drop: a wake-up is kept for the next wait.
    pub(crate) async fn wait(&self) {
        self.wake.notified().await;
    }
}

impl Waiting {
    fn drain(&mut self) -> Vec<Job> {
        self.bytes = 0;
        self.jobs.drain(..).map(|(_, job)| job).collect()
    }

    fn is_full(&self, more_bytes: usize) -> bool {
        CALLS_MAX <= self.jobs.len() || BYTES_MAX < self.bytes + more_bytes
    }

    /// What is not somebody's call is little, and others wait for it.
    fn is_behind(&self, job: &Job, now: Instant) -> bool {
        let is_call = matches!(job, Job::Call { .. });
        is_call && self.jobs.front().is_some_and(|(came, _)| *came + WAIT_MAX < now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_wire::client;
    use shardline_wire::internal::Send;

    fn send(bytes: usize) -> Job {
        let body = Some(client::Body { text: "x".repeat(bytes) });
        let op = Some(call::Op::Send(Send { body, ..Send::default() }));
        let call = Call { entity: bytes as u64, op, ..Call::default() };
        Job::Call { call, done: Done::new(|_| ()) }
    }

    fn sizes(jobs: &[Job]) -> Vec<u64> {
        jobs.iter()
            .map(|job| match job {
                Job::Call { call, .. } => call.entity,
                _ => 0,
            })
            .collect()
    }

    #[test]
    fn jobs_are_taken_in_order_up_to_the_limits() {
        let queue = Queue::new();
        for bytes in [10, 2_000, 30, 40] {
            assert!(queue.push(send(bytes)).is_ok());
        }
        assert_eq!(sizes(&queue.take(10, 1_000).jobs), [10]);
        // Larger than the limit, but alone.
        assert_eq!(sizes(&queue.take(10, 1_000).jobs), [2_000]);
        assert_eq!(sizes(&queue.take(1, 1_000).jobs), [30]);
        assert_eq!(sizes(&queue.take(10, 1_000).jobs), [40]);
        assert_eq!(queue.take(10, 1_000).jobs.len(), 0);
    }

    #[test]
    fn a_full_queue_gives_the_job_back() {
        let queue = Queue::new();
        let refused = (0..=CALLS_MAX).find_map(|_| queue.push(send(1)).err());
        assert!(matches!(refused, Some((Job::Call { .. }, QueueError::Full))));
        assert_eq!(queue.len(), CALLS_MAX);
    }

    #[tokio::test(start_paused = true)]
    async fn a_queue_whose_first_waits_too_long_takes_no_more_calls() {
        let queue = Queue::new();
        assert!(queue.push(send(1)).is_ok());
        tokio::time::advance(WAIT_MAX).await;
        assert!(queue.push(send(2)).is_ok());
        tokio::time::advance(Duration::from_millis(1)).await;
        assert!(matches!(queue.push(send(3)), Err((_, QueueError::Full))));
        assert!(queue.push(Job::Delivered(Vec::new())).is_ok(), "it is not a call");
        assert_eq!(sizes(&queue.take(1, 1_000).jobs), [1]);
        assert!(queue.push(send(4)).is_ok(), "the next one has not waited so long");
    }

    #[test]
    fn a_stalled_queue_takes_nothing_until_it_resumes() {
        let queue = Queue::new();
        assert!(queue.push(send(1)).is_ok());
        assert_eq!(queue.stall().len(), 1);
        assert!(matches!(queue.push(send(1)), Err((_, QueueError::Stalled))));
        queue.resume();
        assert!(queue.push(send(1)).is_ok());
        assert_eq!(queue.close().len(), 1);
        assert!(matches!(queue.push(send(1)), Err((_, QueueError::Closed))));
    }
}
