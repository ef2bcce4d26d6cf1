//! Two shards, the catalog's map with its move, and a router that follows it.

use crate::place::{Folder, Place};
use async_trait::async_trait;
use parking_lot::Mutex;
use shardline_backends::bus::Bus;
use shardline_backends::bus::memory::MemoryBus;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::id::{EntityId, ShardId};
use shardline_domain::placement::transfer::{Entry, Mark, Move, MoveId};
use shardline_domain::slot::{Epoch, Slot};
use shardline_shard_node::store::Store;
use shardline_shard_node::{Config, ShardNode};
use shardline_wire::call::{Catalog, Done, Outcome, Shard};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    Call, ChangedAnswer, ChangedRequest, DigestsAnswer, DigestsRequest, HeadsAnswer, HeadsRequest,
    HeldBy, KnownDatabase, MoveOrder, MoveReport, RowsAnswer, RowsRequest, ShardDescription,
    ShardReport, ShardReportAnswer, SlotEntry, WriterLease, WriterRequest,
};
use shardline_wire::moves::{Moves, MovesConnect};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::HashMap;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) const SOON: Duration = Duration::from_secs(60);
pub(crate) const PARTITIONS: u32 = 4;

/// What the catalog holds.
pub(crate) struct Map {
    entries: HashMap<Slot, Entry>,
    pub(crate) present: Option<Move>,
    terms: HashMap<u32, u64>,
    /// Of each shard's database: what reported last, and what a flip rested on.
    known: HashMap<u32, Mark>,
    pub(crate) next_move: u64,
}

impl Map {
    pub(crate) fn entry(&self, slot: Slot) -> Entry {
        let first = Entry { owner: ShardId(0), epoch: Epoch(1), held_by: None };
        self.entries.get(&slot).copied().unwrap_or(first)
    }

    pub(crate) fn term(&self, shard: u32) -> u64 {
        self.terms.get(&shard).copied().unwrap_or(0)
    }

    pub(crate) fn keep(&mut self, shard: u32, mark: Mark) {
        let known = self.known.entry(shard).or_default();
        known.term = known.term.max(mark.term);
        known.tally = known.tally.max(mark.tally);
    }

    pub(crate) fn put(&mut self, slot: Slot, entry: Entry) {
        self.entries.insert(slot, entry);
    }

    fn slot_entry(&self, slot: Slot) -> SlotEntry {
        let entry = self.entry(slot);
        let word = entry.word(self.present.as_ref());
        let held = word.held.map(|held| HeldBy {
            r#move: held.move_id.0,
            attempt: held.attempt.0,
            phase: u32::from(held.phase as u8),
            source: held.source.0,
            target: held.target.0,
        });
        SlotEntry { slot: slot.get().into(), shard: entry.owner.0, epoch: entry.epoch.0, held }
    }
}

struct Running {
    node: Arc<ShardNode>,
    store: Arc<dyn Store>,
    lifecycle: Lifecycle,
}

pub(crate) struct World {
    pub(crate) map: Mutex<Map>,
    nodes: Mutex<HashMap<u32, Running>>,
    bus: Arc<MemoryBus>,
    place: Place,
    /// Every so many answers between shard-nodes, and to the coordinator, one is lost; 0: none.
    pub(crate) loses: AtomicU64,
    answers: AtomicU64,
}

impl World {
    pub(crate) async fn start() -> Arc<World> {
        World::start_in(Place::Folder(Folder::new())).await
    }

    pub(crate) async fn start_in(place: Place) -> Arc<World> {
        let bus = Arc::new(MemoryBus::new());
        bus.ensure_topic(PARTITIONS).await.expect("a topic");
        let map = Map {
            entries: HashMap::new(),
            present: None,
            terms: HashMap::new(),
            known: HashMap::new(),
            next_move: 0,
        };
        let world = Arc::new(World {
            map: Mutex::new(map),
            nodes: Mutex::default(),
            bus,
            place,
            loses: AtomicU64::new(0),
            answers: AtomicU64::new(0),
        });
        for shard in 0..2 {
            world.start_shard(shard).await;
        }
        world
    }

    /// Where this shard's database is, in a world of files.
    pub(crate) fn file(&self, shard: u32) -> PathBuf {
        self.place.folder().file(shard)
    }

    pub(crate) async fn start_shard(self: &Arc<World>, shard: u32) {
        self.begin_shard(shard).await;
        let node = self.node(shard).expect("it runs");
        eventually("the shard writes", async || node.is_writer()).await;
    }

    /// Whatever its database lets it do.
    pub(crate) async fn begin_shard(self: &Arc<World>, shard: u32) {
        let store = self.place.open(shard).await;
        let lifecycle = Lifecycle::new();
        let config = Config::new(shard, format!("node-{shard}"), address(shard))
            .with_lanes(2)
            .and_then(|config| config.with_partitions(PARTITIONS))
            .expect("a good configuration");
        let node = ShardNode::start(
            config,
            Arc::clone(&store),
            self.bus.clone(),
            Arc::new(CatalogOf(Arc::clone(self))),
            Arc::new(PeersOf(Arc::clone(self))),
            &lifecycle,
            &Health::new(),
        );
        self.nodes.lock().insert(shard, Running { node, store, lifecycle });
    }

    /// Gone in the middle of whatever it does: nothing is finished, and nothing given back.
    pub(crate) async fn crash(&self, shard: u32) {
        let running = self.nodes.lock().remove(&shard);
        if let Some(running) = running {
            // Its tasks end, its memory goes; what they had on the way to the database may arrive.
            running.lifecycle.finish(SOON).await;
        }
    }

    pub(crate) async fn stop(self: Arc<World>) {
        for shard in 0..2 {
            self.crash(shard).await;
        }
    }

    /// A copy of the shard's database as it is now.
    pub(crate) fn copy(&self, shard: u32, name: &str) {
        self.place.folder().copy(shard, name);
    }

    /// The shard's node is gone; the copy is its database from now on.
    pub(crate) fn put_back(&self, shard: u32, name: &str) {
        self.place.folder().put_back(shard, name);
    }

    pub(crate) fn store(&self, shard: u32) -> Arc<dyn Store> {
        Arc::clone(&self.nodes.lock().get(&shard).expect("it runs").store)
    }

    pub(crate) fn node(&self, shard: u32) -> Option<Arc<ShardNode>> {
        self.nodes.lock().get(&shard).map(|running| Arc::clone(&running.node))
    }

    /// As a router: to the owner, at the map's epoch; again until it is answered for good. A repeat of
    /// a send says that it is one.
    pub(crate) async fn call(&self, entity: u64, op: Op) -> Outcome {
        let slot = slot_of(entity);
        let mut op = op;
        let calling = async {
            loop {
                let entry = self.map.lock().entry(slot);
                let outcome = self.call_at(entry.owner.0, entity, entry.epoch.0, op.clone()).await;
                match &outcome {
                    Err(refusal) => match refusal.code() {
                        Code::Frozen | Code::WrongEpoch | Code::TryAgain | Code::Unavailable => {}
                        Code::Unknown => {
                            if let Op::Send(send) = &mut op {
                                send.retry = true;
                            }
                        }
                        _ => return outcome,
                    },
                    Ok(_) => return outcome,
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        tokio::time::timeout(SOON, calling).await.expect("an answer in time")
    }

    pub(crate) async fn call_at(&self, shard: u32, entity: u64, epoch: u64, op: Op) -> Outcome {
        let Some(node) = self.node(shard) else {
            return Err(Refusal::new(Code::Unavailable, "it does not run"));
        };
        let (done, outcome) = Done::channel();
        node.submit(Call { entity, epoch, op: Some(op) }, done);
        outcome.await.unwrap_or_else(|_| Err(Refusal::unknown("it went")))
    }

    pub(crate) fn moves(self: &Arc<World>, shard: u32) -> Arc<dyn Moves> {
        Arc::new(Peer { world: Arc::clone(self), shard })
    }

    /// The next answer is lost, if it is its turn.
    fn lost(&self) -> Result<(), Refusal> {
        let every = self.loses.load(Ordering::SeqCst);
        let number = self.answers.fetch_add(1, Ordering::SeqCst);
        if 0 < every && number.is_multiple_of(every) {
            return Err(Refusal::new(Code::Unavailable, "the answer was lost"));
        }
        Ok(())
    }
}

pub(crate) fn address(shard: u32) -> String {
    format!("shard-{shard}")
}

pub(crate) fn slot_of(entity: u64) -> Slot {
    Slot::of(EntityId::new(entity).expect("an id"))
}

pub(crate) fn move_id(map: &mut Map) -> MoveId {
    map.next_move += 1;
    MoveId(map.next_move)
}

struct CatalogOf(Arc<World>);

#[async_trait]
impl Catalog for CatalogOf {
    async fn acquire_writer(&self, request: WriterRequest) -> Result<WriterLease, Refusal> {
        let mut map = self.0.map.lock();
        let newest = map.terms.entry(request.shard).or_insert(0);
        let granted = if request.release {
            false
        } else if request.term == 0 {
            *newest += 1;
            true
        } else {
            request.term == *newest
        };
        let term = *newest;
        let Mark { term: seen, tally } = map.known.get(&request.shard).copied().unwrap_or_default();
        Ok(WriterLease {
            granted,
            term,
            known: Some(KnownDatabase { term: seen, tally }),
            lasts_ms: 3_000,
            holder: "another".to_owned(),
            ..WriterLease::default()
        })
    }

    async fn owned_slots(&self, shard: u32) -> Result<Vec<SlotEntry>, Refusal> {
        let map = self.0.map.lock();
        let all = Slot::all().map(|slot| map.slot_entry(slot));
        Ok(all.filter(|entry| entry.shard == shard).collect())
    }

    async fn locate_slot(&self, slot: u32) -> Result<SlotEntry, Refusal> {
        Ok(self.0.map.lock().slot_entry(Slot::new(slot).expect("a slot")))
    }

    async fn report(&self, report: ShardReport) -> Result<ShardReportAnswer, Refusal> {
        let mark = Mark { term: report.term, tally: 0 };
        self.0.map.lock().keep(report.shard, mark);
        Ok(ShardReportAnswer { current: true })
    }

    async fn route(&self, call: Call) -> Outcome {
        let entry = self.0.map.lock().entry(slot_of(call.entity));
        let op = call.op.expect("a call");
        self.0.call_at(entry.owner.0, call.entity, entry.epoch.0, op).await
    }
}

struct PeersOf(Arc<World>);

impl MovesConnect for PeersOf {
    fn open(&self, address: &str) -> Arc<dyn Moves> {
        let shard = address.strip_prefix("shard-").and_then(|number| number.parse().ok());
        self.0.moves(shard.expect("an address"))
    }
}

struct Peer {
    world: Arc<World>,
    shard: u32,
}

impl Peer {
    fn node(&self) -> Result<Arc<ShardNode>, Refusal> {
        let node = self.world.node(self.shard);
        node.ok_or_else(|| Refusal::new(Code::Unavailable, "it does not run"))
    }
}

#[async_trait]
impl Moves for Peer {
    async fn describe(&self) -> Result<ShardDescription, Refusal> {
        self.node()?.describe().await
    }
    async fn order(&self, order: MoveOrder) -> Result<MoveReport, Refusal> {
        let answer = self.node()?.order(order).await;
        self.world.lost()?;
        answer
    }
    async fn changed(&self, request: ChangedRequest) -> Result<ChangedAnswer, Refusal> {
        let answer = self.node()?.changed(request).await;
        self.world.lost()?;
        answer
    }
    async fn heads(&self, request: HeadsRequest) -> Result<HeadsAnswer, Refusal> {
        let answer = self.node()?.heads(request).await;
        self.world.lost()?;
        answer
    }
    async fn rows(&self, request: RowsRequest) -> Result<RowsAnswer, Refusal> {
        let answer = self.node()?.rows(request).await;
        self.world.lost()?;
        answer
    }
    async fn digests(&self, request: DigestsRequest) -> Result<DigestsAnswer, Refusal> {
        let answer = self.node()?.digests(request).await;
        self.world.lost()?;
        answer
    }
}

/// Waits until the condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, waiting).await.is_ok(), "in time: {what}");
}
