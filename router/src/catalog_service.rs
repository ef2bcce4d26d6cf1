//! The catalog as shard-nodes see it: leases to write, the slots they own, what they report; and the
//! way to entities on other shards. Nothing is kept here; any router answers alike.

use crate::catalog::moves::HeldSlot;
use crate::catalog::{
    CatalogError, CatalogStore, LanePosition, Report, SlotRow, WriterBid, WriterGrant,
};
use crate::router::Router;
use async_trait::async_trait;
use shardline_domain::{id::ShardId, placement::transfer::Mark, slot::Slot};
use shardline_wire::call::{Catalog, Outcome};
use shardline_wire::internal::{
    Call, HeldBy, KnownDatabase, ShardReport, ShardReportAnswer, SlotEntry, WriterLease,
    WriterRequest,
};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tracing::{debug, error};

/// A shard whose writer is gone has another one soon after this. Writers renew every 400 ms: a catalog
/// that is slow for a second changes nothing between two healthy processes.
pub const WRITER_LEASE: Duration = Duration::from_millis(1_800);
/// Names, addresses and the like, in bytes: what their columns hold.
const TEXT_BYTES_MAX: usize = 255;
/// When to ask again after a catalog that did not answer.
const RETRY_AFTER_MS: u64 = 500;

/// What finds an entity's shard and passes a call on to it.
#[async_trait]
pub trait Route: Send + Sync {
    async fn route(&self, call: Call) -> Outcome;
}

#[async_trait]
impl Route for Router {
    async fn route(&self, call: Call) -> Outcome {
        Router::route(self, call).await
    }
}

pub struct CatalogService {
    catalog: Arc<dyn CatalogStore>,
    route: Arc<dyn Route>,
    lease: Duration,
}

impl CatalogService {
    pub fn new(catalog: Arc<dyn CatalogStore>, route: Arc<dyn Route>) -> CatalogService {
        CatalogService { catalog, route, lease: WRITER_LEASE }
    }
}

#[async_trait]
impl Catalog for CatalogService {
    async fn acquire_writer(&self, request: WriterRequest) -> Result<WriterLease, Refusal> {
        let WriterRequest { shard, node, address, term, release } = request;
        check_text("node", &node)?;
        check_text("address", &address)?;
        if node.is_empty() {
            return Err(Refusal::of_field(Code::BadRequest, "node", "the node has no name"));
        }
        let shard = ShardId(shard);
        if release {
            self.catalog.release_writer(shard, term).await.map_err(refusal)?;
            let released = WriterGrant { granted: false, term, holder: node };
            return Ok(self.answer(released));
        }
        let bid = WriterBid { shard, node, address, lasts: self.lease };
        let grant = match term {
            0 => self.catalog.acquire_writer(&bid).await,
            term => self.catalog.renew_writer(&bid, term).await,
        };
        let mut lease = self.answer(grant.map_err(refusal)?);
        if lease.granted && term == 0 {
            // Read after the grant: a writer before it can no longer report. If this fails, the node
            // acquires once more.
            let reported = self.catalog.lane_positions(shard).await.map_err(refusal)?;
            lease.reported = reported.into_iter().map(lane_position).collect();
            let Mark { term, tally } = self.catalog.mark(shard).await.map_err(refusal)?;
            lease.known = Some(KnownDatabase { term, tally });
        }
        Ok(lease)
    }

    async fn owned_slots(&self, shard: u32) -> Result<Vec<SlotEntry>, Refusal> {
        let rows = self.catalog.owned_slots(ShardId(shard)).await.map_err(refusal)?;
        Ok(rows.into_iter().map(held_entry).collect())
    }

    async fn locate_slot(&self, slot: u32) -> Result<SlotEntry, Refusal> {
        let row = self.catalog.locate_slot(to_slot(slot)?).await.map_err(refusal)?;
        row.map(held_entry).ok_or_else(not_placed)
    }

    async fn locate_slots(&self, slots: &[u32]) -> Result<Vec<SlotEntry>, Refusal> {
        let slots: BTreeSet<Slot> =
            slots.iter().map(|slot| to_slot(*slot)).collect::<Result<_, _>>()?;
        let slots: Vec<Slot> = slots.into_iter().collect();
        let rows = self.catalog.locate_slots(&slots).await.map_err(refusal)?;
        if rows.len() < slots.len() {
            return Err(not_placed());
        }
        Ok(rows.into_iter().map(held_entry).collect())
    }

    async fn report(&self, report: ShardReport) -> Result<ShardReportAnswer, Refusal> {
        check_text("durability", &report.durability)?;
        let lane = |lane: shardline_wire::internal::LanePosition| {
            let number = u16::try_from(lane.lane).map_err(|_| {
                Refusal::of_field(
                    Code::BadRequest,
                    "lanes",
                    format!("there is no lane {}", lane.lane),
                )
            })?;
            let (committed, relayed) = (lane.committed, lane.relayed);
            Ok(LanePosition { lane: number, committed, relayed })
        };
        let lanes = report.lanes.into_iter().map(lane).collect::<Result<_, Refusal>>()?;
        let report = Report {
            shard: ShardId(report.shard),
            term: report.term,
            lanes,
            durability: report.durability,
        };
        let current = self.catalog.report(&report).await.map_err(refusal)?;
        Ok(ShardReportAnswer { current })
    }

    async fn route(&self, call: Call) -> Outcome {
        self.route.route(call).await
    }
}

impl CatalogService {
    fn answer(&self, grant: WriterGrant) -> WriterLease {
        let lasts_ms = if grant.granted { self.lease.as_millis() } else { 0 };
        WriterLease {
            granted: grant.granted,
            term: grant.term,
            lasts_ms: u64::try_from(lasts_ms).unwrap_or(u64::MAX),
            holder: grant.holder,
            reported: Vec::new(),
            known: None,
        }
    }
}

fn to_slot(slot: u32) -> Result<Slot, Refusal> {
    let bad = || Refusal::of_field(Code::BadRequest, "slot", format!("there is no slot {slot}"));
    Slot::new(slot).ok_or_else(bad)
}

fn check_text(field: &str, text: &str) -> Result<(), Refusal> {
    if TEXT_BYTES_MAX < text.len() {
        let message = format!("it has {} bytes, {TEXT_BYTES_MAX} are allowed", text.len());
        return Err(Refusal::of_field(Code::BadRequest, field, message));
    }
    Ok(())
}

pub(crate) fn slot_entry(row: SlotRow) -> SlotEntry {
    SlotEntry { slot: row.slot.get().into(), shard: row.shard.0, epoch: row.epoch.0, held: None }
}

pub(crate) fn lane_position(position: LanePosition) -> shardline_wire::internal::LanePosition {
    let LanePosition { lane, committed, relayed } = position;
    shardline_wire::internal::LanePosition { lane: lane.into(), committed, relayed }
}

fn held_entry(slot: HeldSlot) -> SlotEntry {
    let held = slot.held.map(|held| HeldBy {
        r#move: held.move_id.0,
        attempt: held.attempt.0,
        phase: (held.phase as u8).into(),
        source: held.source.0,
        target: held.target.0,
    });
    SlotEntry { held, ..slot_entry(slot.row) }
}

pub(crate) fn not_placed() -> Refusal {
    Refusal::try_again("no slots are placed yet", RETRY_AFTER_MS)
}

/// What a caller is told. Every step of the catalog may be repeated, so nothing here is "unknown".
pub(crate) fn refusal(error: CatalogError) -> Refusal {
    match error {
        CatalogError::Unavailable(_) => {
            debug!(%error, "the catalog did not answer");
            Refusal::try_again("the catalog is unavailable", RETRY_AFTER_MS)
        }
        // A shard that is not there may be added yet: whoever asked waits for it.
        CatalogError::Refused(message) => Refusal::try_again(message, RETRY_AFTER_MS),
        CatalogError::NotLeader { .. }
        | CatalogError::IdTaken { .. }
        | CatalogError::NotAsExpected(_) => Refusal::try_again(error.to_string(), RETRY_AFTER_MS),
        CatalogError::Corrupt(_) => {
            error!(%error, "the catalog is not as expected");
            Refusal::internal("the catalog is not as expected; see this router's log")
        }
    }
}
