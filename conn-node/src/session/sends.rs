//! The sends of one connection: each chat's chain, and the calls and answers it asks for.
//!
//! Calls are submitted by whoever has news, one at a time and in the chain's order; an outcome that
//! comes while another thread submits is taken up by that thread.

use super::Session;
use super::chain::{Chain, End, Ended, MsgId, Outcome, Submission};
use super::outgoing::{encode, error_frame};
use crate::metrics::{SENDS_ACKNOWLEDGED, SENDS_REFUSED};
use crate::node::Node;
use parking_lot::Mutex;
use shardline_domain::limits::IN_FLIGHT_PER_SESSION_MAX;
use shardline_wire::call::{Answer, Done, NodeOp, Outcome as CallOutcome};
use shardline_wire::client::{self, Ack, ServerFrame, server_frame::Frame};
use shardline_wire::internal::{self, Call, Sent, call::Op};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// A connection this young may repeat what an earlier one sent without saying so.
const YOUNG: Duration = Duration::from_secs(5);
/// Where a refusal says "later" without a delay.
const RETRY_AFTER: Duration = Duration::from_millis(200);

pub(super) struct Sends {
    node: Arc<Node>,
    session: Arc<Session>,
    begun: Instant,
    state: Mutex<State>,
    /// Something waits for a pause to end.
    pub(super) paused: Notify,
}

#[derive(Default)]
struct State {
    chains: HashMap<u64, Chain<Kept>>,
    /// Chats whose chain may have something to submit.
    due: VecDeque<u64>,
    is_submitting: bool,
    in_flight: usize,
}

/// What is kept of a send until it is answered.
struct Kept {
    id: Option<u64>,
    send: client::Send,
    name: Arc<str>,
}

impl Sends {
    pub(super) fn new(node: Arc<Node>, session: Arc<Session>) -> Arc<Sends> {
        Arc::new(Sends {
            node,
            session,
            begun: Instant::now(),
            state: Mutex::default(),
            paused: Notify::new(),
        })
    }

    /// Takes a send that was checked. Refused at once if it lies behind one that failed, or if too
    /// many are unanswered; otherwise the answer goes to the session's queue.
    pub(super) fn offer(
        self: &Arc<Self>,
        id: Option<u64>,
        msg_id: MsgId,
        send: client::Send,
    ) -> Result<(), Refusal> {
        let now = Instant::now();
        let (chat, retry) = (send.chat, send.retry || now < self.begun + YOUNG);
        {
            let mut state = self.state.lock();
            let is_full = IN_FLIGHT_PER_SESSION_MAX <= state.in_flight;
            let limited = match is_full {
                true => Some(100),
                false => self.node.rate_limits.check_send(self.session.user).err(),
            };
            let chain = state.chains.entry(chat).or_insert_with(Chain::new);
            if let Some(wait_ms) = limited {
                chain.close_gate(now, msg_id, Duration::from_millis(wait_ms));
                let message =
                    if is_full { "too many sends wait for an answer" } else { "too many sends" };
                let mut refusal = Refusal::new(Code::RateLimited, message);
                refusal.retry_after_ms = Some(wait_ms);
                return Err(refusal);
            }
            let kept = Kept { id, send, name: self.session.name() };
            if chain.offer(now, msg_id, retry, kept).is_err() {
                return Err(Refusal::try_again("an earlier send to this chat was not stored", 200));
            }
            state.in_flight += 1;
            state.due.push_back(chat);
        }
        self.submit_due();
        Ok(())
    }

    /// Whether nothing waits for an answer.
    pub(super) fn is_empty(&self) -> bool {
        self.state.lock().in_flight == 0
    }

    /// Gives up what took too long and goes on where a pause is over. When to call again, if anything
    /// waits.
    pub(super) fn on_time(self: &Arc<Self>) -> Option<Instant> {
        let now = Instant::now();
        let mut ended = Vec::new();
        {
            let mut state = self.state.lock();
            let State { chains, due, .. } = &mut *state;
            chains.retain(|chat, chain| {
                chain.expire(now, &mut ended);
                due.push_back(*chat);
                !chain.is_idle(now)
            });
            state.in_flight -= ended.len();
        }
        self.answer(ended);
        self.submit_due();
        self.state.lock().chains.values().filter_map(Chain::wake_at).min()
    }

    /// Submits what is due unless another thread is doing so: that one then takes it up.
    fn submit_due(self: &Arc<Self>) {
        let mut is_mine = false;
        loop {
            let (chat, submission, call) = {
                let mut state = self.state.lock();
                if state.is_submitting && !is_mine {
                    return;
                }
                let Some(next) = next_call(&mut state, self.session.user) else {
                    state.is_submitting = false;
                    return;
                };
                state.is_submitting = true;
                is_mine = true;
                next
            };
            let (number, attempt) = (submission.number, submission.attempt);
            let Some(link) = self.node.routers.connected_owner(chat) else {
                self.settle(chat, number, attempt, Outcome::NotSent);
                continue;
            };
            let this = self.clone();
            let done = Done::new(move |outcome| this.on_outcome(chat, number, attempt, outcome));
            link.submit(NodeOp::Call(call), done);
        }
    }

    /// Runs on the thread that brings the outcome.
    fn on_outcome(self: &Arc<Self>, chat: u64, number: u64, attempt: u32, outcome: CallOutcome) {
        let outcome = match outcome {
            Ok(Answer::Sent(sent)) => Outcome::Stored(sent),
            Ok(_) => Outcome::Never(Refusal::internal("a send got another call's answer")),
            Err(refusal) => match refusal.code() {
                Code::WrongRouter => {
                    if let Some(list) = &refusal.routers {
                        self.node.routers.take_list(list);
                    }
                    Outcome::Moved
                }
                Code::Unknown => Outcome::Unknown,
                Code::WrongEpoch | Code::Frozen | Code::Behind => Outcome::Moved,
                Code::TryAgain | Code::RateLimited | Code::Unavailable => {
                    let after = refusal.retry_after_ms.map_or(RETRY_AFTER, Duration::from_millis);
                    Outcome::Later(refusal, after)
                }
                _ => Outcome::Never(refusal),
            },
        };
        self.settle(chat, number, attempt, outcome);
        self.submit_due();
    }

    fn settle(&self, chat: u64, number: u64, attempt: u32, outcome: Outcome<Sent, Refusal>) {
        let mut ended = Vec::new();
        {
            let now = Instant::now();
            let mut state = self.state.lock();
            let Some(chain) = state.chains.get_mut(&chat) else { return };
            chain.on_outcome(now, number, attempt, outcome, &mut ended);
            let is_paused = chain.is_paused(now);
            if chain.is_idle(now) {
                state.chains.remove(&chat);
            } else if is_paused {
                self.paused.notify_one();
            } else {
                state.due.push_back(chat);
            }
            state.in_flight -= ended.len();
        }
        self.answer(ended);
    }

    fn answer(&self, ended: Vec<Ended<Kept, Sent, Refusal>>) {
        for Ended { kept: Kept { id, send, .. }, end } in ended {
            let frame = match end {
                End::Stored(sent) => {
                    // Sending is reading.
                    self.node.hub.note_read(self.session.user, send.chat, sent.seq);
                    let duplicate = if sent.duplicate { "true" } else { "false" };
                    metrics::counter!(SENDS_ACKNOWLEDGED, "duplicate" => duplicate).increment(1);
                    ServerFrame { id, frame: Some(Frame::Ack(ack(send, &sent))) }
                }
                End::Refused(refusal) => refused(id, &refusal),
                End::Later => {
                    let message = "an earlier send to this chat was not stored";
                    refused(id, &Refusal::try_again(message, 200))
                }
                End::Same => {
                    let mut refusal = Refusal::unknown("not known whether it was stored");
                    refusal.retry_after_ms = Some(200);
                    refused(id, &refusal)
                }
            };
            self.session.queue.push(encode(&frame, self.session.queue.encoding()));
        }
    }
}

fn refused(id: Option<u64>, refusal: &Refusal) -> ServerFrame {
    let code = shardline_wire::codes::to_client(refusal.code());
    metrics::counter!(SENDS_REFUSED, "retry" => code.retry().name()).increment(1);
    error_frame(id, refusal)
}

fn next_call(state: &mut State, sender: u64) -> Option<(u64, Submission, Call)> {
    let now = Instant::now();
    while let Some(chat) = state.due.front().copied() {
        if let Some((submission, kept)) =
            state.chains.get_mut(&chat).and_then(|chain| chain.next(now))
        {
            let call = call(chat, sender, kept, &submission);
            return Some((chat, submission, call));
        }
        state.due.pop_front();
    }
    None
}

fn call(chat: u64, sender: u64, kept: &Kept, submission: &Submission) -> Call {
    let send = internal::Send {
        sender,
        sender_name: kept.name.to_string(),
        client_msg_id: kept.send.client_msg_id.clone(),
        body: kept.send.body.clone(),
        reply_to: kept.send.reply_to,
        retry: submission.retry,
        predecessor: submission.predecessor.map(|id| id.to_vec()).unwrap_or_default(),
    };
    Call { entity: chat, epoch: 0, op: Some(Op::Send(send)) }
}

fn ack(send: client::Send, sent: &Sent) -> Ack {
    Ack {
        chat: Some(send.chat),
        client_msg_id: send.client_msg_id,
        seq: Some(sent.seq),
        ver: Some(sent.ver),
        log: Some(sent.log.to_string()),
        sent_at_ms: Some(sent.sent_at_ms),
        duplicate: Some(sent.duplicate),
        ..Ack::default()
    }
}
