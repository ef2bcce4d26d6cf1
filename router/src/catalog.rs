//! The catalog: the small database that says which shards there are, who may write each, which shard
//! has which slot, and which routers live. Only routers open it.
//!
//! What must be kept, and why: slots with their epochs (the truth about ownership), shards with their
//! writer terms (terms must never repeat), the coordinator's term (the same), and each shard's lane
//! positions (a start that finds less is a restore). Routers and leases only keep others waiting for
//! seconds when they are lost.
//!
//! Leases are judged by the database's clock alone. A lease elects; it is the term, checked by
//! compare-and-set here and by the lane rows in a shard's own database, that keeps data safe.
//!
//! Lock order in every transaction: leader, counter, shard, slots in order, who holds them, the move,
//! the rest.

#[cfg(feature = "mysql")]
pub mod mysql;
#[cfg(feature = "sqlite")]
pub mod sqlite;

pub mod conformance;
mod lease;
pub mod migrate;
pub mod moves;
pub mod operations;
mod rows;

use async_trait::async_trait;
use moves::{HeldSlot, MoveStore};
use operations::OperationStore;
use shardline_domain::{
    id::ShardId,
    placement::transfer::{Mark, Move, MoveId, NotAsExpected},
    slot::{Epoch, Slot},
};
use std::time::Duration;
use thiserror::Error;

/// The durable truth. Each method is one atomic step and may be repeated: after `Unavailable` it may
/// or may not have happened.
#[async_trait]
pub trait CatalogStore: Send + Sync {
    // ---- Leading ----

    /// Makes `holder` the coordinator, or keeps it, if nobody else holds an unexpired lease. A new
    /// holder, and one that comes back after its lease expired, gets a new, higher term.
    async fn lead(&self, holder: &str, lasts: Duration) -> Result<Leadership, CatalogError>;

    /// Ends the lease of this term now, so that another need not wait. The term stays used.
    async fn resign(&self, term: u64) -> Result<(), CatalogError>;

    // ---- Shards and slots ----

    /// The first placement: all shards and slots in one transaction, each slot at epoch 1. False if
    /// there are shards already: then nothing is changed. `NotLeader` if `term` is not the newest.
    async fn found(
        &self,
        term: u64,
        shards: &[NewShard],
        slots: &[(Slot, ShardId)],
    ) -> Result<bool, CatalogError>;

    /// By id, without those that were removed. A plain read.
    async fn shards(&self) -> Result<Vec<ShardRow>, CatalogError>;

    /// The slots that changed after `version`, and the version they bring the reader to; after 0: all.
    /// A plain read, of one moment.
    async fn slots_since(&self, version: u64) -> Result<SlotNews, CatalogError>;

    /// The slots of a shard and what holds them, by a locking read: waits for changes under way, never
    /// older than the call.
    async fn owned_slots(&self, shard: ShardId) -> Result<Vec<HeldSlot>, CatalogError>;

    /// One slot and what holds it, by a locking read; None before the first placement.
    async fn locate_slot(&self, slot: Slot) -> Result<Option<HeldSlot>, CatalogError>;

    /// Many slots, each as `locate_slot` reads it, by number; those that are not placed are left out.
    async fn locate_slots(&self, slots: &[Slot]) -> Result<Vec<HeldSlot>, CatalogError>;

    // ---- Writers of shards ----

    /// Grants the right to write a shard, with the next term, if its lease expired or was released, or
    /// if the same node asks again (it crashed, and its earlier self must not go on). `Refused` if
    /// there is no such shard.
    async fn acquire_writer(&self, bid: &WriterBid) -> Result<WriterGrant, CatalogError>;

    /// Prolongs the lease of this term, also an expired one that nobody took. Refused to an older term.
    async fn renew_writer(&self, bid: &WriterBid, term: u64) -> Result<WriterGrant, CatalogError>;

    /// Ends the lease of this term now. The term stays used.
    async fn release_writer(&self, shard: ShardId, term: u64) -> Result<(), CatalogError>;

    /// Remembers what a shard's writer says of itself; false (and nothing is remembered) if `term` is
    /// not the shard's newest. Positions and the reporting term never go down.
    async fn report(&self, report: &Report) -> Result<bool, CatalogError>;

    /// The highest positions reported for a shard, by lane.
    async fn lane_positions(&self, shard: ShardId) -> Result<Vec<LanePosition>, CatalogError>;

    /// The newest term that reported for a shard, and the highest tally that a flip rested on; zeros if
    /// there was none. Of a removed shard nothing is kept.
    async fn mark(&self, shard: ShardId) -> Result<Mark, CatalogError>;

    // ---- Routers ----

    /// This router lives, for `lasts` from now. Routers not heard from in their time are dropped. The
    /// list's number grows whenever a router comes, goes or moves.
    ///
    /// `boot` is this run of its process: `IdTaken`, and nothing is changed, while another run that
    /// lives has the id.
    async fn heartbeat(
        &self,
        router: &Router,
        boot: u64,
        lasts: Duration,
    ) -> Result<RouterList, CatalogError>;

    /// This router stops: the others need not wait for its lease. Nothing happens if another run has
    /// the id by now.
    async fn leave(&self, router: &str, boot: u64) -> Result<(), CatalogError>;

    /// The list as of the last heartbeat of anybody.
    async fn routers(&self) -> Result<RouterList, CatalogError>;
}

/// All of it: what the coordinator and operators need.
pub trait WholeCatalog: CatalogStore + MoveStore + OperationStore {}

impl<T: CatalogStore + MoveStore + OperationStore> WholeCatalog for T {}

#[derive(Debug, Error)]
pub enum CatalogError {
    /// Another router leads with this term; nothing was changed.
    #[error("another router leads, with term {term}")]
    NotLeader { term: u64 },
    /// Another process that lives has this router's id; nothing was changed.
    #[error("a router at {address} has the same id")]
    IdTaken { address: String },
    /// Nothing was changed, and asking again will not help.
    #[error("refused: {0}")]
    Refused(String),
    /// Somebody was faster, or it happened before; nothing was changed. Look again.
    #[error(transparent)]
    NotAsExpected(#[from] NotAsExpected),
    /// No useful answer: it may or may not have happened.
    #[error("the catalog is unavailable: {0}")]
    Unavailable(String),
    /// The database holds what cannot be, or has another schema.
    #[error("the catalog is not as expected: {0}")]
    Corrupt(String),
}

/// Who leads. With `mine`, the asker does, until the lease runs out.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Leadership {
    pub mine: bool,
    pub term: u64,
    pub holder: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NewShard {
    pub shard: ShardId,
    pub weight: u32,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ShardRow {
    pub shard: ShardId,
    pub weight: u32,
    pub state: ShardState,
    /// 0: never written to.
    pub writer_term: u64,
    /// The node that holds or last held that term; empty if none.
    pub writer: String,
    /// Where routers reach it.
    pub address: String,
    /// False once the lease expired or was released.
    pub writer_alive: bool,
    /// Since the writer's last report; None if never.
    pub reported_ms_ago: Option<u64>,
    pub durability: String,
}

/// Stored as its number: never renumber.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum ShardState {
    Active = 1,
    /// On its way out: gets no slots.
    Draining = 2,
    /// Its writer was not there yet.
    Joining = 3,
    /// Remembered only for its writer terms.
    Removed = 4,
}

impl ShardState {
    pub fn from_number(number: u8) -> Option<ShardState> {
        use ShardState::{Active, Draining, Joining, Removed};
        [Active, Draining, Joining, Removed].into_iter().find(|state| *state as u8 == number)
    }

    /// Whether plans give it slots.
    pub fn takes_slots(self) -> bool {
        matches!(self, ShardState::Active | ShardState::Joining)
    }

    pub fn name(self) -> &'static str {
        match self {
            ShardState::Active => "active",
            ShardState::Draining => "draining",
            ShardState::Joining => "joining",
            ShardState::Removed => "removed",
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SlotRow {
    pub slot: Slot,
    pub shard: ShardId,
    pub epoch: Epoch,
}

/// What changed after a version: apply, then ask after `version` next time.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SlotNews {
    pub version: u64,
    pub slots: Vec<SlotRow>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WriterBid {
    pub shard: ShardId,
    pub node: String,
    pub address: String,
    pub lasts: Duration,
}

/// Whether the asker may write, and the shard's newest term with its holder either way.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WriterGrant {
    pub granted: bool,
    pub term: u64,
    pub holder: String,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Report {
    pub shard: ShardId,
    pub term: u64,
    pub lanes: Vec<LanePosition>,
    pub durability: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LanePosition {
    pub lane: u16,
    pub committed: u64,
    pub relayed: u64,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Router {
    pub id: String,
    pub address: String,
}

/// What a lost catalog is replaced by. All slots, each once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rebuilt {
    pub shards: Vec<RebuiltShard>,
    pub slots: Vec<SlotRow>,
    /// They hold their slots; each slot's epoch is that of the present attempt, one below the map's.
    pub moves: Vec<Move>,
    /// The next move has a higher number.
    pub last_move: MoveId,
    /// The next coordinator has a higher term.
    pub leader_term: u64,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RebuiltShard {
    pub shard: ShardId,
    /// Of whoever wrote last; the next one gets a higher one.
    pub writer_term: u64,
    /// Who writes with that term still; empty if nobody.
    pub writer: String,
    pub address: String,
    pub lanes: Vec<LanePosition>,
}

/// All live routers, by id. Of two lists the one with the higher number is the newer.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RouterList {
    pub number: u64,
    pub routers: Vec<Router>,
}
