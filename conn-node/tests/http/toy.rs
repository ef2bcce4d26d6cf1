//! The rest of the system, as small as it can be: one router that keeps users, names and chats in
//! memory and answers like the shards do, by the same rules. What it does not know it refuses.

mod chats;
mod users;

use parking_lot::Mutex;
use prost::Message as _;
use shardline_wire::call::{Answer, Done, NodeOp, NodeSink, Outcome, Push, Router, RouterConnect};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    Call, Event, EventKind, NodeHello, Registered, RouterInfo, RouterList, SessionEnded,
};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) const ADDRESS: &str = "toy:1";

#[derive(Default)]
pub(crate) struct Toy {
    state: Mutex<State>,
    sinks: Mutex<Vec<Arc<dyn NodeSink>>>,
    faults: Mutex<Faults>,
    /// Nodes are not told of what happens.
    is_silent: AtomicBool,
}

#[derive(Default)]
struct State {
    users: HashMap<u64, users::Account>,
    names: HashMap<u64, (String, u64)>,
    chats: HashMap<u64, chats::Chat>,
    clock_ms: i64,
    /// Names whose shards are too late for a search.
    not_searched: HashSet<String>,
}

/// What goes wrong on purpose.
#[derive(Default)]
struct Faults {
    /// Entities whose shard does not answer.
    down: HashSet<u64>,
    /// The next call for which the picker says so is refused, after being carried out or not.
    once: Vec<Fault>,
}

struct Fault {
    picks: fn(&Op) -> bool,
    refusal: Refusal,
    is_carried_out: bool,
}

impl Toy {
    pub(crate) fn new() -> Arc<Toy> {
        Arc::default()
    }

    /// From now on nodes are not told of what happens.
    pub(crate) fn fall_silent(&self) {
        self.is_silent.store(true, Ordering::Relaxed);
    }

    /// From now on the shard of this entity does not answer.
    pub(crate) fn take_down(&self, entity: u64) {
        self.faults.lock().down.insert(entity);
    }

    pub(crate) fn bring_back(&self, entity: u64) {
        self.faults.lock().down.remove(&entity);
    }

    /// The next call that `picks` is refused; carried out, if the refusal says it may have been.
    pub(crate) fn refuse_once(&self, picks: fn(&Op) -> bool, refusal: Refusal) {
        let is_carried_out = refusal.code() == Code::Unknown;
        self.faults.lock().once.push(Fault { picks, refusal, is_carried_out });
    }

    /// How far the chat's shard knows this member to have read.
    pub(crate) fn stored_read_seq(&self, chat: u64, user: u64) -> Option<u64> {
        let state = self.state.lock();
        state.chats.get(&chat)?.member(user).ok().map(|member| member.read_seq)
    }

    /// From now on searches are answered without this name's shard.
    pub(crate) fn leave_out_of_searches(&self, name: &str) {
        self.state.lock().not_searched.insert(name.to_owned());
    }

    /// Makes this id another chat's, so that whoever wants it must take the next.
    pub(crate) fn occupy_chat_id(&self, chat: u64) {
        self.state.lock().chats.insert(chat, chats::Chat::of_nobody(chat));
    }

    /// Makes this id another name's.
    pub(crate) fn occupy_name_id(&self, name: u64) {
        self.state.lock().names.insert(name, ("somebody-elses".to_owned(), 1));
    }

    fn answer(&self, call: Call) -> Outcome {
        let op = call.op.ok_or_else(|| Refusal::internal("a call without an op"))?;
        let fault = {
            let mut faults = self.faults.lock();
            if faults.down.contains(&call.entity) {
                return Err(Refusal::try_again("the shard does not answer", 300));
            }
            let at = faults.once.iter().position(|fault| (fault.picks)(&op));
            at.map(|at| faults.once.remove(at))
        };
        match fault {
            Some(fault) if !fault.is_carried_out => Err(fault.refusal),
            Some(fault) => {
                drop(self.carry_out(call.entity, op));
                Err(fault.refusal)
            }
            None => self.carry_out(call.entity, op),
        }
    }

    fn carry_out(&self, entity: u64, op: Op) -> Outcome {
        let is_up = |entity: u64| !self.faults.lock().down.contains(&entity);
        let mut state = self.state.lock();
        state.clock_ms += 1;
        let state = &mut *state;
        match op {
            Op::CreateUser(_)
            | Op::GetUsers(_)
            | Op::GetCredentials(_)
            | Op::PatchUser(_)
            | Op::CreateSession(_)
            | Op::RefreshSession(_)
            | Op::CheckSession(_)
            | Op::GetList(_)
            | Op::ClaimName(_)
            | Op::LookupName(_)
            | Op::SearchNames(_) => users::answer(state, entity, op, is_up),
            Op::EndSession(end) => {
                let outcome = users::end_session(state, entity, end.session);
                self.tell_session_ended(entity, end.session);
                outcome
            }
            op => chats::answer(state, entity, op, is_up),
        }
    }

    fn tell_session_ended(&self, user: u64, session: u64) {
        let ended = SessionEnded { session, reason: "revoked".to_owned() };
        let event = Event {
            entity: user,
            ver: 1,
            kind: EventKind::SessionEnded.into(),
            payload: ended.encode_to_vec().into(),
            receivers: vec![user],
            ..Event::default()
        };
        if self.is_silent.load(Ordering::Relaxed) {
            return;
        }
        for sink in self.sinks.lock().iter() {
            let _ = sink.push(Push::Events(vec![event.clone()]));
        }
    }
}

/// The way to it.
pub(crate) struct ToyConnect(pub(crate) Arc<Toy>);

impl RouterConnect for ToyConnect {
    fn open(&self, _: &RouterInfo, _: NodeHello, sink: Arc<dyn NodeSink>) -> Arc<dyn Router> {
        let _ = sink.push(Push::Behind);
        let _ = sink.push(Push::Routers(RouterList {
            number: 1,
            routers: vec![RouterInfo { id: "toy".to_owned(), address: ADDRESS.to_owned() }],
            partitions: 64,
        }));
        self.0.sinks.lock().push(sink);
        Arc::new(ToyRouter(self.0.clone()))
    }
}

struct ToyRouter(Arc<Toy>);

impl Router for ToyRouter {
    fn submit(&self, op: NodeOp, done: Done) {
        match op {
            NodeOp::Call(call) => done.finish(self.0.answer(call)),
            NodeOp::Interest(_) | NodeOp::Presence(_) => {
                done.finish(Ok(Answer::Registered(Registered {})));
            }
            NodeOp::Signal(_) | NodeOp::Recalled(_) => {}
        }
    }

    fn is_connected(&self) -> bool {
        true
    }
}

fn refusal(code: Code, message: &str) -> Refusal {
    Refusal::new(code, message)
}
