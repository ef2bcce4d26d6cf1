//! Lanes: one commit at a time each. A lane takes what gathered during its previous commit, decides
//! each call against memory, and commits all of it in one transaction; only then anyone sees or hears
//! of it. Slot to lane is fixed, so a chat's calls are decided in the order they came.
//!
//! A commit whose outcome is not known stops the lane until the database was asked: nothing is
//! guessed, nothing retried from memory.

pub(crate) mod load;
pub(crate) mod queue;
pub(crate) mod recent;
pub(crate) mod senders;
pub(crate) mod staging;

use crate::entity::{Entity, ReadMarks};
use crate::fence::Fence;
use crate::memory::Memory;
use crate::metrics::LaneMetrics;
use crate::outbox::Outbox;
use crate::refusals;
use crate::relay::queue::{Committed, RelayQueue};
use crate::store::{CommitError, CursorRow, MessageRow, StoreError, WriteSet};
use crate::write::cursor::merge_marks;
use crate::write::{Decided, LookedUp, Verdict, decide};
use bytes::Bytes;
use load::{Needs, load};
use prost::Message as _;
use queue::{Job, Queue, QueueError};
use recent::Recent;
use shardline_daemon::backoff::Backoff;
use shardline_daemon::clock::{self, Stopwatch};
use shardline_domain::id::EntityId;
use shardline_domain::limits::{BATCH_BYTES_MAX, BATCH_SENDS_MAX};
use shardline_domain::slot::{Partitions, Slot};
use shardline_wire::internal::{CursorMark, Event, EventBatch};
use shardline_wire::refusal::Refusal;
use staging::{Sealed, Staging};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Sends a lane remembers: some seconds of retries and predecessors.
const RECENT_SENDS: usize = 32_768;
/// Attempts at a batch that the database refuses, before it is asked what is wrong.
const ATTEMPTS: u32 = 4;
/// After which those who wait for an unknown commit are told that it is unknown.
const UNKNOWN_AFTER: Duration = Duration::from_secs(4);
/// A record is cut here, well below what the bus takes.
const RECORD_BYTES_MAX: usize = shardline_backends::bus::RECORD_BYTES_MAX / 2;
/// How often an idle lane looks whether senders' cursors are due.
const IDLE_LOOK: Duration = Duration::from_secs(1);

pub(crate) struct Lane {
    pub(crate) number: u16,
    pub(crate) memory: Arc<Memory>,
    pub(crate) queue: Arc<Queue>,
    pub(crate) relay: Arc<RelayQueue>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) fence: Arc<Fence>,
    pub(crate) partitions: Partitions,
    metrics: LaneMetrics,
    recent: Recent,
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
    pub(crate) partitions: Partitions,
    pub(crate) position: u64,
}

/// What a job gets once the batch is stored.
#[expect(clippy::large_enum_variant, reason = "nearly all are calls")]
enum JobVerdict {
    Call(Decided),
    Cursors(Vec<CursorMark>),
    Delivered,
}

/// How an attempt to store a batch ended.
enum Stored {
    Yes,
    /// Memory was wrong; it has been corrected: decide again.
    DecideAgain {
        duplicates: bool,
    },
    /// Nothing is stored, and the database does not want it.
    Refused,
    /// Another process writes now. Whether it is stored is known to be not so, or unknown.
    Lost(Refusal),
}

impl Lane {
    pub(crate) fn new(parts: Parts) -> Lane {
        let Parts { number, memory, queue, relay, outbox, fence, partitions, position } = parts;
        let metrics = LaneMetrics::new(number);
        let recent = Recent::new(RECENT_SENDS);
        Lane { number, memory, queue, relay, outbox, fence, partitions, metrics, recent, position }
    }

    /// Until `stop`, and then until the queue is empty; or until another process writes.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        while !self.fence.lost().is_cancelled() {
            let jobs = self.queue.take(BATCH_SENDS_MAX, BATCH_BYTES_MAX);
            if !jobs.is_empty() || self.memory.senders.due(self.fence.now()) {
                self.metrics.queue.set(count(self.queue.len()));
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
            refuse(job, &refusals::not_writer(), &self.outbox);
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
                jobs.into_iter().for_each(|job| refuse(job, &refusal, &self.outbox));
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
        let mut all_sends = false;
        for _ in 0..ATTEMPTS {
            let needs = Needs::of(jobs, &self.recent, all_sends);
            let (mut staging, looked_up) =
                load(needs, &self.memory, &self.recent, clock::now_ms()).await;
            let verdicts = decide_all(&mut staging, &looked_up, jobs);
            let senders = self.memory.senders.take(self.position, self.fence.now());
            if staging.is_empty() && senders.is_empty() {
                self.answer_from_memory(std::mem::take(jobs), verdicts).await;
                return Outcome::Ended;
            }
            let sealed = staging.seal(self.position + 1, rand::random::<u64>() >> 1, &senders);
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

    /// Nothing to store: repeats and refusals. They are true only if we are still the writer.
    async fn answer_from_memory(&self, jobs: Vec<Job>, verdicts: Vec<JobVerdict>) {
        match self.fence.ensure().await {
            Ok(()) => self.answer(jobs, verdicts),
            Err(refusal) => self.refuse_all(jobs, &refusal),
        }
    }

    async fn commit(
        &mut self,
        sealed: &Sealed,
        jobs: &mut Vec<Job>,
        stop: &CancellationToken,
    ) -> Stored {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(200));
        for _ in 0..ATTEMPTS {
            let since = self.fence.now();
            let stopwatch = Stopwatch::start();
            let result = self.memory.store.commit(self.number, &sealed.writes).await;
            self.metrics.commit_seconds.record(stopwatch.seconds());
            match result {
                Ok(()) => {
                    self.fence.confirm(since);
                    return Stored::Yes;
                }
                Err(CommitError::Fenced { term }) => {
                    self.fence.lose("a commit was fenced", Some(term));
                    return Stored::Lost(refusals::not_writer());
                }
                Err(CommitError::Stale) => {
                    tracing::warn!(lane = self.number, "a head was not where memory has it");
                    self.metrics.stale.increment(1);
                    self.memory.cache.forget(sealed.entities.iter().map(|(id, _)| *id));
                    return Stored::DecideAgain { duplicates: false };
                }
                Err(CommitError::Duplicate) => {
                    self.metrics.duplicates.increment(1);
                    return Stored::DecideAgain { duplicates: true };
                }
                Err(CommitError::NotStored(reason)) => {
                    tracing::warn!(lane = self.number, reason, "a commit was refused");
                    self.metrics.not_stored.increment(1);
                    tokio::time::sleep(backoff.next()).await;
                }
                Err(CommitError::Unknown(reason)) => {
                    tracing::warn!(lane = self.number, reason, "a commit's outcome is unknown");
                    self.metrics.unknown.increment(1);
                    match self.settle(&sealed.writes, jobs, stop).await {
                        Some(true) => return Stored::Yes,
                        // Everyone was told that it is unknown: there is nobody to do it for.
                        Some(false) if jobs.is_empty() => {
                            return Stored::DecideAgain { duplicates: false };
                        }
                        // As if it had not been sent.
                        Some(false) => {}
                        None => return Stored::Lost(unknown()),
                    }
                }
            }
        }
        Stored::Refused
    }

    /// Asks until it is known whether the commit is there. None: that is up to the next writer.
    /// Those who wait too long are told that it is unknown; the lane goes on settling.
    async fn settle(
        &self,
        writes: &WriteSet,
        jobs: &mut Vec<Job>,
        stop: &CancellationToken,
    ) -> Option<bool> {
        let stopwatch = Stopwatch::start();
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
        let (position, nonce) = (writes.journal.position, writes.journal.nonce);
        let mut told = false;
        let settled = loop {
            let asking = self.memory.store.settle(self.number, position, nonce);
            tokio::pin!(asking);
            let answer = loop {
                let left = UNKNOWN_AFTER.saturating_sub(stopwatch.elapsed());
                tokio::select! {
                    answer = &mut asking => break answer,
                    () = tokio::time::sleep(left), if !told => {
                        told = true;
                        self.refuse_all(std::mem::take(jobs), &unknown());
                        self.refuse_all(self.queue.stall(), &refusals::database_busy());
                    }
                }
            };
            match answer {
                Ok(stored) => break Some(stored),
                Err(StoreError::Fenced { term }) => {
                    self.fence.lose("another writer settles", Some(term));
                    break None;
                }
                Err(error) => {
                    tracing::warn!(lane = self.number, %error, "a commit is not settled yet");
                }
            }
            if stop.is_cancelled() || self.fence.lost().is_cancelled() {
                break None;
            }
            tokio::time::sleep(backoff.next()).await;
        };
        self.queue.resume();
        tracing::info!(lane = self.number, ?settled, "a commit's outcome was settled");
        settled
    }

    /// The database does not answer: everyone is told to come later, until it does.
    async fn wait_for_database(&self, jobs: Vec<Job>, refusal: &Refusal, stop: &CancellationToken) {
        tracing::warn!(lane = self.number, "the database does not answer; the lane waits");
        self.refuse_all(jobs, refusal);
        self.refuse_all(self.queue.stall(), refusal);
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        while !stop.is_cancelled() && !self.fence.lost().is_cancelled() {
            tokio::time::sleep(backoff.next()).await;
            if self.fence.look().await.is_ok() {
                tracing::info!(lane = self.number, "the database answers again");
                break;
            }
        }
        self.queue.resume();
    }

    /// What was committed becomes what memory says and the bus gets. Returns the facts to deliver.
    fn publish(&mut self, sealed: Sealed, senders: &[CursorRow]) -> Vec<crate::store::OutboxRow> {
        let Sealed { writes, events, mut entities, sent } = sealed;
        self.position = writes.journal.position;
        self.metrics.batch_calls.record(count(writes.messages.len() + writes.changes.len()));
        self.metrics.messages.increment(writes.messages.len() as u64);
        for (key, first) in sent {
            self.recent.put(key, first);
        }

        let marks: HashMap<u64, Arc<ReadMarks>> = entities
            .iter()
            .filter_map(|(id, entity)| match entity {
                Entity::Chat(chat) => Some((*id, Arc::clone(&chat.read))),
                _ => None,
            })
            .collect();
        let mut last: HashMap<u64, MessageRow> = HashMap::with_capacity(marks.len());
        for message in writes.messages {
            self.memory.senders.note(message.chat, message.sender, message.seq);
            if let Some(read) = marks.get(&message.chat) {
                read.merge(message.sender, message.seq);
            }
            last.insert(message.chat, message);
        }
        for (id, entity) in &mut entities {
            if let (Entity::Chat(chat), Some(message)) = (entity, last.remove(id))
                && chat.last.is_none()
                && message.seq == chat.head.seq
            {
                chat.last = Some(Arc::new(message));
            }
        }
        for (id, entity) in entities {
            self.memory.cache.publish(id, entity);
        }
        for row in &writes.cursors {
            if let Some(Entity::Chat(chat)) = self.memory.cache.get(row.chat) {
                chat.read.merge(row.user, row.seq);
            }
        }
        self.memory.senders.wrote(senders, self.position);
        self.outbox.deleted(&writes.delivered);
        let records = records(events, self.partitions);
        self.relay.push(Committed { position: self.position, records });
        writes.outbox
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
                _ => unreachable!("verdicts are made job by job"),
            }
        }
    }

    fn refuse_all(&self, jobs: Vec<Job>, refusal: &Refusal) {
        self.metrics.refusals.increment(jobs.len() as u64);
        jobs.into_iter().for_each(|job| refuse(job, refusal, &self.outbox));
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
        })
        .collect()
}

/// Answers a job with a refusal; a fact that was delivered will be deleted later.
pub(crate) fn refuse(job: Job, refusal: &Refusal, outbox: &Outbox) {
    match job {
        Job::Call { done, .. } => done.finish(Err(refusal.clone())),
        Job::Cursors { answer, .. } => answer(Err(refusal.clone())),
        Job::Delivered(keys) => outbox.delete_later(keys),
    }
}

/// Why a lane's queue does not take a call.
pub(crate) fn queue_refusal(error: QueueError) -> Refusal {
    match error {
        QueueError::Full => refusals::overloaded(),
        QueueError::Stalled => refusals::database_busy(),
        QueueError::Closed => refusals::not_writer(),
    }
}

fn unknown() -> Refusal {
    Refusal::unknown("the database did not say whether it was stored")
}

/// One record per partition (more if it is large), events in commit order within each.
pub(crate) fn records(events: Vec<Event>, partitions: Partitions) -> Vec<(u32, Bytes)> {
    let mut by_partition: BTreeMap<u32, Vec<Event>> = BTreeMap::new();
    for event in events {
        let Ok(entity) = EntityId::new(event.entity) else { continue };
        let partition = Slot::of(entity).partition(partitions);
        by_partition.entry(partition).or_default().push(event);
    }
    let mut records = Vec::with_capacity(by_partition.len());
    for (partition, events) in by_partition {
        let mut batch = EventBatch::default();
        let mut bytes = 0;
        for event in events {
            let size = event.payload.len() + 10 * event.receivers.len() + 64;
            if RECORD_BYTES_MAX < bytes + size && !batch.events.is_empty() {
                let full = std::mem::take(&mut batch);
                records.push((partition, Bytes::from(full.encode_to_vec())));
                bytes = 0;
            }
            bytes += size;
            batch.events.push(event);
        }
        records.push((partition, Bytes::from(batch.encode_to_vec())));
    }
    records
}

/// For a metric, where precision beyond 2^53 is of no interest.
#[allow(clippy::cast_precision_loss)]
fn count(number: usize) -> f64 {
    number as f64
}
