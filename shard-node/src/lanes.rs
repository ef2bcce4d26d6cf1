//! Lanes: one commit at a time each. A lane takes what gathered during its previous commit, decides
//! each call against memory, and commits all of it in one transaction; only then anyone sees or hears
//! of it. Slot to lane is fixed, so a chat's calls are decided in the order they came.
//!
//! A commit whose outcome is not known stops the lane until the database was asked: nothing is
//! guessed, nothing retried from memory.

mod commit;
mod load;
mod publish;
pub(crate) mod queue;
mod rebuild;
pub(crate) mod recent;
pub(crate) mod remembered;
pub(crate) mod senders;
pub(crate) mod staging;

pub(crate) use rebuild::rebuild_senders;

use crate::fence::Fence;
use crate::gate::{Access, Gate, Verdict as Admitted};
use crate::memory::Memory;
use crate::metrics::{LaneMetrics, number};
use crate::mover::tracker::Tracker;
use crate::outbox::Outbox;
use crate::pressure::Pressure;
use crate::refusals;
use crate::relay::queue::RelayQueue;
use crate::write::cursor::merge_marks;
use crate::write::{Decided, LookedUp, Verdict, decide};
use commit::Stored;
use load::{Needs, load};
use parking_lot::RwLock;
use queue::{Job, Queue, Taken};
use recent::Recent;
use remembered::Remembered;
use shardline_daemon::clock;
use shardline_daemon::sabotage::is_planted;
use shardline_domain::id::EntityId;
use shardline_domain::limits::{BATCH_BYTES_MAX, BATCH_SENDS_MAX};
use shardline_domain::slot::{Epoch, Partitions, Slot};
use shardline_wire::internal::CursorMark;
use shardline_wire::refusal::Refusal;
use staging::Staging;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

/// Sends a lane remembers: some seconds of retries and predecessors.
const RECENT_SENDS: usize = 32_768;
/// How often a batch is decided again because memory was wrong.
const DECISIONS: u32 = 4;
/// How often an idle lane looks whether senders' cursors are due.
const IDLE_LOOK: Duration = Duration::from_secs(1);

pub(crate) struct Lane {
    number: u16,
    memory: Arc<Memory>,
    queue: Arc<Queue>,
    relay: Arc<RelayQueue>,
    outbox: Arc<Outbox>,
    fence: Arc<Fence>,
    gate: Arc<RwLock<Gate>>,
    tracker: Arc<Tracker>,
    pressure: Arc<Pressure>,
    partitions: Partitions,
    metrics: LaneMetrics,
    /// Also of slots that went and came back: a first answer never changes.
    recent: Recent,
    remembered: Arc<Remembered>,
    /// Since when the present batch's first call waited; a wall clock.
    queued_ms: i64,
    /// Of the last commit, in the journal.
    position: u64,
}

/// What a lane is made of, from outside.
pub(crate) struct Parts {
    pub(crate) number: u16,
    pub(crate) memory: Arc<Memory>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) relay: Arc<RelayQueue>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) fence: Arc<Fence>,
    pub(crate) gate: Arc<RwLock<Gate>>,
    pub(crate) tracker: Arc<Tracker>,
    pub(crate) pressure: Arc<Pressure>,
    pub(crate) remembered: Arc<Remembered>,
    pub(crate) partitions: Partitions,
    pub(crate) position: u64,
}

/// What a job gets once the batch is stored.
#[expect(clippy::large_enum_variant, reason = "nearly all are calls")]
enum JobVerdict {
    Call(Decided),
    Cursors(Vec<CursorMark>),
    Delivered,
    Drained,
}

impl Lane {
    pub(crate) fn new(parts: Parts) -> Lane {
        let Parts {
            number,
            memory,
            queue,
            relay,
            outbox,
            fence,
            gate,
            tracker,
            pressure,
            remembered,
            partitions,
            position,
        } = parts;
        Lane {
            number,
            memory,
            queue,
            relay,
            outbox,
            fence,
            gate,
            tracker,
            pressure,
            partitions,
            metrics: LaneMetrics::new(number),
            recent: Recent::new(RECENT_SENDS),
            remembered,
            queued_ms: 0,
            position,
        }
    }

    /// Until `stop`, and then until the queue is empty; or until another process writes.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while !self.fence.lost().is_cancelled() {
            let Taken { jobs, since_ms } = self.queue.take(BATCH_SENDS_MAX, BATCH_BYTES_MAX);
            self.queued_ms = since_ms;
            if !jobs.is_empty() || self.memory.senders.due(self.fence.now()) {
                self.metrics.queue.set(number(self.queue.len() as u64));
                self.process(jobs, &stop).await;
                continue;
            }
            if stop.is_cancelled() {
                break;
            }
            // A wake-up is kept when its branch is dropped.
            tokio::select! {
                () = self.queue.wait() => {}
                () = stop.cancelled() => {}
                () = self.fence.lost().cancelled() => {}
                () = tokio::time::sleep(IDLE_LOOK), if !self.memory.senders.is_empty() => {}
            }
        }
        for job in self.queue.close() {
            job.refuse(&refusals::not_writer(), &self.outbox);
        }
    }

    /// Stores a batch. One that the database refuses is taken apart, so that a bad call falls alone.
    async fn process(&mut self, jobs: Vec<Job>, stop: &CancellationToken) {
        let mut batches = vec![jobs];
        while let Some(mut jobs) = batches.pop() {
            if !matches!(self.store_batch(&mut jobs, stop).await, Outcome::Refused) {
                continue;
            }
            if jobs.len() <= 1 {
                tracing::error!(lane = self.number, "the database refuses a call by itself");
                let refusal = Refusal::internal("the shard cannot store this");
                jobs.into_iter().for_each(|job| job.refuse(&refusal, &self.outbox));
                // Without a call there are only cursors, which come again.
                tokio::time::sleep(IDLE_LOOK).await;
                continue;
            }
            let rest = jobs.split_off(jobs.len() / 2);
            batches.push(rest);
            batches.push(jobs);
        }
    }

    /// Decides, commits, and answers; afterwards `jobs` is empty, unless the batch was refused.
    async fn store_batch(&mut self, jobs: &mut Vec<Job>, stop: &CancellationToken) -> Outcome {
        self.turn_away(jobs);
        for slot in drained(jobs) {
            self.memory.senders.hasten(&slot.ids());
        }
        let mut all_sends = false;
        for _ in 0..DECISIONS {
            let needs = Needs::of(jobs, &self.recent, all_sends);
            let (mut staging, looked_up) =
                load(needs, &self.memory, &self.recent, clock::now_ms()).await;
            let mut verdicts = decide_all(&mut staging, &looked_up, jobs);
            let senders = self.memory.senders.take(self.position, self.fence.now());
            if staging.is_empty() && senders.is_empty() {
                self.answer_from_memory(std::mem::take(jobs), verdicts).await;
                return Outcome::Ended;
            }
            let sealed = staging.seal(self.position + 1, rand::random::<u64>() >> 1, &senders);
            if is_planted("acknowledges-before-the-commit") {
                self.answer(std::mem::take(jobs), std::mem::take(&mut verdicts));
            }
            match self.commit(&sealed, jobs, stop).await {
                Stored::Yes => {
                    let facts = self.publish(sealed, &senders);
                    self.answer(std::mem::take(jobs), verdicts);
                    // After the answers that wait for them were left there.
                    self.outbox.push(facts);
                    return Outcome::Ended;
                }
                Stored::DecideAgain { duplicates } => all_sends |= duplicates,
                Stored::Refused => {
                    return match self.fence.look().await {
                        Ok(()) => Outcome::Refused,
                        Err(refusal) => {
                            self.wait_for_database(std::mem::take(jobs), &refusal, stop).await;
                            Outcome::Ended
                        }
                    };
                }
                Stored::Lost(refusal) => {
                    self.refuse_all(std::mem::take(jobs), &refusal);
                    return Outcome::Ended;
                }
            }
        }
        tracing::error!(lane = self.number, "memory and database do not come together");
        Outcome::Refused
    }

    /// Writes into slots whose gate was closed, or that went, since they were queued. From here until
    /// the batch is stored or refused, nothing of them comes into it: a later `Drain` waits for that.
    fn turn_away(&self, jobs: &mut Vec<Job>) {
        let gate = self.gate.read();
        let now = self.fence.now();
        let is_open = |entity| EntityId::new(entity).is_ok_and(|id| gate.is_open(Slot::of(id)));
        let refused = |job: &Job| match job {
            Job::Call { call, .. } => EntityId::new(call.entity).ok().and_then(|id| {
                let verdict = gate.check(Slot::of(id), Epoch(call.epoch), Access::Write, now);
                (verdict != Admitted::Serve).then(|| refusals::gate(verdict))
            }),
            _ => None,
        };
        for job in &mut *jobs {
            match job {
                Job::Cursors { marks, .. } => marks.retain(|mark| is_open(mark.chat)),
                Job::Delivered(keys) => keys.retain(|key| is_open(key.0)),
                Job::Call { .. } | Job::Drain { .. } => {}
            }
        }
        let refusals: Vec<Option<Refusal>> = jobs.iter().map(refused).collect();
        drop(gate);
        if refusals.iter().all(Option::is_none) {
            return;
        }
        for (job, refusal) in std::mem::take(jobs).into_iter().zip(refusals) {
            match refusal {
                None => jobs.push(job),
                Some(refusal) => job.refuse(&refusal, &self.outbox),
            }
        }
    }

    /// Nothing to store: repeats and refusals. They are true only if we are still the writer.
    async fn answer_from_memory(&self, jobs: Vec<Job>, verdicts: Vec<JobVerdict>) {
        match self.fence.ensure().await {
            Ok(()) => self.answer(jobs, verdicts),
            Err(refusal) => self.refuse_all(jobs, &refusal),
        }
    }

    fn answer(&self, jobs: Vec<Job>, verdicts: Vec<JobVerdict>) {
        for (job, verdict) in jobs.into_iter().zip(verdicts) {
            match (job, verdict) {
                (Job::Call { done, .. }, JobVerdict::Call(decided)) => match decided {
                    Ok(Verdict::Answer(answer)) => done.finish(Ok(answer)),
                    Ok(Verdict::AfterFact(answer, fact)) => {
                        self.outbox.answer_after(fact, answer, done);
                    }
                    Err(refusal) => {
                        self.metrics.refusals.increment(1);
                        done.finish(Err(refusal));
                    }
                },
                (Job::Cursors { answer, .. }, JobVerdict::Cursors(marks)) => answer(Ok(marks)),
                (Job::Delivered(_), JobVerdict::Delivered) => {}
                (Job::Drain { slots, done }, JobVerdict::Drained) => self.drained(slots, done),
                _ => unreachable!("verdicts are made job by job"),
            }
        }
    }

    /// What is left of their cursors goes with the next commits.
    fn drained(&self, slots: Vec<Slot>, done: oneshot::Sender<Result<(), Refusal>>) {
        if slots.iter().any(|slot| self.memory.senders.holds(&slot.ids())) {
            if let Err((job, error)) = self.queue.push(Job::Drain { slots, done }) {
                job.refuse(&error.refusal(), &self.outbox);
            }
        } else {
            // Whoever does not wait any more has given up.
            drop(done.send(Ok(())));
        }
    }

    fn refuse_all(&self, jobs: Vec<Job>, refusal: &Refusal) {
        self.metrics.refusals.increment(jobs.len() as u64);
        jobs.into_iter().for_each(|job| job.refuse(refusal, &self.outbox));
    }
}

enum Outcome {
    Ended,
    /// The database is well, but does not take this batch.
    Refused,
}

fn decide_all(staging: &mut Staging, looked_up: &LookedUp<'_>, jobs: &[Job]) -> Vec<JobVerdict> {
    jobs.iter()
        .map(|job| match job {
            Job::Call { call, .. } => JobVerdict::Call(decide(staging, looked_up, call)),
            Job::Cursors { marks, .. } => JobVerdict::Cursors(merge_marks(staging, marks)),
            Job::Delivered(keys) => {
                staging.delivered(keys);
                JobVerdict::Delivered
            }
            Job::Drain { .. } => JobVerdict::Drained,
        })
        .collect()
}

fn drained(jobs: &[Job]) -> Vec<Slot> {
    let slots = jobs.iter().filter_map(|job| match job {
        Job::Drain { slots, .. } => Some(slots),
        _ => None,
    });
    slots.flatten().copied().collect()
}

/// Which of `lanes` an entity's calls go through.
pub(crate) fn lane_of(entity: u64, lanes: usize) -> usize {
    let slot = EntityId::new(entity).map(Slot::of);
    slot.map_or(0, |slot| usize::from(slot.get()) % lanes)
}

pub(crate) fn lane_of_slot(slot: u16, lanes: u16) -> u16 {
    slot % lanes
}
