//! Calls that wait for an answer, other than sends. Pure: time comes in.
//!
//! A call that can be repeated without harm is repeated after "later", "same" or a lost connection
//! until its deadline; an edit or delete only when it certainly did nothing.

use crate::error::{CallError, Refused};
use crate::frames::client_frame::Call;
use crate::frames::server_frame::Frame;
use shardline_domain::error::Retry;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;
use tokio::time::Instant;

const REPEAT_DELAY: Duration = Duration::from_millis(250);

/// `D` is whoever waits for the outcome.
pub(crate) struct Requests<D> {
    out: HashMap<u64, Request<D>>,
    waiting: VecDeque<Request<D>>,
}

struct Request<D> {
    call: Call,
    done: D,
    deadline: Instant,
    not_before: Instant,
}

pub(crate) struct Answer<D> {
    pub(crate) done: D,
    pub(crate) outcome: Result<Frame, CallError>,
}

fn repeatable(call: &Call) -> bool {
    !matches!(call, Call::Edit(_) | Call::Delete(_) | Call::React(_) | Call::Send(_))
}

impl<D> Requests<D> {
    pub(crate) fn new() -> Requests<D> {
        Requests { out: HashMap::new(), waiting: VecDeque::new() }
    }

    /// Sent and not answered.
    pub(crate) fn out(&self) -> usize {
        self.out.len()
    }

    pub(crate) fn pending(&self) -> usize {
        self.out.len() + self.waiting.len()
    }

    pub(crate) fn push(&mut self, call: Call, done: D, now: Instant, deadline: Instant) {
        self.waiting.push_back(Request { call, done, deadline, not_before: now });
    }

    pub(crate) fn take_due(
        &mut self,
        now: Instant,
        mut fresh_id: impl FnMut() -> Option<u64>,
        mut emit: impl FnMut(u64, Call),
    ) {
        for _ in 0..self.waiting.len() {
            let Some(request) = self.waiting.pop_front() else { return };
            if now < request.not_before {
                self.waiting.push_back(request);
                continue;
            }
            let Some(id) = fresh_id() else {
                self.waiting.push_front(request);
                return;
            };
            emit(id, request.call.clone());
            self.out.insert(id, request);
        }
    }

    /// None if nobody waits for this id, or it will be repeated.
    pub(crate) fn on_frame(&mut self, id: u64, frame: Frame, now: Instant) -> Option<Answer<D>> {
        let mut request = self.out.remove(&id)?;
        let refused = match frame {
            Frame::Error(error) => Refused::from(error),
            frame => return Some(Answer { done: request.done, outcome: Ok(frame) }),
        };
        let again = match refused.retry {
            Retry::Never => false,
            Retry::Later => true,
            Retry::Same => repeatable(&request.call),
        };
        if !again {
            let outcome = Err(CallError::Refused(refused));
            return Some(Answer { done: request.done, outcome });
        }
        request.not_before = now + refused.retry_after.unwrap_or(REPEAT_DELAY);
        self.waiting.push_back(request);
        None
    }

    /// What can be repeated, and whose asker still wants it, will be; the rest ends.
    pub(crate) fn on_disconnected(
        &mut self,
        wanted: impl Fn(&D) -> bool,
        mut ended: impl FnMut(Answer<D>),
    ) {
        let mut out: Vec<(u64, Request<D>)> = self.out.drain().collect();
        out.sort_unstable_by_key(|(id, _)| std::cmp::Reverse(*id));
        for (_, request) in out {
            if repeatable(&request.call) && wanted(&request.done) {
                self.waiting.push_front(request);
            } else {
                ended(Answer { done: request.done, outcome: Err(CallError::NoAnswer) });
            }
        }
    }

    pub(crate) fn expire(&mut self, now: Instant, mut ended: impl FnMut(Answer<D>)) {
        let late: Vec<u64> = self
            .out
            .iter()
            .filter(|(_, request)| request.deadline <= now)
            .map(|(id, _)| *id)
            .collect();
        for request in late.into_iter().filter_map(|id| self.out.remove(&id)) {
            ended(Answer { done: request.done, outcome: Err(CallError::NoAnswer) });
        }
        for _ in 0..self.waiting.len() {
            let Some(request) = self.waiting.pop_front() else { return };
            if request.deadline <= now {
                ended(Answer { done: request.done, outcome: Err(CallError::NoAnswer) });
            } else {
                self.waiting.push_back(request);
            }
        }
    }

    pub(crate) fn end(&mut self, error: &CallError, mut ended: impl FnMut(Answer<D>)) {
        let out = self.out.drain().map(|(_, request)| request);
        for request in out.chain(self.waiting.drain(..)) {
            ended(Answer { done: request.done, outcome: Err(error.clone()) });
        }
    }

    /// When `take_due` or `expire` has something to do without anything having come.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Instant> {
        let deadlines = self.out.values().map(|request| request.deadline);
        // What waits for room and not for time is looked at when something comes.
        let waiting = self.waiting.iter().map(|request| {
            if now < request.not_before {
                request.not_before.min(request.deadline)
            } else {
                request.deadline
            }
        });
        deadlines.chain(waiting).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frames::{Delete, Error, Ping, Pong, Read};

    fn error(retry: &str) -> Frame {
        Frame::Error(Error { retry: retry.to_owned(), ..Error::default() })
    }

    /// Pushes a call, sends it, and answers the number of times it goes out again after `happens`.
    fn again(
        call: Call,
        happens: impl FnOnce(&mut Requests<u8>, Instant) -> bool,
    ) -> (usize, bool) {
        let (mut requests, now) = (Requests::new(), Instant::now());
        requests.push(call, 1, now, now + Duration::from_secs(9));
        requests.take_due(now, || Some(5), |id, _| assert_eq!(id, 5));
        let ended = happens(&mut requests, now);
        let mut emitted = 0;
        requests.take_due(now + REPEAT_DELAY, || Some(6), |_, _| emitted += 1);
        (emitted, ended)
    }

    #[test]
    fn only_what_does_no_harm_is_repeated_when_the_outcome_is_not_known() {
        let lost = |requests: &mut Requests<u8>, _| {
            let mut ended = false;
            requests.on_disconnected(|_| true, |_| ended = true);
            ended
        };
        assert_eq!(again(Call::Read(Read::default()), lost), (1, false));
        assert_eq!(again(Call::Delete(Delete::default()), lost), (0, true));
        let same =
            |requests: &mut Requests<u8>, now| requests.on_frame(5, error("same"), now).is_some();
        assert_eq!(again(Call::Read(Read::default()), same), (1, false));
        assert_eq!(again(Call::Delete(Delete::default()), same), (0, true));
    }

    #[test]
    fn nothing_stored_is_repeated_and_never_is_not() {
        for call in [Call::Ping(Ping {}), Call::Delete(Delete::default())] {
            let later = |requests: &mut Requests<u8>, now| {
                requests.on_frame(5, error("later"), now).is_some()
            };
            assert_eq!(again(call.clone(), later), (1, false));
            let never = |requests: &mut Requests<u8>, now| {
                requests.on_frame(5, error("never"), now).is_some()
            };
            assert_eq!(again(call, never), (0, true));
        }
    }

    #[test]
    fn an_answer_goes_to_who_asked_and_only_once() {
        let (mut requests, now) = (Requests::new(), Instant::now());
        requests.push(Call::Ping(Ping {}), 7, now, now + Duration::from_secs(9));
        assert!(requests.on_frame(1, Frame::Pong(Pong {}), now).is_none());
        requests.take_due(now, || Some(1), |_, _| {});
        let answer = requests.on_frame(1, Frame::Pong(Pong {}), now).expect("an answer");
        assert_eq!((answer.done, answer.outcome), (7, Ok(Frame::Pong(Pong {}))));
        assert_eq!((requests.pending(), requests.next_due(now)), (0, None));
    }

    #[test]
    fn nobody_waits_beyond_the_deadline() {
        let (mut requests, now) = (Requests::new(), Instant::now());
        for number in [1, 2] {
            requests.push(Call::Ping(Ping {}), number, now, now + Duration::from_secs(number));
        }
        let mut ids = [10].into_iter();
        requests.take_due(now, || ids.next(), |_, _| {});
        let mut ended = Vec::new();
        for second in [1, 2] {
            let then = now + Duration::from_secs(second);
            assert_eq!(requests.next_due(now), Some(then));
            requests.expire(then, |answer| ended.push(answer.done));
        }
        assert_eq!((ended, requests.pending()), (vec![1, 2], 0));
    }
}
