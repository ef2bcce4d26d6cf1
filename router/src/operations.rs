//! What an operator changes, through whichever router was asked: each change is one step in the catalog,
//! made here; the coordinator carries it out. Nothing is kept here.

mod shards;
mod show;

use crate::catalog::moves::Which;
use crate::catalog::operations::RebalanceState;
use crate::catalog::{CatalogError, WholeCatalog};
use crate::catalog_service;
use crate::coordinator::{Coordinator, Reach};
use crate::planning::{self, Plan, PlanError};
use async_trait::async_trait;
use shardline_domain::limits::{MOVE_WINDOW_DEFAULT, MOVES_KEPT_FOR, MOVES_KEPT_MAX};
use shardline_domain::placement::pace::Pace;
use shardline_domain::placement::transfer::{MoveId, Phase, Wish};
use shardline_wire::admin::Operations as Changes;
use shardline_wire::internal::{
    AddShardRequest, DrainShardRequest, GetThrottleRequest, ListChangesAnswer, ListChangesRequest,
    ListMovesAnswer, ListMovesRequest, MoveInfo, OperatorChange, PlanAnswer, PlanRequest,
    RebalanceAnswer, RebalanceInfo, RebalanceRequest, RemoveShardRequest, ReweightShardRequest,
    SetThrottleRequest, ShardChanged, ShowMoveAnswer, ShowMoveRequest, StopRebalanceRequest,
    Throttle, WishMoveRequest,
};
use shardline_wire::refusal::{Code, Refusal};
use std::sync::Arc;
use std::time::Duration;

/// A window longer than this is a mistake of units.
const WINDOW_MAX: Duration = Duration::from_secs(7 * 24 * 60 * 60);
/// Moves that have ended, in one answer.
const ENDED_SHOWN_MAX: u32 = 2_000;
const CHANGES_DEFAULT: u32 = 100;
const CHANGES_MAX: u32 = 1_000;
/// Moves by which a plan's pace is measured are looked for among so many: most move next to nothing.
const PACE_READ_MAX: u32 = 1_000;
/// Who asks, in bytes: what its columns hold.
const BY_BYTES_MAX: usize = 255;

pub struct Operations {
    catalog: Arc<dyn WholeCatalog>,
    reach: Reach,
    coordinator: Arc<Coordinator>,
}

impl Operations {
    pub fn new(
        catalog: Arc<dyn WholeCatalog>,
        reach: Reach,
        coordinator: Arc<Coordinator>,
    ) -> Operations {
        Operations { catalog, reach, coordinator }
    }

    async fn planned(&self) -> Result<Plan, Refusal> {
        let link = |row: &crate::catalog::ShardRow| {
            (!row.address.is_empty()).then(|| self.reach.moves.open(&row.address))
        };
        planning::plan(self.catalog.as_ref(), link).await.map_err(|error| match error {
            PlanError::Catalog(error) => refusal(error),
            PlanError::Placement(error) => Refusal::new(Code::Conflict, error.to_string()),
            PlanError::Shard { .. } => Refusal::new(Code::Unavailable, error.to_string()),
        })
    }

    async fn shown_plan(&self, plan: &Plan) -> Result<PlanAnswer, Refusal> {
        let bytes_per_second = self.catalog.throttle().await.map_err(refusal)?;
        let latest = self.catalog.copied(PACE_READ_MAX).await.map_err(refusal)?;
        Ok(show::plan(plan, &Pace::of(&latest), bytes_per_second))
    }

    /// A number that was given out was a move's, which ended and is kept no more.
    async fn no_move(&self, id: u64) -> Refusal {
        let newest = match self.catalog.moves(Which::All { ended: 1 }).await {
            Ok(rows) => rows.iter().map(|row| row.id.0).max().unwrap_or(0),
            Err(error) => return refusal(error),
        };
        let days = MOVES_KEPT_FOR.as_secs() / (24 * 60 * 60);
        let message = match (1..newest).contains(&id) {
            true => format!(
                "move {id} ended and is kept no more: the newest {MOVES_KEPT_MAX} are, for {days} days"
            ),
            false => format!("there is no move {id}"),
        };
        Refusal::new(Code::NotFound, message)
    }

    async fn shown_move(&self, id: u64) -> Result<ShowMoveAnswer, Refusal> {
        let found = self.catalog.find_move(MoveId(id)).await.map_err(refusal)?;
        let Some((row, slots)) = found else { return Err(self.no_move(id).await) };
        let journal = self.catalog.journal(MoveId(id)).await.map_err(refusal)?;
        Ok(ShowMoveAnswer {
            info: Some(show::of_move(&row)),
            slots: slots.iter().map(|moving| moving.slot.get().into()).collect(),
            journal: journal.into_iter().map(show::step).collect(),
        })
    }
}

#[async_trait]
impl Changes for Operations {
    async fn add_shard(&self, request: AddShardRequest) -> Result<ShardChanged, Refusal> {
        let by = by(&request.by)?;
        let new = shards::find(self, &request.address, request.weight).await?;
        let change = self.catalog.add_shard(&new, by).await.map_err(refusal)?;
        self.coordinator.wake();
        Ok(show::change(change))
    }

    async fn drain_shard(&self, request: DrainShardRequest) -> Result<ShardChanged, Refusal> {
        let (shard, by) = (shards::id(request.shard), by(&request.by)?);
        let change = self.catalog.set_draining(shard, !request.undo, by).await.map_err(refusal)?;
        Ok(show::change(change))
    }

    async fn remove_shard(&self, request: RemoveShardRequest) -> Result<ShardChanged, Refusal> {
        let (shard, by) = (shards::id(request.shard), by(&request.by)?);
        let change = self.catalog.remove_shard(shard, by).await.map_err(refusal)?;
        Ok(show::change(change))
    }

    async fn reweight_shard(&self, request: ReweightShardRequest) -> Result<ShardChanged, Refusal> {
        let (shard, by) = (shards::id(request.shard), by(&request.by)?);
        if request.weight == 0 {
            let message = "a weight is above 0; to empty a shard, drain it";
            return Err(Refusal::of_field(Code::BadRequest, "weight", message));
        }
        let change = self.catalog.set_weight(shard, request.weight, by).await.map_err(refusal)?;
        Ok(show::change(change))
    }

    async fn plan(&self, request: PlanRequest) -> Result<PlanAnswer, Refusal> {
        window(request.window_ms)?;
        self.shown_plan(&self.planned().await?).await
    }

    async fn rebalance(&self, request: RebalanceRequest) -> Result<RebalanceAnswer, Refusal> {
        let (window, by) = (window(request.window_ms)?, by(&request.by)?);
        let newest = self.catalog.rebalance().await.map_err(refusal)?;
        if let Some(runs) = newest.filter(|newest| newest.state == RebalanceState::Running) {
            let message = format!("rebalance {}, begun by {}, is running", runs.id, runs.by);
            return Err(Refusal::new(Code::Conflict, message));
        }
        let plan = self.planned().await?;
        let shown = self.shown_plan(&plan).await?;
        if !request.digest.is_empty() && request.digest != shown.digest {
            let message = "the plan would be another now; look at it again";
            return Err(Refusal::new(Code::Conflict, message));
        }
        if plan.is_empty() {
            return Ok(RebalanceAnswer { rebalance: None, plan: Some(shown) });
        }
        // Of two that came here at once, the catalog lets one begin.
        let begun = self.catalog.begin_rebalance(window, by).await.map_err(refusal)?;
        self.coordinator.wake();
        Ok(RebalanceAnswer { rebalance: Some(show::rebalance(&begun)), plan: Some(shown) })
    }

    async fn stop_rebalance(
        &self,
        request: StopRebalanceRequest,
    ) -> Result<RebalanceInfo, Refusal> {
        let by = by(&request.by)?;
        let none = || Refusal::new(Code::NotFound, "no rebalance is running");
        let newest = self.catalog.rebalance().await.map_err(refusal)?.ok_or_else(none)?;
        let note = format!("stopped by {by}");
        let state = RebalanceState::Stopped;
        let ended = self.catalog.end_rebalance(newest.id, state, &note, by).await;
        if !ended.map_err(refusal)? {
            return Err(none());
        }
        // Whatever is left over when this router dies now, the coordinator wishes away.
        for row in self.catalog.moves(Which::Live).await.map_err(refusal)? {
            if row.rebalance == Some(newest.id) && row.phase.may_become(Phase::Aborting) {
                match self.catalog.wish(row.id, Wish::Abort, by).await {
                    // It has flipped meanwhile.
                    Ok(()) | Err(CatalogError::Refused(_)) => {}
                    Err(error) => return Err(refusal(error)),
                }
            }
        }
        self.coordinator.wake();
        let stopped = self.catalog.rebalance().await.map_err(refusal)?;
        Ok(show::rebalance(&stopped.ok_or_else(none)?))
    }

    async fn list_moves(&self, request: ListMovesRequest) -> Result<ListMovesAnswer, Refusal> {
        let which = match request.all || request.rebalance.is_some() {
            true => Which::All { ended: ENDED_SHOWN_MAX },
            false => Which::Live,
        };
        let mut rows = self.catalog.moves(which).await.map_err(refusal)?;
        if let Some(wanted) = request.rebalance {
            rows.retain(|row| row.rebalance == Some(wanted));
        }
        if !request.all {
            rows.retain(|row| !row.phase.is_end() || request.rebalance.is_some());
        }
        let rebalance = self.catalog.rebalance().await.map_err(refusal)?;
        let leads = self.coordinator.leadership();
        let router = leads.and_then(|seen| seen.holder.split('/').next().map(str::to_owned));
        Ok(ListMovesAnswer {
            moves: rows.iter().map(show::of_move).collect(),
            rebalance: rebalance.as_ref().map(show::rebalance),
            coordinator: router.unwrap_or_default(),
            throttle: Some(self.get_throttle(GetThrottleRequest {}).await?),
        })
    }

    async fn show_move(&self, request: ShowMoveRequest) -> Result<ShowMoveAnswer, Refusal> {
        self.shown_move(request.r#move).await
    }

    async fn wish_move(&self, request: WishMoveRequest) -> Result<MoveInfo, Refusal> {
        let by = by(&request.by)?;
        let wish = show::wish_of(&request.wish).ok_or_else(|| {
            let message = "a wish is one of proceed, pause, abort, finish, reverse";
            Refusal::of_field(Code::BadRequest, "wish", message)
        })?;
        let id = request.r#move;
        if self.catalog.find_move(MoveId(id)).await.map_err(refusal)?.is_none() {
            return Err(self.no_move(id).await);
        }
        self.catalog.wish(MoveId(id), wish, by).await.map_err(refusal)?;
        self.coordinator.wake();
        let info = self.shown_move(id).await?.info;
        info.ok_or_else(|| Refusal::internal("a move without a row"))
    }

    async fn get_throttle(&self, _: GetThrottleRequest) -> Result<Throttle, Refusal> {
        let bytes_per_second = self.catalog.throttle().await.map_err(refusal)?;
        Ok(Throttle { bytes_per_second })
    }

    async fn set_throttle(&self, request: SetThrottleRequest) -> Result<Throttle, Refusal> {
        let (by, bytes_per_second) = (by(&request.by)?, request.bytes_per_second);
        // What every database can hold.
        if i64::try_from(bytes_per_second).is_err() {
            let message = "no shard copies that fast; 0 is no limit";
            return Err(Refusal::of_field(Code::BadRequest, "bytes_per_second", message));
        }
        self.catalog.set_throttle(bytes_per_second, by).await.map_err(refusal)?;
        self.coordinator.wake();
        Ok(Throttle { bytes_per_second })
    }

    async fn list_changes(
        &self,
        request: ListChangesRequest,
    ) -> Result<ListChangesAnswer, Refusal> {
        let limit = match request.limit {
            0 => CHANGES_DEFAULT,
            limit => limit.min(CHANGES_MAX),
        };
        let rows = self.catalog.changes(limit).await.map_err(refusal)?;
        let change = |row: crate::catalog::operations::ChangeRow| OperatorChange {
            number: row.number,
            at_ms: row.at_ms,
            by: row.by,
            what: row.what,
        };
        Ok(ListChangesAnswer { changes: rows.into_iter().map(change).collect() })
    }
}

/// What an operator is told. Unlike a shard-node, it does not wait until the answer is another.
pub(crate) fn refusal(error: CatalogError) -> Refusal {
    match error {
        CatalogError::Refused(message) if message.starts_with("there is no ") => {
            Refusal::new(Code::NotFound, message)
        }
        CatalogError::Refused(message) => Refusal::new(Code::Conflict, message),
        CatalogError::NotAsExpected(error) => Refusal::new(Code::Conflict, error.to_string()),
        other => catalog_service::refusal(other),
    }
}

fn by(by: &str) -> Result<&str, Refusal> {
    if BY_BYTES_MAX < by.len() {
        let message = format!("it has {} bytes, {BY_BYTES_MAX} are allowed", by.len());
        return Err(Refusal::of_field(Code::BadRequest, "by", message));
    }
    Ok(if by.is_empty() { "somebody" } else { by })
}

fn window(window_ms: Option<u64>) -> Result<Duration, Refusal> {
    let window = window_ms.map_or(MOVE_WINDOW_DEFAULT, Duration::from_millis);
    if WINDOW_MAX < window {
        let days = WINDOW_MAX.as_secs() / (24 * 60 * 60);
        let message = format!("a window is at most {days} days");
        return Err(Refusal::of_field(Code::BadRequest, "window_ms", message));
    }
    Ok(window)
}

/// Names of wishes, as they are given.
const WISHES: [Wish; 5] = [Wish::Proceed, Wish::Pause, Wish::Abort, Wish::Finish, Wish::Reverse];
