//! The shard-nodes this router talks to: one link per shard, to the address of its present writer.

use crate::catalog::ShardRow;
use arc_swap::{ArcSwap, Guard};
use shardline_domain::id::ShardId;
use shardline_wire::call::{Shard, ShardConnect};
use std::collections::BTreeMap;
use std::sync::Arc;
use tracing::info;

#[derive(Clone)]
struct Link {
    address: String,
    shard: Arc<dyn Shard>,
}

/// Links by shard. Reading takes no lock.
pub struct Shards {
    connect: Arc<dyn ShardConnect>,
    links: ArcSwap<Links>,
}

/// The links at one moment.
#[derive(Clone, Default)]
pub struct Links(BTreeMap<ShardId, Link>);

impl Links {
    /// None if the shard has no writer yet.
    pub fn get(&self, shard: ShardId) -> Option<&dyn Shard> {
        Some(self.0.get(&shard)?.shard.as_ref())
    }

    pub fn ids(&self) -> impl Iterator<Item = ShardId> {
        self.0.keys().copied()
    }
}

impl Shards {
    pub fn new(connect: Arc<dyn ShardConnect>) -> Shards {
        Shards { connect, links: ArcSwap::default() }
    }

    pub fn load(&self) -> Guard<Arc<Links>> {
        self.links.load()
    }

    /// Where routers reach a shard's writer.
    pub fn address(&self, shard: ShardId) -> Option<String> {
        Some(self.links.load().0.get(&shard)?.address.clone())
    }

    /// Opens links to writers that are new or moved and drops those of shards that went. The last
    /// known writer stays linked though its lease ran out: the fence is in its database.
    pub fn update(&self, rows: &[ShardRow]) {
        let known = self.links.load();
        let same = |row: &&ShardRow| {
            known.0.get(&row.shard).is_some_and(|link| link.address == row.address)
        };
        let mut wanted = rows.iter().filter(|row| !row.address.is_empty());
        if known.0.len() == wanted.clone().count() && wanted.all(|row| same(&row)) {
            return;
        }
        let mut links = Links::default();
        for row in rows.iter().filter(|row| !row.address.is_empty()) {
            let link = match known.0.get(&row.shard) {
                Some(link) if link.address == row.address => link.clone(),
                _ => {
                    info!(shard = %row.shard, address = row.address, "linked to a shard");
                    Link { address: row.address.clone(), shard: self.connect.open(&row.address) }
                }
            };
            links.0.insert(row.shard, link);
        }
        self.links.store(Arc::new(links));
    }
}
