//! The world around a router: a catalog in memory, shards, conn-nodes, a bus and presence.

mod catalog;
mod nodes;
mod shards;

pub(crate) use catalog::TestCatalog;
pub(crate) use nodes::{Node, TestNode, send};
pub(crate) use shards::{Held, TestShards};

use prost::Message as _;
use shardline_backends::bus::Bus;
use shardline_backends::bus::memory::MemoryBus;
use shardline_backends::presence::memory::MemoryPresence;
use shardline_backends::presence::{Entry, Mark, NodeId, Presence};
use shardline_daemon::clock;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::id::UserId;
use shardline_domain::slot::{Partitions, Slot};
use shardline_router::router::{Identity, Outside, Router};
use shardline_wire::call::{RouterAccept, ShardConnect};
use shardline_wire::internal::{Event, EventBatch, EventKind, NodeHello};
use std::sync::Arc;
use std::time::Duration;

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

pub(crate) struct World {
    pub(crate) catalog: Arc<TestCatalog>,
    pub(crate) shards: Arc<TestShards>,
    pub(crate) bus: Arc<MemoryBus>,
    pub(crate) presence: Arc<MemoryPresence>,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) health: Health,
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
        let router = self.begin(id, self.shards.clone(), presence);
        until("the router is ready", || self.health.is_ready()).await;
        router
    }

    /// Starts a router and does not wait for it.
    pub(crate) fn begin(
        &self,
        id: &str,
        shards: Arc<dyn ShardConnect>,
        presence: Arc<dyn Presence>,
    ) -> Arc<Router> {
        let identity = Identity { id: id.to_owned(), address: format!("{id}:1"), boot: 1 };
        let outside =
            Outside { catalog: self.catalog.clone(), shards, bus: self.bus.clone(), presence };
        let partitions = Partitions::new(PARTITIONS).expect("a power of two");
        Router::start(identity, partitions, outside, &self.lifecycle, &self.health)
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
