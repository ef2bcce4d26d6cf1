//! What the coordinator does next about a move.
//!
//! It looks at what is there and remembers nothing: whoever leads next goes on from the same place.
//! Two that decide at once, or on old news, do no harm: orders may be repeated, and of two arrows one
//! is refused by the catalog.

use super::{
    AbortReason, Arrow, Move, Phase, Progress, Proof, Report, Standing, Task, Terms, Wish,
};
use crate::limits::{FREEZE_TIME_MAX, MOVE_ATTEMPTS_MAX, MOVE_RETRY_AFTER};
use std::time::Duration;

/// Rounds of catching up that must be close before anything is frozen: one may be luck.
pub const CLOSE_ROUNDS: u32 = 2;
/// Rounds without progress before the source's writers are slowed.
const STALLED_ROUNDS: u32 = 5;

/// What else the coordinator knows.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct Facts {
    /// For how long the move has been in its phase.
    pub in_phase: Duration,
    /// For how long writes have been waiting: since the source's gate closed; while that is not known,
    /// since the phase Freezing began.
    pub writes_wait: Duration,
    pub checks: Checks,
    /// Whether this move may freeze now: only so many at once.
    pub turn: bool,
    /// Of both shards' writers.
    pub newest: Terms,
}

/// Of source and target, before anything is done: schema, room, reachable both ways.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Checks {
    Running,
    Passed,
    Failed,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Decision {
    /// Tell them (each may have been told already), and look again when they have answered, or soon.
    Order {
        source: Option<Task>,
        target: Option<Task>,
        blocked: Blocked,
    },
    /// Change the catalog, then look again.
    Advance(Arrow),
    /// Change the catalog: this move is Done, and `Move::reversed` holds its slots, in one transaction.
    Reverse,
    Wait(Blocked),
}

/// What a move waits for; for whoever watches it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Blocked {
    Checks,
    Paused,
    Source,
    Target,
    /// Its turn to freeze.
    Turn,
    /// The target's difference is still too large.
    Difference,
    /// The end of the window in which it can be reversed.
    Window,
    /// The source's journal is not on the bus yet.
    Relay,
    /// The time before the next attempt.
    Retry,
    /// It has ended.
    Nothing,
}

/// The next thing to do. Reports about another move or attempt count as none.
pub fn decide(
    present: &Move,
    source: Option<&Report>,
    target: Option<&Report>,
    facts: &Facts,
) -> Decision {
    let current = |report: Option<&Report>| {
        report
            .filter(|report| (report.move_id, report.attempt) == (present.id, present.attempt))
            .copied()
    };
    let source = current(source);
    let target = current(target);
    let seen = Seen {
        present,
        facts,
        source: source.map_or(Standing::Other, |report| report.standing),
        relayed: source.is_some_and(|report| report.relayed),
        target: target.map_or(Standing::Other, |report| report.standing),
        progress: target
            .filter(|report| report.standing == Standing::Importing)
            .map(|report| report.progress)
            .unwrap_or_default(),
    };
    match present.phase {
        Phase::Planned
        | Phase::Preparing
        | Phase::Copying
        | Phase::CatchingUp
        | Phase::Verifying
        | Phase::Ready => seen.before_the_freeze(),
        Phase::Freezing => seen.freezing(),
        Phase::Frozen => seen.frozen(),
        Phase::Flipped => seen.flipped(),
        Phase::Following => seen.following(),
        Phase::Cleaning => seen.cleaning(),
        Phase::Aborting => seen.aborting(),
        Phase::Done | Phase::Aborted => Decision::Wait(Blocked::Nothing),
    }
}

/// Everything a decision is made from.
struct Seen<'a> {
    present: &'a Move,
    facts: &'a Facts,
    source: Standing,
    relayed: bool,
    target: Standing,
    /// Nothing, unless the target is importing this attempt.
    progress: Progress,
}

impl Seen<'_> {
    fn before_the_freeze(&self) -> Decision {
        if matches!(self.present.wish, Wish::Abort | Wish::Reverse) {
            return self.abort(AbortReason::Operator);
        }
        if let Some(failed) = self.failed() {
            return self.abort(failed);
        }
        if self.present.wish == Wish::Pause {
            let hold = (self.target == Standing::Importing).then_some(Task::Hold);
            return Decision::Order { source: None, target: hold, blocked: Blocked::Paused };
        }
        if self.present.phase == Phase::Planned {
            return match self.facts.checks {
                Checks::Passed => self.advance(Phase::Preparing),
                Checks::Failed => self.abort(AbortReason::Unfit),
                Checks::Running => Decision::Wait(Blocked::Checks),
            };
        }
        let prepared = self.source == Standing::Tracking && self.target == Standing::Importing;
        if !prepared {
            let tracking = self.source == Standing::Tracking;
            return self.copy(if tracking { Blocked::Target } else { Blocked::Source });
        }
        let close = CLOSE_ROUNDS <= self.progress.close_rounds;
        match self.present.phase {
            Phase::Preparing => self.advance(Phase::Copying),
            Phase::Copying if self.progress.copied => self.advance(Phase::CatchingUp),
            Phase::CatchingUp if close => self.advance(Phase::Verifying),
            Phase::Verifying if self.progress.verified => self.advance(Phase::Ready),
            Phase::Verifying => {
                let target = Some(Task::Verify);
                Decision::Order { source: Some(Task::Track), target, blocked: Blocked::Target }
            }
            Phase::Ready if close && self.facts.turn => self.advance(Phase::Freezing),
            Phase::Ready if close => self.copy(Blocked::Turn),
            _ => self.copy(Blocked::Difference),
        }
    }

    fn freezing(&self) -> Decision {
        if self.source == Standing::Frozen {
            return self.advance(Phase::Frozen);
        }
        self.abort_in_time().unwrap_or(Decision::Order {
            source: Some(Task::Freeze),
            target: Some(Task::Copy),
            blocked: Blocked::Source,
        })
    }

    fn frozen(&self) -> Decision {
        // Also when the source is gone, or it took too long: nothing is missing at the target.
        let settled = self.progress.settled.filter(|proof| proof.stands(&self.facts.newest));
        let stays = matches!(self.present.wish, Wish::Abort | Wish::Reverse);
        if let Some(proof) = settled.filter(|_| !stays) {
            return self.flip(proof);
        }
        self.abort_in_time().unwrap_or(Decision::Order {
            source: None,
            target: Some(Task::Settle),
            blocked: Blocked::Target,
        })
    }

    fn flipped(&self) -> Decision {
        if self.target == Standing::OwnedAnew {
            return self.advance(Phase::Following);
        }
        Decision::Order {
            source: Some(Task::Follow),
            target: Some(Task::Ask),
            blocked: Blocked::Target,
        }
    }

    fn following(&self) -> Decision {
        let follow = |blocked| {
            let source = Some(Task::Follow);
            Decision::Order { source, target: None, blocked }
        };
        match self.present.wish {
            Wish::Reverse if self.source == Standing::Following => return Decision::Reverse,
            Wish::Reverse => return follow(Blocked::Source),
            Wish::Pause => return follow(Blocked::Paused),
            Wish::Proceed | Wish::Abort if self.facts.in_phase < self.present.window => {
                return follow(Blocked::Window);
            }
            _ => {}
        }
        if self.relayed { self.advance(Phase::Cleaning) } else { follow(Blocked::Relay) }
    }

    fn cleaning(&self) -> Decision {
        if self.source == Standing::Empty {
            return self.advance(Phase::Done);
        }
        if self.present.wish == Wish::Pause {
            let source = Some(Task::Hold);
            return Decision::Order { source, target: None, blocked: Blocked::Paused };
        }
        let source = Some(Task::Purge);
        Decision::Order { source, target: None, blocked: Blocked::Source }
    }

    fn aborting(&self) -> Decision {
        let thawed = self.source == Standing::OwnedAnew;
        let ask = (!thawed).then_some(Task::Ask);
        if self.tries_again() {
            let hold = Some(Task::Hold);
            return match (thawed, self.present.wish) {
                (false, _) => {
                    Decision::Order { source: ask, target: hold, blocked: Blocked::Source }
                }
                (true, Wish::Pause) => Decision::Wait(Blocked::Paused),
                (true, _) if self.facts.in_phase < MOVE_RETRY_AFTER => {
                    Decision::Wait(Blocked::Retry)
                }
                (true, _) => self.advance(Phase::Planned),
            };
        }
        if thawed && self.target == Standing::Empty {
            return self.advance(Phase::Aborted);
        }
        let blocked = if thawed { Blocked::Target } else { Blocked::Source };
        Decision::Order { source: ask, target: Some(Task::Discard), blocked }
    }

    fn tries_again(&self) -> bool {
        self.present.aborted.is_some_and(AbortReason::passes)
            && self.present.attempt.0 < MOVE_ATTEMPTS_MAX
            && !matches!(self.present.wish, Wish::Abort | Wish::Reverse)
    }

    /// Writes wait: an operator's wish and the clock are heard at once.
    fn abort_in_time(&self) -> Option<Decision> {
        if matches!(self.present.wish, Wish::Abort | Wish::Reverse) {
            return Some(self.abort(AbortReason::Operator));
        }
        if let Some(failed) = self.failed() {
            return Some(self.abort(failed));
        }
        let too_long = FREEZE_TIME_MAX <= self.facts.writes_wait;
        too_long.then(|| self.abort(AbortReason::FrozenTooLong))
    }

    /// Whether this attempt cannot end well.
    fn failed(&self) -> Option<AbortReason> {
        match self.target {
            Standing::Moved | Standing::Empty | Standing::Quarantined => {
                Some(AbortReason::CopyLost)
            }
            _ => self.progress.mismatched.then_some(AbortReason::Mismatch),
        }
    }

    fn copy(&self, blocked: Blocked) -> Decision {
        let slow = STALLED_ROUNDS <= self.progress.stalled_rounds;
        let source = Some(if slow { Task::Slow } else { Task::Track });
        Decision::Order { source, target: Some(Task::Copy), blocked }
    }

    fn advance(&self, to: Phase) -> Decision {
        Decision::Advance(self.arrow(to, None))
    }

    fn flip(&self, proof: Proof) -> Decision {
        Decision::Advance(Arrow { proof: Some(proof), ..self.arrow(Phase::Flipped, None) })
    }

    fn abort(&self, reason: AbortReason) -> Decision {
        Decision::Advance(self.arrow(Phase::Aborting, Some(reason)))
    }

    fn arrow(&self, to: Phase, reason: Option<AbortReason>) -> Arrow {
        let Move { id, phase, attempt, .. } = *self.present;
        Arrow { move_id: id, from: phase, attempt, to, reason, proof: None }
    }
}
