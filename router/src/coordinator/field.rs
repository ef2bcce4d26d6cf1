//! What all moves of one tenure share: where shards are, whose turn it is, what may be copied.

use super::turns::Freezes;
use crate::catalog::{ShardRow, WholeCatalog};
use crate::slot_map::SlotMap;
use arc_swap::ArcSwap;
use parking_lot::Mutex;
use shardline_domain::id::ShardId;
use shardline_domain::placement::transfer::{MoveId, Wish};
use shardline_domain::slot::Partitions;
use shardline_wire::moves::{Moves, MovesConnect};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::Notify;

/// What the coordinator works with beside the catalog.
#[derive(Clone)]
pub struct Reach {
    pub moves: Arc<dyn MovesConnect>,
    /// This router's own map: news of a flip goes there first.
    pub map: Arc<SlotMap>,
    pub partitions: Partitions,
}

pub(super) struct Field {
    pub(super) catalog: Arc<dyn WholeCatalog>,
    pub(super) reach: Reach,
    pub(super) term: u64,
    /// As of the latest round.
    pub(super) shards: ArcSwap<Vec<ShardRow>>,
    pub(super) bytes_per_second: AtomicU64,
    pub(super) starters: Mutex<BTreeSet<MoveId>>,
    pub(super) freezes: Mutex<Freezes>,
    /// What operators want of live moves, as read by the catalog's round of this number.
    wishes: Mutex<(u64, BTreeMap<MoveId, Wish>)>,
    rounds: AtomicU64,
    links: Mutex<BTreeMap<String, Arc<dyn Moves>>>,
    /// A round is due now: a move went on, and others may begin.
    pub(super) wake: Arc<Notify>,
}

impl Field {
    pub(super) fn new(
        catalog: Arc<dyn WholeCatalog>,
        reach: Reach,
        term: u64,
        wake: Arc<Notify>,
    ) -> Field {
        Field {
            catalog,
            reach,
            term,
            shards: ArcSwap::default(),
            bytes_per_second: AtomicU64::new(0),
            starters: Mutex::default(),
            freezes: Mutex::default(),
            wishes: Mutex::default(),
            rounds: AtomicU64::new(0),
            links: Mutex::default(),
            wake,
        }
    }

    /// A look at the catalog begins: what was read before is older than what it will find.
    pub(super) fn begin_round(&self) -> u64 {
        self.rounds.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The number of the latest look that has begun.
    pub(super) fn latest_round(&self) -> u64 {
        self.rounds.load(Ordering::SeqCst)
    }

    pub(super) fn put_wishes(&self, round: u64, wishes: BTreeMap<MoveId, Wish>) {
        *self.wishes.lock() = (round, wishes);
    }

    /// What is wished of the move, if that was read by a look that began after the round `known`.
    pub(super) fn wish_after(&self, known: u64, id: MoveId) -> Option<Wish> {
        let (round, wishes) = &*self.wishes.lock();
        wishes.get(&id).copied().filter(|_| known < *round)
    }

    pub(super) fn shard(&self, shard: ShardId) -> Option<ShardRow> {
        self.shards.load().iter().find(|row| row.shard == shard).cloned()
    }

    /// Where the shard's writer is reached; empty while it has none.
    pub(super) fn address(&self, shard: ShardId) -> String {
        self.shard(shard).map(|row| row.address).unwrap_or_default()
    }

    /// The shard's writer, over one link for all moves; None while it has none.
    pub(super) fn link(&self, shard: ShardId) -> Option<Arc<dyn Moves>> {
        let address = self.address(shard);
        if address.is_empty() {
            return None;
        }
        let mut links = self.links.lock();
        let open = || self.reach.moves.open(&address);
        Some(links.entry(address.clone()).or_insert_with(open).clone())
    }

    /// Takes the shards of a round; links to where nobody is any more are closed.
    pub(super) fn update(&self, shards: Vec<ShardRow>) {
        let here: BTreeSet<&str> = shards.iter().map(|row| row.address.as_str()).collect();
        self.links.lock().retain(|address, _| here.contains(address.as_str()));
        self.shards.store(Arc::new(shards));
    }
}
