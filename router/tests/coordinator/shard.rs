//! A shard in memory: its rows follow `placement::transfer`, its data is a list of values for each slot.
//! What it answers can be lost or late, and it can stop at a given task.

use async_trait::async_trait;
use parking_lot::Mutex;
use shardline_domain::id::ShardId;
use shardline_domain::placement::transfer::{
    Attempt, Mark, MoveId, Order, Progress, Proof, Refused, SlotRow, SlotState, Standing, Task,
    emptied, hear, is_close, may_import, may_purge, obey, standing,
};
use shardline_domain::slot::{Epoch, Slot};
use shardline_router::catalog::WholeCatalog;
use shardline_router::catalog::moves::HeldSlot;
use shardline_wire::internal::{
    ChangedAnswer, ChangedRequest, DatabaseMark, DigestsAnswer, DigestsRequest, HeadsAnswer,
    HeadsRequest, MoveOrder, MoveReport, MoveStanding, MoveTask, RowsAnswer, RowsRequest,
    ShardDescription, SlotLoad,
};
use shardline_wire::moves::{Moves, MovesConnect};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;

/// What becomes of an order.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Fate {
    Heard,
    /// Never arrives.
    Lost,
    /// Is carried out, but the answer never arrives.
    AnswerLost,
    Late(Duration),
}

type Fates = Box<dyn FnMut(MoveTask) -> Fate + Send>;

pub(crate) struct TestShard {
    pub(crate) id: ShardId,
    catalog: Arc<dyn WholeCatalog>,
    network: Arc<Network>,
    /// Of its writer.
    pub(crate) term: AtomicU64,
    state: Mutex<State>,
    pub(crate) description: Mutex<ShardDescription>,
}

#[derive(Default)]
struct State {
    seen: u64,
    rows: BTreeMap<Slot, SlotRow>,
    data: BTreeMap<Slot, Vec<u64>>,
    /// Of each move: its attempt, how far it is, what was copied.
    parts: HashMap<MoveId, (Attempt, Progress, u64)>,
    frozen_at: Option<Instant>,
}

/// All shards, by address, and what happens to what is said to them.
#[derive(Default)]
pub(crate) struct Network {
    shards: Mutex<BTreeMap<String, Arc<TestShard>>>,
    fate: Mutex<Option<Fates>>,
    /// Orders of this task wait, from the first on, until released.
    stop_at: Mutex<Option<MoveTask>>,
    pub(crate) stopped: Notify,
    released: Notify,
    pub(crate) orders: AtomicU64,
}

impl Network {
    pub(crate) fn shard(&self, address: &str) -> Option<Arc<TestShard>> {
        self.shards.lock().get(address).cloned()
    }

    pub(crate) fn of(&self, shard: ShardId) -> Arc<TestShard> {
        self.shard(&address(shard.0)).expect("the shard is there")
    }

    pub(crate) fn put(&self, shard: Arc<TestShard>) {
        self.shards.lock().insert(address(shard.id.0), shard);
    }

    pub(crate) fn with_fate(&self, fate: impl FnMut(MoveTask) -> Fate + Send + 'static) {
        *self.fate.lock() = Some(Box::new(fate));
    }

    pub(crate) fn stop_at(&self, task: MoveTask) {
        *self.stop_at.lock() = Some(task);
    }

    pub(crate) fn release(&self) {
        *self.stop_at.lock() = None;
        self.released.notify_waiters();
    }

    async fn pass(&self, task: MoveTask) -> Fate {
        self.orders.fetch_add(1, Ordering::SeqCst);
        loop {
            let released = self.released.notified();
            if *self.stop_at.lock() != Some(task) {
                break;
            }
            self.stopped.notify_one();
            released.await;
        }
        self.fate.lock().as_mut().map_or(Fate::Heard, |fate| fate(task))
    }
}

pub(crate) fn address(shard: u32) -> String {
    format!("shard-{shard}:1")
}

impl MovesConnect for Links {
    fn open(&self, address: &str) -> Arc<dyn Moves> {
        Arc::new(Link { network: self.0.clone(), address: address.to_owned() })
    }
}

pub(crate) struct Links(pub(crate) Arc<Network>);

struct Link {
    network: Arc<Network>,
    address: String,
}

fn away() -> Refusal {
    Refusal::new(Code::Unavailable, "nobody is there")
}

#[async_trait]
impl Moves for Link {
    async fn describe(&self) -> Result<ShardDescription, Refusal> {
        let shard = self.network.shard(&self.address).ok_or_else(away)?;
        Ok(shard.describe())
    }

    async fn order(&self, order: MoveOrder) -> Result<MoveReport, Refusal> {
        let shard = self.network.shard(&self.address).ok_or_else(away)?;
        match self.network.pass(order.task()).await {
            Fate::Lost => Err(away()),
            Fate::Heard => shard.order(&order).await,
            Fate::AnswerLost => {
                drop(shard.order(&order).await);
                Err(away())
            }
            Fate::Late(delay) => {
                tokio::time::sleep(delay).await;
                shard.order(&order).await
            }
        }
    }

    async fn changed(&self, _: ChangedRequest) -> Result<ChangedAnswer, Refusal> {
        not_asked()
    }

    async fn heads(&self, _: HeadsRequest) -> Result<HeadsAnswer, Refusal> {
        not_asked()
    }

    async fn rows(&self, _: RowsRequest) -> Result<RowsAnswer, Refusal> {
        not_asked()
    }

    async fn digests(&self, _: DigestsRequest) -> Result<DigestsAnswer, Refusal> {
        not_asked()
    }
}

/// What sides ask of each other is looked up in memory here.
fn not_asked<T>() -> Result<T, Refusal> {
    Err(Refusal::new(Code::Conflict, "not asked by these shards"))
}

impl TestShard {
    pub(crate) fn new(
        id: u32,
        catalog: Arc<dyn WholeCatalog>,
        network: Arc<Network>,
    ) -> Arc<TestShard> {
        let description = ShardDescription {
            shard: id,
            node: format!("node-{id}"),
            schema: 14,
            partitions: 64,
            ..ShardDescription::default()
        };
        Arc::new(TestShard {
            id: ShardId(id),
            catalog,
            network,
            term: AtomicU64::new(0),
            state: Mutex::default(),
            description: Mutex::new(description),
        })
    }

    /// It became the writer: takes what the catalog says is its own.
    pub(crate) async fn start(&self) {
        self.description.lock().writes = true;
        let owned = self.catalog.owned_slots(self.id).await.expect("an answer");
        let mut state = self.state.lock();
        for held in owned {
            self.hear(&mut state, held.row.slot, &held);
        }
    }

    /// The process ends and begins: only rows and data are kept.
    pub(crate) fn restart(&self) {
        let mut state = self.state.lock();
        state.seen = 0;
        state.parts.clear();
        state.frozen_at = None;
    }

    fn describe(&self) -> ShardDescription {
        let state = self.state.lock();
        let load = |(slot, values): (&Slot, &Vec<u64>)| SlotLoad {
            slot: slot.get().into(),
            entities: 1,
            rows: values.len() as u64,
            bytes: values.len() as u64 * 8,
        };
        let slots = state.data.iter().filter(|(_, values)| !values.is_empty()).map(load).collect();
        ShardDescription { slots, ..self.description.lock().clone() }
    }

    /// Whether the value is stored; the epoch is as the writer's map has it.
    pub(crate) async fn write(&self, slot: Slot, epoch: Epoch, value: u64) -> bool {
        let is_ahead = self.row(slot).epoch < epoch;
        if is_ahead {
            self.ask(slot).await;
        }
        let mut state = self.state.lock();
        if !row(&state, slot).accepts_writes(epoch) {
            return false;
        }
        state.data.entry(slot).or_default().push(value);
        true
    }

    pub(crate) fn values(&self, slot: Slot) -> Vec<u64> {
        self.state.lock().data.get(&slot).cloned().unwrap_or_default()
    }

    pub(crate) fn row(&self, slot: Slot) -> SlotRow {
        row(&self.state.lock(), slot)
    }

    async fn ask(&self, slot: Slot) {
        if let Ok(Some(held)) = self.catalog.locate_slot(slot).await {
            self.hear(&mut self.state.lock(), slot, &held);
        }
    }

    async fn ask_all(&self, slots: &[(Slot, Epoch)]) {
        let slots: Vec<Slot> = slots.iter().map(|(slot, _)| *slot).collect();
        if let Ok(all) = self.catalog.locate_slots(&slots).await {
            let mut state = self.state.lock();
            all.iter().for_each(|held| self.hear(&mut state, held.row.slot, held));
        }
    }

    fn hear(&self, state: &mut State, slot: Slot, held: &HeldSlot) {
        let word = shardline_domain::placement::transfer::Word {
            owner: held.row.shard,
            epoch: held.row.epoch,
            held: held.held,
        };
        if let Ok(next) = hear(row(state, slot), self.id, &word) {
            state.rows.insert(slot, next);
        }
    }

    async fn order(&self, order: &MoveOrder) -> Result<MoveReport, Refusal> {
        let slots: Vec<(Slot, Epoch)> = order
            .slots
            .iter()
            .map(|moving| (Slot::new(moving.slot).expect("a slot"), Epoch(moving.epoch)))
            .collect();
        let task = task(order.task());
        let (id, attempt) = (MoveId(order.r#move), Attempt(order.attempt));
        if task == Task::Ask {
            self.ask_all(&slots).await;
        }
        if self.obey(order.term, id, attempt, task, &slots)? {
            self.ask_all(&slots).await;
            self.obey(order.term, id, attempt, task, &slots)?;
        }
        let peer = self.network.of(ShardId(order.peer_shard));
        self.work(task, id, attempt, &slots, &peer);
        // As a real one, it has no news to tell at once.
        tokio::time::sleep(Duration::from_millis(1)).await;
        Ok(self.report(id, attempt, &slots))
    }

    /// True: the catalog is to be asked first.
    fn obey(
        &self,
        term: u64,
        move_id: MoveId,
        attempt: Attempt,
        task: Task,
        slots: &[(Slot, Epoch)],
    ) -> Result<bool, Refusal> {
        let mut state = self.state.lock();
        let mut next = Vec::new();
        for (slot, epoch) in slots {
            let order = Order { term, move_id, attempt, epoch: *epoch, task };
            match obey(row(&state, *slot), state.seen, &order) {
                Ok(row) => next.push((*slot, row)),
                Err(Refused::AskCatalog(_)) => return Ok(true),
                Err(
                    refused @ (Refused::OldTerm { .. }
                    | Refused::OldMove { .. }
                    | Refused::OldEpoch(_)),
                ) => return Err(Refusal::new(Code::Conflict, refused.to_string())),
                // Told by the standing.
                Err(_) => return Ok(false),
            }
        }
        state.seen = state.seen.max(term);
        let freezes = task == Task::Freeze
            && next.iter().any(|(slot, next)| row(&state, *slot).state != next.state);
        if freezes {
            state.frozen_at = Some(Instant::now());
        }
        state.rows.extend(next);
        Ok(false)
    }

    fn work(
        &self,
        task: Task,
        id: MoveId,
        attempt: Attempt,
        slots: &[(Slot, Epoch)],
        peer: &TestShard,
    ) {
        match task {
            Task::Copy | Task::Verify | Task::Settle | Task::Follow => {
                // Read before the own lock: two shards never hold both.
                let theirs: Vec<(Slot, SlotRow, Vec<u64>)> = slots
                    .iter()
                    .map(|(slot, _)| (*slot, peer.row(*slot), peer.values(*slot)))
                    .collect();
                self.copy(task, id, attempt, &theirs, peer.mark());
            }
            Task::Purge | Task::Discard => {
                let state = &mut *self.state.lock();
                for (slot, epoch) in slots {
                    let row = row(state, *slot);
                    if may_purge(&row, id, attempt, *epoch) {
                        state.data.remove(slot);
                        let row = emptied(row, id, attempt, *epoch).expect("it may be purged");
                        state.rows.insert(*slot, row);
                    }
                }
            }
            _ => {}
        }
    }

    fn mark(&self) -> Mark {
        Mark { term: self.term.load(Ordering::SeqCst), tally: 1 }
    }

    fn copy(
        &self,
        task: Task,
        id: MoveId,
        attempt: Attempt,
        theirs: &[(Slot, SlotRow, Vec<u64>)],
        source: Mark,
    ) {
        let state = &mut *self.state.lock();
        let (of, ..) = state.parts.entry(id).or_default();
        if *of != attempt {
            state.parts.insert(id, (attempt, Progress::default(), 0));
        }
        let mut changed = 0;
        let mut all_frozen = true;
        for (slot, their_row, values) in theirs {
            if !may_import(&row(state, *slot), id, attempt) {
                return;
            }
            let frozen = their_row.state == SlotState::Frozen && their_row.is_of(id, attempt);
            all_frozen &= frozen;
            let is_sources = frozen || their_row.state == SlotState::Owned;
            let mine = state.data.entry(*slot).or_default();
            // A list only grows: what is shorter was read before.
            if is_sources && mine.len() < values.len() {
                assert!(values.starts_with(mine), "slot {slot}: a copy differs");
                changed += (values.len() - mine.len()) as u64;
                mine.clone_from(values);
            }
        }
        let (_, progress, rows) = state.parts.get_mut(&id).expect("it is there");
        *rows += changed;
        progress.copied = true;
        progress.close_rounds =
            if is_close(changed, Duration::ZERO) { progress.close_rounds + 1 } else { 0 };
        progress.verified |= task == Task::Verify;
        if task == Task::Settle && all_frozen {
            progress.settled.get_or_insert(Proof { source, target: self.mark() });
        }
    }

    fn report(&self, id: MoveId, attempt: Attempt, slots: &[(Slot, Epoch)]) -> MoveReport {
        let state = self.state.lock();
        let rows = slots.iter().map(|(slot, epoch)| (row(&state, *slot), *epoch));
        let standing = standing(rows, id, attempt);
        let (of, progress, rows) = state.parts.get(&id).copied().unwrap_or_default();
        let progress = if of == attempt { progress } else { Progress::default() };
        let frozen = state.frozen_at.filter(|_| standing == Standing::Frozen);
        let frozen_ms = frozen.map(|at| u64::try_from(at.elapsed().as_millis()).expect("short"));
        let mut report = MoveReport {
            r#move: id.0,
            attempt: attempt.0,
            relayed: true,
            frozen_ms,
            copied: progress.copied,
            close_rounds: progress.close_rounds,
            stalled_rounds: progress.stalled_rounds,
            verified: progress.verified,
            mismatched: progress.mismatched,
            settled: progress.settled.is_some(),
            source_mark: progress.settled.map(|proof| mark_out(proof.source)),
            target_mark: progress.settled.map(|proof| mark_out(proof.target)),
            entities: 1,
            entities_total: 1,
            rows,
            bytes: rows * 8,
            ..MoveReport::default()
        };
        report.set_standing(match standing {
            Standing::Other => MoveStanding::Other,
            Standing::Tracking => MoveStanding::Tracking,
            Standing::Frozen => MoveStanding::FrozenHere,
            Standing::OwnedAnew => MoveStanding::OwnedAnew,
            Standing::Importing => MoveStanding::Importing,
            Standing::Following => MoveStanding::Following,
            Standing::Moved => MoveStanding::Moved,
            Standing::Empty => MoveStanding::Empty,
            Standing::Quarantined => MoveStanding::Quarantined,
        });
        report
    }
}

fn mark_out(mark: Mark) -> DatabaseMark {
    DatabaseMark { term: mark.term, tally: mark.tally }
}

fn row(state: &State, slot: Slot) -> SlotRow {
    state.rows.get(&slot).copied().unwrap_or(SlotRow::NONE)
}

fn task(task: MoveTask) -> Task {
    match task {
        MoveTask::Unspecified => panic!("an order without a task"),
        MoveTask::Track => Task::Track,
        MoveTask::Slow => Task::Slow,
        MoveTask::Copy => Task::Copy,
        MoveTask::Verify => Task::Verify,
        MoveTask::Hold => Task::Hold,
        MoveTask::Freeze => Task::Freeze,
        MoveTask::Settle => Task::Settle,
        MoveTask::Ask => Task::Ask,
        MoveTask::Follow => Task::Follow,
        MoveTask::Purge => Task::Purge,
        MoveTask::Discard => Task::Discard,
    }
}
