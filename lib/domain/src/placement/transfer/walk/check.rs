//! What must hold in every moment, between two moments, and at the end of a quiet time.

use super::super::{
    Attempt, Decision, Facts, MoveId, Order, Report, SlotState, Standing, Task, Wish, decide,
    emptied, hear, may_import, may_purge, obey, regrant,
};
use super::steps::{reports, reverse, stands, times};
use super::world::{Leg, STANDINGS, World, settled_bit, shard};
use crate::slot::Epoch;
use std::collections::HashSet;
use std::time::Duration;

pub(super) type Violation = &'static str;

/// In every moment.
pub(super) fn moment(world: &World) -> Result<(), Violation> {
    let writes = |side: usize| world.serves(side);
    ensure(!(writes(0) && writes(1)), "two shards accept writes")?;
    for side in 0..2 {
        let row = &world.rows[side];
        ensure(!writes(side) || side == world.owner(), "one accepts writes that is not the owner")?;
        ensure(row.epoch <= world.entry.epoch, "a shard is ahead of the catalog")?;
        let empty = row.state == SlotState::Empty;
        ensure(!empty || world.data[side] == 0, "rows of a slot where nothing of it should be")?;
    }
    let owner = world.owner();
    // What a copy lost is lost; but it is not served as if it were not.
    let complete = world.data[owner] == world.all() || world.lost && !writes(owner);
    ensure(complete, "the owner lacks an acknowledged write")?;
    let (_, last) = world.last();
    // A copy from before it was deleted may come back; the next move deletes it.
    if last.phase.is_end() && !world.came_back() {
        let other = world.rows[1 - world.owner()].state;
        ensure(other == SlotState::Empty, "something is left when the move has ended")?;
        ensure(world.entry.held_by.is_none(), "an ended move holds the slot")?;
    }
    Ok(())
}

/// From one moment to the next.
pub(super) fn transition(name: &str, before: &World, after: &World) -> Result<(), Violation> {
    ensure(name != "a zombie's import", "an import of another attempt had an effect")?;
    ensure(before.journal <= after.journal, "an older leader wrote after a newer one")?;
    ensure(before.entry.epoch <= after.entry.epoch, "the catalog's epoch went down")?;
    let given = before.entry.owner != after.entry.owner;
    ensure(
        !given || before.entry.epoch < after.entry.epoch,
        "an owner changed, its epoch did not",
    )?;
    for side in (0..2).filter(|side| before.terms[*side] == after.terms[*side]) {
        let (old, new) = (before.rows[side], after.rows[side]);
        ensure(old.epoch <= new.epoch, "a shard's epoch went down")?;
        let touched = (old.move_id, old.attempt) <= (new.move_id, new.attempt);
        ensure(touched, "a shard went back to an earlier attempt")?;
        let thawed = old.state == SlotState::Frozen && new.state == SlotState::Owned;
        ensure(!thawed || old.epoch < new.epoch, "a freeze ended at the same epoch")?;
        let deleted = before.data[side] & !after.data[side];
        ensure(deleted == 0 || old.state == SlotState::Moved, "deleted what was not given up")?;
        let wrote = name == "a write" && before.data[side] != after.data[side];
        let dense = before.data[side] == before.all();
        ensure(!wrote || dense, "a ver was given out twice")?;
    }
    if given {
        let equal = before.data[0] == before.data[1];
        ensure(equal, "the target differs from the source at the flip")?;
    }
    Ok(())
}

/// Once faults stop and everything is delivered, the move ends, one shard owns the slot and the other
/// has nothing of it.
#[derive(Default)]
pub(super) struct Quiet {
    good: HashSet<World>,
}

impl Quiet {
    pub(super) fn check(&mut self, world: &World) -> Result<(), Violation> {
        let mut present = World { reads: [0; 2], sent: [0; 2], reports: [0; 2], ..world.clone() };
        present.words = [[0; 2]; 2];
        present.batches = [[[0; 2]; 2]; 2];
        (present.quarantines, present.seen) = (0, [0; 2]);
        (present.losses, present.copies) = (0, [None; 2]);
        let mut way = Vec::new();
        while !self.good.contains(&present) {
            let Some(next) = fair(&present) else {
                ended(&present)?;
                break;
            };
            moment(&next)?;
            way.push(std::mem::replace(&mut present, next));
            ensure(way.len() < 200, "a quiet time leads nowhere")?;
        }
        self.good.extend(way);
        self.good.insert(present);
        Ok(())
    }
}

fn ended(world: &World) -> Result<(), Violation> {
    let (_, last) = world.last();
    if world.lost {
        return Ok(());
    }
    ensure(last.phase.is_end(), "a move does not end")?;
    let row = &world.rows[world.owner()];
    ensure(row.accepts_writes(world.entry.epoch), "nobody accepts writes when all is quiet")
}

/// One fair step: fresh news, the leader of the moment, no wishes, no timeouts. None at the end.
fn fair(world: &World) -> Option<World> {
    for side in 0..2 {
        let (index, leg) = world.last();
        if let Some(complete) = world.doubts[side] {
            match regrant(world.rows[side], shard(side), &leg.word(index), complete) {
                Ok(row) => {
                    let mut after = world.clone();
                    (after.rows[side], after.doubts[side]) = (row, None);
                    return Some(after);
                }
                Err(_) => continue,
            }
        }
        if let Ok(row) = hear(world.rows[side], shard(side), &leg.word(index))
            && row != world.rows[side]
        {
            let mut after = world.clone();
            after.rows[side] = row;
            return Some(after);
        }
    }
    let (index, leg) = world.last();
    let sides = [leg.source, leg.target()];
    let [source, target] = sides.map(|side| report(world, index, &leg, side));
    // The window is over, the pause has just begun.
    let facts = Facts { writes_wait: Duration::ZERO, newest: world.newest(&leg), ..times()[1] };
    match decide(&leg.as_move(index, Wish::Proceed), source.as_ref(), target.as_ref(), &facts) {
        Decision::Advance(arrow) => {
            let mut after = world.clone();
            after.change(index, &arrow, true).expect("what was read just now stands there");
            Some(after)
        }
        Decision::Reverse => reverse(world, index, world.leader).map(|(_, after)| after),
        Decision::Order { source, target, .. } => {
            let to_source = source.and_then(|task| carry_out(world, index, &leg, leg.source, task));
            to_source.or_else(|| {
                target.and_then(|task| carry_out(world, index, &leg, leg.target(), task))
            })
        }
        Decision::Wait(_) => None,
    }
}

fn report(world: &World, index: usize, leg: &Leg, side: usize) -> Option<Report> {
    if world.doubts[side].is_some() {
        return None;
    }
    let stands = stands(&world.rows[side], index, leg);
    let frozen =
        world.rows[leg.source].state == SlotState::Frozen && world.doubts[leg.source].is_none();
    let settled = frozen && world.data[0] == world.data[1];
    let number = STANDINGS.iter().position(|other| *other == stands)?;
    let importing = stands == Standing::Importing;
    let settled = importing && settled;
    let bits = if settled { 1 << settled_bit(world.newest(leg)) } else { 1 << number };
    reports(leg, index, bits).into_iter().flatten().find(|report| report.standing == stands)
}

/// The row that an order asks for, then the work, one piece at a time. None if all of it is done.
fn carry_out(world: &World, index: usize, leg: &Leg, side: usize, task: Task) -> Option<World> {
    if world.doubts[side].is_some() {
        return None;
    }
    let order = Order {
        term: world.leader,
        move_id: MoveId(index as u64 + 1),
        attempt: Attempt(leg.attempt),
        epoch: Epoch(leg.e0),
        task,
    };
    let mut after = world.clone();
    if let Ok(row) = obey(world.rows[side], 0, &order) {
        after.rows[side] = row;
        if after != *world {
            return Some(after);
        }
    }
    let row = world.rows[side];
    let answers = world.doubts[1 - side].is_none();
    let missing = if answers { world.data[1 - side] & !world.data[side] } else { 0 };
    match task {
        Task::Copy | Task::Verify | Task::Settle | Task::Follow
            if missing != 0 && may_import(&row, order.move_id, order.attempt) =>
        {
            after.data[side] |= missing;
        }
        Task::Purge | Task::Discard
            if may_purge(&row, order.move_id, order.attempt, order.epoch) =>
        {
            after.data[side] = 0;
            after.rows[side] = emptied(row, order.move_id, order.attempt, order.epoch).ok()?;
        }
        _ => return None,
    }
    Some(after)
}

fn ensure(holds: bool, violation: Violation) -> Result<(), Violation> {
    if holds { Ok(()) } else { Err(violation) }
}
