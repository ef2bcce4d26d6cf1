//! One moment of the walk: what is durable, and everything that may still arrive.
//!
//! A message that was ever sent, a report that was ever made and a read of the catalog that was ever
//! possible stay here for good: each may arrive at any later time, often, in any order, or never.
//! That is more than a network or a paused process can do.

use super::super::{
    AbortReason, Arrow, Attempt, Decision, Entry, Kind, Mark, Move, MoveId, MovingSlot,
    NotAsExpected, Order, Phase, Proof, SlotEffect, SlotRow, SlotState, Standing, Task, Terms,
    Wish, Word,
};
use crate::id::ShardId;
use crate::slot::{Epoch, Slot};
use std::time::Duration;

/// The attempts of a move that the walk tells apart.
pub(super) const ATTEMPTS: u32 = 2;
pub(super) const STANDINGS: [Standing; 9] = [
    Standing::Other,
    Standing::Tracking,
    Standing::Frozen,
    Standing::OwnedAnew,
    Standing::Importing,
    Standing::Following,
    Standing::Moved,
    Standing::Empty,
    Standing::Quarantined,
];
/// Beside the standings: importing, and settled, under each two writers' terms.
pub(super) const SETTLED: usize = STANDINGS.len();
const REPORTS: usize = SETTLED + 4;
/// The tasks that change a row; of those that do the same, one.
pub(super) const TASKS: [Task; 6] =
    [Task::Track, Task::Copy, Task::Freeze, Task::Follow, Task::Purge, Task::Discard];

pub(super) fn shard(side: usize) -> ShardId {
    ShardId(u32::try_from(side).expect("one of two"))
}

fn side_of(shard: ShardId) -> usize {
    usize::try_from(shard.0).expect("one of two")
}

/// A move, small. Its id is its index in `World::legs` plus 1.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Leg {
    pub(super) kind: Kind,
    pub(super) source: usize,
    pub(super) phase: Phase,
    pub(super) attempt: u32,
    pub(super) e0: u64,
    /// Aborted for a reason that passes.
    pub(super) retry: bool,
    /// An abort takes a new epoch; false where this rule is left out.
    pub(super) renews: bool,
}

impl Leg {
    pub(super) fn planned(source: usize, e0: Epoch) -> Leg {
        let kind = Kind::Normal;
        Leg {
            kind,
            source,
            phase: Phase::Planned,
            attempt: 1,
            e0: e0.0,
            retry: false,
            renews: true,
        }
    }

    pub(super) fn target(&self) -> usize {
        1 - self.source
    }

    pub(super) fn as_move(&self, leg: usize, wish: Wish) -> Move {
        let reason = if self.retry { AbortReason::FrozenTooLong } else { AbortReason::Operator };
        Move {
            id: MoveId(leg as u64 + 1),
            kind: self.kind,
            source: shard(self.source),
            target: shard(self.target()),
            phase: self.phase,
            attempt: Attempt(self.attempt),
            slots: vec![MovingSlot { slot: Slot::new(0).expect("a slot"), epoch: Epoch(self.e0) }],
            window: Duration::from_secs(1),
            wish,
            aborted: Some(reason),
        }
    }

    pub(super) fn of_move(present: &Move) -> Leg {
        Leg {
            kind: present.kind,
            source: side_of(present.source),
            phase: present.phase,
            attempt: present.attempt.0,
            e0: present.slots[0].epoch.0,
            retry: present.aborted.is_some_and(AbortReason::passes),
            renews: true,
        }
    }

    /// The same move in an earlier attempt.
    pub(super) fn in_attempt(&self, attempt: u32) -> Leg {
        let e0 = self.e0 + u64::from(attempt) - u64::from(self.attempt);
        Leg { attempt, e0, ..*self }
    }

    /// As a bit among all that may be read of this move: 15 for each attempt.
    fn read_bit(&self) -> u32 {
        let phase = if self.phase == Phase::Aborting && self.retry { 0 } else { self.phase as u32 };
        1 << (15 * (self.attempt - 1) + phase)
    }

    /// What was read, from its bit.
    pub(super) fn reads(&self, bits: u32) -> impl Iterator<Item = Leg> {
        let leg = *self;
        (0..15 * ATTEMPTS).filter(move |bit| bits & (1 << bit) != 0).map(move |bit| {
            let leg = leg.in_attempt(bit / 15 + 1);
            match u8::try_from(bit % 15).ok().and_then(Phase::from_number) {
                Some(phase) => Leg { phase, retry: false, ..leg },
                None => Leg { phase: Phase::Aborting, retry: true, ..leg },
            }
        })
    }

    /// The catalog's word while the move was in this phase.
    pub(super) fn word(&self, leg: usize) -> Word {
        let flipped = self.phase.has_flipped();
        let aborted = matches!(self.phase, Phase::Aborting | Phase::Aborted);
        let renewed = flipped || aborted && self.renews;
        let owner = shard(if flipped { self.target() } else { self.source });
        let epoch = Epoch(self.e0 + u64::from(renewed));
        let present = self.as_move(leg, Wish::Proceed);
        let held_by = (!self.phase.is_end()).then_some(present.id);
        Entry { owner, epoch, held_by }.word(Some(&present))
    }

    /// Words that shards do not tell apart have one bit.
    fn word_bit(&self) -> u32 {
        let class = WORDS.iter().position(|phase| *phase == word_class(self.phase));
        1 << (WORDS.len() * (self.attempt as usize - 1) + class.expect("every phase has one"))
    }

    pub(super) fn words(&self, leg: usize, bits: u32) -> impl Iterator<Item = Word> {
        let present = *self;
        (0..WORDS.len() * ATTEMPTS as usize).filter(move |bit| bits & (1 << bit) != 0).map(
            move |bit| {
                let attempt = if bit < WORDS.len() { 1 } else { 2 };
                let phase = WORDS[bit % WORDS.len()];
                Leg { phase, ..present.in_attempt(attempt) }.word(leg)
            },
        )
    }
}

const WORDS: [Phase; 7] = [
    Phase::Copying,
    Phase::Frozen,
    Phase::Following,
    Phase::Cleaning,
    Phase::Done,
    Phase::Aborting,
    Phase::Aborted,
];

fn word_class(phase: Phase) -> Phase {
    match phase {
        Phase::Planned
        | Phase::Preparing
        | Phase::Copying
        | Phase::CatchingUp
        | Phase::Verifying
        | Phase::Ready => Phase::Copying,
        Phase::Freezing | Phase::Frozen => Phase::Frozen,
        Phase::Flipped | Phase::Following => Phase::Following,
        other => other,
    }
}

#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct World {
    // ---- The catalog ----
    pub(super) leader: u64,
    /// The term of the latest change.
    pub(super) journal: u64,
    pub(super) legs: [Option<Leg>; 2],
    pub(super) entry: Entry,
    // ---- The shards ----
    pub(super) rows: [SlotRow; 2],
    /// The highest term of an order, in the process's memory; 0 also for 1, which is no different.
    pub(super) seen: [u64; 2],
    /// Vers, as bits.
    pub(super) data: [u8; 2],
    /// How many writes were committed, wherever.
    pub(super) written: u32,
    /// Of the shards' writers. A new one begins where a copy comes back; one on the same database is a
    /// restart, and for what follows no other than the last.
    pub(super) terms: [u64; 2],
    /// A copy of a shard's database, which may come back.
    pub(super) copies: [Option<Copied>; 2],
    /// The writer began on a copy and has not heard whose the slot is. Some(true): the copy has all that
    /// flips rested on.
    pub(super) doubts: [Option<bool>; 2],
    /// The owner's database lost what only a person can bring back.
    pub(super) lost: bool,
    // ---- What may still arrive, by leg ----
    pub(super) reads: [u32; 2],
    pub(super) sent: [u32; 2],
    pub(super) reports: [u64; 2],
    /// By shard, then leg.
    pub(super) words: [[u32; 2]; 2],
    /// Vers read by whoever copies, by leg, attempt and side.
    pub(super) batches: [[[u8; 2]; 2]; 2],
    // ---- What may still go wrong ----
    pub(super) quarantines: u32,
    pub(super) losses: u32,
}

/// What a copy of a shard's database has.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Copied {
    pub(super) row: SlotRow,
    pub(super) data: u8,
    /// It lacks a change that a flip rested on, and the catalog's record of the tally says so.
    pub(super) is_short: bool,
}

/// What a coordinator could do on one read of the catalog.
#[derive(Clone, Default)]
pub(super) struct Choices {
    pub(super) tasks: Vec<Task>,
    pub(super) arrows: Vec<Arrow>,
    pub(super) reverse: bool,
}

impl Choices {
    pub(super) fn add(&mut self, decision: Decision) {
        match decision {
            Decision::Order { source, target, .. } => {
                for task in source.into_iter().chain(target) {
                    let task = match task {
                        Task::Slow => Task::Track,
                        Task::Verify | Task::Settle => Task::Copy,
                        other => other,
                    };
                    if TASKS.contains(&task) && !self.tasks.contains(&task) {
                        self.tasks.push(task);
                    }
                }
            }
            Decision::Advance(arrow) => {
                if !self.arrows.contains(&arrow) {
                    self.arrows.push(arrow);
                }
            }
            Decision::Reverse => self.reverse = true,
            Decision::Wait(_) => {}
        }
    }
}

impl World {
    pub(super) fn start(quarantines: u32, losses: u32) -> World {
        let epoch = Epoch(1);
        let owned = SlotRow { state: SlotState::Owned, epoch, ..SlotRow::NONE };
        World {
            leader: 1,
            journal: 1,
            legs: [Some(Leg::planned(0, epoch)), None],
            entry: Entry { owner: shard(0), epoch, held_by: Some(MoveId(1)) },
            rows: [owned, SlotRow::NONE],
            seen: [0; 2],
            data: [0; 2],
            written: 0,
            terms: [1; 2],
            copies: [None; 2],
            doubts: [None; 2],
            lost: false,
            reads: [0; 2],
            sent: [0; 2],
            reports: [0; 2],
            words: [[0; 2]; 2],
            batches: [[[0; 2]; 2]; 2],
            quarantines,
            losses,
        }
    }

    /// Everything that was ever written.
    pub(super) fn all(&self) -> u8 {
        (1 << self.written) - 1
    }

    pub(super) fn owner(&self) -> usize {
        side_of(self.entry.owner)
    }

    /// Whether writes with some epoch are accepted.
    pub(super) fn serves(&self, side: usize) -> bool {
        self.rows[side].state == SlotState::Owned && self.doubts[side].is_none()
    }

    /// Whether a shard's database was once a copy.
    pub(super) fn came_back(&self) -> bool {
        self.terms != [1; 2]
    }

    /// The terms of a leg's shards.
    pub(super) fn newest(&self, leg: &Leg) -> Terms {
        Terms { source: self.terms[leg.source], target: self.terms[leg.target()] }
    }

    /// The latest move.
    pub(super) fn last(&self) -> (usize, Leg) {
        match self.legs {
            [_, Some(leg)] => (1, leg),
            [Some(leg), None] => (0, leg),
            [None, None] => unreachable!("the walk begins with a move"),
        }
    }

    pub(super) fn legs(&self) -> impl Iterator<Item = (usize, Leg)> + use<> {
        self.legs.into_iter().enumerate().filter_map(|(index, leg)| Some((index, leg?)))
    }

    /// Whom an order is for.
    pub(super) fn side(leg: &Leg, task: Task) -> usize {
        match task {
            Task::Copy | Task::Discard => leg.target(),
            _ => leg.source,
        }
    }

    /// All orders that were ever sent, with whom they are for.
    pub(super) fn orders(&self) -> impl Iterator<Item = (usize, Order)> + use<> {
        let sent = self.sent;
        self.legs().flat_map(move |(index, leg)| {
            let bits = 0..2 * ATTEMPTS as usize * TASKS.len();
            bits.filter(move |bit| sent[index] & (1 << bit) != 0).map(move |bit| {
                let (task, bit) = (TASKS[bit % TASKS.len()], bit / TASKS.len());
                let leg = leg.in_attempt(if bit % 2 == 0 { 1 } else { 2 });
                let order = Order {
                    term: if bit / 2 == 0 { 1 } else { 2 },
                    move_id: MoveId(index as u64 + 1),
                    attempt: Attempt(leg.attempt),
                    epoch: Epoch(leg.e0),
                    task,
                };
                (World::side(&leg, task), order)
            })
        })
    }

    pub(super) fn note_sent(&mut self, leg: usize, attempt: u32, task: Task, terms: u64) {
        let task = TASKS.iter().position(|other| *other == task).expect("it changes a row");
        for term in 1..=terms {
            let index = order_bit(term, attempt, task);
            self.sent[leg] |= 1 << index;
        }
    }

    /// What a shard could report now may arrive later.
    pub(super) fn note_report(&mut self, leg: usize, attempt: u32, target: bool, report: usize) {
        self.reports[leg] |= 1 << (REPORTS * report_group(attempt, target) + report);
    }

    /// The reports about an attempt, as bits.
    pub(super) fn reported(&self, leg: usize, attempt: u32, target: bool) -> u64 {
        (self.reports[leg] >> (REPORTS * report_group(attempt, target))) & ((1 << REPORTS) - 1)
    }

    /// What the catalog says now may be read by anybody, and be acted on later.
    pub(super) fn note_reads(&mut self) {
        let (last, leg) = self.last();
        for words in &mut self.words {
            words[last] |= leg.word_bit();
        }
        // Once a move took another turn, what was read before it changes nothing any more, save by the
        // arrow that competes with it. (What was ordered is sent already.)
        let frozen = Leg { phase: Phase::Frozen, ..leg }.read_bit();
        self.reads = match leg.phase {
            Phase::Planned => [0; 2],
            Phase::Aborting => self.reads.map(|reads| reads & frozen),
            Phase::Done | Phase::Aborted => [0; 2],
            _ => self.reads,
        };
        self.reads[1 - last] = 0;
        self.reads[last] |= leg.read_bit();
    }

    /// The tallies that a flip rests on are kept: copies from before the freeze, and such that lack rows
    /// that were compared, have lower ones.
    fn record(&mut self, flipped: &Move) {
        let (source, target) = (side_of(flipped.source), side_of(flipped.target));
        let of = |row: &SlotRow| row.is_of(flipped.id, flipped.attempt);
        let all = self.all();
        if let Some(copy) = &mut self.copies[source] {
            copy.is_short |= copy.row.state != SlotState::Frozen || !of(&copy.row);
        }
        if let Some(copy) = &mut self.copies[target] {
            copy.is_short |= copy.data != all || !of(&copy.row);
        }
    }

    pub(super) fn change(
        &mut self,
        leg: usize,
        arrow: &Arrow,
        checks_proof: bool,
    ) -> Result<(), NotAsExpected> {
        let Some(present) = self.legs[leg] else { unreachable!("it was read") };
        let present = present.as_move(leg, Wish::Proceed);
        let next = arrow.step(&present)?;
        if checks_proof {
            arrow.check_proof(self.newest(&Leg::of_move(&present)))?;
        }
        if arrow.effect() == SlotEffect::Flip {
            self.record(&present);
        }
        self.entry = arrow.slot(&present, &present.slots[0], &self.entry)?;
        self.legs[leg] = Some(Leg::of_move(&next));
        Ok(())
    }
}

/// The report of a target that is settled, under these terms.
pub(super) fn settled_bit(terms: Terms) -> usize {
    SETTLED + usize::from(terms.source == 2) + 2 * usize::from(terms.target == 2)
}

/// All there are, each with its bit.
pub(super) fn proofs() -> impl Iterator<Item = (usize, Proof)> {
    let mark = |term| Mark { term, tally: 0 };
    [(1, 1), (2, 1), (1, 2), (2, 2)].into_iter().map(move |(source, target)| {
        let bit = settled_bit(Terms { source, target });
        (bit, Proof { source: mark(source), target: mark(target) })
    })
}

fn order_bit(term: u64, attempt: u32, task: usize) -> usize {
    let term = usize::from(term == 2);
    (term * 2 + attempt as usize - 1) * TASKS.len() + task
}

fn report_group(attempt: u32, target: bool) -> usize {
    (attempt as usize - 1) * 2 + usize::from(target)
}
