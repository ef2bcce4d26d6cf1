//! A plan as a value: from what the catalog and the shards say to the moves that would put every slot
//! where shards and weights say. Nothing is changed here; the same for an operator's dry run and for the
//! coordinator, which plans again before it makes moves.

use crate::catalog::moves::{MoveRow, NewMove, Which};
use crate::catalog::{CatalogError, ShardRow, ShardState, SlotRow, WholeCatalog};
use futures::future::join_all;
use shardline_domain::id::ShardId;
use shardline_domain::placement::batches::{Batch, Load, batches};
use shardline_domain::placement::transfer::{Begin, MoveId, MovingSlot, Phase, Wish, begin};
use shardline_domain::placement::{self, Owners, PlacementError, Share};
use shardline_domain::slot::Slot;
use shardline_wire::moves::Moves;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::time::timeout;

/// Counting what every slot holds takes a shard this long at most.
const DESCRIBE_TIME_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, Error)]
pub(crate) enum PlanError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Placement(#[from] PlacementError),
    #[error("shard {shard} does not say what it holds: {why}")]
    Shard { shard: ShardId, why: String },
}

/// What would be done now.
pub(crate) struct Plan {
    /// Of slots that nothing holds: in the order in which they are to begin.
    pub(crate) free: Vec<Batch>,
    /// Of slots in a live move.
    pub(crate) held: Vec<HeldBatch>,
    pub(crate) shards: Vec<PlannedShard>,
    slots: BTreeMap<Slot, SlotRow>,
}

/// Slots that a live move holds and that are to move on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct HeldBatch {
    pub(crate) begin: Begin,
    pub(crate) batch: Batch,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct PlannedShard {
    pub(crate) shard: ShardId,
    pub(crate) state: ShardState,
    pub(crate) weight: u32,
    pub(crate) slots_now: u32,
    pub(crate) slots_then: u32,
}

impl HeldBatch {
    pub(crate) fn holder(&self) -> MoveId {
        match self.begin {
            Begin::Reverse(id) | Begin::FinishFirst(id) | Begin::Busy(id) => id,
        }
    }
}

impl Plan {
    /// Nothing is left to do, save what is under way.
    pub(crate) fn is_empty(&self) -> bool {
        self.free.is_empty() && self.held.is_empty()
    }

    /// The free batches as moves, at the epochs that were seen.
    pub(crate) fn new_moves(&self, window: Duration) -> Vec<NewMove> {
        let moving = |slot: &Slot| {
            self.slots.get(slot).map(|row| MovingSlot { slot: *slot, epoch: row.epoch })
        };
        self.free
            .iter()
            .map(|batch| NewMove {
                source: batch.source,
                target: batch.target,
                slots: batch.slots.iter().filter_map(moving).collect(),
                window,
            })
            .collect()
    }
}

/// Looks and plans. `link` reaches a shard's writer.
pub(crate) async fn plan(
    catalog: &dyn WholeCatalog,
    link: impl Fn(&ShardRow) -> Option<Arc<dyn Moves>>,
) -> Result<Plan, PlanError> {
    let seen = look(catalog).await?;
    let outline = outline(&seen)?;
    let sources: BTreeSet<ShardId> = outline.free.iter().filter_map(|moved| moved.from).collect();
    let rows = seen.shards.iter().filter(|row| sources.contains(&row.shard));
    let described = join_all(rows.map(|row| loads(row.shard, link(row)))).await;
    let mut loads = BTreeMap::new();
    for of_shard in described {
        loads.extend(of_shard?);
    }
    let free = batches(&outline.free, &loads);
    Ok(Plan { free, held: outline.held, shards: outline.shards, slots: seen.slots })
}

/// The catalog at about one moment. Where it was two, making the moves fails and is planned again.
struct Seen {
    shards: Vec<ShardRow>,
    slots: BTreeMap<Slot, SlotRow>,
    holds: BTreeMap<Slot, MoveId>,
    live: BTreeMap<MoveId, MoveRow>,
}

async fn look(catalog: &dyn WholeCatalog) -> Result<Seen, CatalogError> {
    let shards = catalog.shards().await?;
    let holds = catalog.holds().await?;
    let live = catalog.moves(Which::Live).await?;
    let slots = catalog.slots_since(0).await?.slots;
    Ok(Seen {
        shards,
        slots: slots.into_iter().map(|row| (row.slot, row)).collect(),
        holds: holds.into_iter().collect(),
        live: live.into_iter().map(|row| (row.id, row)).collect(),
    })
}

async fn loads(
    shard: ShardId,
    link: Option<Arc<dyn Moves>>,
) -> Result<BTreeMap<Slot, Load>, PlanError> {
    let failed = |why: String| PlanError::Shard { shard, why };
    let link = link.ok_or_else(|| failed("it has no writer".to_owned()))?;
    let described = timeout(DESCRIBE_TIME_MAX, link.describe()).await;
    let described = described.map_err(|_| failed("no answer in time".to_owned()))?;
    let described = described.map_err(|refusal| failed(refusal.message))?;
    if described.shard != shard.0 {
        return Err(failed(format!("shard {} answers in its place", described.shard)));
    }
    let load = |load: shardline_wire::internal::SlotLoad| {
        let (entities, rows, bytes) = (load.entities, load.rows, load.bytes);
        Slot::new(load.slot).map(|slot| (slot, Load { entities, rows, bytes }))
    };
    Ok(described.slots.into_iter().filter_map(load).collect())
}

struct Outline {
    free: Vec<placement::Move>,
    held: Vec<HeldBatch>,
    shards: Vec<PlannedShard>,
}

/// Slots under way count as where they go: what is being moved is not planned again.
fn outline(seen: &Seen) -> Result<Outline, PlacementError> {
    let shares: Vec<Share> = seen
        .shards
        .iter()
        .filter(|row| row.state.takes_slots())
        .map(|row| Share { shard: row.shard, weight: row.weight })
        .collect();
    let mut owners = Owners::none();
    for row in seen.slots.values() {
        let holder = seen.holds.get(&row.slot).and_then(|id| seen.live.get(id));
        owners.give(row.slot, holder.map_or(row.shard, heading));
    }
    let moves = placement::plan(&owners, &shares)?;

    let mut then = owners.clone();
    let mut free = Vec::new();
    let mut by_holder: BTreeMap<MoveId, Vec<placement::Move>> = BTreeMap::new();
    for moved in moves {
        then.give(moved.slot, moved.to);
        match seen.holds.get(&moved.slot) {
            Some(id) => by_holder.entry(*id).or_default().push(moved),
            None => free.push(moved),
        }
    }
    let mut held = Vec::new();
    for (id, moves) in by_holder {
        held.extend(seen.live.get(&id).map(|row| held_batches(row, &moves)).unwrap_or_default());
    }
    let mut now: BTreeMap<ShardId, u32> = BTreeMap::new();
    for row in seen.slots.values() {
        *now.entry(row.shard).or_default() += 1;
    }
    let then = then.counts();
    let planned = |row: &ShardRow| PlannedShard {
        shard: row.shard,
        state: row.state,
        weight: row.weight,
        slots_now: now.get(&row.shard).copied().unwrap_or(0),
        slots_then: then.get(&row.shard).copied().unwrap_or(0),
    };
    Ok(Outline { free, held, shards: seen.shards.iter().map(planned).collect() })
}

/// Where a live move's slots will be when it has ended.
fn heading(row: &MoveRow) -> ShardId {
    let comes_back = match row.phase {
        Phase::Aborting => !row.aborted.is_some_and(|reason| reason.passes()),
        Phase::Following => row.wish == Wish::Reverse,
        phase if phase.has_flipped() => false,
        _ => matches!(row.wish, Wish::Abort | Wish::Reverse),
    };
    if comes_back { row.source } else { row.target }
}

/// What new moves mean for slots of one live move: by target, for not all may go to the same.
fn held_batches(row: &MoveRow, moves: &[placement::Move]) -> Vec<HeldBatch> {
    let present = row.present(Vec::new());
    let mut by_target: BTreeMap<ShardId, Vec<Slot>> = BTreeMap::new();
    for moved in moves {
        by_target.entry(moved.to).or_default().push(moved.slot);
    }
    let batch = |(target, slots): (ShardId, Vec<Slot>)| {
        // Back goes a move with all of its slots, or none.
        let whole = usize::try_from(row.slots).is_ok_and(|all| all == slots.len());
        let begin = match begin(&present, target) {
            Begin::Reverse(id) if !whole => Begin::FinishFirst(id),
            begin => begin,
        };
        let source = heading(row);
        HeldBatch { begin, batch: Batch { source, target, slots, load: Load::default() } }
    };
    by_target.into_iter().map(batch).collect()
}

#[cfg(test)]
mod tests;
