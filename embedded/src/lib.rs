//! The whole system in one process: the same shard-nodes, router and conn-node as in a cluster, with
//! SQLite for their databases, an in-process bus, and presence and cursors in memory. Wiring only.

mod data;
mod local;
mod operators;
mod shards;

use anyhow::Context;
use data::DataFolder;
use local::{LocalRouter, LocalShards, NoOther, Nodes};
use shardline_backends::bus::memory::MemoryBus;
use shardline_backends::cursors::memory::MemoryCursors;
use shardline_backends::presence::memory::MemoryPresence;
use shardline_conn_node::ConnNode;
use shardline_daemon::config::Settings;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::id::ShardId;
use shardline_domain::placement::Share;
use shardline_domain::slot::Partitions;
use shardline_router::admin::Admin;
use shardline_router::catalog::migrate::Migrate;
use shardline_router::catalog::sqlite::SqliteCatalog;
use shardline_router::catalog_service::CatalogService;
use shardline_router::checks::Checker;
use shardline_router::coordinator::{Coordinator, Reach};
use shardline_router::explain::Explainer;
use shardline_router::operations::Operations;
use shardline_router::router::{Identity, Outside, Router};
use shardline_router::server::ForOperators;
use shardline_shard_node::Loss;
use shardline_shard_node::config::read_accept_loss;
use shardline_wire::link::Secret;
use shards::{Ground, PARTITIONS, SHARDS_MAX, Shards};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;

/// Questions about shards that are to join, waiting.
const LOOKS_MAX: usize = 16;
const ROUTER: &str = "router-1";
/// How long each layer may take to stop, from the outside in.
const LAYER_STOP_TIME: Duration = Duration::from_secs(8);

/// What the embedded form has to be told.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where clients connect; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Where operators (shardctl) connect, on loopback; port 0 takes a free one.
    pub admin_listen: SocketAddr,
    /// By which operators are known; None: by the data folder's own secret.
    pub admin_secret: Option<Secret>,
    /// Everything that is kept.
    pub data: PathBuf,
    /// Shards of a new data folder. A folder that has shards keeps those.
    pub shards: u32,
    /// Whether addresses on loopback are free of limits per address, as in the `local` profile.
    pub is_local: bool,
    /// Losses of restored shards that the operator accepts.
    pub accept_loss: Vec<Loss>,
}

impl Options {
    pub fn read(settings: &mut Settings) -> Options {
        let listen = settings.or("listen", SocketAddr::from(([127, 0, 0, 1], 8080)), "for clients");
        let data = settings.or("data", "data".to_owned(), "folder of everything that is kept");
        let shards = settings.or("shards", 2, "shards of a new data folder, 1 to 64");
        if !(1..=SHARDS_MAX).contains(&shards) {
            settings.problem("shards", format!("it must be from 1 to {SHARDS_MAX}"));
        }
        let (admin_listen, admin_secret) = operators::read(settings);
        let accept_loss = read_accept_loss(settings);
        let is_local = settings.peek("profile").is_none_or(|profile| profile == "local");
        let data = data.into();
        Options { listen, admin_listen, admin_secret, data, shards, is_local, accept_loss }
    }
}

/// A running system. It stops with the lifecycle it was started in: conn-node, router, shards.
pub struct Cluster {
    conn_node: ConnNode,
    admin_addr: SocketAddr,
}

impl Cluster {
    /// # Errors
    /// If the data folder is in use or cannot be written, a shard of it cannot be opened, or an address
    /// cannot be bound.
    pub async fn start(
        options: Options,
        lifecycle: &Lifecycle,
        health: &Health,
    ) -> anyhow::Result<Cluster> {
        let data = Arc::new(DataFolder::open(&options.data)?);
        let secret = data.secret(rand::random())?;
        let known = Secret::new(&secret).context("the data folder's secret is not plain text")?;
        let operators = operators::bind(options.admin_listen).await?;
        let layers = Layers {
            outside: lifecycle.child(),
            router: lifecycle.child(),
            shards: lifecycle.child(),
        };
        let bus = Arc::new(MemoryBus::new());
        let presence = Arc::new(MemoryPresence::new());
        let partitions = Partitions::new(PARTITIONS).expect("a power of two");

        let catalog = SqliteCatalog::open(&data.catalog(), Migrate::Always).await;
        let catalog = Arc::new(catalog.context("the catalog cannot be opened")?);
        let nodes = Nodes::default();
        let (looks, looked) = mpsc::channel(LOOKS_MAX);
        let shards = Arc::new(LocalShards::new(nodes.clone(), looks));
        let router = Router::start(
            // The locked data folder sees to it that there is no other: a restart takes over at once.
            Identity { id: ROUTER.to_owned(), address: ROUTER.to_owned(), boot: 1 },
            partitions,
            Outside {
                catalog: catalog.clone(),
                shards: shards.clone(),
                bus: bus.clone(),
                presence: presence.clone(),
            },
            &layers.router,
            health,
        );
        let initial =
            (0..options.shards).map(|shard| Share { shard: ShardId(shard), weight: 1 }).collect();
        let reach = Reach { moves: shards.clone(), map: router.map.clone(), partitions };
        let coordinator =
            Coordinator::new(catalog.clone(), reach.clone(), ROUTER, rand::random(), initial);
        let coordinator = Arc::new(coordinator);
        layers.router.run("coordinator", coordinator.clone().run(layers.router.token()));
        let checks = Checker::new(catalog.clone(), reach.clone(), router.clone(), shards.clone());
        let operations = Operations::new(catalog.clone(), reach, coordinator.clone());
        let admin = Admin::new(
            catalog.clone(),
            router.clone(),
            router.clone(),
            Arc::new(Explainer::new(router.clone(), Arc::new(NoOther))),
            coordinator,
            partitions,
        );

        let ground = Ground {
            data: data.clone(),
            bus,
            catalog: Arc::new(CatalogService::new(catalog.clone(), router.clone())),
            peers: shards,
            accept_loss: options.accept_loss,
            health: health.clone(),
            lifecycle: layers.shards.child(),
        };
        let mut shards = Shards::new(ground, catalog, nodes, looked);
        shards.pass().await?;
        layers.shards.run("shards", shards.run(layers.shards.clone()));

        let mut config = shardline_conn_node::config::Config::new("conn-1", options.listen, secret);
        config.routers = vec![ROUTER.to_owned()];
        config.durability = "committed to SQLite on this machine's disk".to_owned();
        let conn_node = ConnNode::start(
            config,
            Arc::new(LocalRouter(router)),
            presence,
            Arc::new(MemoryCursors::new()),
            &layers.outside,
            health,
        )
        .await?;

        let services = ForOperators {
            admin: Arc::new(admin),
            operations: Arc::new(operations),
            checks: Arc::new(checks),
            secret: options.admin_secret.unwrap_or(known),
        };
        let admin_addr = operators.serve(services, &layers.outside);
        lifecycle.run("layers", layers.stop_in_turn(lifecycle.clone(), data));
        Ok(Cluster { conn_node, admin_addr })
    }

    /// Where clients connect.
    pub fn local_addr(&self) -> SocketAddr {
        self.conn_node.local_addr()
    }

    /// Where operators connect.
    pub fn admin_addr(&self) -> SocketAddr {
        self.admin_addr
    }
}

struct Layers {
    outside: Lifecycle,
    router: Lifecycle,
    shards: Lifecycle,
}

impl Layers {
    /// Whoever asks stops before who answers. The folder is free once nothing writes any more.
    async fn stop_in_turn(self, lifecycle: Lifecycle, data: Arc<DataFolder>) {
        lifecycle.token().cancelled().await;
        for (layer, name) in
            [(&self.outside, "conn-node"), (&self.shards, "shards"), (&self.router, "router")]
        {
            if !layer.finish(LAYER_STOP_TIME).await {
                tracing::warn!(layer = name, "did not stop in time");
            }
        }
        drop(data);
    }
}
