//! Calls of one stream that wait for their reply.

use crate::call::{Done, Outcome};
use crate::internal::{Reply, reply};
use crate::refusal::Refusal;
use parking_lot::Mutex;
use std::collections::HashMap;

/// Numbers calls and finds each again by its number.
pub(super) struct Pending {
    calls: Mutex<Calls>,
    max: usize,
}

#[derive(Default)]
struct Calls {
    last_id: u64,
    waiting: HashMap<u64, Done>,
}

impl Pending {
    pub(super) fn new(max: usize) -> Pending {
        Pending { calls: Mutex::default(), max }
    }

    /// The call's number; gives `done` back when too many wait.
    pub(super) fn add(&self, done: Done) -> Result<u64, Done> {
        let mut calls = self.calls.lock();
        if self.max <= calls.waiting.len() {
            return Err(done);
        }
        calls.last_id += 1;
        let id = calls.last_id;
        calls.waiting.insert(id, done);
        Ok(id)
    }

    pub(super) fn take(&self, id: u64) -> Option<Done> {
        self.calls.lock().waiting.remove(&id)
    }

    /// Finishes the calls of a batch of replies.
    pub(super) fn finish(&self, replies: Vec<Reply>) {
        let finished: Vec<_> = {
            let mut calls = self.calls.lock();
            let answered = |reply: Reply| Some((calls.waiting.remove(&reply.id)?, reply));
            replies.into_iter().filter_map(answered).collect()
        };
        for (done, reply) in finished {
            done.finish(outcome(reply));
        }
    }

    /// The stream broke: every call may or may not have been carried out.
    pub(super) fn fail_all(&self) {
        let failed = std::mem::take(&mut self.calls.lock().waiting);
        for (_, done) in failed {
            done.finish(Err(Refusal::unknown("the connection broke before the answer")));
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
