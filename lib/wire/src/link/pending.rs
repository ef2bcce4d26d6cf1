//! Calls of one stream that wait for their reply: bounded in number, in bytes and in time.
//!
//! There is no timer per call. A sweep that comes round several times within the answer time marks the
//! newest call of each round; what is not newer than a mark older than the answer time is late.

use super::outbox::Bound;
use crate::call::{Done, Outcome};
use crate::internal::{Reply, reply};
use crate::refusal::Refusal;
use parking_lot::Mutex;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Sweeps within one answer time: a late call waits longer than it by at most two sweeps.
const SWEEPS: u32 = 8;
/// When to ask again after a read that was not answered.
const RETRY_AFTER_MS: u64 = 500;

/// Numbers calls and finds each again by its number.
pub(super) struct Pending {
    calls: Mutex<Calls>,
    bound: Bound,
    answer_time: Duration,
}

#[derive(Default)]
struct Calls {
    last_id: u64,
    waiting: HashMap<u64, Waiting>,
    bytes: usize,
    /// When a sweep came, and the newest call it saw; the oldest first.
    marks: VecDeque<(Instant, u64)>,
    /// No call up to this one waits any more.
    over_to: u64,
}

struct Waiting {
    done: Done,
    size: usize,
    is_read: bool,
}

impl Calls {
    fn take(&mut self, id: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        self.bytes -= waiting.size;
        Some(waiting)
    }
}

impl Pending {
    pub(super) fn new(bound: Bound, answer_time: Duration) -> Pending {
        Pending { calls: Mutex::default(), bound, answer_time }
    }

    /// The call's number; gives `done` back when too many wait, or too large ones.
    pub(super) fn add(&self, done: Done, size: usize, is_read: bool) -> Result<u64, Done> {
        let calls = &mut *self.calls.lock();
        if !self.bound.fits(calls.waiting.len(), calls.bytes, size) {
            return Err(done);
        }
        calls.last_id += 1;
        calls.bytes += size;
        calls.waiting.insert(calls.last_id, Waiting { done, size, is_read });
        Ok(calls.last_id)
    }

    pub(super) fn take(&self, id: u64) -> Option<Done> {
        Some(self.calls.lock().take(id)?.done)
    }

    /// Finishes the calls of a batch of replies. A reply to a call that was late is nobody's.
    pub(super) fn finish(&self, replies: Vec<Reply>) {
        let finished: Vec<_> = {
            let mut calls = self.calls.lock();
            let answered = |reply: Reply| Some((calls.take(reply.id)?.done, reply));
            replies.into_iter().filter_map(answered).collect()
        };
        for (done, reply) in finished {
            done.finish(outcome(reply));
        }
    }

    /// How often to call `expire`.
    pub(super) fn sweep_every(&self) -> Duration {
        self.answer_time / SWEEPS
    }

    /// Ends the calls that were not answered in time: a write may or may not have been carried out, a
    /// read may be asked again.
    pub(super) fn expire(&self, now: Instant) {
        let late: Vec<Waiting> = {
            let calls = &mut *self.calls.lock();
            let mut over_to = None;
            while let Some((_, id)) =
                calls.marks.pop_front_if(|(at, _)| *at + self.answer_time <= now)
            {
                over_to = Some(id);
            }
            if !calls.waiting.is_empty() {
                calls.marks.push_back((now, calls.last_id));
            }
            let Some(over_to) = over_to else { return };
            calls.over_to = over_to;
            let late = calls.waiting.extract_if(|id, _| *id <= over_to).map(|(_, late)| late);
            let late: Vec<Waiting> = late.collect();
            calls.bytes -= late.iter().map(|late| late.size).sum::<usize>();
            late
        };
        for Waiting { done, is_read, .. } in late {
            let message = "no answer in time";
            done.finish(Err(match is_read {
                true => Refusal::try_again(message, RETRY_AFTER_MS),
                false => Refusal::unknown(message),
            }));
        }
    }

    /// The number up to which nobody waits any more: such a call need not be sent.
    pub(super) fn over_to(&self) -> u64 {
        self.calls.lock().over_to
    }

    /// The stream broke: every call may or may not have been carried out.
    pub(super) fn fail_all(&self) {
        let failed = {
            let calls = &mut *self.calls.lock();
            calls.bytes = 0;
            std::mem::take(&mut calls.waiting)
        };
        for (_, waiting) in failed {
            waiting.done.finish(Err(Refusal::unknown("the connection broke before the answer")));
        }
    }
}

pub(super) fn outcome(reply: Reply) -> Outcome {
    match reply.answer {
        Some(reply::Answer::Refusal(refusal)) => Err(refusal),
        Some(answer) => Ok(answer),
        None => Err(Refusal::internal("a reply without an answer")),
    }
}

pub(super) fn reply(id: u64, outcome: Outcome) -> Reply {
    Reply { id, answer: Some(outcome.unwrap_or_else(reply::Answer::Refusal)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::internal::Registered;
    use crate::refusal::Code;
    use tokio::sync::oneshot;
    use tokio::sync::oneshot::error::TryRecvError;

    const ANSWER_TIME: Duration = Duration::from_secs(8);

    fn pending() -> Pending {
        Pending::new(Bound { items: 4, bytes: 100 }, ANSWER_TIME)
    }

    fn add(pending: &Pending, size: usize, is_read: bool) -> (u64, oneshot::Receiver<Outcome>) {
        let (done, outcome) = Done::channel();
        let id = pending.add(done, size, is_read).unwrap_or_else(|_| panic!("there is room"));
        (id, outcome)
    }

    fn code(mut outcome: oneshot::Receiver<Outcome>) -> Result<Option<Code>, TryRecvError> {
        outcome.try_recv().map(|outcome| outcome.err().map(|refusal| refusal.code()))
    }

    fn answer(id: u64) -> Vec<Reply> {
        vec![reply(id, Ok(reply::Answer::Registered(Registered {})))]
    }

    /// Sweeps as the stream does, from `from` to `to` seconds after the start.
    fn sweep(pending: &Pending, start: Instant, from: u64, to: u64) {
        for second in from..=to {
            pending.expire(start + Duration::from_secs(second));
        }
    }

    #[test]
    fn a_late_write_is_unknown_and_a_late_read_may_be_asked_again() {
        let (pending, start) = (pending(), Instant::now());
        assert_eq!(pending.sweep_every(), Duration::from_secs(1));
        let (_, write) = add(&pending, 10, false);
        let (_, read) = add(&pending, 10, true);
        sweep(&pending, start, 0, 8);
        assert_eq!(code(write), Ok(Some(Code::Unknown)));
        assert_eq!(code(read), Ok(Some(Code::TryAgain)));
        assert_eq!(pending.over_to(), 2);
    }

    #[test]
    fn a_call_gets_its_whole_time() {
        let (pending, start) = (pending(), Instant::now());
        sweep(&pending, start, 0, 3);
        let (_, early) = add(&pending, 10, false);
        sweep(&pending, start, 4, 5);
        let (id, later) = add(&pending, 10, false);
        sweep(&pending, start, 6, 12);
        assert_eq!(code(early), Ok(Some(Code::Unknown)), "marked at 4, over at 12");
        pending.finish(answer(id));
        assert_eq!(code(later), Ok(None));
    }

    #[test]
    fn what_was_late_has_left_its_place_and_its_answer_is_ignored() {
        let (pending, start) = (pending(), Instant::now());
        let calls: Vec<_> = (0..4).map(|_| add(&pending, 25, false)).collect();
        assert!(pending.add(Done::new(drop), 1, false).is_err(), "full");
        sweep(&pending, start, 0, 8);
        for (id, outcome) in calls {
            pending.finish(answer(id));
            assert_eq!(code(outcome), Ok(Some(Code::Unknown)));
        }
        let (_, other) = add(&pending, 100, false);
        pending.finish(answer(1));
        assert_eq!(code(other), Err(TryRecvError::Empty), "another's answer is not its own");
    }

    #[test]
    fn calls_are_bounded_in_bytes_until_they_are_answered() {
        let pending = pending();
        let (id, _outcome) = add(&pending, 60, false);
        assert!(pending.add(Done::new(drop), 41, false).is_err());
        pending.finish(answer(id));
        let (id, _outcome) = add(&pending, 100, false);
        assert!(pending.add(Done::new(drop), 1, false).is_err());
        drop(pending.take(id));
        let _ = add(&pending, 100, false);
        pending.fail_all();
        let _ = add(&pending, 1_000, false);
    }

    #[test]
    fn a_quiet_stream_keeps_no_marks() {
        let (pending, start) = (pending(), Instant::now());
        sweep(&pending, start, 0, 100);
        assert_eq!(pending.calls.lock().marks.len(), 0);
        let (_, _outcome) = add(&pending, 1, true);
        sweep(&pending, start, 101, 200);
        assert_eq!(pending.calls.lock().marks.len(), 0);
    }
}
