//! The catalog: the embedded form's rules in memory, with a server's faults.

use crate::climate::Climate;
use shardline_domain::id::ShardId;
use shardline_domain::placement::pace::Copied;
use shardline_domain::placement::transfer::{Arrow, Mark, Move, MoveId, MovingSlot, Wish};
use shardline_domain::slot::Slot;
use shardline_router::catalog::moves::{
    Course, HeldSlot, MoveRow, MoveStore, NewMove, Step, Which,
};
use shardline_router::catalog::operations::{
    ChangeRow, JoiningShard, Keep, OperationStore, Rebalance, RebalanceState, ShardChange,
};
use shardline_router::catalog::sqlite::{Memory, SqliteCatalog};
use shardline_router::catalog::{
    CatalogError, CatalogStore, LanePosition, Leadership, NewShard, Rebuilt, Report, Router,
    RouterList, ShardRow, SlotNews, WriterBid, WriterGrant,
};
use std::time::Duration;

/// One process's way to the catalog.
pub struct SimCatalog {
    catalog: SqliteCatalog,
    climate: Climate,
}

impl SimCatalog {
    pub fn open(memory: &Memory, climate: Climate) -> Result<SimCatalog, CatalogError> {
        Ok(SimCatalog { catalog: SqliteCatalog::on(memory)?, climate })
    }
}

fn away() -> CatalogError {
    CatalogError::Unavailable("the simulation has it so".to_owned())
}

befalling! {
    impl CatalogStore for SimCatalog, by catalog, with away;
    fn lead(holder: &str, lasts: Duration) -> Result<Leadership, CatalogError>;
    fn resign(term: u64) -> Result<(), CatalogError>;
    fn found(
        term: u64,
        shards: &[NewShard],
        slots: &[(Slot, ShardId)],
    ) -> Result<bool, CatalogError>;
    fn shards() -> Result<Vec<ShardRow>, CatalogError>;
    fn slots_since(version: u64) -> Result<SlotNews, CatalogError>;
    fn owned_slots(shard: ShardId) -> Result<Vec<HeldSlot>, CatalogError>;
    fn locate_slot(slot: Slot) -> Result<Option<HeldSlot>, CatalogError>;
    fn locate_slots(slots: &[Slot]) -> Result<Vec<HeldSlot>, CatalogError>;
    fn acquire_writer(bid: &WriterBid) -> Result<WriterGrant, CatalogError>;
    fn renew_writer(bid: &WriterBid, term: u64) -> Result<WriterGrant, CatalogError>;
    fn release_writer(shard: ShardId, term: u64) -> Result<(), CatalogError>;
    fn report(report: &Report) -> Result<bool, CatalogError>;
    fn lane_positions(shard: ShardId) -> Result<Vec<LanePosition>, CatalogError>;
    fn mark(shard: ShardId) -> Result<Mark, CatalogError>;
    fn heartbeat(
        router: &Router,
        boot: u64,
        lasts: Duration,
    ) -> Result<RouterList, CatalogError>;
    fn leave(router: &str, boot: u64) -> Result<(), CatalogError>;
    fn routers() -> Result<RouterList, CatalogError>;
    rest {}
}

befalling! {
    impl MoveStore for SimCatalog, by catalog, with away;
    fn create_moves(
        term: u64,
        rebalance: Option<u64>,
        moves: &[NewMove],
    ) -> Result<Vec<MoveId>, CatalogError>;
    fn advance(term: u64, arrow: &Arrow, detail: &str) -> Result<Move, CatalogError>;
    fn reverse(term: u64, present: &Move) -> Result<Move, CatalogError>;
    fn wish(id: MoveId, wish: Wish, by: &str) -> Result<(), CatalogError>;
    fn moves(which: Which) -> Result<Vec<MoveRow>, CatalogError>;
    fn find_move(id: MoveId) -> Result<Option<(MoveRow, Vec<MovingSlot>)>, CatalogError>;
    fn holds() -> Result<Vec<(Slot, MoveId)>, CatalogError>;
    fn journal(id: MoveId) -> Result<Vec<Step>, CatalogError>;
    fn copied(latest: u32) -> Result<Vec<Copied>, CatalogError>;
    fn note_progress(id: MoveId, course: &Course) -> Result<(), CatalogError>;
    rest {}
}

befalling! {
    impl OperationStore for SimCatalog, by catalog, with away;
    fn add_shard(new: &JoiningShard, by: &str) -> Result<ShardChange, CatalogError>;
    fn activate_shard(shard: ShardId) -> Result<bool, CatalogError>;
    fn set_weight(shard: ShardId, weight: u32, by: &str) -> Result<ShardChange, CatalogError>;
    fn set_draining(shard: ShardId, draining: bool, by: &str) -> Result<ShardChange, CatalogError>;
    fn remove_shard(shard: ShardId, by: &str) -> Result<ShardChange, CatalogError>;
    fn begin_rebalance(window: Duration, by: &str) -> Result<Rebalance, CatalogError>;
    fn end_rebalance(
        id: u64,
        state: RebalanceState,
        note: &str,
        by: &str,
    ) -> Result<bool, CatalogError>;
    fn note_rebalance(id: u64, note: &str) -> Result<(), CatalogError>;
    fn rebalance() -> Result<Option<Rebalance>, CatalogError>;
    fn throttle() -> Result<u64, CatalogError>;
    fn set_throttle(bytes_per_second: u64, by: &str) -> Result<(), CatalogError>;
    fn rebuild(rebuilt: &Rebuilt, by: &str) -> Result<(), CatalogError>;
    fn note_change(by: &str, what: &str) -> Result<(), CatalogError>;
    fn trim(term: u64, keep: &Keep, at_once: u32) -> Result<u64, CatalogError>;
    fn changes(limit: u32) -> Result<Vec<ChangeRow>, CatalogError>;
    rest {}
}
