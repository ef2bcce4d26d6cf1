//! What goes wrong, and when: a list made from the seed before anything runs.

use crate::climate::Weather;
use crate::cluster::{CONN_NODES, Ground, REDIS, REDIS_CLIMATE, ROUTERS, SHARD_NODES, SYSTEMS};
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, RngExt, SeedableRng};
use std::collections::BTreeSet;
use std::time::Duration;
use turmoil::Sim;

/// How long a fault lasts.
const LASTS_MS: std::ops::Range<u64> = 100..6_000;
/// From one to the next.
const PAUSE_MS: std::ops::Range<u64> = 200..2_500;
/// A process that ended by itself is started again after this.
const START_AFTER: Duration = Duration::from_millis(500);
const PEOPLE: &str = "people";

#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Deed {
    Kill(&'static str),
    Start(&'static str),
    /// Nothing arrives any more, either way or the one way.
    Cut(&'static str, &'static str),
    CutOneWay(&'static str, &'static str),
    Mend(&'static str, &'static str),
    /// What is sent waits.
    Hold(&'static str, &'static str),
    Release(&'static str, &'static str),
    /// An outside system, by its place among the climates.
    Away(usize),
    Back(usize),
    /// Presence and cursors are forgotten.
    Flush,
    Weather(usize, Weather),
}

/// What Redis held is lost only in every other run: where it is, nobody can say how far a node sees that
/// another has taken a cursor.
pub(crate) fn hits_redis(seed: u64) -> bool {
    seed.is_multiple_of(2)
}

impl Deed {
    fn hits_redis(&self) -> bool {
        matches!(self, Deed::Flush | Deed::Kill(REDIS) | Deed::Away(REDIS_CLIMATE))
    }
}

pub(crate) struct Nemesis {
    /// What is still to come, in order.
    to_come: Vec<(Duration, Deed)>,
    /// What was done, and when.
    pub(crate) done: Vec<(Duration, Deed)>,
    /// Processes it has killed and not started again.
    killed: BTreeSet<&'static str>,
    /// Processes that ended by themselves, and when that was found.
    ended: Vec<(&'static str, Duration)>,
}

impl Nemesis {
    /// Faults for so long from now.
    pub(crate) fn plan(seed: u64, now: Duration, lasts: Duration) -> Nemesis {
        let mut random = StdRng::seed_from_u64(seed);
        let (mut to_come, mut at) = (Vec::new(), now);
        for system in 0..SYSTEMS {
            let weather = weather(&mut random);
            if system != REDIS_CLIMATE || hits_redis(seed) {
                to_come.push((now, Deed::Weather(system, weather)));
            }
        }
        loop {
            at += millis(&mut random, PAUSE_MS);
            if now + lasts <= at {
                break;
            }
            let (begin, end) = fault(&mut random);
            if begin.hits_redis() && !hits_redis(seed) {
                continue;
            }
            to_come.push((at, begin));
            let lasts = millis(&mut random, LASTS_MS);
            to_come.extend(end.map(|end| (at + lasts, end)));
        }
        to_come.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
        Nemesis { to_come, done: Vec::new(), killed: BTreeSet::new(), ended: Vec::new() }
    }

    /// Does what is due.
    pub(crate) fn act(&mut self, sim: &mut Sim<'_>, ground: &Ground) {
        let now = sim.elapsed();
        while self.to_come.last().is_some_and(|(at, _)| *at <= now) {
            if let Some((_, deed)) = self.to_come.pop() {
                self.carry_out(deed, sim, ground);
            }
        }
        for host in processes() {
            let known =
                self.killed.contains(host) || self.ended.iter().any(|(one, _)| *one == host);
            if !known && !sim.is_host_running(host) {
                self.ended.push((host, now));
            }
        }
        let due = |(_, at): &(&str, Duration)| *at + START_AFTER <= now;
        for (host, _) in self.ended.extract_if(.., |one| due(one)).collect::<Vec<_>>() {
            if !self.killed.contains(host) {
                self.carry_out(Deed::Start(host), sim, ground);
            }
        }
    }

    /// Nothing goes wrong from here on, and what is broken is whole again.
    pub(crate) fn make_peace(&mut self, sim: &mut Sim<'_>, ground: &Ground) {
        self.to_come.clear();
        ground.climates.calm();
        let hosts: Vec<_> = processes().chain([PEOPLE]).collect();
        for (index, one) in hosts.iter().enumerate() {
            for other in &hosts[index + 1..] {
                sim.release(*one, *other);
                sim.repair(*one, *other);
            }
        }
        for host in self.killed.clone() {
            self.carry_out(Deed::Start(host), sim, ground);
        }
    }

    fn carry_out(&mut self, deed: Deed, sim: &mut Sim<'_>, ground: &Ground) {
        self.done.push((sim.elapsed(), deed.clone()));
        match deed {
            Deed::Kill(host) => {
                if self.killed.insert(host) {
                    sim.crash(host);
                }
            }
            Deed::Start(host) => {
                self.killed.remove(host);
                sim.bounce(host);
            }
            Deed::Cut(one, other) => sim.partition(one, other),
            Deed::CutOneWay(one, other) => sim.partition_oneway(one, other),
            Deed::Mend(one, other) => sim.repair(one, other),
            Deed::Hold(one, other) => sim.hold(one, other),
            Deed::Release(one, other) => sim.release(one, other),
            Deed::Flush => ground.redis.wipe(),
            Deed::Away(system) => ground.climates.all()[system].set_away(true),
            Deed::Back(system) => ground.climates.all()[system].set_away(false),
            Deed::Weather(system, weather) => ground.climates.all()[system].set(weather),
        }
    }
}

fn processes() -> impl Iterator<Item = &'static str> {
    let shard_nodes = SHARD_NODES.into_iter().map(|(host, _)| host);
    ROUTERS.into_iter().chain(shard_nodes).chain(CONN_NODES).chain([REDIS])
}

/// How it begins, and how it ends if that is something.
fn fault(random: &mut StdRng) -> (Deed, Option<Deed>) {
    let all: Vec<_> = processes().collect();
    match random.random_range(0..11) {
        0..4 => {
            let host = *all.choose(random).expect("there are some");
            (Deed::Kill(host), Some(Deed::Start(host)))
        }
        4..8 => {
            let (one, other) = link(random);
            match random.random_range(0..3) {
                0 => (Deed::Cut(one, other), Some(Deed::Mend(one, other))),
                1 => (Deed::CutOneWay(one, other), Some(Deed::Mend(one, other))),
                _ => (Deed::Hold(one, other), Some(Deed::Release(one, other))),
            }
        }
        8 => (Deed::Flush, None),
        _ => {
            let system = random.random_range(0..SYSTEMS);
            (Deed::Away(system), Some(Deed::Back(system)))
        }
    }
}

/// Two that talk with each other.
fn link(random: &mut StdRng) -> (&'static str, &'static str) {
    let router = ROUTERS[random.random_range(0..ROUTERS.len())];
    let conn_node = CONN_NODES[random.random_range(0..CONN_NODES.len())];
    let mut shard_node = || SHARD_NODES[random.random_range(0..SHARD_NODES.len())].0;
    let (one, other) = (shard_node(), shard_node());
    match random.random_range(0..5) {
        0 => (PEOPLE, conn_node),
        1 => (conn_node, router),
        2 | 3 => (router, one),
        _ if one != other => (one, other),
        _ => (router, conn_node),
    }
}

/// What an outside system is like all the time.
fn weather(random: &mut StdRng) -> Weather {
    let mut rarely = |most: f64| most * random.random::<f64>().powi(2);
    let (fails, loses) = (rarely(0.03), rarely(0.03));
    Weather { away: false, delay: millis(random, 1..30), fails, loses }
}

fn millis(random: &mut impl Rng, range: std::ops::Range<u64>) -> Duration {
    Duration::from_millis(random.random_range(range))
}
