//! A rebalance that runs: looks what is still to be moved, makes the moves, until nothing is left. It
//! remembers nothing: each look plans anew, so shards may come, go or change weight meanwhile.

use super::field::Field;
use crate::catalog::CatalogError;
use crate::catalog::moves::{MoveRow, NewMove, Which};
use crate::catalog::operations::{Rebalance, RebalanceState};
use crate::planning::{self, HeldBatch, Plan};
use shardline_domain::placement::transfer::{Begin, Phase, Wish};
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

const LOOK_EVERY: Duration = Duration::from_millis(500);
/// Slots held by one step of the catalog: it takes a fraction of the time a step may take.
const SLOTS_A_STEP_MAX: usize = 4096;
/// Moves that are looked at to know how a rebalance went; older ones were looked at before.
const ENDED_MAX: u32 = 10_000;

/// Until it ended, or this coordinator no longer leads.
pub(super) async fn run(field: Arc<Field>, id: u64) {
    loop {
        match look(&field, id).await {
            Ok(true) => return,
            Ok(false) => {}
            Err(CatalogError::NotLeader { .. }) => return,
            Err(error) => warn!(%error, rebalance = id, "a rebalance waits"),
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// One look; true: there is nothing left to do.
async fn look(field: &Field, id: u64) -> Result<bool, CatalogError> {
    let Some(rebalance) = field.catalog.rebalance().await?.filter(|newest| newest.id == id) else {
        return Ok(true);
    };
    let moves = field.catalog.moves(Which::All { ended: ENDED_MAX }).await?;
    let mine: Vec<MoveRow> = moves.into_iter().filter(|row| row.rebalance == Some(id)).collect();
    match rebalance.state {
        RebalanceState::Running => go_on(field, &rebalance, &mine).await,
        RebalanceState::Stopped => abort(field, &rebalance, &mine).await,
        RebalanceState::Done | RebalanceState::Failed => Ok(true),
    }
}

async fn go_on(
    field: &Field,
    rebalance: &Rebalance,
    mine: &[MoveRow],
) -> Result<bool, CatalogError> {
    if let Some(given_up) = mine.iter().find(|row| row.phase == Phase::Aborted) {
        let reason = given_up.aborted.map_or("no reason", |reason| reason.name());
        let note = match given_up.course.note.as_str() {
            "" => format!("move {} was given up: {reason}", given_up.id),
            why => format!("move {} was given up: {reason}: {why}", given_up.id),
        };
        return end(field, rebalance, RebalanceState::Failed, &note).await;
    }
    let plan = match planning::plan(field.catalog.as_ref(), |row| field.link(row.shard)).await {
        Ok(plan) => plan,
        Err(planning::PlanError::Catalog(error)) => return Err(error),
        Err(error) => {
            note(field, rebalance, &error.to_string()).await?;
            return Ok(false);
        }
    };
    if !plan.is_empty() {
        make(field, rebalance, &plan).await?;
        return Ok(false);
    }
    let still: Vec<&MoveRow> = mine.iter().filter(|row| is_under_way(row)).collect();
    if let Some(first) = still.first() {
        let words =
            format!("{} moves to go; move {} is {}", still.len(), first.id, first.phase.name());
        note(field, rebalance, &words).await?;
        return Ok(false);
    }
    let words = format!("{} moves", mine.len());
    end(field, rebalance, RebalanceState::Done, &words).await
}

/// A move in its window is done with, as far as a rebalance goes; without a window it has yet to clean.
fn is_under_way(row: &MoveRow) -> bool {
    let in_window = row.phase == Phase::Following && !row.window.is_zero();
    !row.phase.is_end() && !in_window
}

async fn make(field: &Field, rebalance: &Rebalance, plan: &Plan) -> Result<(), CatalogError> {
    for held in &plan.held {
        prepare(field, rebalance, held).await?;
    }
    let moves = plan.new_moves(rebalance.window);
    let mut made = 0;
    for step in steps(&moves) {
        match field.catalog.create_moves(field.term, Some(rebalance.id), step).await {
            Ok(ids) => made += ids.len(),
            // Something changed since the look: the next one sees it.
            Err(CatalogError::NotAsExpected(error)) => {
                info!(%error, "a plan is made again");
                break;
            }
            Err(error) => return Err(error),
        }
    }
    if 0 < made {
        info!(rebalance = rebalance.id, moves = made, "moves are made");
        field.wake.notify_one();
    }
    if let (0, Some(held)) = (moves.len(), plan.held.first()) {
        let words = format!("waits for move {}, which holds slots that move on", held.holder());
        note(field, rebalance, &words).await?;
    }
    Ok(())
}

/// Slots in a window: the window ends, or the move goes back, before they move on.
async fn prepare(
    field: &Field,
    rebalance: &Rebalance,
    held: &HeldBatch,
) -> Result<(), CatalogError> {
    let (id, wish) = match held.begin {
        Begin::Reverse(id) => (id, Wish::Reverse),
        Begin::FinishFirst(id) => (id, Wish::Finish),
        Begin::Busy(_) => return Ok(()),
    };
    let by = format!("rebalance {} of {}", rebalance.id, rebalance.by);
    match field.catalog.wish(id, wish, &by).await {
        // It went on by itself.
        Err(CatalogError::Refused(why)) => info!(why, move_id = %id, "a wish came too late"),
        other => return other,
    }
    Ok(())
}

/// As many moves as one step takes; one alone is never too many.
fn steps(moves: &[NewMove]) -> Vec<&[NewMove]> {
    let mut steps = Vec::new();
    let mut rest = moves;
    while !rest.is_empty() {
        let mut slots = 0;
        let fits = rest.iter().take_while(|new| {
            slots += new.slots.len();
            slots <= SLOTS_A_STEP_MAX
        });
        let (step, next) = rest.split_at(fits.count().max(1));
        steps.push(step);
        rest = next;
    }
    steps
}

/// What an operator stopped: whatever has not flipped goes back.
async fn abort(
    field: &Field,
    rebalance: &Rebalance,
    mine: &[MoveRow],
) -> Result<bool, CatalogError> {
    let by = format!("stop of rebalance {}", rebalance.id);
    let may_abort = |row: &&MoveRow| row.phase.may_become(Phase::Aborting);
    for row in mine.iter().filter(may_abort).filter(|row| row.wish != Wish::Abort) {
        match field.catalog.wish(row.id, Wish::Abort, &by).await {
            Err(CatalogError::Refused(why)) => info!(why, move_id = %row.id, "it has flipped"),
            other => other?,
        }
    }
    field.wake.notify_one();
    Ok(!mine.iter().any(|row| may_abort(&row)))
}

async fn end(
    field: &Field,
    rebalance: &Rebalance,
    state: RebalanceState,
    words: &str,
) -> Result<bool, CatalogError> {
    if field.catalog.end_rebalance(rebalance.id, state, words, "coordinator").await? {
        info!(rebalance = rebalance.id, state = state.name(), words, "a rebalance ended");
    }
    // Stopped meanwhile: the next look acts on that.
    Ok(false)
}

async fn note(field: &Field, rebalance: &Rebalance, words: &str) -> Result<(), CatalogError> {
    if rebalance.note == words {
        return Ok(());
    }
    field.catalog.note_rebalance(rebalance.id, words).await
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_domain::id::ShardId;
    use shardline_domain::placement::transfer::MovingSlot;
    use shardline_domain::slot::{Epoch, Slot};

    fn of(slots: usize) -> NewMove {
        let slots = Slot::all().take(slots).map(|slot| MovingSlot { slot, epoch: Epoch(1) });
        NewMove {
            source: ShardId(0),
            target: ShardId(1),
            slots: slots.collect(),
            window: Duration::ZERO,
        }
    }

    #[test]
    fn moves_are_made_in_steps_that_are_not_too_large() {
        let moves = [of(5000), of(1), of(4000), of(95), of(1)];
        let sizes: Vec<usize> = steps(&moves).iter().map(|step| step.len()).collect();
        assert_eq!(sizes, [1, 3, 1]);
        assert!(steps(&[]).is_empty());
    }
}
