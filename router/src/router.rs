//! A router, put together: the parts it runs, and its two faces, towards conn-nodes and towards
//! shard-nodes.

use crate::catalog::{self, CatalogStore};
use crate::connections::Connections;
use crate::deliveries::Deliveries;
use crate::deliveries::remembered::Remembered;
use crate::interest::Interest;
use crate::node_stream::NodeStream;
use crate::recalls::Recalls;
use crate::requests::Requests;
use crate::routers::{self, Routers};
use crate::shards::Shards;
use crate::signals::Signals;
use crate::slot_map::{self, SlotMap};
use crate::whereabouts::Whereabouts;
use async_trait::async_trait;
use shardline_backends::bus::Bus;
use shardline_backends::presence::Presence;
use shardline_daemon::clock;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::id::EntityId;
use shardline_domain::slot::{Partitions, Slot};
use shardline_wire::call::{self, NodeSink, Outcome, RouterAccept, ShardConnect};
use shardline_wire::internal::{Call, NodeHello, RecallRequest, RouterList, RouterRecalled};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How long a chat's followers are kept after its partition went to another router: by then every
/// conn-node has the list that says so, and announces again should it come back.
const FOLLOWERS_KEPT: Duration = Duration::from_secs(60);

/// From leaving the list to the first look whether anything is still under way.
const LIST_TRAVEL_TIME: Duration = Duration::from_millis(100);
/// Nothing is parked for longer.
const DRAIN_TIME_MAX: Duration = Duration::from_millis(2_500);
/// The router's tasks only have to notice.
const INNER_STOP_TIME_MAX: Duration = Duration::from_secs(2);

/// What distinguishes this router from the others.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Unique among routers, the same after a restart.
    pub id: String,
    /// Where conn-nodes and shard-nodes reach it: "host:port".
    pub address: String,
    /// Of this run of its process: another one, wherever it runs, is told that the id is taken.
    pub boot: u64,
}

/// What a router talks to.
pub struct Outside {
    pub catalog: Arc<dyn CatalogStore>,
    pub shards: Arc<dyn ShardConnect>,
    pub bus: Arc<dyn Bus>,
    pub presence: Arc<dyn Presence>,
}

/// Knows where everything is.
pub struct Router {
    pub map: Arc<SlotMap>,
    pub shards: Arc<Shards>,
    pub routers: Arc<Routers>,
    requests: Arc<Requests>,
    connections: Arc<Connections>,
    interest: Arc<Interest>,
    signals: Signals,
    /// What was dispatched here, and what conn-nodes say they did with it.
    remembered: Arc<Remembered>,
    recalls: Arc<Recalls>,
    stopped: CancellationToken,
}

impl Router {
    /// Starts the router's tasks. It takes calls at once and refuses them with TRY_AGAIN until it
    /// knows the map; it is ready once it has the map and is on the router list.
    ///
    /// When the lifecycle stops, it leaves the list first, then answers what is under way, then ends.
    pub fn start(
        identity: Identity,
        partitions: Partitions,
        outside: Outside,
        lifecycle: &Lifecycle,
        health: &Health,
    ) -> Arc<Router> {
        crate::metrics::describe_all();
        let Outside { catalog, shards, bus, presence } = outside;
        let me = catalog::Router { id: identity.id, address: identity.address };
        let map = Arc::new(SlotMap::default());
        let shards = Arc::new(Shards::new(shards));
        let routers = Arc::new(Routers::new(me, partitions));
        let requests = Requests::new(map.clone(), shards.clone(), routers.clone());
        let connections = Arc::new(Connections::new(routers.clone()));
        let interest = Arc::new(Interest::default());
        let whereabouts = Arc::new(Whereabouts::new(presence));
        let (signals, relay) =
            Signals::new(connections.clone(), interest.clone(), whereabouts.clone());
        let remembered = Arc::new(Remembered::new(clock::now_ms()));
        let recalls = Arc::<Recalls>::default();
        let deliveries = Arc::new(Deliveries {
            routers: routers.clone(),
            connections: connections.clone(),
            interest: interest.clone(),
            whereabouts,
            remembered: remembered.clone(),
        });

        let inner = lifecycle.child();
        let stop = || inner.token();
        let ready = health.part("slot map");
        let keep = slot_map::keep(map.clone(), catalog.clone(), shards.clone(), ready, stop());
        inner.run("slot map", keep);
        inner.run("calls", requests.clone().tend(stop()));
        inner.run("streams", connections.clone().tend(stop()));
        inner.run("deliveries", deliveries.run(bus, lifecycle.clone(), stop()));
        inner.run("signals", relay.run(stop()));
        inner.run("interest", forget_others(routers.clone(), interest.clone(), stop()));
        let ready = health.part("router list");
        let keep = routers::keep(routers.clone(), identity.boot, catalog, ready, lifecycle.clone());
        let (requests_left, all) = (requests.clone(), inner.clone());
        lifecycle.run("router", async move {
            keep.await;
            drain(&requests_left).await;
            if !all.finish(INNER_STOP_TIME_MAX).await {
                warn!("some of the router's tasks did not end in time");
            }
        });

        let stopped = inner.token();
        Arc::new(Router {
            map,
            shards,
            routers,
            requests,
            connections,
            interest,
            signals,
            remembered,
            recalls,
            stopped,
        })
    }

    /// A shard-node's call for an entity on any shard.
    pub async fn route(&self, call: Call) -> Outcome {
        self.requests.route(call).await
    }

    /// Cancelled once a stopping router has answered what was under way: streams end with it.
    pub fn stopped(&self) -> CancellationToken {
        self.stopped.clone()
    }

    /// The conn-nodes that have a stream to this router, by name.
    pub fn conn_nodes(&self) -> Vec<String> {
        let streams = self.connections.load();
        let mut names: Vec<String> = streams.iter().map(|stream| stream.node.clone()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Its id.
    pub fn id(&self) -> &str {
        self.routers.id()
    }

    /// The newest known list of routers.
    pub fn list(&self) -> RouterList {
        self.routers.load().list.clone()
    }
}

#[async_trait]
impl RouterAccept for Router {
    fn accept(&self, hello: NodeHello, sink: Arc<dyn NodeSink>) -> Arc<dyn call::Router> {
        Arc::new(NodeStream {
            stream: self.connections.accept(hello, sink),
            requests: self.requests.clone(),
            routers: self.routers.clone(),
            connections: self.connections.clone(),
            interest: self.interest.clone(),
            signals: self.signals.clone(),
            recalls: self.recalls.clone(),
        })
    }

    async fn recall(&self, event: RecallRequest) -> RouterRecalled {
        let (dispatch, since_ms) = self.remembered.find(event.entity, event.ver);
        let nodes = self.recalls.ask(&self.connections, event).await;
        RouterRecalled { router: self.id().to_owned(), since_ms, dispatch, nodes }
    }
}

/// A stopping router has left the list: conn-nodes go to others, and what is under way is answered.
async fn drain(requests: &Requests) {
    let empty = async {
        tokio::time::sleep(LIST_TRAVEL_TIME).await;
        while 0 < requests.in_flight() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    if tokio::time::timeout(DRAIN_TIME_MAX, empty).await.is_err() {
        info!(calls = requests.in_flight(), "stopping with calls under way; their callers repeat");
    }
}

/// Forgets who follows chats of other routers, once the list has stood for a while. Sooner would be
/// wrong: a partition may come back before a conn-node noticed that it was away.
async fn forget_others(routers: Arc<Routers>, interest: Arc<Interest>, stop: CancellationToken) {
    let mut list = routers.changed();
    let mut is_due = false;
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            _ = list.changed() => is_due = true,
            () = tokio::time::sleep(FOLLOWERS_KEPT), if is_due => {
                interest.forget_chats(|chat| {
                    EntityId::new(chat).is_ok_and(|chat| routers.owns(Slot::of(chat)))
                });
                is_due = false;
            }
        }
    }
}
