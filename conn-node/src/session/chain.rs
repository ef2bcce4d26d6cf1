//! The sends of one connection to one chat, in order: a pure state machine.
//!
//! Promised: they are stored in the order offered. Each names its predecessor; what was lost on the
//! way is submitted again, in order; if one ends as "later" or "same", so do those behind it, also
//! those that come before its repetition.

use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

pub(crate) type MsgId = [u8; 16];

/// How long one send is tried before its outcome is given up as not known.
const SEND_TIME_MAX: Duration = shardline_domain::limits::CALL_TIME_MAX;
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// After one ended as "later" or "same", how long newer ones wait for its repetition. A client that
/// gave it up goes on after this.
const GATE_TIME: Duration = Duration::from_secs(3);

/// `T` is what the caller keeps of each send.
#[derive(Debug)]
pub(crate) struct Chain<T> {
    entries: VecDeque<Entry<T>>,
    last_number: u64,
    paused_until: Option<Instant>,
    pause: Duration,
    gate: Option<Gate>,
}

#[derive(Debug)]
struct Entry<T> {
    number: u64,
    msg_id: MsgId,
    kept: T,
    state: State,
    attempt: u32,
    /// Whether an earlier attempt may have been stored, or may still be.
    is_uncertain: bool,
    /// What the last attempt named as its predecessor, if anything.
    named_predecessor: bool,
    retry: bool,
    give_up_at: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Waiting,
    /// Refused because its predecessor is not stored: waits until it is the first, or until the one
    /// before it is submitted again.
    Behind,
    Submitted,
}

/// Which send failed last, and until when newer ones wait for its repetition.
#[derive(Debug)]
struct Gate {
    msg_id: MsgId,
    until: Instant,
}

/// What the far side said to one attempt.
#[derive(Debug)]
pub(crate) enum Outcome<S, R> {
    Stored(S),
    /// Refused for good.
    Never(R),
    /// Not stored; worth repeating after the time given.
    Later(R, Duration),
    /// Stored or not; `Moved`: surely not, another router is asked.
    Unknown,
    Moved,
    /// It did not even leave: no router.
    NotSent,
}

#[derive(Debug, PartialEq)]
pub(crate) struct Submission {
    pub(crate) number: u64,
    pub(crate) attempt: u32,
    pub(crate) predecessor: Option<MsgId>,
    pub(crate) retry: bool,
}

/// A send that ended, with what was kept of it.
#[derive(Debug, PartialEq)]
pub(crate) struct Ended<T, S, R> {
    pub(crate) kept: T,
    pub(crate) end: End<S, R>,
}

#[derive(Debug, PartialEq)]
pub(crate) enum End<S, R> {
    Stored(S),
    Refused(R),
    /// Behind one that was not stored, and surely not stored itself.
    Later,
    /// Not known: to be repeated with the same id.
    Same,
}

impl<T> Chain<T> {
    pub(crate) fn new() -> Chain<T> {
        Chain {
            entries: VecDeque::new(),
            last_number: 0,
            paused_until: None,
            pause: PAUSE_FIRST,
            gate: None,
        }
    }

    /// Nothing in it, and nothing to remember.
    pub(crate) fn is_idle(&self, now: Instant) -> bool {
        self.entries.is_empty() && self.gate.as_ref().is_none_or(|gate| gate.until <= now)
    }

    /// Whether what waits, waits for a while.
    pub(crate) fn is_paused(&self, now: Instant) -> bool {
        self.paused_until.is_some_and(|until| now < until)
    }

    /// Takes a send, or gives it back: it lies behind one that was not stored.
    pub(crate) fn offer(
        &mut self,
        now: Instant,
        msg_id: MsgId,
        retry: bool,
        kept: T,
    ) -> Result<(), T> {
        if let Some(gate) = &self.gate {
            if gate.msg_id != msg_id && now < gate.until {
                return Err(kept);
            }
            self.gate = None;
        }
        self.last_number += 1;
        self.entries.push_back(Entry {
            number: self.last_number,
            msg_id,
            kept,
            state: State::Waiting,
            attempt: 0,
            is_uncertain: false,
            named_predecessor: false,
            retry,
            give_up_at: now + SEND_TIME_MAX,
        });
        Ok(())
    }

    /// Refuses newer sends until this one is repeated, as if it had failed here: it was turned away
    /// before it could be offered.
    pub(crate) fn close_gate(&mut self, now: Instant, msg_id: MsgId, retry_after: Duration) {
        let is_open = self.gate.as_ref().is_none_or(|gate| gate.until <= now);
        if is_open {
            self.gate = Some(Gate { msg_id, until: now + retry_after + GATE_TIME });
        }
    }

    /// The next one to submit now, in order; to be asked until there is none.
    pub(crate) fn next(&mut self, now: Instant) -> Option<(Submission, &T)> {
        if self.paused_until.is_some_and(|until| now < until) {
            return None;
        }
        self.paused_until = None;
        let index = self.entries.iter().position(|entry| entry.state != State::Submitted)?;
        // One refused for its predecessor waits for it to be settled, and those after it wait too.
        if self.entries[index].state == State::Behind && 0 < index {
            return None;
        }
        let predecessor = index.checked_sub(1).map(|before| self.entries[before].msg_id);
        // Those behind it were refused for its sake, or will be: they follow it again.
        for behind in self.entries.range_mut(index + 1..) {
            if behind.state == State::Behind {
                behind.state = State::Waiting;
            }
        }
        let entry = &mut self.entries[index];
        entry.state = State::Submitted;
        entry.attempt += 1;
        entry.named_predecessor = predecessor.is_some();
        let submission = Submission {
            number: entry.number,
            attempt: entry.attempt,
            predecessor,
            retry: entry.retry,
        };
        Some((submission, &entry.kept))
    }

    /// When `next` or `expire` has something to do without news.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        let front = self.entries.front()?;
        Some(self.paused_until.map_or(front.give_up_at, |until| until.min(front.give_up_at)))
    }

    /// The outcome of one attempt. What ended by it is appended to `ended`, in order.
    pub(crate) fn on_outcome<S, R>(
        &mut self,
        now: Instant,
        number: u64,
        attempt: u32,
        outcome: Outcome<S, R>,
        ended: &mut Vec<Ended<T, S, R>>,
    ) {
        let Some(index) = self.entries.iter().position(|entry| entry.number == number) else {
            return;
        };
        let is_current =
            self.entries[index].attempt == attempt && self.entries[index].state == State::Submitted;
        match outcome {
            // True whichever attempt says so.
            Outcome::Stored(stored) => {
                self.pause = PAUSE_FIRST;
                self.remove(index, End::Stored(stored), ended);
            }
            _ if !is_current => {}
            Outcome::Never(refusal) => self.remove(index, End::Refused(refusal), ended),
            Outcome::Later(refusal, after) => {
                let was_for_predecessor = self.entries[index].named_predecessor;
                if 0 < index {
                    self.entries[index].state = State::Behind;
                } else if was_for_predecessor {
                    self.entries[index].state = State::Waiting;
                } else {
                    self.fail_all(now, Some(refusal), after, ended);
                }
            }
            Outcome::Unknown => {
                self.entries[index].is_uncertain = true;
                self.entries[index].retry = true;
                self.again_after_pause(now, index);
            }
            Outcome::Moved | Outcome::NotSent => self.again_after_pause(now, index),
        }
    }

    fn again_after_pause(&mut self, now: Instant, index: usize) {
        self.entries[index].state = State::Waiting;
        if self.paused_until.is_none() {
            self.paused_until = Some(now + self.pause);
            self.pause = (self.pause * 2).min(PAUSE_MAX);
        }
    }

    /// Gives up what was tried for too long.
    pub(crate) fn expire<S, R>(&mut self, now: Instant, ended: &mut Vec<Ended<T, S, R>>) {
        if self.entries.front().is_some_and(|front| front.give_up_at <= now) {
            self.fail_all(now, None, Duration::ZERO, ended);
        }
    }

    fn remove<S, R>(&mut self, index: usize, end: End<S, R>, ended: &mut Vec<Ended<T, S, R>>) {
        if let Some(entry) = self.entries.remove(index) {
            ended.push(Ended { kept: entry.kept, end });
        }
    }

    /// The first one is not stored for now, so none behind it may be.
    fn fail_all<S, R>(
        &mut self,
        now: Instant,
        mut refusal: Option<R>,
        after: Duration,
        ended: &mut Vec<Ended<T, S, R>>,
    ) {
        if let Some(front) = self.entries.front() {
            self.gate = Some(Gate { msg_id: front.msg_id, until: now + after + GATE_TIME });
        }
        for (index, entry) in self.entries.drain(..).enumerate() {
            let was_refused = index == 0 && refusal.is_some();
            let may_be_stored =
                entry.is_uncertain || (entry.state == State::Submitted && !was_refused);
            let end = match refusal.take() {
                _ if may_be_stored => End::Same,
                Some(refusal) => End::Refused(refusal),
                None => End::Later,
            };
            ended.push(Ended { kept: entry.kept, end });
        }
        self.paused_until = None;
        self.pause = PAUSE_FIRST;
    }
}

#[cfg(test)]
mod tests;
