//! The cluster's processes as hosts of the simulation, put together as their own mains do it, and what
//! outlives them.

use crate::bus::SimBus;
use crate::catalog::SimCatalog;
use crate::climate::{Climate, Weather};
use crate::network::{Clients, Network, address, incoming, listen};
use crate::redis::SimRedis;
use crate::store::{Disk, SimStore};
use anyhow::{Context, Result, anyhow};
use shardline_backends::presence::ENTRY_LIFE;
use shardline_conn_node::ConnNode;
use shardline_conn_node::config::Config as ConnConfig;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::id::ShardId;
use shardline_domain::placement::Share;
use shardline_domain::slot::Partitions;
use shardline_router::catalog::sqlite::Memory;
use shardline_router::parts::Parts;
use shardline_router::router::Identity;
use shardline_shard_node::config::Config as ShardConfig;
use shardline_shard_node::{ShardNode, server};
use shardline_wire::link::{CatalogClient, MoveLinks, RouterLinks, Trust};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;
use turmoil::Sim;

pub(crate) const ROUTERS: [&str; 2] = ["router-1", "router-2"];
pub(crate) const CONN_NODES: [&str; 2] = ["conn-node-1", "conn-node-2"];
/// Two of each shard: a writer and its standby.
pub(crate) const SHARD_NODES: [(&str, u32); 6] = [
    ("shard-node-0", 0),
    ("standby-0", 0),
    ("shard-node-1", 1),
    ("standby-1", 1),
    (NEW_SHARD_NODE, NEW_SHARD),
    ("standby-2", NEW_SHARD),
];
/// Not in the cluster until the operator adds it.
pub(crate) const NEW_SHARD: u32 = 2;
pub(crate) const NEW_SHARD_NODE: &str = "shard-node-2";
pub(crate) const REDIS: &str = "redis";
/// The new one included.
pub(crate) const SHARDS: u32 = 3;

const SECRET: &str = "one secret of the whole simulation";
const PARTITIONS: u32 = 8;
const LANES: u16 = 2;
const IDLE: Duration = Duration::from_secs(10);
const STOP_TIME: Duration = Duration::from_secs(10);

/// What outlives every process.
#[derive(Clone)]
pub(crate) struct Ground {
    catalog: Memory,
    disks: Vec<Disk>,
    bus: SimBus,
    pub(crate) redis: SimRedis,
    pub(crate) climates: Climates,
}

/// Outside systems: the catalog, three databases, the bus, and Redis.
pub(crate) const SYSTEMS: usize = 6;
pub(crate) const REDIS_CLIMATE: usize = 5;

/// Of each outside system.
#[derive(Clone, Default)]
pub(crate) struct Climates {
    pub(crate) catalog: Climate,
    pub(crate) disks: [Climate; SHARDS as usize],
    pub(crate) bus: Climate,
    pub(crate) redis: Climate,
}

impl Climates {
    pub(crate) fn all(&self) -> [&Climate; SYSTEMS] {
        let Climates { catalog, disks: [one, other, new], bus, redis } = self;
        [catalog, one, other, new, bus, redis]
    }

    pub(crate) fn calm(&self) {
        let weather = Weather { delay: Duration::from_millis(2), ..Weather::default() };
        self.all().into_iter().for_each(|climate| climate.set(weather));
    }
}

impl Ground {
    pub(crate) fn new() -> Result<Ground> {
        let climates = Climates::default();
        climates.calm();
        let disks = climates.disks.iter().enumerate();
        let disks =
            disks.map(|(shard, climate)| Disk::new(&format!("disk {shard}"), climate.clone()));
        Ok(Ground {
            catalog: Memory::new()?,
            disks: disks.collect::<Result<_, _>>()?,
            bus: SimBus::new(climates.bus.clone()),
            redis: SimRedis::new(climates.redis.clone(), ENTRY_LIFE),
            climates,
        })
    }

    /// All hosts; they start with the simulation.
    pub(crate) fn put_up(&self, sim: &mut Sim<'_>) {
        let ground = self.clone();
        sim.host(REDIS, move || {
            let ground = ground.clone();
            async move {
                ground.redis.serve().await;
                Ok(())
            }
        });
        for host in ROUTERS {
            let ground = self.clone();
            sim.host(host, move || ended(ground.clone().router(host)));
        }
        for (host, shard) in SHARD_NODES {
            let ground = self.clone();
            sim.host(host, move || ended(ground.clone().shard_node(host, shard)));
        }
        for host in CONN_NODES {
            let ground = self.clone();
            sim.host(host, move || ended(ground.clone().conn_node(host)));
        }
    }

    async fn router(self, host: &'static str) -> Result<()> {
        let (lifecycle, health) = (Lifecycle::new(), Health::new());
        let listener = listen().await?;
        let catalog = SimCatalog::open(&self.catalog, self.climates.catalog.clone())?;
        let share = |shard| Share { shard: ShardId(shard), weight: 1 };
        let parts = Parts {
            identity: Identity {
                id: host.to_owned(),
                address: address(host),
                boot: rand::random::<u64>() >> 1,
            },
            partitions: partitions()?,
            initial_shards: (0..NEW_SHARD).map(share).collect(),
            catalog: Arc::new(catalog),
            bus: Arc::new(self.bus),
            presence: Arc::new(self.redis),
            trust: trust()?,
            admin_secret: trust()?.secret().clone(),
        };
        parts.start(incoming(listener), &lifecycle, &health);
        until_failed(lifecycle).await
    }

    async fn shard_node(self, host: &'static str, shard: u32) -> Result<()> {
        let (lifecycle, health) = (Lifecycle::new(), Health::new());
        let listener = listen().await?;
        let disk = self.disks.get(shard as usize).context("every shard has a disk")?;
        let store = Arc::new(SimStore::open(disk).await?);
        let catalog = CatalogClient::new(&ROUTERS.map(address), trust()?)?;
        let peers = Arc::new(MoveLinks::new(trust()?));
        let config = ShardConfig::new(shard, host, address(host))
            .with_lanes(LANES)?
            .with_partitions(PARTITIONS)?;
        let (bus, catalog) = (Arc::new(self.bus), Arc::new(catalog));
        let node = ShardNode::start(config, store, bus, catalog, peers, &lifecycle, &health);
        let (stopped, trust, failing) = (node.stopped(), trust()?, lifecycle.clone());
        lifecycle.run("server", async move {
            let incoming = incoming(listener);
            if let Err(error) =
                server::serve(incoming, node.clone(), node.clone(), node, trust, stopped).await
            {
                failing.fail(format!("the server ended: {error}"));
            }
        });
        until_failed(lifecycle).await
    }

    async fn conn_node(self, host: &'static str) -> Result<()> {
        let (lifecycle, health) = (Lifecycle::new(), Health::new());
        let listener = Clients(listen().await?);
        let anywhere = ([0, 0, 0, 0], 0).into();
        let mut config = ConnConfig::new(host, anywhere, SECRET);
        config.routers = ROUTERS.map(address).to_vec();
        // A network that never sends again what it lost leaves connections that one side believes in.
        config.idle = IDLE;
        config.rates.registrations_a_minute = NonZeroU32::MAX;
        config.rates.log_ins_a_minute = NonZeroU32::MAX;
        config.rates.sends_a_second = NonZeroU32::MAX;
        config.password_cost = shardline_conn_node::auth::Cost::new(8, 1, 1)
            .map_err(|error| anyhow!("the cost of a password: {error}"))?;
        config.passwords_aside = false;
        let routers = Arc::new(RouterLinks::new(trust()?));
        let redis = Arc::new(self.redis);
        let (presence, cursors) = (redis.clone(), redis);
        ConnNode::start_on(listener, config, routers, presence, cursors, &lifecycle, &health)?;
        until_failed(lifecycle).await
    }
}

pub(crate) fn trust() -> Result<Trust> {
    Ok(Trust::parse(SECRET, None).context("the secret is plain text")?.over(Arc::new(Network)))
}

fn partitions() -> Result<Partitions> {
    Partitions::new(PARTITIONS).context("a power of two")
}

/// As a process does: what failed stops the rest in order, and the process ends.
async fn until_failed(lifecycle: Lifecycle) -> Result<()> {
    let reason = lifecycle.failed().await;
    lifecycle.finish(STOP_TIME).await;
    Err(anyhow!(reason))
}

/// Whoever runs a process starts it again; the simulation does when it finds that it ended.
async fn ended(process: impl Future<Output = Result<()>>) -> turmoil::Result {
    if let Err(reason) = process.await {
        tracing::info!(%reason, "the process ended");
    }
    Ok(())
}
