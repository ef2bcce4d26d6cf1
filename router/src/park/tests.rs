//! Parked writes: order, bounds and release, by cases and at random.

use super::*;
use proptest::prelude::*;
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// One slot, its true epoch, the router's map of it, and writes on their way. Shards decide a write
/// when it arrives; each epoch's shard has its own stream, so they arrive in order only per epoch.
struct World {
    gate: Gate<u32>,
    budget: Budget,
    now: Instant,
    truth: Epoch,
    frozen: bool,
    map: Epoch,
    sent: BTreeMap<Epoch, VecDeque<(Pass, u32)>>,
    /// Decided, the answer on its way back: None is stored, Some what a refusal needs.
    answers: Vec<(Pass, u32, Option<Epoch>)>,
    written: u32,
    stored: Vec<u32>,
    ended: Vec<u32>,
}

#[derive(Debug, Clone)]
enum Step {
    Write,
    Arrive(usize),
    Answer(usize),
    Freeze,
    /// The move's end, or its abort: both raise the epoch.
    Thaw,
    MapCatchesUp,
    Release,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Write),
        5 => (0usize..4).prop_map(Step::Arrive),
        5 => (0usize..16).prop_map(Step::Answer),
        1 => Just(Step::Freeze),
        2 => Just(Step::Thaw),
        2 => Just(Step::MapCatchesUp),
        3 => Just(Step::Release),
        1 => (0u64..1_500).prop_map(Step::Wait),
    ]
}

impl World {
    fn new() -> World {
        World {
            gate: Gate::default(),
            budget: Budget::default(),
            now: Instant::now(),
            truth: Epoch(1),
            frozen: false,
            map: Epoch(1),
            sent: BTreeMap::new(),
            answers: Vec::new(),
            written: 0,
            stored: Vec::new(),
            ended: Vec::new(),
        }
    }

    fn take(&mut self, step: &Step) {
        match step {
            Step::Write => self.write(),
            Step::Arrive(which) => self.arrive(*which),
            Step::Answer(which) if !self.answers.is_empty() => {
                self.answer(which % self.answers.len());
            }
            Step::Answer(_) => {}
            Step::Freeze => self.frozen = true,
            Step::Thaw => {
                self.frozen = false;
                self.truth.0 += 1;
            }
            Step::MapCatchesUp => self.map = self.truth,
            Step::Release => self.release(),
            Step::Wait(ms) => {
                self.now += Duration::from_millis(*ms);
                self.ended.extend(self.gate.expire(self.now, &self.budget));
            }
        }
    }

    fn write(&mut self) {
        let write = self.written;
        self.written += 1;
        match self.gate.enter(self.map) {
            Some(pass) => self.send(pass, write),
            None => self.ended.extend(self.gate.park(write, 100, self.now, &self.budget)),
        }
    }

    fn send(&mut self, pass: Pass, write: u32) {
        self.sent.entry(pass.epoch()).or_default().push_back((pass, write));
    }

    fn arrive(&mut self, which: usize) {
        let ways = self.sent.len().max(1);
        let Some(way) = self.sent.values_mut().nth(which % ways) else { return };
        let (pass, write) = way.pop_front().expect("empty ones are taken out");
        self.sent.retain(|_, way| !way.is_empty());
        let epoch = pass.epoch();
        let needs = if epoch == self.truth && !self.frozen {
            self.stored.push(write);
            None
        } else if self.frozen {
            Some(Epoch(self.truth.0 + 1))
        } else {
            Some(self.truth)
        };
        self.answers.push((pass, write, needs));
    }

    fn answer(&mut self, which: usize) {
        let (pass, write, needs) = self.answers.remove(which);
        match needs {
            None => {
                self.gate.settled(pass);
                self.ended.push(write);
            }
            Some(needs) => {
                let refused = self.gate.came_back(pass, write, 100, needs, self.now, &self.budget);
                self.ended.extend(refused);
            }
        }
    }

    fn release(&mut self) {
        while let Some((pass, write)) = self.gate.release(self.map, &self.budget) {
            self.send(pass, write);
        }
    }

    /// Lets everything come to rest with the slot in peace.
    fn settle(&mut self) {
        for _ in 0..10 {
            self.take(&Step::Thaw);
            self.map = self.truth;
            self.release();
            while !self.sent.is_empty() {
                self.arrive(0);
            }
            while !self.answers.is_empty() {
                self.answer(0);
            }
        }
    }
}

proptest! {
    #[test]
    fn writes_are_stored_in_their_order_and_each_is_answered_once(
        steps in prop::collection::vec(step(), 1..200),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            prop_assert!(world.gate.parked() <= PARKED_SENDS_PER_SLOT_MAX);
            prop_assert_eq!(world.budget.used(), 100 * world.gate.parked());
        }
        world.settle();
        prop_assert!(world.stored.is_sorted(), "stored as {:?}", world.stored);
        world.ended.sort_unstable();
        prop_assert_eq!(world.ended, (0..world.written).collect::<Vec<_>>());
        prop_assert_eq!(world.budget.used(), 0);
        prop_assert!(!world.gate.is_closed());
    }
}

fn closed_gate(budget: &Budget, now: Instant) -> Gate<u32> {
    let mut gate = Gate::default();
    let pass = gate.enter(Epoch(1)).expect("the gate is open");
    assert!(gate.came_back(pass, 0, 1, Epoch(3), now, budget).is_empty());
    gate
}

#[test]
fn only_a_newer_epoch_opens_a_closed_gate() {
    let (budget, now) = (Budget::default(), Instant::now());
    let mut gate = closed_gate(&budget, now);
    assert!(gate.release(Epoch(1), &budget).is_none());
    assert!(gate.release(Epoch(2), &budget).is_none());
    // Also when nothing waits any more.
    assert_eq!(gate.expire(now + PARK_TIME_MAX, &budget), [0]);
    assert!(gate.enter(Epoch(2)).is_none());
    assert!(gate.enter(Epoch(3)).is_some());
}

#[test]
fn a_new_write_does_not_overtake_one_that_is_just_being_released() {
    let (budget, now) = (Budget::default(), Instant::now());
    let mut gate = closed_gate(&budget, now);
    let (pass, _) = gate.release(Epoch(3), &budget).expect("the map shows what was needed");
    assert!(gate.enter(Epoch(3)).is_none());
    gate.settled(pass);
    assert!(gate.release(Epoch(3), &budget).is_none());
    assert!(gate.enter(Epoch(3)).is_some());
}

#[test]
fn what_comes_back_late_still_goes_first() {
    let (budget, now) = (Budget::default(), Instant::now());
    let mut gate = Gate::default();
    let first = gate.enter(Epoch(1)).expect("open");
    let second = gate.enter(Epoch(1)).expect("open");
    assert!(gate.came_back(second, 2, 1, Epoch(2), now, &budget).is_empty());
    assert!(gate.release(Epoch(2), &budget).is_none(), "the first may still come back");
    assert!(gate.came_back(first, 1, 1, Epoch(2), now, &budget).is_empty());
    let released: Vec<u32> = std::iter::from_fn(|| gate.release(Epoch(2), &budget))
        .map(|(_pass, write)| write)
        .collect();
    assert_eq!(released, [1, 2]);
}

#[test]
fn a_full_gate_refuses_the_newest() {
    let (budget, now) = (Budget::default(), Instant::now());
    let mut gate = Gate::default();
    let old = gate.enter(Epoch(1)).expect("open");
    let closes = gate.enter(Epoch(1)).expect("open");
    assert!(gate.came_back(closes, 1, 1, Epoch(2), now, &budget).is_empty());
    for write in 2..=1_000 {
        assert_eq!(gate.park(write, 1, now, &budget), None);
    }
    assert_eq!(gate.park(1_001, 1, now, &budget), Some(1_001));
    assert_eq!(gate.came_back(old, 0, 1, Epoch(2), now, &budget), [1_000]);
    assert_eq!(gate.parked(), PARKED_SENDS_PER_SLOT_MAX);
}

#[test]
fn bytes_are_bounded_over_all_slots() {
    let (budget, now) = (Budget::default(), Instant::now());
    let mut one = closed_gate(&budget, now);
    let mut other = closed_gate(&budget, now);
    assert_eq!(one.park(1, PARKED_BYTES_PER_ROUTER_MAX - 2, now, &budget), None);
    assert_eq!(other.park(2, 1, now, &budget), Some(2));
    assert_eq!(one.expire(now + PARK_TIME_MAX, &budget), [0, 1]);
    assert_eq!(other.park(2, 1, now, &budget), None);
}

#[test]
fn a_write_waits_no_longer_than_the_limit_however_often_it_comes_back() {
    let (budget, now) = (Budget::default(), Instant::now());
    let mut gate = closed_gate(&budget, now);
    let (pass, write) = gate.release(Epoch(3), &budget).expect("the map shows what was needed");
    let later = now + PARK_TIME_MAX / 2;
    assert!(gate.came_back(pass, write, 1, Epoch(4), later, &budget).is_empty());
    assert_eq!(gate.expire(now + PARK_TIME_MAX, &budget), [0]);
}
