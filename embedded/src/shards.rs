//! The shards of this process: each shard of the catalog has its file and its shard-node here. Nobody
//! starts or stops one: this looks at the catalog, and acts.

use crate::data::DataFolder;
use crate::local::{LocalShards, Nodes};
use anyhow::Context;
use shardline_backends::bus::memory::MemoryBus;
use shardline_daemon::health::{Health, ReadyFlag};
use shardline_daemon::lifecycle::Lifecycle;
use shardline_router::catalog::{CatalogStore, ShardRow};
use shardline_router::catalog_service::CatalogService;
use shardline_shard_node::config::Config;
use shardline_shard_node::store::sqlite::{SqliteStore, apply};
use shardline_shard_node::{Loss, ShardNode, describe};
use shardline_wire::internal::ShardDescription;
use shardline_wire::refusal::{Code, Refusal};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tracing::{info, warn};

/// Shards of one process: each has files, threads and memory of its own.
pub(crate) const SHARDS_MAX: u32 = 64;
/// Bus partitions; in one process they cost next to nothing.
pub(crate) const PARTITIONS: u32 = 16;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// A shard-node that is stopped finishes what waits in its lane.
const STOP_TIME: Duration = Duration::from_secs(7);

/// A shard's number, as its address here says it: `shard-0` to `shard-63`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Number(u32);

impl Number {
    pub(crate) fn parse(address: &str) -> Result<Number, Refusal> {
        let number = address.strip_prefix("shard-").and_then(|number| number.parse().ok());
        // Written in the one way: two addresses are two shards.
        let known = number.map(Number).filter(|number| number.to_string() == address);
        let fits = known.filter(|number| number.0 < SHARDS_MAX);
        fits.ok_or_else(|| {
            let last = Number(SHARDS_MAX - 1);
            let message = format!("shards of this process are shard-0 to {last}");
            Refusal::of_field(Code::BadRequest, "address", message)
        })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "shard-{}", self.0)
    }
}

/// Somebody asks who is at an address where no shard-node runs: perhaps a shard that is to join.
pub(crate) struct Look {
    pub(crate) number: Number,
    pub(crate) answer: oneshot::Sender<Result<ShardDescription, Refusal>>,
}

/// What each shard-node is made with.
pub(crate) struct Ground {
    pub(crate) data: Arc<DataFolder>,
    pub(crate) bus: Arc<MemoryBus>,
    pub(crate) catalog: Arc<CatalogService>,
    pub(crate) peers: Arc<LocalShards>,
    pub(crate) accept_loss: Vec<Loss>,
    pub(crate) health: Health,
    /// Only failures are shared: shard-nodes are stopped one by one.
    pub(crate) lifecycle: Lifecycle,
}

pub(crate) struct Shards {
    ground: Ground,
    catalog: Arc<dyn CatalogStore>,
    running: BTreeMap<Number, Running>,
    /// The same, as others find them.
    nodes: Nodes,
    looks: mpsc::Receiver<Look>,
    ready: ReadyFlag,
    /// What was logged last.
    told: String,
}

/// Stopped before it is dropped.
struct Running {
    lifecycle: Lifecycle,
    /// Its parts count as long as it runs.
    _health: Health,
}

impl Shards {
    pub(crate) fn new(
        ground: Ground,
        catalog: Arc<dyn CatalogStore>,
        nodes: Nodes,
        looks: mpsc::Receiver<Look>,
    ) -> Shards {
        let ready = ground.health.part("shards");
        let (running, told) = (BTreeMap::new(), String::new());
        Shards { ground, catalog, running, nodes, looks, ready, told }
    }

    /// Until the layer stops; then stops all shard-nodes.
    pub(crate) async fn run(mut self, layer: Lifecycle) {
        let stop = layer.token();
        loop {
            tokio::select! {
                () = stop.cancelled() => break,
                // Its senders live as long as the router.
                Some(look) = self.looks.recv() => {
                    let described = self.look(look.number).await;
                    // Whoever does not wait any more has given up.
                    drop(look.answer.send(described));
                }
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            let told = match self.pass().await {
                Ok(()) => String::new(),
                Err(error) => format!("{error:#}"),
            };
            if !told.is_empty() && told != self.told {
                warn!(reason = told, "not every shard runs");
            }
            self.told = told;
        }
        self.nodes.write().clear();
        let mut stopping = JoinSet::new();
        for (number, running) in std::mem::take(&mut self.running) {
            stopping.spawn(stopped(number, running));
        }
        stopping.join_all().await;
    }

    /// Makes it so that exactly the shards of the catalog run. What could not be done is tried again with
    /// the next pass.
    ///
    /// # Errors
    /// The first shard that cannot be opened, or a catalog that does not answer.
    pub(crate) async fn pass(&mut self) -> anyhow::Result<()> {
        let rows = self.catalog.shards().await.context("the catalog does not answer")?;
        let wanted: BTreeSet<Number> = rows.iter().map(number).collect();
        let gone = self.running.keys().copied().filter(|number| !wanted.contains(number));
        for number in gone.collect::<Vec<_>>() {
            self.nodes.write().remove(&number);
            if let Some(running) = self.running.remove(&number) {
                stopped(number, running).await;
                info!(shard = %number, "the shard was removed; its file stays");
            }
        }
        let mut done = Ok(());
        for number in wanted {
            if !self.running.contains_key(&number)
                && let Err(error) = self.start(number).await
                && done.is_ok()
            {
                done = Err(error);
            }
        }
        match &done {
            Ok(()) if self.running.is_empty() => {
                self.ready.not_ready("waiting for the first placement of slots");
            }
            Ok(()) => self.ready.ready(),
            Err(error) => self.ready.not_ready(format!("{error:#}")),
        }
        done
    }

    async fn start(&mut self, number: Number) -> anyhow::Result<()> {
        let file = self.ground.data.shard(number.0);
        // An older program's file; nobody else has it open.
        apply(&file).with_context(|| format!("{number} cannot be brought up to date"))?;
        let store = SqliteStore::open(&file).await;
        let store = store.with_context(|| format!("{number} cannot be opened"))?;
        let (lifecycle, health) = (self.ground.lifecycle.child(), Health::new());
        let node = ShardNode::start(
            self.config(number),
            Arc::new(store),
            self.ground.bus.clone(),
            self.ground.catalog.clone(),
            self.ground.peers.clone(),
            &lifecycle,
            &health,
        );
        self.ground.health.include(&health);
        self.running.insert(number, Running { lifecycle, _health: health });
        self.nodes.write().insert(number, node);
        info!(shard = %number, "the shard runs");
        Ok(())
    }

    /// Who would join, if it may. Nothing is made: a file is there once its shard is in the catalog.
    async fn look(&self, number: Number) -> Result<ShardDescription, Refusal> {
        let (config, path) = (self.config(number), self.ground.data.shard(number.0));
        if !path.exists() {
            return describe(&config, None).await;
        }
        let shown = path.display();
        let wrong = |why| Refusal::new(Code::Conflict, format!("{shown}: {why}"));
        let store = SqliteStore::open(&path).await.map_err(|error| wrong(error.to_string()))?;
        describe(&config, Some(&store)).await.map_err(|refusal| wrong(refusal.message))
    }

    fn config(&self, number: Number) -> Config {
        let address = number.to_string();
        let mut config = Config::new(number.0, &address, &address)
            .with_lanes(1)
            .and_then(|config| config.with_partitions(PARTITIONS))
            .expect("one lane, and a power of two");
        config.accept_loss.clone_from(&self.ground.accept_loss);
        config
    }
}

fn number(row: &ShardRow) -> Number {
    Number(row.shard.0)
}

async fn stopped(number: Number, running: Running) {
    if !running.lifecycle.finish(STOP_TIME).await {
        warn!(shard = %number, "did not stop in time");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_shards_number_in_one_writing() {
        let last = format!("shard-{}", SHARDS_MAX - 1);
        for good in ["shard-0", "shard-7", last.as_str()] {
            assert_eq!(Number::parse(good).map(|number| number.to_string()).as_deref(), Ok(good));
        }
        let beyond = format!("shard-{SHARDS_MAX}");
        for bad in ["", "shard-", "shard-07", "shard-+7", "shard--1", "shard-x", "Shard-1"] {
            assert!(Number::parse(bad).is_err(), "{bad}");
        }
        for bad in ["127.0.0.1:8121", "7", "shard-99999999999", "shard-1/../x", beyond.as_str()] {
            let refusal = Number::parse(bad).expect_err(bad);
            assert!(refusal.message.ends_with(&last), "{}", refusal.message);
        }
    }
}
