//! Which send goes out when. Pure: time comes in, frames and outcomes come out.
//!
//! Per chat, sends go out in the order given and are repeated in that order. Once one was answered
//! "later" or "same", or the connection was lost, nothing goes out for that chat until everything that
//! is out was answered; then all that is left goes again, with the same client ids and retry = true:
//! one at first, and with each acknowledgement one more at a time (as TCP's slow start), so that a server
//! that had too much is not given all of it again at once.

use crate::error::{Refused, SendError};
use crate::frames::{Ack, Send};
use shardline_domain::error::Retry;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

/// Before an unanswered send is repeated when the server named no delay.
const REPEAT_FIRST: Duration = Duration::from_millis(50);
const REPEAT_MAX: Duration = Duration::from_secs(2);

/// `D` is whoever waits for the outcome.
pub(crate) struct Sends<D> {
    chats: HashMap<u64, Line<D>>,
    /// Chats that may have something to send; may name a chat twice, or in vain.
    ready: VecDeque<u64>,
    /// Frame id to chat, of what is out.
    out: HashMap<u64, u64>,
    queued: usize,
    /// Not later than the first deadline of what is queued.
    expiry_check: Option<Instant>,
}

/// Invariant: unless `stalled`, what is out comes before what is not.
struct Line<D> {
    queue: VecDeque<Queued<D>>,
    out: usize,
    /// Something has to be repeated.
    stalled: bool,
    not_before: Option<Instant>,
    repeats: u32,
    /// How many may be out.
    window: usize,
}

struct Queued<D> {
    send: Send,
    done: D,
    deadline: Instant,
    /// The frame id, while it is out.
    id: Option<u64>,
    /// An attempt ended without a definite answer.
    maybe_stored: bool,
    /// The latest reason for a repeat.
    why: String,
}

/// A send that ended.
pub(crate) struct Ended<D> {
    pub(crate) done: D,
    pub(crate) outcome: Result<Ack, SendError>,
}

impl<D> Sends<D> {
    pub(crate) fn new() -> Sends<D> {
        Sends {
            chats: HashMap::new(),
            ready: VecDeque::new(),
            out: HashMap::new(),
            queued: 0,
            expiry_check: None,
        }
    }

    /// Everything not ended yet.
    pub(crate) fn queued(&self) -> usize {
        self.queued
    }

    /// Sent and not answered.
    pub(crate) fn out(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn is_out(&self, id: u64) -> bool {
        self.out.contains_key(&id)
    }

    pub(crate) fn push(&mut self, send: Send, done: D, deadline: Instant) {
        let chat = send.chat;
        let line = self.chats.entry(chat).or_insert_with(Line::new);
        // Marked by its maker: it was sent before, by whoever.
        let maybe_stored = send.retry;
        let why = "it was not sent".to_owned();
        line.queue.push_back(Queued { send, done, deadline, id: None, maybe_stored, why });
        self.queued += 1;
        self.ready.push_back(chat);
        self.expiry_check =
            Some(self.expiry_check.map_or(deadline, |earlier| earlier.min(deadline)));
    }

    /// What goes out now, as long as `fresh_id` gives ids.
    pub(crate) fn take_due(
        &mut self,
        now: Instant,
        mut fresh_id: impl FnMut() -> Option<u64>,
        mut emit: impl FnMut(u64, Send),
    ) {
        for _ in 0..self.ready.len() {
            let Some(chat) = self.ready.pop_front() else { return };
            let Some(line) = self.chats.get_mut(&chat) else { continue };
            if !line.may_send(now) {
                continue;
            }
            let first = line.out;
            for queued in line.queue.range_mut(first..) {
                if line.window <= line.out {
                    break;
                }
                let Some(id) = fresh_id() else {
                    self.ready.push_front(chat);
                    return;
                };
                queued.id = Some(id);
                line.out += 1;
                self.out.insert(id, chat);
                emit(id, queued.send.clone());
                // Whatever comes of this attempt, the next one is a repeat.
                queued.send.retry = true;
            }
        }
    }

    pub(crate) fn on_ack(&mut self, id: u64, ack: Ack) -> Option<Ended<D>> {
        let (chat, queued) = self.take_out(id)?;
        if let Some(line) = self.chats.get_mut(&chat) {
            line.repeats = 0;
            line.window = line.window.saturating_add(1);
        }
        self.settle(chat);
        Some(Ended { done: queued.done, outcome: Ok(ack) })
    }

    /// The ended send if the refusal is final; else it will be repeated.
    pub(crate) fn on_error(
        &mut self,
        id: u64,
        refused: Refused,
        now: Instant,
        random: f64,
    ) -> Option<Ended<D>> {
        if refused.retry == Retry::Never {
            let (chat, queued) = self.take_out(id)?;
            self.settle(chat);
            return Some(Ended { done: queued.done, outcome: Err(SendError::Refused(refused)) });
        }
        let chat = self.out.remove(&id)?;
        let line = self.chats.get_mut(&chat)?;
        line.out -= 1;
        if !line.stalled {
            line.stalled = true;
            line.window = 1;
            line.repeats = line.repeats.saturating_add(1);
        }
        let wait =
            refused.retry_after.unwrap_or_else(|| line.backoff()).mul_f64(1.0 + random / 4.0);
        line.not_before = line.not_before.max(Some(now + wait));
        let queued = line.queue.iter_mut().find(|queued| queued.id == Some(id))?;
        queued.id = None;
        queued.maybe_stored |= refused.retry == Retry::Same;
        queued.why = refused.to_string();
        self.settle(chat);
        None
    }

    /// Everything that is out may or may not be stored, and goes again on the next connection.
    pub(crate) fn on_disconnected(&mut self) {
        self.out.clear();
        self.ready.clear();
        for (chat, line) in &mut self.chats {
            for queued in &mut line.queue {
                if queued.id.take().is_some() {
                    queued.maybe_stored = true;
                    queued.why = "the connection was lost".to_owned();
                }
            }
            line.out = 0;
            line.stalled = false;
            line.not_before = None;
            self.ready.push_back(*chat);
        }
    }

    /// Ends what is past its deadline.
    pub(crate) fn expire(&mut self, now: Instant, mut ended: impl FnMut(Ended<D>)) {
        if self.expiry_check.is_none_or(|check| now < check) {
            return;
        }
        self.expiry_check = None;
        let mut emptied = Vec::new();
        for (chat, line) in &mut self.chats {
            let mut kept = VecDeque::with_capacity(line.queue.len());
            for queued in std::mem::take(&mut line.queue) {
                if now < queued.deadline {
                    let check = self.expiry_check.get_or_insert(queued.deadline);
                    *check = queued.deadline.min(*check);
                    kept.push_back(queued);
                    continue;
                }
                if let Some(id) = queued.id {
                    self.out.remove(&id);
                    line.out -= 1;
                }
                self.queued -= 1;
                ended(queued.given_up("no acknowledgement within the deadline: "));
            }
            line.queue = kept;
            emptied.push(*chat);
        }
        for chat in emptied {
            self.settle(chat);
        }
    }

    /// Ends everything, because the client stopped.
    pub(crate) fn end(&mut self, mut ended: impl FnMut(Ended<D>)) {
        for (_, line) in self.chats.drain() {
            for queued in line.queue {
                ended(queued.given_up("the client stopped: "));
            }
        }
        self.out.clear();
        self.queued = 0;
    }

    /// When `expire` has something to do.
    pub(crate) fn next_expiry(&self) -> Option<Instant> {
        self.expiry_check
    }

    /// When `wake` has something to do.
    pub(crate) fn next_repeat(&self) -> Option<Instant> {
        let waiting = self.chats.values().filter(|line| line.stalled && line.out == 0);
        waiting.filter_map(|line| line.not_before).min()
    }

    /// Lets `take_due` look again at chats whose delay has passed.
    pub(crate) fn wake(&mut self, now: Instant) {
        for (chat, line) in &mut self.chats {
            if line.stalled && line.may_send(now) {
                self.ready.push_back(*chat);
            }
        }
    }

    fn take_out(&mut self, id: u64) -> Option<(u64, Queued<D>)> {
        let chat = self.out.remove(&id)?;
        let line = self.chats.get_mut(&chat)?;
        // Answers mostly come in order: it is the first one.
        let index = line.queue.iter().position(|queued| queued.id == Some(id))?;
        line.out -= 1;
        self.queued -= 1;
        line.queue.remove(index).map(|queued| (chat, queued))
    }

    /// After something left a line: forgets it when it is empty, and else looks at it again.
    fn settle(&mut self, chat: u64) {
        let Some(line) = self.chats.get(&chat) else { return };
        if line.queue.is_empty() {
            self.chats.remove(&chat);
        } else if line.out < line.queue.len() {
            // There may be room for the next.
            self.ready.push_back(chat);
        }
    }
}

impl<D> Line<D> {
    fn new() -> Line<D> {
        Line {
            queue: VecDeque::new(),
            out: 0,
            stalled: false,
            not_before: None,
            repeats: 0,
            window: usize::MAX,
        }
    }

    fn may_send(&mut self, now: Instant) -> bool {
        if self.stalled && 0 < self.out {
            return false;
        }
        if self.not_before.is_some_and(|not_before| now < not_before) {
            return false;
        }
        self.stalled = false;
        self.not_before = None;
        true
    }

    fn backoff(&self) -> Duration {
        REPEAT_FIRST.saturating_mul(1 << self.repeats.saturating_sub(1).min(16)).min(REPEAT_MAX)
    }
}

impl<D> Queued<D> {
    fn given_up(self, what: &str) -> Ended<D> {
        let why = format!("{what}{}", self.why);
        // What is out when it is given up may have been stored, too.
        let maybe = self.maybe_stored || self.id.is_some();
        let error = if maybe { SendError::Unknown(why) } else { SendError::NotStored(why) };
        Ended { done: self.done, outcome: Err(error) }
    }
}

#[cfg(test)]
mod tests;
