//! Owns slots of chats and users, and is the only writer of its one database.
//!
//! A call's way: `serving` takes it, `slots` and `gate` say whether its slot is ours, `lanes` decide
//! writes by the rules in `write` and commit them in batches, `read` answers the rest. What was
//! committed goes to the bus by `relay` and to other shards' users by `outbox`. `writer` makes this
//! process the writer, and `store` is the database.

pub mod config;
pub mod store;

mod cache;
mod entity;
mod events;
mod fence;
mod gate;
mod lanes;
mod memory;
mod metrics;
mod outbox;
mod read;
mod refusals;
mod relay;
mod serving;
mod slots;
mod write;
mod writer;

pub use config::Config;

use arc_swap::ArcSwapOption;
use serving::{Ground, Serving};
use shardline_backends::bus::Bus;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_wire::call::{Catalog, Done, Shard};
use shardline_wire::internal::Call;
use std::sync::Arc;
use store::Store;
use writer::WriterLife;

/// One shard's process, writer or standby.
pub struct ShardNode {
    serving: Arc<ArcSwapOption<Serving>>,
}

impl ShardNode {
    /// Starts as a standby that becomes the writer as soon as the catalog and the database let it;
    /// until then calls are refused with UNAVAILABLE. Runs until `lifecycle` stops, then finishes what
    /// waits in the lanes and gives its lease back.
    pub fn start(
        config: Config,
        store: Arc<dyn Store>,
        bus: Arc<dyn Bus>,
        catalog: Arc<dyn Catalog>,
        lifecycle: &Lifecycle,
        health: &Health,
    ) -> Arc<ShardNode> {
        let serving = Arc::new(ArcSwapOption::empty());
        let life = WriterLife {
            config,
            ground: Ground { store, bus, catalog },
            // Within what a signed column holds.
            incarnation: rand::random::<u64>() >> 1,
            serving: Arc::clone(&serving),
            ready: health.part("writer"),
            lifecycle: lifecycle.clone(),
        };
        lifecycle.run("writer", life.run());
        Arc::new(ShardNode { serving })
    }

    /// Whether this process writes the shard now.
    pub fn is_writer(&self) -> bool {
        self.serving.load().is_some()
    }
}

impl Shard for ShardNode {
    fn submit(&self, call: Call, done: Done) {
        match &*self.serving.load() {
            Some(serving) => serving.submit(call, done),
            None => done.finish(Err(refusals::not_writer())),
        }
    }
}
