//! Cursors of many chats in one call: each lane merges those of its chats, the answers are joined.

use super::Serving;
use crate::gate::Access;
use crate::lanes::lane_of;
use crate::lanes::queue::{CursorsOutcome, Job};
use crate::refusals;
use crate::slots::Admission;
use parking_lot::Mutex;
use shardline_wire::call::{Answer, Done};
use shardline_wire::internal::{CursorMark, CursorsMerged, MergeCursors};
use shardline_wire::refusal::Refusal;
use std::collections::BTreeMap;
use std::sync::Arc;

impl Serving {
    /// Each lane merges the marks of its chats; what fails is missing from the joined answer.
    pub(super) fn submit_cursors(self: &Arc<Self>, merge: MergeCursors, done: Done) {
        let Some(permit) = self.permit() else {
            return done.finish(Err(refusals::overloaded()));
        };
        let granted = |mark: &CursorMark| {
            matches!(self.slots.admit(mark.chat, mark.epoch, Access::Write), Admission::Granted)
        };
        if merge.marks.iter().all(granted) {
            return self.enqueue_cursors(merge.marks, done);
        }
        let serving = Arc::clone(self);
        self.tasks.run("cursors", async move {
            let mut marks = merge.marks;
            let mut admitted = Vec::with_capacity(marks.len());
            for mark in marks.drain(..) {
                let slot = serving.slots.admitted(mark.chat, mark.epoch, Access::Write).await;
                if slot.is_ok() {
                    admitted.push(mark);
                }
            }
            serving.enqueue_cursors(admitted, done);
            drop(permit);
        });
    }

    fn enqueue_cursors(&self, marks: Vec<CursorMark>, done: Done) {
        let mut by_lane: BTreeMap<usize, Vec<CursorMark>> = BTreeMap::new();
        for mark in marks {
            by_lane.entry(lane_of(mark.chat, self.queues.len())).or_default().push(mark);
        }
        if by_lane.is_empty() {
            return done.finish(Ok(Answer::CursorsMerged(CursorsMerged::default())));
        }
        let join = Arc::new(Mutex::new(CursorJoin {
            left: by_lane.len(),
            marks: Vec::new(),
            refusal: None,
            done: Some(done),
        }));
        for (lane, marks) in by_lane {
            let join = Arc::clone(&join);
            let answer = Box::new(move |outcome| CursorJoin::part(&join, outcome));
            if let Err((job, error)) = self.queues[lane].push(Job::Cursors { marks, answer }) {
                job.refuse(&error.refusal(), &self.outbox);
            }
        }
    }
}

/// Answers of several lanes to one MergeCursors.
struct CursorJoin {
    left: usize,
    marks: Vec<CursorMark>,
    refusal: Option<Refusal>,
    done: Option<Done>,
}

impl CursorJoin {
    fn part(join: &Mutex<CursorJoin>, outcome: CursorsOutcome) {
        let mut join = join.lock();
        match outcome {
            Ok(marks) => join.marks.extend(marks),
            Err(refusal) => join.refusal = Some(refusal),
        }
        join.left -= 1;
        if 0 < join.left {
            return;
        }
        let marks = std::mem::take(&mut join.marks);
        let outcome = match join.refusal.take() {
            Some(refusal) if marks.is_empty() => Err(refusal),
            _ => Ok(Answer::CursorsMerged(CursorsMerged { marks })),
        };
        let done = join.done.take();
        drop(join);
        if let Some(done) = done {
            done.finish(outcome);
        }
    }
}
