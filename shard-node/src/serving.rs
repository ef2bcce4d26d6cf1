//! One term as the shard's writer: everything that lives from the takeover until another process
//! writes, or this one stops. Nothing of it outlives the term, so a new term starts from the database.

use crate::cache::Cache;
use crate::config::Config;
use crate::entity::Entity;
use crate::fence::Fence;
use crate::gate::Access;
use crate::lanes::queue::{CursorsOutcome, Job, Queue};
use crate::lanes::senders::Senders;
use crate::lanes::{self, Lane};
use crate::memory::Memory;
use crate::metrics::{CACHE_BYTES, READS, number};
use crate::outbox::{Outbox, lane_of};
use crate::read::Reader;
use crate::refusals;
use crate::relay::Relay;
use crate::relay::queue::RelayQueue;
use crate::slots::{Admission, Slots};
use crate::store::{LanePositions, MessageRange, Store, StoreError, Writer};
use parking_lot::Mutex;
use shardline_backends::bus::Bus;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::limits::{PAGE_BYTES_MAX, PAGE_MESSAGES_MAX};
use shardline_wire::call::{Answer, Catalog, Done};
use shardline_wire::internal::{
    Call, CursorMark, CursorsMerged, EntityRef, LanePosition, MergeCursors, call,
};
use shardline_wire::refusal::Refusal;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Semaphore;

/// Reads being answered at the same time; more are told to come later.
const READS_MAX: usize = 1_024;
/// Events waiting for the bus in memory, per lane.
const RELAY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Journal rows read at once to rebuild senders' cursors.
const JOURNAL_ROWS: u64 = 256;
/// How long relays may go on when the lanes have ended, and how often that is looked at.
const RELAY_TIME_MAX: Duration = Duration::from_secs(1);
const RELAY_LOOK: Duration = Duration::from_millis(5);
/// How long the tasks of a term may take to end.
const END_TIME_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Serving {
    pub(crate) fence: Arc<Fence>,
    slots: Arc<Slots>,
    queues: Vec<Arc<Queue>>,
    relays: Vec<(Arc<RelayQueue>, Arc<AtomicU64>)>,
    outbox: Arc<Outbox>,
    reader: Reader,
    reads: Arc<Semaphore>,
    tasks: Lifecycle,
    /// Stop after the others, so that what lanes committed last goes out, too.
    relay_tasks: Lifecycle,
}

/// What a shard-node stands on.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) catalog: Arc<dyn Catalog>,
}

impl Serving {
    /// Takes the database over for `writer`, and starts what serves it.
    pub(crate) async fn start(
        config: &Config,
        ground: &Ground,
        writer: Writer,
        tasks: Lifecycle,
    ) -> Result<Arc<Serving>, StoreError> {
        let Ground { store, bus, catalog } = ground;
        store.take_over(writer, config.lanes).await?;
        let fence = Arc::new(Fence::new(Arc::clone(store), writer));
        let gate = Slots::load(&**store).await?;
        let slots = Slots::new(
            config.shard,
            gate,
            Arc::clone(store),
            Arc::clone(catalog),
            Arc::clone(&fence),
        );
        // What is ours already is served at once; what is new is found out by the first call for it,
        // so a catalog that is away delays only that.
        if let Ok(owned) = catalog.owned_slots(config.shard).await {
            slots.take(&owned).await?;
        }

        let positions = store.lane_positions().await?;
        let outbox = Outbox::new();
        let lanes = usize::from(config.lanes);
        let mut memories = Vec::with_capacity(lanes);
        let mut of_lanes = Vec::with_capacity(lanes);
        for lane in 0..config.lanes {
            let at = positions.iter().find(|row| row.lane == lane).copied();
            let at = at.unwrap_or(LanePositions { lane, committed: 0, relayed: 0, covered: 0 });
            let memory = Arc::new(Memory {
                store: Arc::clone(store),
                cache: Cache::new(config.cache_bytes / lanes),
                senders: Senders::new(at.covered, fence.now()),
            });
            rebuild_senders(&memory, at).await?;
            memories.push(Arc::clone(&memory));
            of_lanes.push((memory, at));
        }
        let reader = Reader {
            store: Arc::clone(store),
            memories: memories.into(),
            gate: Arc::clone(&slots.gate),
            fence: Arc::clone(&fence),
        };

        let stop = tasks.token();
        let relay_tasks = tasks.child();
        let mut queues = Vec::with_capacity(lanes);
        let mut relays = Vec::with_capacity(lanes);
        for (memory, at) in of_lanes {
            let queue = Queue::new();
            let relay_queue = Arc::new(RelayQueue::new(at.relayed, at.committed, RELAY_BYTES_MAX));
            let relayed = Arc::new(AtomicU64::new(at.relayed));
            let lane = Lane::new(lanes::Parts {
                number: at.lane,
                memory: Arc::clone(&memory),
                queue: Arc::clone(&queue),
                relay: Arc::clone(&relay_queue),
                outbox: Arc::clone(&outbox),
                fence: Arc::clone(&fence),
                partitions: config.partitions,
                position: at.committed,
            });
            let relay = Relay {
                lane: at.lane,
                queue: Arc::clone(&relay_queue),
                memory,
                reader: reader.clone(),
                bus: Arc::clone(bus),
                partitions: config.partitions,
                relayed: Arc::clone(&relayed),
            };
            tasks.run("lane", lane.run(stop.clone()));
            relay_tasks.run("relay", relay.run(relay_tasks.token()));
            queues.push(queue);
            relays.push((relay_queue, relayed));
        }
        tasks.run("slots", Arc::clone(&slots).run(stop.clone()));
        let delivery =
            Arc::clone(&outbox).run(Arc::clone(store), Arc::clone(catalog), queues.clone(), stop);
        tasks.run("outbox", delivery);
        let reads = Arc::new(Semaphore::new(READS_MAX));
        Ok(Arc::new(Serving {
            fence,
            slots,
            queues,
            relays,
            outbox,
            reader,
            reads,
            tasks,
            relay_tasks,
        }))
    }

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
        }
    }

    fn enqueue(&self, call: Call, done: Done) {
        let queue = &self.queues[lane_of(call.entity, self.queues.len())];
        if let Err((job, error)) = queue.push(Job::Call { call, done }) {
            lanes::refuse(job, &lanes::queue_refusal(error), &self.outbox);
        }
    }

    /// Each lane merges the marks of its chats; what fails is missing from the joined answer.
    fn submit_cursors(self: &Arc<Self>, merge: MergeCursors, done: Done) {
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
                lanes::refuse(job, &lanes::queue_refusal(error), &self.outbox);
            }
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
                Ok(call) => serving.reader.read(call).await,
                Err(refusal) => Err(refusal),
            };
            done.finish(outcome);
            drop(permit);
        });
    }

    fn permit(&self) -> Option<impl Send + 'static> {
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

    /// Where each lane stands, for the catalog.
    pub(crate) fn positions(&self) -> Vec<LanePosition> {
        let lanes = self.relays.iter().zip(0..);
        lanes
            .map(|((queue, relayed), lane)| LanePosition {
                lane,
                committed: queue.committed(),
                relayed: relayed.load(Ordering::Acquire),
            })
            .collect()
    }

    pub(crate) fn record_metrics(&self) {
        for (memory, lane) in self.reader.memories.iter().zip(0_u16..) {
            let weight = memory.cache.weight() as u64;
            metrics::gauge!(CACHE_BYTES, "lane" => lane.to_string()).set(number(weight));
        }
    }

    /// Ends the term: lanes finish what waits (if they still may), then relays have a moment for what
    /// that brought; the rest is relayed by the next writer.
    pub(crate) async fn end(&self) {
        let ended = self.tasks.finish(END_TIME_MAX).await;
        let relaying = async {
            while self.positions().iter().any(|lane| lane.relayed < lane.committed) {
                tokio::time::sleep(RELAY_LOOK).await;
            }
        };
        if !self.fence.lost().is_cancelled() {
            // Too late is no loss.
            drop(tokio::time::timeout(RELAY_TIME_MAX, relaying).await);
        }
        if !(self.relay_tasks.finish(END_TIME_MAX).await && ended) {
            tracing::warn!("tasks of a writer's term did not end in time");
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
            | call::Op::ClaimName(_),
        ) => Kind::Write,
        Some(call::Op::MergeCursors(_)) => Kind::Cursors,
        Some(call::Op::GetHeads(_)) => Kind::Heads,
        _ => Kind::Read,
    }
}

/// Sending is reading: what was sent past the covered position is noted again.
async fn rebuild_senders(memory: &Memory, at: LanePositions) -> Result<(), StoreError> {
    let mut after = at.covered;
    while after < at.committed {
        let rows = memory.store.journal(at.lane, after, JOURNAL_ROWS).await?;
        let Some(last) = rows.last().map(|row| row.position) else { break };
        let mut firsts: BTreeMap<u64, u64> = BTreeMap::new();
        for entry in rows.iter().flat_map(|row| &row.entries) {
            let first = firsts.entry(entry.entity).or_insert(entry.first_ver);
            *first = entry.first_ver.min(*first);
        }
        for (entity, first_ver) in firsts {
            note_senders(memory, entity, first_ver).await?;
        }
        after = last;
    }
    Ok(())
}

async fn note_senders(memory: &Memory, entity: u64, first_ver: u64) -> Result<(), StoreError> {
    let Some(chat) = memory.chat(entity).await? else { return Ok(()) };
    let head = Entity::Chat(chat.clone()).head();
    let mut after = head.seq.saturating_sub(head.ver.saturating_sub(first_ver - 1));
    while after < head.seq {
        let range = MessageRange {
            chat: entity,
            after,
            before: head.seq + 1,
            newest: false,
            limit: PAGE_MESSAGES_MAX,
            bytes: PAGE_BYTES_MAX,
        };
        let rows = memory.store.messages(range).await?;
        let Some(last) = rows.last().map(|row| row.seq) else { break };
        for row in rows.iter().filter(|row| first_ver <= row.ver) {
            memory.senders.note(entity, row.sender, row.seq);
            chat.read.merge(row.sender, row.seq);
        }
        after = last;
    }
    Ok(())
}
