//! The way of one call: its slot is checked, then it goes to its lane, to the readers, or is refused.

use super::{READS_MAX, Serving};
use crate::gate::Access;
use crate::lanes::lane_of;
use crate::lanes::queue::Job;
use crate::metrics::{READS, number};
use crate::refusals;
use crate::slots::Admission;
use shardline_domain::id::EntityId;
use shardline_wire::call::{Answer, Done};
use shardline_wire::internal::{Call, EntityRef, call};
use shardline_wire::refusal::Refusal;
use std::sync::Arc;

impl Serving {
    /// One call: to its lane, to the readers, or refused.
    pub(crate) fn submit(self: &Arc<Self>, call: Call, done: Done) {
        match kind(&call) {
            Kind::Write => self.submit_write(call, done),
            Kind::Cursors => match call.op {
                Some(call::Op::MergeCursors(merge)) => self.submit_cursors(merge, done),
                _ => done.finish(Err(Refusal::internal("a call without an operation"))),
            },
            Kind::Heads => {
                if let Some(answer) = self.heads_at_once(&call) {
                    done.finish(Ok(answer));
                } else {
                    self.submit_read(call, done);
                }
            }
            Kind::Read => self.submit_read(call, done),
        }
    }

    fn submit_write(self: &Arc<Self>, call: Call, done: Done) {
        match self.slots.admit(call.entity, call.epoch, Access::Write) {
            Admission::Granted => self.enqueue(call, done),
            Admission::Refused(refusal) => done.finish(Err(refusal)),
            Admission::Wait(slot) => {
                let serving = Arc::clone(self);
                let epoch = call.epoch;
                let resume = move |result| match result {
                    Ok(()) => serving.enqueue(call, done),
                    Err(refusal) => done.finish(Err(refusal)),
                };
                self.slots.wait(slot, epoch, Access::Write, Box::new(resume));
            }
            Admission::Slow(slot) => {
                let serving = Arc::clone(self);
                let epoch = call.epoch;
                let resume = move |result| match result {
                    Ok(()) => serving.enqueue(call, done),
                    Err(refusal) => done.finish(Err(refusal)),
                };
                self.slots.queue_slowed(slot, epoch, Box::new(resume));
            }
        }
    }

    fn enqueue(&self, call: Call, done: Done) {
        if let (Some(call::Op::EmitFact(_)), Ok(chat)) = (&call.op, EntityId::new(call.entity)) {
            // What stands in the chat's outbox and was forgotten goes out, too.
            self.outbox.look_into_chat(chat);
        }
        let queue = &self.queues[lane_of(call.entity, self.queues.len())];
        if let Err((job, error)) = queue.push(Job::Call { call, done }) {
            job.refuse(&error.refusal(), &self.outbox);
        }
    }

    /// Heads of cached chats cost no task.
    fn heads_at_once(&self, call: &Call) -> Option<Answer> {
        let Some(call::Op::GetHeads(get)) = &call.op else { return None };
        let granted = |one: &EntityRef| {
            matches!(self.slots.admit(one.entity, one.epoch, Access::Read), Admission::Granted)
        };
        if !self.fence.is_fresh() || !get.entities.iter().all(granted) {
            return None;
        }
        self.reader.heads_in_memory(&get.entities).map(Answer::Heads)
    }

    fn submit_read(self: &Arc<Self>, call: Call, done: Done) {
        let Some(permit) = self.permit() else {
            return done.finish(Err(refusals::overloaded()));
        };
        let serving = Arc::clone(self);
        self.tasks.run("read", async move {
            let outcome = match serving.admit_read(call).await {
                Ok(Call { entity, op: Some(call::Op::ExplainMessage(asked)), .. }) => {
                    serving.explain(entity, &asked).await.map(Answer::MessageExplained)
                }
                Ok(call) => serving.reader.read(call).await,
                Err(refusal) => Err(refusal),
            };
            done.finish(outcome);
            drop(permit);
        });
    }

    pub(super) fn permit(&self) -> Option<impl Send + 'static> {
        let permit = Arc::clone(&self.reads).try_acquire_owned().ok()?;
        let gauge = metrics::gauge!(READS);
        gauge.set(number((READS_MAX - self.reads.available_permits()) as u64));
        Some(permit)
    }

    /// The call, without the entities that may not be read here.
    async fn admit_read(&self, mut call: Call) -> Result<Call, Refusal> {
        let entities = match &mut call.op {
            Some(call::Op::GetHeads(get)) => &mut get.entities,
            Some(call::Op::GetItems(get)) => &mut get.entities,
            Some(call::Op::GetUsers(get)) => &mut get.entities,
            // Of every slot there is here; answers are filtered.
            Some(call::Op::SearchNames(_)) => return Ok(call),
            _ => {
                self.slots.admitted(call.entity, call.epoch, Access::Read).await?;
                return Ok(call);
            }
        };
        let mut admitted = Vec::with_capacity(entities.len());
        for one in entities.drain(..) {
            if self.slots.admitted(one.entity, one.epoch, Access::Read).await.is_ok() {
                admitted.push(one);
            }
        }
        *entities = admitted;
        Ok(call)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Write,
    Cursors,
    Heads,
    Read,
}

fn kind(call: &Call) -> Kind {
    match &call.op {
        Some(
            call::Op::Send(_)
            | call::Op::Edit(_)
            | call::Op::Delete(_)
            | call::Op::CreateChat(_)
            | call::Op::PatchChat(_)
            | call::Op::EndChat(_)
            | call::Op::AddMembers(_)
            | call::Op::SetRole(_)
            | call::Op::RemoveMember(_)
            | call::Op::CreateUser(_)
            | call::Op::PatchUser(_)
            | call::Op::CreateSession(_)
            | call::Op::RefreshSession(_)
            | call::Op::EndSession(_)
            | call::Op::ApplyFact(_)
            | call::Op::EmitFact(_)
            | call::Op::RemoveUser(_)
            | call::Op::ClaimName(_),
        ) => Kind::Write,
        Some(call::Op::MergeCursors(_)) => Kind::Cursors,
        Some(call::Op::GetHeads(_)) => Kind::Heads,
        _ => Kind::Read,
    }
}
