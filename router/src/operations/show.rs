//! What operators are shown of moves, plans and changes.

use super::WISHES;
use crate::catalog::moves::{MoveRow, Step};
use crate::catalog::operations::{Rebalance, ShardChange};
use crate::planning::{HeldBatch, Plan, PlannedShard};
use shardline_domain::placement::batches::{self, Batch};
use shardline_domain::placement::pace::Pace;
use shardline_domain::placement::transfer::{AbortReason, Phase, Wish};
use shardline_wire::internal::{
    self, MoveInfo, MoveStep, PlanAnswer, PlanPace, PlannedMove, RebalanceInfo, ShardChanged,
};
use std::time::Duration;

pub(super) fn wish_of(name: &str) -> Option<Wish> {
    WISHES.into_iter().find(|wish| wish.name() == name)
}

pub(super) fn change(change: ShardChange) -> ShardChanged {
    ShardChanged {
        shard: change.shard.0,
        weight: change.weight,
        state: change.state.name().to_owned(),
        unchanged: change.unchanged,
    }
}

pub(super) fn plan(plan: &Plan, pace: &Pace, bytes_per_second: u64) -> PlanAnswer {
    let planned = |batch, after_move| planned(batch, after_move, pace, bytes_per_second);
    let free = plan.free.iter().map(|batch| planned(batch, None));
    let held = plan.held.iter().map(|held| planned(&held.batch, Some(held.holder().0)));
    let all: Vec<Batch> = plan.free.iter().chain(plan.held.iter().map(of_held)).cloned().collect();
    PlanAnswer {
        moves: free.chain(held).collect(),
        shards: plan.shards.iter().map(planned_shard).collect(),
        seconds: seconds(batches::takes(&plan.free, pace, bytes_per_second)),
        digest: format!("{:016x}", batches::digest(&all)),
        pace: Some(PlanPace {
            rows_per_second: pace.rows_per_second,
            bytes_per_second: pace.bytes_per_second,
            moves: u32::try_from(pace.moves).unwrap_or(u32::MAX),
        }),
    }
}

fn of_held(held: &HeldBatch) -> &Batch {
    &held.batch
}

fn planned(
    batch: &Batch,
    after_move: Option<u64>,
    pace: &Pace,
    bytes_per_second: u64,
) -> PlannedMove {
    PlannedMove {
        source: batch.source.0,
        target: batch.target.0,
        slots: batch.slots.iter().map(|slot| slot.get().into()).collect(),
        entities: batch.load.entities,
        rows: batch.load.rows,
        bytes: batch.load.bytes,
        seconds: seconds(batch.takes(pace, bytes_per_second)),
        pause_ms: millis(batch.pause()),
        after_move,
    }
}

fn planned_shard(shard: &PlannedShard) -> internal::PlannedShard {
    internal::PlannedShard {
        shard: shard.shard.0,
        state: shard.state.name().to_owned(),
        weight: shard.weight,
        slots_now: shard.slots_now,
        slots_then: shard.slots_then,
    }
}

pub(super) fn rebalance(rebalance: &Rebalance) -> RebalanceInfo {
    RebalanceInfo {
        rebalance: rebalance.id,
        state: rebalance.state.name().to_owned(),
        window_ms: millis(rebalance.window),
        by: rebalance.by.clone(),
        age_ms: millis(rebalance.age),
        note: rebalance.note.clone(),
    }
}

pub(super) fn of_move(row: &MoveRow) -> MoveInfo {
    let course = &row.course;
    // A planned move that may not start yet is in nobody's hand.
    let (blocked, note) = match (row.phase, course.blocked.as_str()) {
        (Phase::Planned, "") => ("checks", "other moves of these shards come first"),
        // Its last words may be of just before.
        (Phase::Done, _) => ("nothing", ""),
        (Phase::Aborted, _) => ("nothing", course.note.as_str()),
        (_, blocked) => (blocked, course.note.as_str()),
    };
    MoveInfo {
        r#move: row.id.0,
        kind: row.kind.name().to_owned(),
        source: row.source.0,
        target: row.target.0,
        phase: row.phase.name().to_owned(),
        attempt: row.attempt.0,
        slots: row.slots,
        window_ms: millis(row.window),
        wish: row.wish.name().to_owned(),
        aborted: row.aborted.map(AbortReason::name).unwrap_or_default().to_owned(),
        in_phase_ms: millis(row.in_phase),
        age_ms: millis(row.age),
        rebalance: row.rebalance,
        has_ended: row.phase.is_end(),
        blocked: blocked.to_owned(),
        note: note.to_owned(),
        entities: course.entities,
        entities_total: course.entities_total,
        rows: course.rows,
        bytes: course.bytes,
        lag_entities: course.lag_entities,
        eta_ms: eta(row).map(millis),
        pause_ms: course.pause.map(millis),
        reversed_by: row.reversed_by.map(|id| id.0),
    }
}

/// Until copying ends, at the pace it had.
fn eta(row: &MoveRow) -> Option<Duration> {
    let (done, all) = (row.course.entities, row.course.entities_total);
    if row.phase != Phase::Copying || done == 0 || all < done {
        return None;
    }
    #[expect(clippy::cast_precision_loss, reason = "an estimate")]
    let rest = (all - done) as f64 / done as f64;
    Some(row.in_phase.mul_f64(rest))
}

pub(super) fn step(step: Step) -> MoveStep {
    MoveStep {
        number: step.number.into(),
        at_ms: step.at_ms,
        from: step.from.map(Phase::name).unwrap_or_default().to_owned(),
        to: step.to.name().to_owned(),
        attempt: step.attempt.0,
        term: step.term,
        detail: step.detail,
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Rounded up: nothing takes no time.
fn seconds(duration: Duration) -> u64 {
    millis(duration).div_ceil(1000)
}
