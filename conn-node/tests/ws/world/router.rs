//! The routers as a conn-node reaches them.

use super::{Stream, UsersShard, World};
use shardline_wire::call::{Answer, Done, NodeOp, NodeSink, Push, Router, RouterConnect};
use shardline_wire::internal::{self, RouterInfo, call::Op};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::HashSet;
use std::sync::Arc;

impl RouterConnect for World {
    fn open(
        &self,
        router: &RouterInfo,
        _hello: internal::NodeHello,
        sink: Arc<dyn NodeSink>,
    ) -> Arc<dyn Router> {
        // The configured address is the router's name here.
        let id = router.address.clone();
        let list = {
            let mut state = self.0.lock();
            let stream =
                Stream { router: id.clone(), sink: sink.clone(), interest: HashSet::new() };
            state.streams.push(stream);
            state.list()
        };
        sink.push(Push::Behind).expect("room");
        sink.push(Push::Routers(list)).expect("room");
        Arc::new(FakeRouter { world: self.clone(), id })
    }
}

struct FakeRouter {
    world: World,
    id: String,
}

impl FakeRouter {
    fn call(&self, call: internal::Call, done: Done) {
        let op = call.op.expect("an op");
        let (outcome, event, is_kept) = {
            let mut state = self.world.0.lock();
            *state.asked.entry(name_of(&op)).or_default() += 1;
            let is_send = matches!(op, Op::Send(_));
            if is_send && state.owner(call.entity) != Some(&self.id) {
                let refusal = Refusal::new(Code::WrongRouter, "another's");
                let refusal = Refusal { routers: Some(state.list()), ..refusal };
                drop(state);
                return done.finish(Err(refusal));
            }
            if is_about_user(&op) {
                let is_list = matches!(op, Op::GetList(_));
                match state.users_shard {
                    UsersShard::Up => {}
                    UsersShard::ListsHang if !is_list => {}
                    UsersShard::Down => {
                        drop(state);
                        return done.finish(Err(Refusal::try_again("nobody serves it", 200)));
                    }
                    UsersShard::Hangs | UsersShard::ListsHang => {
                        return state.hung.push(done);
                    }
                }
            }
            let (outcome, event) = state.answer(call.entity, op);
            (outcome, event, is_send && state.keeps_answers)
        };
        if is_kept {
            self.world.0.lock().kept.push((self.id.clone(), done, outcome));
        } else {
            done.finish(outcome);
        }
        if let Some(event) = event {
            self.world.push(event);
        }
    }
}

impl Router for FakeRouter {
    fn submit(&self, op: NodeOp, done: Done) {
        if !self.is_connected() {
            return done.finish(Err(Refusal::try_again("not connected", 10)));
        }
        match op {
            NodeOp::Call(call) => return self.call(call, done),
            NodeOp::Interest(interest) => {
                let mut state = self.world.0.lock();
                let streams = state.streams.iter_mut().filter(|stream| stream.router == self.id);
                for stream in streams {
                    stream.interest.extend(interest.add.iter().copied());
                    stream.interest.retain(|chat| !interest.remove.contains(chat));
                }
            }
            NodeOp::Presence(presence) => {
                self.world.0.lock().said.push((self.id.clone(), presence.complete));
            }
            NodeOp::Signal(signal) => {
                let own = {
                    let state = self.world.0.lock();
                    let mut streams = state.streams.iter();
                    let own = streams.find(|stream| stream.router == self.id);
                    own.map(|stream| stream.sink.clone())
                };
                if let Some(sink) = own {
                    sink.push(Push::Signals(vec![signal.clone()])).expect("room");
                }
            }
            NodeOp::Recalled(recalled) => self.world.0.lock().recalled.push(recalled.clone()),
        }
        done.finish(Ok(Answer::Registered(internal::Registered {})));
    }

    fn is_connected(&self) -> bool {
        self.world.0.lock().live.contains(&self.id)
    }
}

fn is_about_user(op: &Op) -> bool {
    matches!(op, Op::CheckSession(_) | Op::GetList(_) | Op::GetUsers(_))
}

fn name_of(op: &Op) -> &'static str {
    match op {
        Op::GetChanges(_) => "changes",
        Op::GetHeads(_) => "heads",
        Op::Send(_) => "send",
        Op::GetList(get) if get.chat.is_some() => "row",
        Op::GetList(_) => "list",
        _ => "other",
    }
}
