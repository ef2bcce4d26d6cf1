//! This router's live copy of the slot map: read at every call, brought up to date by asking the
//! catalog what changed. While the catalog is away, the router goes on with what it knows.

use crate::catalog::{CatalogError, CatalogStore, SlotNews};
use crate::metrics::MAP_VERSION;
use crate::shards::Shards;
use arc_swap::{ArcSwap, Guard};
use shardline_daemon::health::ReadyFlag;
use shardline_domain::id::ShardId;
use shardline_domain::slot::{Epoch, SLOTS, Slot};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

/// How old the map may be while nothing asks for a newer one.
const POLL_EVERY: Duration = Duration::from_millis(200);
/// However many ask, the catalog is asked no more often than this.
const POLL_GAP: Duration = Duration::from_millis(10);
/// A catalog that does not answer in this time is away.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);

/// Where a slot is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    pub shard: ShardId,
    pub epoch: Epoch,
}

/// The map at one moment.
#[derive(Clone)]
pub struct Map {
    version: u64,
    places: Box<[Option<Place>]>,
}

impl Default for Map {
    /// Nothing is known yet.
    fn default() -> Map {
        Map { version: 0, places: vec![None; usize::from(SLOTS)].into() }
    }
}

impl Map {
    pub fn version(&self) -> u64 {
        self.version
    }

    pub fn place(&self, slot: Slot) -> Option<Place> {
        self.places[usize::from(slot.get())]
    }

    /// This map with the news. An epoch never goes down: of two words about a slot the higher holds.
    fn with(&self, news: &SlotNews) -> Map {
        let mut map = self.clone();
        map.version = map.version.max(news.version);
        for row in &news.slots {
            let place = &mut map.places[usize::from(row.slot.get())];
            if place.is_none_or(|known| known.epoch < row.epoch) {
                *place = Some(Place { shard: row.shard, epoch: row.epoch });
            }
        }
        map
    }
}

/// The live copy. Reading it takes no lock.
pub struct SlotMap {
    map: ArcSwap<Map>,
    /// Polls asked for so far.
    asked: AtomicU64,
    wanted: Notify,
    /// Each ask up to this number was answered by a poll that began after it.
    answered: watch::Sender<u64>,
}

impl Default for SlotMap {
    fn default() -> SlotMap {
        SlotMap {
            map: ArcSwap::default(),
            asked: AtomicU64::new(0),
            wanted: Notify::new(),
            answered: watch::Sender::new(0),
        }
    }
}

impl SlotMap {
    pub fn load(&self) -> Guard<Arc<Map>> {
        self.map.load()
    }

    /// For one slot, each look is at least as new as the one before.
    pub fn place(&self, slot: Slot) -> Option<Place> {
        self.map.load().place(slot)
    }

    /// Asks for a map newer than now. Returns the ask's number.
    pub fn ask(&self) -> u64 {
        let number = self.asked.fetch_add(1, Ordering::SeqCst) + 1;
        self.wanted.notify_one();
        number
    }

    /// Changes with each poll that succeeded; the number of the last ask that it answered.
    pub fn answered(&self) -> watch::Receiver<u64> {
        self.answered.subscribe()
    }

    /// Applies what the catalog said. Called by one task only.
    pub fn apply(&self, news: &SlotNews) {
        let known = self.map.load_full();
        if news.slots.is_empty() && news.version <= known.version {
            return;
        }
        let map = known.with(news);
        info!(version = map.version, slots = news.slots.len(), "the slot map changed");
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!(MAP_VERSION).set(map.version as f64);
        self.map.store(Arc::new(map));
    }

    async fn poll(&self, catalog: &dyn CatalogStore, shards: &Shards) -> Result<(), CatalogError> {
        let asked = self.asked.load(Ordering::SeqCst);
        let version = self.map.load().version;
        // Addresses first: a slot's new shard is then known when the slot points to it.
        shards.update(&catalog.shards().await?);
        self.apply(&catalog.slots_since(version).await?);
        self.answered.send_replace(asked);
        Ok(())
    }
}

/// Keeps the map and the shards' addresses up to date until `stop`.
pub async fn keep(
    map: Arc<SlotMap>,
    catalog: Arc<dyn CatalogStore>,
    shards: Arc<Shards>,
    ready: ReadyFlag,
    stop: CancellationToken,
) {
    ready.not_ready("waiting for the catalog");
    let mut reachable = true;
    loop {
        let polled = tokio::select! {
            () = stop.cancelled() => return,
            polled = tokio::time::timeout(ANSWER_TIME_MAX, map.poll(catalog.as_ref(), &shards)) => {
                polled.unwrap_or_else(|_| Err(CatalogError::Unavailable("no answer".to_owned())))
            }
        };
        match polled {
            Ok(()) => {
                if !reachable {
                    info!("the catalog answers again");
                }
                reachable = true;
                if 0 < map.load().version {
                    ready.ready();
                } else {
                    ready.not_ready("waiting for the first placement of slots");
                }
            }
            Err(error) => {
                if reachable {
                    warn!(%error, "no news of the slot map; going on with the known one");
                }
                reachable = false;
            }
        }
        let next = async {
            tokio::time::sleep(POLL_GAP).await;
            let rest = POLL_EVERY.saturating_sub(POLL_GAP);
            // Earlier when somebody asks.
            drop(tokio::time::timeout(rest, map.wanted.notified()).await);
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = next => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::SlotRow;

    fn row(slot: u32, shard: u32, epoch: u64) -> SlotRow {
        let slot = Slot::new(slot).expect("a slot");
        SlotRow { slot, shard: ShardId(shard), epoch: Epoch(epoch) }
    }

    #[test]
    fn an_epoch_never_goes_down() {
        let map = SlotMap::default();
        map.apply(&SlotNews { version: 1, slots: vec![row(5, 1, 3), row(6, 1, 1)] });
        map.apply(&SlotNews { version: 2, slots: vec![row(5, 2, 2), row(6, 2, 2)] });
        let place = |slot| map.place(Slot::new(slot).expect("a slot"));
        assert_eq!(place(5), Some(Place { shard: ShardId(1), epoch: Epoch(3) }));
        assert_eq!(place(6), Some(Place { shard: ShardId(2), epoch: Epoch(2) }));
        assert_eq!(place(7), None);
        assert_eq!(map.load().version(), 2);
    }
}
