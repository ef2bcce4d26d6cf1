//! A call until it is answered: where it goes, and what is done when its router is lost.

use super::Routers;
use super::calls::{goes_to_owner, is_read, is_repeatable};
use shardline_domain::limits::CALL_TIME_MAX;
use shardline_wire::call::{Done, NodeOp, Outcome};
use shardline_wire::internal::{Call, call::Op};
use shardline_wire::refusal::{Code, Refusal};
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// An answer that takes longer is asked for again, where that is safe: the router may be stuck.
const ATTEMPT_TIME_MAX: Duration = Duration::from_secs(3);
const PAUSE_FIRST: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);
/// How long a read is repeated where the chat is older than asked. A shard that does not know yet that
/// it gave the chat away stops answering within a second.
const BEHIND_TIME_MAX: Duration = Duration::from_millis(1_500);
/// When to ask again for what nobody answered.
const UNANSWERED_RETRY_MS: u64 = 1_000;

impl Routers {
    /// A call about one chat: to its owner. Of a lost router's, reads and repeatable writes go to the
    /// next one until `CALL_TIME_MAX`, sends with `retry`; what is left is `unknown`.
    pub(crate) async fn call(&self, call: Call) -> Outcome {
        self.call_until(call, Instant::now() + CALL_TIME_MAX).await
    }

    /// A call about users, names or several entities: any router will do. Repeated like `call`.
    pub(crate) async fn any(&self, call: Call) -> Outcome {
        self.call_until(Call { epoch: 0, ..call }, Instant::now() + CALL_TIME_MAX).await
    }

    pub(crate) async fn call_until(&self, mut call: Call, deadline: Instant) -> Outcome {
        let Some(op) = &call.op else {
            return Err(Refusal::internal("a call without an op"));
        };
        let (is_owners, is_repeatable) = (goes_to_owner(op), is_repeatable(op));
        let may_read_elsewhere = is_read(op);
        let mut changed = self.changed.subscribe();
        let mut pause = PAUSE_FIRST;
        let mut last = Refusal::try_again("no router is connected", 500);
        let mut may_be_done = false;
        let mut behind_until = None;
        loop {
            let link = if is_owners {
                let owner = self.connected_owner(call.entity);
                owner.or_else(|| may_read_elsewhere.then(|| self.any_connected(call.entity))?)
            } else {
                self.any_connected(call.entity)
            };
            if let Some(link) = link {
                let attempt_end = if is_repeatable {
                    deadline.min(Instant::now() + ATTEMPT_TIME_MAX)
                } else {
                    deadline
                };
                let (done, outcome) = Done::channel();
                link.submit(NodeOp::Call(call.clone()), done);
                let outcome = match timeout_at(attempt_end, outcome).await {
                    Ok(Ok(outcome)) => outcome,
                    Ok(Err(_)) => Err(Refusal::unknown("the router went away")),
                    Err(_) => Err(Refusal::unknown("no answer in time")),
                };
                let refusal = match outcome {
                    Ok(answer) => return Ok(answer),
                    Err(refusal) => refusal,
                };
                match refusal.code() {
                    Code::WrongRouter => {
                        let is_newer =
                            refusal.routers.as_ref().is_some_and(|list| self.take_list(list));
                        last = Refusal::try_again("routers are changing", 200);
                        if is_newer {
                            continue;
                        }
                    }
                    Code::Unknown if may_read_elsewhere => {
                        last = Refusal {
                            retry_after_ms: Some(UNANSWERED_RETRY_MS),
                            ..Refusal::new(Code::Unavailable, "no answer in time")
                        };
                    }
                    Code::Unknown if is_repeatable => {
                        may_be_done = true;
                        if let Some(Op::Send(send)) = &mut call.op {
                            send.retry = true;
                        }
                        last = refusal;
                    }
                    Code::TryAgain if !link.is_connected() => last = refusal,
                    // Its router has looked at the catalog since: soon it is the asker who is wrong.
                    Code::Behind if may_read_elsewhere => {
                        let until =
                            *behind_until.get_or_insert_with(|| Instant::now() + BEHIND_TIME_MAX);
                        if until <= Instant::now() {
                            return Err(refusal);
                        }
                        last = refusal;
                    }
                    Code::WrongEpoch | Code::Frozen if may_read_elsewhere => {
                        last = Refusal::try_again("the chat is moving", 200);
                    }
                    _ => return Err(refusal),
                }
            }
            let wake = (Instant::now() + pause).min(deadline);
            // Woken early by a new stream or list; dropping `changed()` loses nothing.
            drop(timeout_at(wake, changed.changed()).await);
            pause = (pause * 2).min(PAUSE_MAX);
            if deadline <= Instant::now() {
                return Err(if may_be_done { Refusal::unknown("no answer in time") } else { last });
            }
        }
    }
}
