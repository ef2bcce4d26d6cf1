//! Everything that can happen next.

use super::super::{
    Attempt, Checks, Facts, MoveId, Phase, Progress, Proof, Report, SlotRow, SlotState, Standing,
    Task, Terms, Wish, decide, emptied, quarantined, standing,
};
use super::check::{Violation, transition};
use super::rules::{Planted, Rules};
use super::world::{ATTEMPTS, Choices, Copied, Leg, STANDINGS, World, proofs, settled_bit, shard};
use crate::slot::Epoch;
use std::collections::HashMap;
use std::time::Duration;

/// How far the walk goes.
#[derive(Clone, Copy)]
pub(super) struct Scope {
    pub(super) writes: u32,
    /// Attempts of the first and of the second move.
    pub(super) attempts: [u32; 2],
    pub(super) quarantines: u32,
    /// How often a copy of a database comes back.
    pub(super) losses: u32,
    /// Whether a second coordinator is elected at some time.
    pub(super) elections: bool,
}

pub(super) type Step = (&'static str, World);

/// Which leg was read, and the reports about it.
type Sight = (usize, Leg, u64, u64, Terms);

pub(super) struct Steps {
    pub(super) rules: Rules,
    pub(super) scope: Scope,
    choices: HashMap<Sight, Choices>,
}

impl Steps {
    pub(super) fn new(rules: Rules, scope: Scope) -> Steps {
        Steps { rules, scope, choices: HashMap::new() }
    }

    pub(super) fn start(&mut self) -> World {
        let mut world = World::start(self.scope.quarantines, self.scope.losses);
        self.close(&mut world);
        world
    }

    /// Every next moment, or the rule that was broken on the way to it.
    pub(super) fn next(&mut self, world: &World) -> Result<Vec<Step>, Box<(Violation, Step)>> {
        let mut next = Vec::new();
        self.coordinators(world, &mut next);
        self.shards(world, &mut next);
        self.writers(world, &mut next);
        self.movers(world, &mut next);
        self.faults(world, &mut next);
        for (name, after) in &mut next {
            let checked = !self.rules.by_consequence();
            if let Err(violation) = transition(name, world, after)
                && checked
            {
                return Err(Box::new((violation, (name, after.clone()))));
            }
            self.close(after);
        }
        Ok(next)
    }

    /// Adds everything that may be sent, reported and read from this moment on.
    fn close(&mut self, world: &mut World) {
        world.note_reads();
        self.close_reports(world);
        for (index, leg) in world.legs() {
            for read in leg.reads(world.reads[index]) {
                let leader = world.leader;
                for task in self.choices(world, index, read).tasks {
                    world.note_sent(index, read.attempt, task, leader);
                }
            }
        }
        let orders: Vec<_> = world.orders().collect();
        for (side, order) in orders {
            let answers = world.doubts[1 - side].is_none();
            if answers && matches!(order.task, Task::Copy | Task::Follow) {
                let (leg, attempt) = place(order.move_id, order.attempt);
                world.batches[leg][attempt][side] |= world.data[1 - side];
            }
        }
    }

    fn close_reports(&self, world: &mut World) {
        for (index, leg) in world.legs() {
            for attempt in 1..=leg.attempt.min(ATTEMPTS) {
                let leg = leg.in_attempt(attempt);
                let stands =
                    [leg.source, leg.target()].map(|side| stands(&world.rows[side], index, &leg));
                let answers = [leg.source, leg.target()].map(|side| world.doubts[side].is_none());
                for (target, report) in [(false, stands[0]), (true, stands[1])] {
                    if report == Standing::Other || !answers[usize::from(target)] {
                        continue;
                    }
                    let number = STANDINGS.iter().position(|other| *other == report);
                    world.note_report(index, attempt, target, number.expect("all are there"));
                }
                let frozen =
                    stands[0] == Standing::Frozen || self.rules.broken(Planted::SettleUnfrozen);
                let equal = world.data[0] == world.data[1];
                if frozen && equal && answers == [true; 2] && stands[1] == Standing::Importing {
                    let settled = settled_bit(world.newest(&leg));
                    world.note_report(index, attempt, true, settled);
                }
            }
        }
    }

    /// What a coordinator that read `leg` may do, with any of the reports, wishes and times.
    fn choices(&mut self, world: &World, index: usize, leg: Leg) -> Choices {
        let sources = world.reported(index, leg.attempt, false);
        let targets = world.reported(index, leg.attempt, true);
        let (rules, newest) = (self.rules, world.newest(&leg));
        self.choices
            .entry((index, leg, sources, targets, newest))
            .or_insert_with(|| choose(rules, index, leg, (sources, targets), newest))
            .clone()
    }

    fn coordinators(&mut self, world: &World, next: &mut Vec<Step>) {
        for (index, leg) in world.legs() {
            for read in leg.reads(world.reads[index]) {
                let choices = self.choices(world, index, read);
                for term in 1..=world.leader {
                    if term < world.leader && !self.rules.broken(Planted::OldLeaderWrites) {
                        continue;
                    }
                    for arrow in &choices.arrows {
                        let last = self.scope.attempts[index] <= arrow.attempt.0;
                        if arrow.to == Phase::Planned && last {
                            continue;
                        }
                        if let Some(after) = self.rules.change(world, index, arrow) {
                            next.push((arrow.to.name(), World { journal: term, ..after }));
                        }
                    }
                    if choices.reverse && world.legs[index] == Some(read) {
                        next.extend(reverse(world, index, term));
                    }
                }
            }
        }
        let (last, leg) = world.last();
        if last == 0 && leg.phase.is_end() {
            let mut after = world.clone();
            after.legs[1] = Some(Leg::planned(world.owner(), world.entry.epoch));
            after.entry.held_by = Some(MoveId(2));
            next.push(("a second move", World { journal: world.leader, ..after }));
        }
    }

    fn shards(&self, world: &World, next: &mut Vec<Step>) {
        for (side, order) in world.orders().filter(|(side, _)| world.doubts[*side].is_none()) {
            let row = world.rows[side];
            let mut after = world.clone();
            after.seen[side] = world.seen[side].max(if order.term == 1 { 0 } else { order.term });
            after.rows[side] = self.rules.obey(row, world.seen[side], &order).unwrap_or(row);
            push_if_new("an order", world, after, next);
        }
        for side in 0..2 {
            for (index, leg) in world.legs() {
                for word in leg.words(index, world.words[side][index]) {
                    if let Some(complete) = world.doubts[side] {
                        let row = world.rows[side];
                        if let Ok(row) = self.rules.regrant(row, shard(side), &word, complete) {
                            let mut after = world.clone();
                            (after.rows[side], after.doubts[side]) = (row, None);
                            push_if_new("a copy is granted", world, after, next);
                        }
                        continue;
                    }
                    if let Ok(row) = self.rules.hear(world.rows[side], shard(side), &word) {
                        let mut after = world.clone();
                        after.rows[side] = row;
                        push_if_new("a word", world, after, next);
                    }
                }
            }
            let row = world.rows[side];
            if self.rules.broken(Planted::ThawByTimeout) && row.state == SlotState::Frozen {
                next.push(with_row("thawed", world, side, owned(row, row.epoch)));
            }
            let settled = world.legs().any(|(index, leg)| {
                let reported = world.reported(index, leg.attempt.min(ATTEMPTS), true);
                proofs().any(|(bit, _)| reported & (1 << bit) != 0)
            });
            if self.rules.broken(Planted::GrantBeforeFlip)
                && settled
                && row.state == SlotState::Importing
            {
                next.push(with_row("took", world, side, owned(row, row.epoch.next())));
            }
        }
    }

    /// Requests with any epoch the catalog ever had, at both shards.
    fn writers(&self, world: &World, next: &mut Vec<Step>) {
        if self.scope.writes <= world.written {
            return;
        }
        for side in 0..2 {
            let accepted = world.serves(side)
                && (1..=world.entry.epoch.0)
                    .any(|epoch| world.rows[side].accepts_writes(Epoch(epoch)));
            if accepted {
                let mut after = world.clone();
                after.data[side] |= 1 << world.written;
                after.written += 1;
                // It has a place in the journal: a copy without it is told by that.
                after.copies[side] = None;
                next.push(("a write", after));
            }
        }
    }

    /// Transactions of whoever was ever told to copy, follow or delete.
    fn movers(&self, world: &World, next: &mut Vec<Step>) {
        for (side, order) in world.orders().filter(|(side, _)| world.doubts[*side].is_none()) {
            let row = world.rows[side];
            match order.task {
                Task::Copy | Task::Follow => {
                    let (leg, attempt) = place(order.move_id, order.attempt);
                    let missing = world.batches[leg][attempt][side] & !world.data[side];
                    let allowed = self.rules.may_import(&row, order.move_id, order.attempt);
                    for ver in
                        (0..8).map(|bit| 1 << bit).filter(|ver| allowed && missing & ver != 0)
                    {
                        let mut after = world.clone();
                        after.data[side] |= ver;
                        let zombie = !row.is_of(order.move_id, order.attempt);
                        next.push((if zombie { "a zombie's import" } else { "an import" }, after));
                    }
                }
                Task::Purge | Task::Discard if self.rules.may_purge(&row, &order) => {
                    let mut after = world.clone();
                    if world.data[side] == 0 {
                        let Ok(row) = emptied(row, order.move_id, order.attempt, order.epoch)
                        else {
                            continue;
                        };
                        after.rows[side] = row;
                        push_if_new("emptied", world, after, next);
                    } else {
                        after.data[side] &= world.data[side] - 1;
                        next.push(("a purge", after));
                    }
                }
                _ => {}
            }
        }
    }

    fn faults(&self, world: &World, next: &mut Vec<Step>) {
        if self.scope.elections && world.leader == 1 {
            next.push(("an election", World { leader: 2, ..world.clone() }));
        }
        for side in 0..2 {
            self.copies(world, side, next);
            let mut restarted = world.clone();
            restarted.seen[side] = 0;
            push_if_new("a restart", world, restarted.clone(), next);
            if 0 < world.quarantines {
                restarted.quarantines -= 1;
                restarted.rows[side] = quarantined(world.rows[side]);
                if !self.rules.broken(Planted::QuarantineHearsOldWords) {
                    restarted.words[side] = [0; 2];
                }
                push_if_new("a quarantine", world, restarted, next);
            }
        }
    }
}

impl Steps {
    /// A copy is made; later it comes back, with another writer, instead of the database it was made of.
    fn copies(&self, world: &World, side: usize, next: &mut Vec<Step>) {
        let mut after = world.clone();
        match world.copies[side] {
            None if 0 < world.losses => {
                let (row, data) = (world.rows[side], world.data[side]);
                after.losses -= 1;
                after.copies[side] = Some(Copied { row, data, is_short: false });
                next.push(("a copy is made", after));
            }
            Some(Copied { row, data, is_short })
                if (row, data) != (world.rows[side], world.data[side]) =>
            {
                (after.rows[side], after.data[side], after.seen[side]) = (row, data, 0);
                // What a process read for its database ended with it.
                for batches in after.batches.iter_mut().flatten() {
                    batches[side] = 0;
                }
                after.copies[side] = None;
                after.terms[side] += 1;
                if !self.rules.broken(Planted::CopyServesByItself) {
                    after.doubts[side] = Some(!is_short);
                    after.words[side] = [0; 2];
                }
                after.lost |= side == world.owner() && (is_short || data != world.all());
                next.push(("a copy comes back", after));
            }
            _ => {}
        }
    }
}

fn push_if_new(name: &'static str, world: &World, after: World, next: &mut Vec<Step>) {
    if after != *world {
        next.push((name, after));
    }
}

fn with_row(name: &'static str, world: &World, side: usize, row: SlotRow) -> Step {
    let mut after = world.clone();
    after.rows[side] = row;
    (name, after)
}

fn owned(row: SlotRow, epoch: Epoch) -> SlotRow {
    SlotRow { state: SlotState::Owned, epoch, ..row }
}

fn place(move_id: MoveId, attempt: Attempt) -> (usize, usize) {
    (usize::from(move_id == MoveId(2)), usize::from(attempt == Attempt(2)))
}

pub(super) fn stands(row: &SlotRow, index: usize, leg: &Leg) -> Standing {
    let present = leg.as_move(index, Wish::Proceed);
    standing([(*row, Epoch(leg.e0))], present.id, present.attempt)
}

/// The first move ends, and the second takes its slot back.
pub(super) fn reverse(world: &World, index: usize, term: u64) -> Option<Step> {
    let (0, Some(leg)) = (index, world.legs[0]) else { return None };
    let back = leg.as_move(0, Wish::Reverse).reversed(MoveId(2));
    let mut after = World { journal: term, ..world.clone() };
    after.legs = [Some(Leg { phase: Phase::Done, ..leg }), Some(Leg::of_move(&back))];
    after.entry.held_by = Some(back.id);
    Some(("a reverse", after))
}

fn choose(
    rules: Rules,
    index: usize,
    leg: Leg,
    (sources, targets): (u64, u64),
    newest: Terms,
) -> Choices {
    let mut choices = Choices::default();
    let wishes = [Wish::Proceed, Wish::Pause, Wish::Abort, Wish::Finish, Wish::Reverse];
    for present in wishes.map(|wish| leg.as_move(index, wish)) {
        for source in reports(&leg, index, sources) {
            for target in reports(&leg, index, targets) {
                // A coordinator knows the present writers, or those before.
                for facts in
                    times().into_iter().flat_map(|facts| [facts, Facts { newest, ..facts }])
                {
                    choices.add(decide(&present, source.as_ref(), target.as_ref(), &facts));
                }
            }
        }
    }
    if rules.broken(Planted::FlipBeforeSettled) && leg.phase == Phase::Frozen {
        let settled = reports(&leg, index, 1 << settled_bit(newest));
        let present = leg.as_move(index, Wish::Proceed);
        for target in settled {
            choices.add(decide(&present, None, target.as_ref(), &times()[0]));
        }
    }
    choices
}

/// No report, one that says nothing, and each that was ever made of this attempt.
pub(super) fn reports(leg: &Leg, index: usize, bits: u64) -> Vec<Option<Report>> {
    let of = |standing: Standing, settled: Option<Proof>| {
        let importing = standing == Standing::Importing;
        let progress = Progress {
            copied: importing,
            close_rounds: if importing { 9 } else { 0 },
            verified: importing,
            settled,
            ..Progress::default()
        };
        let present = leg.as_move(index, Wish::Proceed);
        let (move_id, attempt) = (present.id, present.attempt);
        Some(Report { move_id, attempt, standing, relayed: true, progress })
    };
    let made = |bit: usize| bits & (1 << bit) != 0;
    let standings = STANDINGS.into_iter().enumerate().filter(|(bit, _)| made(*bit));
    let mut all: Vec<_> = standings.map(|(_, standing)| of(standing, None)).collect();
    all.extend([None, of(Standing::Other, None)]);
    let settled = proofs().filter(|(bit, _)| made(*bit));
    all.extend(settled.map(|(_, proof)| of(Standing::Importing, Some(proof))));
    all
}

/// Early, late, and unfit.
pub(super) fn times() -> [Facts; 3] {
    let early = Facts {
        in_phase: Duration::ZERO,
        writes_wait: Duration::ZERO,
        checks: Checks::Passed,
        turn: true,
        newest: Terms::default(),
    };
    let hour = Duration::from_secs(3_600);
    let late = Facts { in_phase: hour, writes_wait: hour, ..early };
    [early, late, Facts { checks: Checks::Failed, ..early }]
}
