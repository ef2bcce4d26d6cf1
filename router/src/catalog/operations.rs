//! What operators change in the catalog: shards that come and go, rebalances, the throttle; each with
//! a row that says who did it.

use super::{CatalogError, Rebuilt, ShardState};
use async_trait::async_trait;
use shardline_domain::id::ShardId;
use shardline_domain::limits::{
    MOVES_KEPT_FOR, MOVES_KEPT_MAX, OPERATOR_CHANGES_KEPT_FOR, OPERATOR_CHANGES_KEPT_MAX,
    REBALANCES_KEPT_MAX,
};
use shardline_domain::placement::transfer::Attempt;
use shardline_domain::slot::Epoch;
use std::time::Duration;

/// Each method is one atomic step, and repeating it changes nothing more. `Refused`: the cluster is not
/// as the change needs it; nothing was changed.
#[async_trait]
pub trait OperationStore: Send + Sync {
    /// A shard joins, at the address where its node was found. One that was removed may come back.
    async fn add_shard(&self, new: &JoiningShard, by: &str) -> Result<ShardChange, CatalogError>;

    /// Joining -> active, once its writer is there. False if it was not joining.
    async fn activate_shard(&self, shard: ShardId) -> Result<bool, CatalogError>;

    /// The weight is above 0.
    async fn set_weight(
        &self,
        shard: ShardId,
        weight: u32,
        by: &str,
    ) -> Result<ShardChange, CatalogError>;

    /// Active <-> draining. Refused to the last shard that takes slots.
    async fn set_draining(
        &self,
        shard: ShardId,
        draining: bool,
        by: &str,
    ) -> Result<ShardChange, CatalogError>;

    /// Refused while it has slots, is part of a live move (also while it follows), or has commits that
    /// are not on the bus; and to the last shard. Its writer terms stay used.
    async fn remove_shard(&self, shard: ShardId, by: &str) -> Result<ShardChange, CatalogError>;

    /// Refused while one runs.
    async fn begin_rebalance(&self, window: Duration, by: &str) -> Result<Rebalance, CatalogError>;

    /// Running -> `state`; false if it does not run.
    async fn end_rebalance(
        &self,
        id: u64,
        state: RebalanceState,
        note: &str,
        by: &str,
    ) -> Result<bool, CatalogError>;

    /// What a running one waits for. Not journaled.
    async fn note_rebalance(&self, id: u64, note: &str) -> Result<(), CatalogError>;

    /// The newest.
    async fn rebalance(&self) -> Result<Option<Rebalance>, CatalogError>;

    /// Bytes a second that each move may copy; 0: no limit but the shards' own.
    async fn throttle(&self) -> Result<u64, CatalogError>;

    async fn set_throttle(&self, bytes_per_second: u64, by: &str) -> Result<(), CatalogError>;

    /// Writes all of it in one transaction, each shard active with weight `WEIGHT_OF_REBUILT`. `Refused`
    /// unless the catalog has no shard, slot or move: of two that rebuild, one does. Whoever leads does
    /// no more, and the next leader has a term above `leader_term`.
    async fn rebuild(&self, rebuilt: &Rebuilt, by: &str) -> Result<(), CatalogError>;

    /// Something that is done elsewhere, and by whom: written before it is done.
    async fn note_change(&self, by: &str, what: &str) -> Result<(), CatalogError>;

    /// Deletes what is beyond `keep`, the oldest first, at most `at_once` of each kind, and says how much:
    /// moves that ended with their slots and journals, rebalances that ended, operators' changes. What is
    /// live, the newest rebalance and the newest change stay. `NotLeader` if `term` is not the newest.
    async fn trim(&self, term: u64, keep: &Keep, at_once: u32) -> Result<u64, CatalogError>;

    /// The newest first.
    async fn changes(&self, limit: u32) -> Result<Vec<ChangeRow>, CatalogError>;
}

/// How much of what has ended is kept: at most so many, and no longer than so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Keep {
    pub moves: u32,
    pub rebalances: u32,
    pub moves_for: Duration,
    pub changes: u32,
    pub changes_for: Duration,
}

impl Keep {
    pub const LIMITS: Keep = Keep {
        moves: MOVES_KEPT_MAX,
        rebalances: REBALANCES_KEPT_MAX,
        moves_for: MOVES_KEPT_FOR,
        changes: OPERATOR_CHANGES_KEPT_MAX,
        changes_for: OPERATOR_CHANGES_KEPT_FOR,
    };

    /// What began or ended before these times goes: of moves and rebalances, of changes.
    pub(super) fn before(&self, now_ms: i64) -> (i64, i64) {
        let ago = |time: Duration| {
            now_ms.saturating_sub(i64::try_from(time.as_millis()).unwrap_or(i64::MAX))
        };
        (ago(self.moves_for), ago(self.changes_for))
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JoiningShard {
    pub shard: ShardId,
    pub weight: u32,
    pub address: String,
}

/// How a shard is after a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ShardChange {
    pub shard: ShardId,
    pub weight: u32,
    pub state: ShardState,
    /// It was so before.
    pub unchanged: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Rebalance {
    pub id: u64,
    pub state: RebalanceState,
    pub window: Duration,
    pub by: String,
    pub age: Duration,
    pub note: String,
}

/// Stored as its number: never renumber.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum RebalanceState {
    Running = 1,
    Done = 2,
    /// By an operator: what has not flipped is aborted.
    Stopped = 3,
    /// One of its moves was given up: no more begin.
    Failed = 4,
}

impl RebalanceState {
    pub fn from_number(number: u8) -> Option<RebalanceState> {
        use RebalanceState::{Done, Failed, Running, Stopped};
        [Running, Done, Stopped, Failed].into_iter().find(|state| *state as u8 == number)
    }

    pub fn name(self) -> &'static str {
        match self {
            RebalanceState::Running => "running",
            RebalanceState::Done => "done",
            RebalanceState::Stopped => "stopped",
            RebalanceState::Failed => "failed",
        }
    }
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ChangeRow {
    pub number: u64,
    pub at_ms: i64,
    pub by: String,
    pub what: String,
}

/// Weights are known to the catalog alone: when it is lost, all are the same.
pub const WEIGHT_OF_REBUILT: u32 = 100;

/// In an empty catalog there is nothing of these.
pub(super) const EMPTY_IF_NONE: &str = "SELECT (SELECT COUNT(*) FROM shards) + \
    (SELECT COUNT(*) FROM slots) + (SELECT COUNT(*) FROM moves)";

pub(super) fn not_empty() -> CatalogError {
    CatalogError::Refused("the catalog is not empty".to_owned())
}

pub(super) fn rebuilt_words(rebuilt: &Rebuilt) -> String {
    let Rebuilt { shards, slots, moves, .. } = rebuilt;
    format!(
        "the catalog is rebuilt from the rows of {} shards: {} slots, {} moves to clean up",
        shards.len(),
        slots.len(),
        moves.len()
    )
}

/// As `move_slots` keeps it: the epoch of the first attempt. Each attempt takes one more.
pub(super) fn first_epoch(attempt: Attempt, epoch: Epoch) -> u64 {
    epoch.0.saturating_sub(u64::from(attempt.0.saturating_sub(1)))
}

/// The setting's name.
pub(super) const THROTTLE: &str = "bytes_per_second";

/// A shard as far as changes of it go, removed ones too.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct ShardFacts {
    pub(super) shard: ShardId,
    pub(super) weight: u32,
    pub(super) state: ShardState,
    pub(super) address: String,
}

/// What keeps a shard from being removed.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Holdings {
    pub(super) slots: u64,
    /// Live ones that it gives to, takes from or follows.
    pub(super) moves: Vec<u64>,
    /// Commits that are not on the bus.
    pub(super) unrelayed: u64,
}

/// shard, weight, state, address
pub(super) fn facts(columns: (u32, u32, u8, String)) -> Result<ShardFacts, CatalogError> {
    let (shard, weight, number, address) = columns;
    let state = ShardState::from_number(number)
        .ok_or_else(|| CatalogError::Corrupt(format!("shard {shard} has the state {number}")))?;
    Ok(ShardFacts { shard: ShardId(shard), weight, state, address })
}

/// id, state, window_ms, by, started_ms, note
pub(super) type RebalanceColumns = (u64, u8, u64, String, i64, String);

pub(super) fn rebalance(columns: RebalanceColumns, now_ms: i64) -> Result<Rebalance, CatalogError> {
    let (id, number, window_ms, by, started_ms, note) = columns;
    let state = RebalanceState::from_number(number)
        .ok_or_else(|| CatalogError::Corrupt(format!("rebalance {id} has the state {number}")))?;
    let age = Duration::from_millis(u64::try_from(now_ms - started_ms).unwrap_or(0));
    Ok(Rebalance { id, state, window: Duration::from_millis(window_ms), by, age, note })
}

/// How a shard is to be; None: it is so. `shards` are all rows, locked.
pub(super) fn added(
    shards: &[ShardFacts],
    new: &JoiningShard,
) -> Result<Option<ShardFacts>, CatalogError> {
    let JoiningShard { shard, weight, ref address } = *new;
    above_zero(weight)?;
    let state = ShardState::Joining;
    let wanted = ShardFacts { shard, weight, state, address: address.clone() };
    match shards.iter().find(|row| row.shard == shard) {
        None => Ok(Some(wanted)),
        Some(row) if row.state == ShardState::Removed => Ok(Some(wanted)),
        Some(row) if *row == wanted => Ok(None),
        Some(row) => Err(CatalogError::Refused(format!(
            "shard {shard} is already in the cluster, {} at {}",
            row.state.name(),
            row.address
        ))),
    }
}

pub(super) fn reweighted(
    shards: &[ShardFacts],
    shard: ShardId,
    weight: u32,
) -> Result<ShardFacts, CatalogError> {
    above_zero(weight)?;
    Ok(ShardFacts { weight, ..present(shards, shard)?.clone() })
}

pub(super) fn drained(
    shards: &[ShardFacts],
    shard: ShardId,
    draining: bool,
) -> Result<ShardFacts, CatalogError> {
    let row = present(shards, shard)?;
    let state = match (row.state, draining) {
        (ShardState::Joining | ShardState::Active, true) => {
            others_take_slots(shards, shard)?;
            ShardState::Draining
        }
        (ShardState::Draining, false) => ShardState::Active,
        (state, _) => state,
    };
    Ok(ShardFacts { state, ..row.clone() })
}

/// None: it is removed already.
pub(super) fn removed(
    shards: &[ShardFacts],
    shard: ShardId,
    holds: &Holdings,
) -> Result<Option<ShardFacts>, CatalogError> {
    let row = shards.iter().find(|row| row.shard == shard);
    let row = row.ok_or_else(|| super::rows::no_shard(shard))?;
    if row.state == ShardState::Removed {
        return Ok(None);
    }
    others_take_slots(shards, shard)?;
    let mut still = Vec::new();
    if 0 < holds.slots {
        still.push(format!("has {} slots (drain it, then rebalance)", holds.slots));
    }
    if !holds.moves.is_empty() {
        let moves: Vec<String> = holds.moves.iter().map(u64::to_string).collect();
        still.push(format!("is part of moves that have not ended: {}", moves.join(", ")));
    }
    if 0 < holds.unrelayed {
        still.push(format!("has {} commits that are not on the bus yet", holds.unrelayed));
    }
    if !still.is_empty() {
        let message = format!("shard {shard} still {}", still.join("; it "));
        return Err(CatalogError::Refused(message));
    }
    let address = String::new();
    Ok(Some(ShardFacts { state: ShardState::Removed, address, ..row.clone() }))
}

/// Refused if the newest rebalance runs.
pub(super) fn runs(newest: Option<Rebalance>) -> Result<(), CatalogError> {
    match newest {
        Some(Rebalance { id, by, state: RebalanceState::Running, .. }) => {
            Err(CatalogError::Refused(format!("rebalance {id}, begun by {by}, is running")))
        }
        _ => Ok(()),
    }
}

pub(super) fn change(
    shard: ShardId,
    weight: u32,
    state: ShardState,
    unchanged: bool,
) -> ShardChange {
    ShardChange { shard, weight, state, unchanged }
}

fn present(shards: &[ShardFacts], shard: ShardId) -> Result<&ShardFacts, CatalogError> {
    let here = |row: &&ShardFacts| row.shard == shard && row.state != ShardState::Removed;
    shards.iter().find(here).ok_or_else(|| super::rows::no_shard(shard))
}

fn others_take_slots(shards: &[ShardFacts], shard: ShardId) -> Result<(), CatalogError> {
    if shards.iter().any(|row| row.shard != shard && row.state.takes_slots()) {
        return Ok(());
    }
    let message = format!("shard {shard} is the last one that takes slots; add another first");
    Err(CatalogError::Refused(message))
}

fn above_zero(weight: u32) -> Result<(), CatalogError> {
    if weight == 0 {
        let message = "a weight is above 0; to empty a shard, drain it".to_owned();
        return Err(CatalogError::Refused(message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shard(number: u32, state: ShardState) -> ShardFacts {
        let address = format!("h:{number}");
        ShardFacts { shard: ShardId(number), weight: 100, state, address }
    }

    fn says<T: std::fmt::Debug>(result: Result<T, CatalogError>, words: &str) {
        let error = result.expect_err("refused").to_string();
        assert!(error.contains(words), "{error}");
    }

    #[test]
    fn a_shard_joins_once_and_may_come_back() {
        let new = JoiningShard { shard: ShardId(2), weight: 50, address: "h:2".into() };
        let joined = added(&[], &new).expect("nobody is there").expect("a change");
        assert_eq!(joined.state, ShardState::Joining);
        assert_eq!(added(std::slice::from_ref(&joined), &new).expect("a repeat"), None);
        says(added(&[shard(2, ShardState::Active)], &new), "already in the cluster, active at h:2");
        assert_eq!(added(&[shard(2, ShardState::Removed)], &new).expect("back"), Some(joined));
        says(added(&[], &JoiningShard { weight: 0, ..new }), "above 0");
    }

    #[test]
    fn the_last_shard_that_takes_slots_stays() {
        let two = [shard(0, ShardState::Active), shard(1, ShardState::Draining)];
        says(drained(&two, ShardId(0), true), "the last one");
        says(removed(&two, ShardId(0), &Holdings::default()), "the last one");
        let back = drained(&two, ShardId(1), false).expect("undone");
        assert_eq!(back.state, ShardState::Active);
        says(drained(&two, ShardId(7), true), "no shard 7");
    }

    #[test]
    fn a_shard_goes_only_empty_and_says_what_it_holds() {
        let two = [shard(0, ShardState::Active), shard(1, ShardState::Draining)];
        let check = |holds: Holdings, words: &str| says(removed(&two, ShardId(1), &holds), words);
        check(Holdings { slots: 3, ..Holdings::default() }, "still has 3 slots");
        check(Holdings { moves: vec![4, 9], ..Holdings::default() }, "not ended: 4, 9");
        check(Holdings { unrelayed: 2, ..Holdings::default() }, "2 commits");
        let gone = removed(&two, ShardId(1), &Holdings::default()).expect("empty");
        assert_eq!(gone.expect("a change").state, ShardState::Removed);
    }
}
