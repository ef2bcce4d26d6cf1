//! Orders and reports of moves, between the rules and the wire.

use shardline_domain::placement::transfer::{
    Attempt, Blocked, Mark, Move, MoveId, Progress, Proof, Report, Standing, Task,
};
use shardline_wire::internal::{self, DatabaseMark, MoveOrder, MoveReport, MoveStanding, MoveTask};
use std::time::Duration;

/// What an order says besides whose it is and what it is.
pub(super) struct Terms<'a> {
    pub(super) term: u64,
    pub(super) peer_shard: u32,
    pub(super) peer_address: &'a str,
    pub(super) bytes_per_second: u64,
    pub(super) wait: Duration,
    /// The number of the report that is decided by; 0: there is none.
    pub(super) known_report: u64,
}

pub(super) fn order(present: &Move, task: Task, terms: &Terms<'_>) -> MoveOrder {
    let slots = present.slots.iter().map(|moving| internal::MovingSlot {
        slot: moving.slot.get().into(),
        epoch: moving.epoch.0,
    });
    MoveOrder {
        term: terms.term,
        r#move: present.id.0,
        attempt: present.attempt.0,
        task: task_out(task).into(),
        slots: slots.collect(),
        peer_shard: terms.peer_shard,
        peer_address: terms.peer_address.to_owned(),
        bytes_per_second: terms.bytes_per_second,
        wait_ms: u32::try_from(terms.wait.as_millis()).unwrap_or(u32::MAX),
        known_report: terms.known_report,
    }
}

fn task_out(task: Task) -> MoveTask {
    match task {
        Task::Track => MoveTask::Track,
        Task::Slow => MoveTask::Slow,
        Task::Copy => MoveTask::Copy,
        Task::Verify => MoveTask::Verify,
        Task::Hold => MoveTask::Hold,
        Task::Freeze => MoveTask::Freeze,
        Task::Settle => MoveTask::Settle,
        Task::Ask => MoveTask::Ask,
        Task::Follow => MoveTask::Follow,
        Task::Purge => MoveTask::Purge,
        Task::Discard => MoveTask::Discard,
    }
}

pub(super) fn report(answer: &MoveReport) -> Report {
    Report {
        move_id: MoveId(answer.r#move),
        attempt: Attempt(answer.attempt),
        standing: standing_in(answer.standing()),
        relayed: answer.relayed,
        progress: Progress {
            copied: answer.copied,
            close_rounds: answer.close_rounds,
            stalled_rounds: answer.stalled_rounds,
            verified: answer.verified,
            mismatched: answer.mismatched,
            settled: proof(answer),
        },
    }
}

/// None: it is not settled, or does not say under which writers.
fn proof(answer: &MoveReport) -> Option<Proof> {
    let mark = |mark: &DatabaseMark| Mark { term: mark.term, tally: mark.tally };
    let source = answer.source_mark.as_ref().map(mark)?;
    let target = answer.target_mark.as_ref().map(mark)?;
    answer.settled.then_some(Proof { source, target })
}

fn standing_in(standing: MoveStanding) -> Standing {
    match standing {
        MoveStanding::Other => Standing::Other,
        MoveStanding::Tracking => Standing::Tracking,
        MoveStanding::FrozenHere => Standing::Frozen,
        MoveStanding::OwnedAnew => Standing::OwnedAnew,
        MoveStanding::Importing => Standing::Importing,
        MoveStanding::Following => Standing::Following,
        MoveStanding::Moved => Standing::Moved,
        MoveStanding::Empty => Standing::Empty,
        MoveStanding::Quarantined => Standing::Quarantined,
    }
}

/// As operators read it.
pub(super) fn blocked_name(blocked: Blocked) -> &'static str {
    match blocked {
        Blocked::Checks => "checks",
        Blocked::Paused => "paused",
        Blocked::Source => "source",
        Blocked::Target => "target",
        Blocked::Turn => "turn",
        Blocked::Difference => "difference",
        Blocked::Window => "window",
        Blocked::Relay => "relay",
        Blocked::Retry => "retry",
        Blocked::Nothing => "nothing",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_task_and_standing_has_its_number() {
        // A standing that is not known here counts as none.
        let mut unknown = MoveReport { standing: 99, ..MoveReport::default() };
        assert_eq!(report(&unknown).standing, Standing::Other);
        unknown.set_standing(MoveStanding::FrozenHere);
        assert_eq!(report(&unknown).standing, Standing::Frozen);
        let tasks = [Task::Track, Task::Slow, Task::Copy, Task::Verify, Task::Hold, Task::Freeze];
        let more = [Task::Settle, Task::Ask, Task::Follow, Task::Purge, Task::Discard];
        let numbers: Vec<i32> =
            tasks.into_iter().chain(more).map(|task| task_out(task).into()).collect();
        assert_eq!(numbers, (1..=11).collect::<Vec<_>>());
    }
}
