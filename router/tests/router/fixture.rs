//! The world around a router: a catalog in memory that can go away, shards that follow its rules or
//! keep silent, conn-nodes that write down what they are told.

use async_trait::async_trait;
use parking_lot::Mutex;
use prost::Message as _;
use shardline_backends::bus::Bus;
use shardline_backends::bus::memory::MemoryBus;
use shardline_backends::presence::memory::MemoryPresence;
use shardline_backends::presence::{Entry, Mark, NodeId, Presence};
use shardline_daemon::clock;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::id::{ShardId, UserId};
use shardline_domain::slot::{Epoch, Partitions, Slot};
use shardline_router::catalog::{
    self, CatalogError, CatalogStore, LanePosition, Leadership, NewShard, Report, RouterList,
    ShardRow, ShardState, SlotChange, SlotNews, SlotRow, WriterBid, WriterGrant,
};
use shardline_router::router::{Identity, Outside, Router};
use shardline_wire::call::{
    self, Done, Full, NodeOp, NodeSink, Outcome, Push, RouterAccept, Shard, ShardConnect,
};
use shardline_wire::internal::{
    Call, Event, EventBatch, EventKind, Interest, NodeHello, PresenceState, Send, Sent, call::Op,
    reply::Answer,
};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::sync::oneshot;

pub(crate) const PARTITIONS: u32 = 8;
/// Generous: these tests wait for conditions, not for times.
const PATIENCE: Duration = Duration::from_secs(10);

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let wait = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    assert!(tokio::time::timeout(PATIENCE, wait).await.is_ok(), "never happened: {what}");
}

/// A chat in this slot.
pub(crate) fn chat_in(slot: u32, number: u64) -> u64 {
    (u64::from(slot) << 49) + number + 1
}

// ---- The catalog ----

#[derive(Default)]
pub(crate) struct TestCatalog {
    state: Mutex<CatalogState>,
    pub(crate) is_away: AtomicBool,
}

#[derive(Default)]
struct CatalogState {
    version: u64,
    /// With the version of its last change.
    slots: BTreeMap<u16, (SlotRow, u64)>,
    shards: BTreeMap<u32, String>,
    list: RouterList,
}

impl TestCatalog {
    pub(crate) fn put_slot(&self, slot: u32, shard: u32, epoch: u64) {
        let state = &mut *self.state.lock();
        state.version += 1;
        let slot = Slot::new(slot).expect("a slot");
        let row = SlotRow { slot, shard: ShardId(shard), epoch: Epoch(epoch) };
        state.slots.insert(slot.get(), (row, state.version));
    }

    pub(crate) fn put_shard(&self, shard: u32, address: &str) {
        self.state.lock().shards.insert(shard, address.to_owned());
    }

    fn look<T>(&self, look: impl FnOnce(&mut CatalogState) -> T) -> Result<T, CatalogError> {
        if self.is_away.load(Ordering::SeqCst) {
            return Err(CatalogError::Unavailable("on purpose".to_owned()));
        }
        Ok(look(&mut self.state.lock()))
    }
}

fn not_here<T>() -> Result<T, CatalogError> {
    Err(CatalogError::Refused("not played by this catalog".to_owned()))
}

#[async_trait]
impl CatalogStore for TestCatalog {
    async fn shards(&self) -> Result<Vec<ShardRow>, CatalogError> {
        self.look(|state| {
            let row = |(shard, address): (&u32, &String)| ShardRow {
                shard: ShardId(*shard),
                weight: 1,
                state: ShardState::Active,
                writer_term: 1,
                writer: "writer".to_owned(),
                address: address.clone(),
                writer_alive: true,
                reported_ms_ago: None,
                durability: String::new(),
            };
            state.shards.iter().map(row).collect()
        })
    }

    async fn slots_since(&self, version: u64) -> Result<SlotNews, CatalogError> {
        self.look(|state| {
            let newer = state.slots.values().filter(|(_, changed)| version < *changed);
            SlotNews { version: state.version, slots: newer.map(|(row, _)| *row).collect() }
        })
    }

    async fn heartbeat(
        &self,
        router: &catalog::Router,
        _: Duration,
    ) -> Result<RouterList, CatalogError> {
        self.look(|state| {
            if !state.list.routers.contains(router) {
                state.list.routers.push(router.clone());
                state.list.routers.sort();
                state.list.number += 1;
            }
            state.list.clone()
        })
    }

    async fn leave(&self, router: &str) -> Result<(), CatalogError> {
        self.look(|state| {
            state.list.routers.retain(|other| other.id != router);
            state.list.number += 1;
        })
    }

    async fn routers(&self) -> Result<RouterList, CatalogError> {
        self.look(|state| state.list.clone())
    }

    async fn lead(&self, _: &str, _: Duration) -> Result<Leadership, CatalogError> {
        not_here()
    }
    async fn resign(&self, _: u64) -> Result<(), CatalogError> {
        not_here()
    }
    async fn found(
        &self,
        _: u64,
        _: &[NewShard],
        _: &[(Slot, ShardId)],
    ) -> Result<bool, CatalogError> {
        not_here()
    }
    async fn change_slots(&self, _: u64, _: &[SlotChange]) -> Result<bool, CatalogError> {
        not_here()
    }
    async fn owned_slots(&self, _: ShardId) -> Result<Vec<SlotRow>, CatalogError> {
        not_here()
    }
    async fn locate_slot(&self, _: Slot) -> Result<Option<SlotRow>, CatalogError> {
        not_here()
    }
    async fn acquire_writer(&self, _: &WriterBid) -> Result<WriterGrant, CatalogError> {
        not_here()
    }
    async fn renew_writer(&self, _: &WriterBid, _: u64) -> Result<WriterGrant, CatalogError> {
        not_here()
    }
    async fn release_writer(&self, _: ShardId, _: u64) -> Result<(), CatalogError> {
        not_here()
    }
    async fn report(&self, _: &Report) -> Result<bool, CatalogError> {
        not_here()
    }
    async fn lane_positions(&self, _: ShardId) -> Result<Vec<LanePosition>, CatalogError> {
        not_here()
    }
}

// ---- Shards ----

#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Held {
    Owned(u64),
    Frozen(u64),
}

type Answerer = Box<dyn Fn(&Call) -> Outcome + std::marker::Send + Sync>;

/// Decides each call when it arrives, by its gate; answers at once, or when told to.
pub(crate) struct TestShard {
    gate: Mutex<HashMap<u16, Held>>,
    answerer: Mutex<Answerer>,
    /// While set, decided calls wait here for `answer_all`.
    holds: AtomicBool,
    waiting: Mutex<VecDeque<(Outcome, Done)>>,
    /// client_msg_ids of stored sends, in order: one list for all shards.
    stored: Arc<Mutex<Vec<Vec<u8>>>>,
    pub(crate) calls: AtomicUsize,
}

impl TestShard {
    pub(crate) fn put(&self, slot: u32, held: Held) {
        self.gate.lock().insert(u16::try_from(slot).expect("a slot"), held);
    }

    pub(crate) fn give_away(&self, slot: u32) {
        self.gate.lock().remove(&u16::try_from(slot).expect("a slot"));
    }

    pub(crate) fn answer_with(
        &self,
        answerer: impl Fn(&Call) -> Outcome + std::marker::Send + Sync + 'static,
    ) {
        *self.answerer.lock() = Box::new(answerer);
    }

    pub(crate) fn hold(&self) {
        self.holds.store(true, Ordering::SeqCst);
    }

    /// Answers what waits, the last first: answers come in any order.
    pub(crate) fn answer_all(&self) {
        self.holds.store(false, Ordering::SeqCst);
        loop {
            let Some((outcome, done)) = self.waiting.lock().pop_back() else { return };
            done.finish(outcome);
        }
    }

    fn decide(&self, call: &Call) -> Outcome {
        if call.entity == 0 {
            return (self.answerer.lock())(call);
        }
        let slot = u16::try_from(call.entity >> 49).expect("a slot");
        let held = self.gate.lock().get(&slot).copied();
        let is_write = matches!(call.op, Some(Op::Send(_)));
        let refused = |code, epoch| Err(Refusal { epoch, ..Refusal::new(code, "in motion") });
        match held {
            None => refused(Code::WrongEpoch, call.epoch),
            Some(Held::Frozen(epoch)) if is_write => refused(Code::Frozen, epoch),
            Some(Held::Owned(epoch)) if epoch != call.epoch => refused(Code::WrongEpoch, epoch),
            Some(_) => {
                if let Some(Op::Send(send)) = &call.op {
                    self.stored.lock().push(send.client_msg_id.clone());
                }
                (self.answerer.lock())(call)
            }
        }
    }
}

impl Shard for TestShard {
    fn submit(&self, call: Call, done: Done) {
        self.calls.fetch_add(1, Ordering::SeqCst);
        let outcome = self.decide(&call);
        if self.holds.load(Ordering::SeqCst) {
            self.waiting.lock().push_back((outcome, done));
        } else {
            done.finish(outcome);
        }
    }
}

#[derive(Default)]
pub(crate) struct TestShards {
    by_address: Mutex<HashMap<String, Arc<TestShard>>>,
    pub(crate) stored: Arc<Mutex<Vec<Vec<u8>>>>,
}

impl TestShards {
    pub(crate) fn at(&self, address: &str) -> Arc<TestShard> {
        let new = || {
            Arc::new(TestShard {
                gate: Mutex::default(),
                answerer: Mutex::new(Box::new(|call| Ok(plain_answer(call)))),
                holds: AtomicBool::new(false),
                waiting: Mutex::default(),
                stored: self.stored.clone(),
                calls: AtomicUsize::new(0),
            })
        };
        self.by_address.lock().entry(address.to_owned()).or_insert_with(new).clone()
    }
}

impl ShardConnect for TestShards {
    fn open(&self, address: &str) -> Arc<dyn Shard> {
        self.at(address)
    }
}

fn plain_answer(call: &Call) -> Answer {
    match &call.op {
        Some(Op::Send(_)) => Answer::Sent(Sent { seq: 1, ver: call.epoch, ..Sent::default() }),
        _ => Answer::Registered(shardline_wire::internal::Registered {}),
    }
}

// ---- Conn-nodes ----

/// Writes down what it is told, as short words; takes nothing while it is stuck.
#[derive(Default)]
pub(crate) struct TestNode {
    heard: Mutex<Vec<String>>,
    pub(crate) is_stuck: AtomicBool,
}

impl NodeSink for TestNode {
    fn push(&self, push: Push) -> Result<(), Full> {
        if self.is_stuck.load(Ordering::SeqCst) {
            return Err(Full);
        }
        let mut heard = self.heard.lock();
        match push {
            Push::Behind => heard.push("behind".to_owned()),
            Push::Routers(list) => heard.push(format!("routers {}", list.number)),
            Push::Events(events) => {
                heard.extend(events.iter().map(|event| format!("event {}", event.ver)));
            }
            Push::Signals(signals) => {
                heard.extend(signals.iter().map(|signal| format!("signal {}", signal.chat)));
            }
        }
        Ok(())
    }
}

impl TestNode {
    pub(crate) fn heard(&self) -> Vec<String> {
        self.heard.lock().clone()
    }

    pub(crate) fn events(&self) -> Vec<String> {
        self.heard().into_iter().filter(|word| word.starts_with("event")).collect()
    }

    pub(crate) fn has_heard(&self, word: &str) -> bool {
        self.heard.lock().iter().any(|heard| heard == word)
    }

    pub(crate) fn forget(&self) {
        self.heard.lock().clear();
    }
}

/// A conn-node with its stream.
pub(crate) struct Node {
    pub(crate) sink: Arc<TestNode>,
    pub(crate) stream: Arc<dyn call::Router>,
}

impl Node {
    pub(crate) fn submit(&self, op: NodeOp) -> oneshot::Receiver<Outcome> {
        let (done, outcome) = Done::channel();
        self.stream.submit(op, done);
        outcome
    }

    pub(crate) async fn ask(&self, op: NodeOp) -> Outcome {
        let outcome = tokio::time::timeout(PATIENCE, self.submit(op)).await;
        outcome.expect("an answer in time").expect("an answer")
    }

    pub(crate) async fn follow(&self, chat: u64) -> Outcome {
        self.ask(NodeOp::Interest(Interest { add: vec![chat], remove: Vec::new() })).await
    }

    pub(crate) async fn is_complete(&self) {
        let outcome = self.ask(NodeOp::Presence(PresenceState { complete: true })).await;
        assert!(outcome.is_ok(), "{outcome:?}");
    }
}

pub(crate) fn send(chat: u64, number: u32) -> NodeOp {
    let send = Send { client_msg_id: number.to_be_bytes().to_vec(), ..Send::default() };
    NodeOp::Call(Call { entity: chat, op: Some(Op::Send(send)), ..Call::default() })
}

// ---- Together ----

pub(crate) struct World {
    pub(crate) catalog: Arc<TestCatalog>,
    pub(crate) shards: Arc<TestShards>,
    pub(crate) bus: Arc<MemoryBus>,
    pub(crate) presence: Arc<MemoryPresence>,
    lifecycle: Lifecycle,
    health: Health,
}

impl World {
    /// Two shards "one" and "two". Slots 0 and 16,383 are on the first, slot 8,000 on the second, all
    /// at epoch 1.
    pub(crate) fn new() -> World {
        let catalog = TestCatalog::default();
        let shards = TestShards::default();
        for (shard, address) in [(1, "one"), (2, "two")] {
            catalog.put_shard(shard, address);
        }
        for (slot, shard, address) in [(0, 1, "one"), (8_000, 2, "two"), (16_383, 1, "one")] {
            catalog.put_slot(slot, shard, 1);
            shards.at(address).put(slot, Held::Owned(1));
        }
        World {
            catalog: Arc::new(catalog),
            shards: Arc::new(shards),
            bus: Arc::new(MemoryBus::new()),
            presence: Arc::new(MemoryPresence::new()),
            lifecycle: Lifecycle::new(),
            health: Health::new(),
        }
    }

    pub(crate) async fn start(&self, id: &str) -> Arc<Router> {
        self.start_with(id, self.presence.clone()).await
    }

    /// Starts a router and waits until it is ready and consumes.
    pub(crate) async fn start_with(&self, id: &str, presence: Arc<dyn Presence>) -> Arc<Router> {
        let identity = Identity { id: id.to_owned(), address: format!("{id}:1") };
        let outside = Outside {
            catalog: self.catalog.clone(),
            shards: self.shards.clone(),
            bus: self.bus.clone(),
            presence,
        };
        let partitions = Partitions::new(PARTITIONS).expect("a power of two");
        let router = Router::start(identity, partitions, outside, &self.lifecycle, &self.health);
        until("the router is ready", || self.health.is_ready()).await;
        router
    }

    pub(crate) async fn stop(&self) {
        assert!(self.lifecycle.finish(PATIENCE).await, "the router's tasks end");
        assert_eq!(self.lifecycle.failure(), None);
    }

    /// A conn-node's stream, past its first words.
    pub(crate) async fn node(&self, router: &Router, name: &str) -> Node {
        let sink = Arc::new(TestNode::default());
        let hello = NodeHello { node: name.to_owned(), boot: 1 };
        let stream = router.accept(hello, sink.clone());
        until("the list is told", || sink.heard().iter().any(|w| w.starts_with("routers"))).await;
        assert_eq!(sink.heard()[0], "behind");
        Node { sink, stream }
    }

    pub(crate) async fn put_user(&self, user: u64, node: &str) {
        let mark = Mark { node: NodeId::parse(node).expect("a name"), boot: 1 };
        let entry = Entry { user: UserId::new(user).expect("an id"), connection: user };
        self.presence.begin(&mark).await.expect("memory");
        self.presence.enter(&mark, &[entry]).await.expect("memory");
    }

    pub(crate) async fn publish(&self, events: &[Event]) {
        for event in events {
            let slot = Slot::new(u32::try_from(event.entity >> 49).expect("a slot"));
            let partitions = Partitions::new(PARTITIONS).expect("a power of two");
            let partition = slot.expect("a slot").partition(partitions);
            let batch = EventBatch { events: vec![event.clone()] };
            let published = self.bus.publish(partition, batch.encode_to_vec().into());
            published.await.expect("memory");
        }
    }

    /// Waits until these nodes, none of which is in presence yet, get what is published to this
    /// chat, and have forgotten all they heard until then.
    pub(crate) async fn consumes(&self, chat: u64, nodes: &[&Node]) {
        let all_heard = |ver: u64| {
            let word = format!("event {ver}");
            nodes.iter().all(|node| node.sink.has_heard(&word))
        };
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while !all_heard(u64::MAX) {
            assert!(tokio::time::Instant::now() < deadline, "the router never consumed");
            self.publish(&[event(chat, u64::MAX, &[1])]).await;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // After the last of these comes nothing more.
        self.publish(&[event(chat, u64::MAX - 1, &[1])]).await;
        until("the last one arrives", || all_heard(u64::MAX - 1)).await;
        nodes.iter().for_each(|node| node.sink.forget());
    }
}

pub(crate) fn event(entity: u64, ver: u64, receivers: &[u64]) -> Event {
    Event {
        entity,
        ver,
        kind: EventKind::Chat.into(),
        receivers: receivers.to_vec(),
        committed_at_ms: clock::now_ms(),
        ..Event::default()
    }
}
