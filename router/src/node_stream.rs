//! What one conn-node may ask on its stream.

use crate::connections::{Connections, Stream};
use crate::interest::Interest;
use crate::recalls::Recalls;
use crate::requests::Requests;
use crate::routers::Routers;
use crate::signals::Signals;
use prost::Message as _;
use shardline_daemon::clock;
use shardline_domain::id::ChatId;
use shardline_domain::slot::Slot;
use shardline_wire::call::{self, Answer, Done, NodeOp, Outcome, Push};
use shardline_wire::internal::{self, Event, EventKind, Registered, SessionEnded, call::Op};
use shardline_wire::refusal::{Code, Refusal};
use std::sync::Arc;

/// One stream of one conn-node; it ends when this is dropped.
pub(crate) struct NodeStream {
    pub(crate) stream: Arc<Stream>,
    pub(crate) requests: Arc<Requests>,
    pub(crate) routers: Arc<Routers>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) interest: Arc<Interest>,
    pub(crate) signals: Signals,
    pub(crate) recalls: Arc<Recalls>,
}

impl call::Router for NodeStream {
    fn submit(&self, op: NodeOp, done: Done) {
        match op {
            NodeOp::Call(call) => {
                let done = match &call.op {
                    Some(Op::EndSession(end)) => self.tell_all(call.entity, end.session, done),
                    _ => done,
                };
                self.requests.submit(call, done);
            }
            NodeOp::Interest(interest) => done.finish(self.follow(&interest)),
            NodeOp::Presence(presence) => {
                self.stream.set_complete(presence.complete);
                done.finish(registered());
            }
            NodeOp::Signal(signal) => {
                self.signals.put(signal);
                done.finish(registered());
            }
            NodeOp::Recalled(recalled) => {
                self.recalls.answered(&self.stream.node, recalled);
                done.finish(registered());
            }
        }
    }

    fn is_connected(&self) -> bool {
        true
    }
}

impl NodeStream {
    /// An ended session is told to all conn-nodes at once: the event that follows on the bus may be
    /// late, and the session's token is good until then.
    fn tell_all(&self, user: u64, session: u64, done: Done) -> Done {
        let connections = self.connections.clone();
        Done::new(move |outcome| {
            if outcome.is_ok() {
                let event = session_ended(user, session);
                for stream in connections.load().iter() {
                    connections.push(stream, Push::Events(vec![event.clone()]));
                }
            }
            done.finish(outcome);
        })
    }

    /// Answered once registered: whatever is committed after a read that starts then is pushed. All
    /// chats to follow, or none.
    fn follow(&self, interest: &internal::Interest) -> Outcome {
        for chat in &interest.remove {
            self.interest.unfollow(self.stream.number, *chat);
        }
        for chat in &interest.add {
            let Ok(id) = ChatId::new(*chat) else {
                return Err(Refusal::of_field(Code::BadRequest, "add", "no chat has this id"));
            };
            if !self.routers.owns(Slot::of(id)) {
                return Err(self.requests.wrong_router());
            }
        }
        for chat in &interest.add {
            if let Err(full) = self.interest.follow(self.stream.number, *chat) {
                return Err(Refusal::try_again(full.to_string(), 1_000));
            }
        }
        registered()
    }
}

impl Drop for NodeStream {
    fn drop(&mut self) {
        self.connections.remove(&self.stream);
        self.interest.forget_stream(self.stream.number);
    }
}

/// Without a ver: it is not the entry in the user's history, which comes by the bus.
fn session_ended(user: u64, session: u64) -> Event {
    let ended = SessionEnded { session, reason: "revoked".to_owned() };
    Event {
        entity: user,
        kind: EventKind::SessionEnded.into(),
        receivers: vec![user],
        payload: ended.encode_to_vec().into(),
        committed_at_ms: clock::now_ms(),
        ..Event::default()
    }
}

fn registered() -> Outcome {
    Ok(Answer::Registered(Registered {}))
}
