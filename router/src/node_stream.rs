//! What one conn-node may ask on its stream.

use crate::connections::{Connections, Stream};
use crate::interest::Interest;
use crate::requests::Requests;
use crate::routers::Routers;
use crate::signals::Signals;
use shardline_domain::id::ChatId;
use shardline_domain::slot::Slot;
use shardline_wire::call::{self, Answer, Done, NodeOp, Outcome};
use shardline_wire::internal::{self, Registered};
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
}

impl call::Router for NodeStream {
    fn submit(&self, op: NodeOp, done: Done) {
        match op {
            NodeOp::Call(call) => self.requests.submit(call, done),
            NodeOp::Interest(interest) => done.finish(self.follow(&interest)),
            NodeOp::Presence(presence) => {
                self.stream.set_complete(presence.complete);
                done.finish(registered());
            }
            NodeOp::Signal(signal) => {
                self.signals.put(signal);
                done.finish(registered());
            }
        }
    }

    fn is_connected(&self) -> bool {
        true
    }
}

impl NodeStream {
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

fn registered() -> Outcome {
    Ok(Answer::Registered(Registered {}))
}
