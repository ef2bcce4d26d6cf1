//! Owns slots of chats and users, and is the only writer of its one database.
//!
//! A call's way: `serving` takes it, `slots` and `gate` say whether its slot is ours, `lanes` decide
//! writes by the rules in `write` and commit them in batches, `read` answers the rest. What was
//! committed goes to the bus by `relay` and to other shards' users by `outbox`. `writer` makes this
//! process the writer, `restore` finds that the database is an earlier copy, `mover` is its part in
//! moves of slots, `inspect` shows its rows to a check, and `store` is the database.

pub mod config;
pub mod server;
pub mod store;

mod births;
mod cache;
mod coalesce;
mod entity;
mod events;
mod fence;
mod gate;
mod inspect;
mod lanes;
mod memory;
mod metrics;
mod mover;
mod outbox;
mod pressure;
mod read;
mod refusals;
mod relay;
mod replicas;
mod restore;
mod serving;
mod slots;
mod write;
mod writer;

pub use config::Config;
pub use restore::{Loss, LossError, parse_losses};

use arc_swap::ArcSwapOption;
use async_trait::async_trait;
use mover::Mover;
use serving::{Ground, Serving};
use shardline_backends::bus::{Bus, TopicError};
use shardline_daemon::backoff::Backoff;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_wire::call::{Catalog, Done, Shard};
use shardline_wire::inspect::Inspect;
use shardline_wire::internal::{
    Call, ChangedAnswer, ChangedRequest, DigestsAnswer, DigestsRequest, HeadsAnswer, HeadsRequest,
    LookAnswer, LookRequest, MoveOrder, MoveReport, RowsAnswer, RowsRequest, ScanAnswer,
    ScanRequest, ShardDescription, SurveyAnswer, SurveyRequest,
};
use shardline_wire::moves::{Moves, MovesConnect};
use shardline_wire::refusal::Refusal;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio_util::sync::CancellationToken;
use writer::WriterLife;

/// One shard's process, writer or standby.
pub struct ShardNode {
    config: Config,
    store: Arc<dyn Store>,
    serving: Arc<ArcSwapOption<Serving>>,
    stopped: CancellationToken,
}

impl ShardNode {
    /// Starts as a standby that becomes the writer as soon as the catalog and the database let it;
    /// until then calls are refused with UNAVAILABLE. Runs until `lifecycle` stops, then finishes what
    /// waits in the lanes and gives its lease back. `peers`: how the other side of a move is reached.
    pub fn start(
        config: Config,
        store: Arc<dyn Store>,
        bus: Arc<dyn Bus>,
        catalog: Arc<dyn Catalog>,
        peers: Arc<dyn MovesConnect>,
        lifecycle: &Lifecycle,
        health: &Health,
    ) -> Arc<ShardNode> {
        metrics::describe_all();
        let serving = Arc::new(ArcSwapOption::empty());
        let shard = config.shard;
        let (topic, partitions) = (Arc::clone(&bus), config.partitions.count());
        let life = WriterLife {
            config: config.clone(),
            ground: Ground { store: Arc::clone(&store), bus, catalog, peers },
            // Within what a signed column holds.
            incarnation: rand::random::<u64>() >> 1,
            serving: Arc::clone(&serving),
            ready: health.part(format!("writer of shard {shard}")),
            lifecycle: lifecycle.clone(),
        };
        lifecycle.run("topic", ensure_topic(topic, partitions, lifecycle.token()));
        let stopped = CancellationToken::new();
        let has_stopped = stopped.clone().drop_guard();
        lifecycle.run("writer", async move {
            life.run().await;
            drop(has_stopped);
        });
        Arc::new(ShardNode { config, store, serving, stopped })
    }

    /// Cancelled once everything that was taken is answered: streams of routers may end then.
    pub fn stopped(&self) -> CancellationToken {
        self.stopped.clone()
    }

    /// Whether this process writes the shard now.
    pub fn is_writer(&self) -> bool {
        self.serving.load().is_some()
    }
}

/// What a shard-node with this database would say of itself, without starting one. `store` None: the
/// database is still to be made.
///
/// # Errors
/// If the database does not answer.
pub async fn describe(
    config: &Config,
    store: Option<&dyn Store>,
) -> Result<ShardDescription, Refusal> {
    let Some(store) = store else { return Ok(mover::load::describe_new(config)) };
    let described = mover::load::describe(config, store, false).await;
    described.map_err(|error| refusals::store(&error))
}

impl Shard for ShardNode {
    fn submit(&self, call: Call, done: Done) {
        match &*self.serving.load() {
            Some(serving) => serving.submit(call, done),
            None => done.finish(Err(refusals::not_writer())),
        }
    }
}

impl ShardNode {
    fn mover(&self) -> Result<Arc<Mover>, Refusal> {
        let serving = self.serving.load();
        let mover = serving.as_ref().map(|serving| Arc::clone(&serving.mover));
        mover.ok_or_else(|| Refusal::try_again("the shard has no writer here", 200))
    }

    fn inspected(&self) -> inspect::Ground<'_> {
        inspect::Ground { store: &*self.store, serving: self.serving.load_full() }
    }
}

#[async_trait]
impl Moves for ShardNode {
    async fn describe(&self) -> Result<ShardDescription, Refusal> {
        let described = mover::load::describe(&self.config, &*self.store, self.is_writer()).await;
        described.map_err(|error| refusals::store(&error))
    }

    async fn order(&self, order: MoveOrder) -> Result<MoveReport, Refusal> {
        self.mover()?.order(order).await
    }

    async fn changed(&self, request: ChangedRequest) -> Result<ChangedAnswer, Refusal> {
        self.mover()?.changed(request).await
    }

    async fn heads(&self, request: HeadsRequest) -> Result<HeadsAnswer, Refusal> {
        self.mover()?.heads(request).await
    }

    async fn rows(&self, request: RowsRequest) -> Result<RowsAnswer, Refusal> {
        self.mover()?.rows(request).await
    }

    async fn digests(&self, request: DigestsRequest) -> Result<DigestsAnswer, Refusal> {
        self.mover()?.digests(request).await
    }
}

#[async_trait]
impl Inspect for ShardNode {
    async fn survey(&self, request: SurveyRequest) -> Result<SurveyAnswer, Refusal> {
        let heard = self.serving.load().as_ref().map_or(0, |serving| serving.mover.leader_term());
        let survey = inspect::survey(&self.config, &*self.store, &request, heard).await;
        survey.map_err(|error| refusals::store(&error))
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanAnswer, Refusal> {
        let scan = inspect::scan(&self.inspected(), &request).await;
        scan.map_err(|error| refusals::store(&error))
    }

    async fn look(&self, request: LookRequest) -> Result<LookAnswer, Refusal> {
        inspect::look(&self.inspected(), &request).await
    }

    async fn ask_catalog(&self) -> Result<(), Refusal> {
        let serving = self.serving.load_full().ok_or_else(refusals::not_writer)?;
        serving.ask_catalog().await
    }
}

/// Until the topic is there; the relays wait meanwhile by themselves.
async fn ensure_topic(bus: Arc<dyn Bus>, partitions: u32, stop: CancellationToken) {
    let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(5));
    while !stop.is_cancelled() {
        match bus.ensure_topic(partitions).await {
            Ok(()) => return,
            Err(error @ TopicError::PartitionCount { .. }) => {
                tracing::error!(%error, "events cannot be published");
            }
            Err(error) => tracing::warn!(%error, "the bus is not there yet"),
        }
        tokio::select! {
            () = stop.cancelled() => {}
            () = tokio::time::sleep(backoff.next()) => {}
        }
    }
}
