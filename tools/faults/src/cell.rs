//! The matrix: which fault at which phase.

use shardline_domain::placement::transfer::Phase;
use std::fmt;

/// One fault at one phase of a move.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Cell {
    pub fault: Fault,
    pub phase: Phase,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Fault {
    /// kill -9, and started again at once.
    Kill(Who),
    /// Stopped for some seconds.
    Pause(Who),
    /// kill -9 of a shard's database server, and started again.
    Database(Side),
    /// The same of the server that has the catalog.
    Catalog,
    /// The leader is paused until another leads.
    TwoLeaders,
    Kafka,
    Redis,
    /// An operator wants to remove the source: refused.
    RemoveShard,
    /// The catalog commits the move's next step, and its answer is lost with the connection.
    LostAnswer,
    /// The same of the next commit that carries the move on in a shard's database.
    LostWrite(Side),
    /// Connections to a shard-node are reset, for some seconds.
    Cut(Side),
    /// Nothing passes to or from a shard-node, for some seconds, and nobody is told.
    Silent(Side),
    /// A shard-node hears and is not heard, for some seconds.
    OneWay(Side),
    /// Whatever goes to or from a shard-node takes 50 ms longer, for some seconds.
    Slow(Side),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Who {
    Coordinator,
    OtherRouter,
    Node(Side),
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Side {
    Source,
    Target,
}

/// All that a move passes through, and the way back.
pub const PHASES: [Phase; 12] = [
    Phase::Planned,
    Phase::Preparing,
    Phase::Copying,
    Phase::CatchingUp,
    Phase::Verifying,
    Phase::Ready,
    Phase::Freezing,
    Phase::Frozen,
    Phase::Flipped,
    Phase::Following,
    Phase::Cleaning,
    Phase::Aborting,
];

/// At every phase.
const EVERYWHERE: [Fault; 12] = [
    Fault::LostAnswer,
    Fault::Kill(Who::Coordinator),
    Fault::Kill(Who::Node(Side::Source)),
    Fault::Kill(Who::Node(Side::Target)),
    Fault::Database(Side::Target),
    Fault::Pause(Who::Node(Side::Source)),
    Fault::Pause(Who::Node(Side::Target)),
    Fault::Database(Side::Source),
    Fault::Pause(Who::Coordinator),
    Fault::TwoLeaders,
    Fault::Kill(Who::OtherRouter),
    Fault::Pause(Who::OtherRouter),
];

/// At some.
const SOMEWHERE: [(Fault, Phase); 32] = [
    (Fault::RemoveShard, Phase::Copying),
    (Fault::RemoveShard, Phase::Frozen),
    (Fault::RemoveShard, Phase::Following),
    (Fault::Kafka, Phase::Copying),
    (Fault::Kafka, Phase::Following),
    (Fault::Redis, Phase::Copying),
    (Fault::Redis, Phase::Following),
    (Fault::Catalog, Phase::Copying),
    (Fault::Catalog, Phase::Frozen),
    (Fault::Catalog, Phase::Flipped),
    (Fault::LostWrite(Side::Source), Phase::Freezing),
    (Fault::LostWrite(Side::Source), Phase::Flipped),
    (Fault::LostWrite(Side::Source), Phase::Cleaning),
    (Fault::LostWrite(Side::Target), Phase::Preparing),
    (Fault::LostWrite(Side::Target), Phase::Copying),
    (Fault::LostWrite(Side::Target), Phase::Flipped),
    (Fault::Cut(Side::Source), Phase::Copying),
    (Fault::Cut(Side::Source), Phase::Freezing),
    (Fault::Cut(Side::Source), Phase::Frozen),
    (Fault::Cut(Side::Target), Phase::Frozen),
    (Fault::Cut(Side::Target), Phase::Flipped),
    (Fault::Silent(Side::Source), Phase::Copying),
    (Fault::Silent(Side::Source), Phase::Freezing),
    (Fault::Silent(Side::Source), Phase::Frozen),
    (Fault::Silent(Side::Target), Phase::Frozen),
    (Fault::Silent(Side::Target), Phase::Flipped),
    (Fault::OneWay(Side::Source), Phase::Copying),
    (Fault::OneWay(Side::Source), Phase::Freezing),
    (Fault::OneWay(Side::Target), Phase::Flipped),
    (Fault::Slow(Side::Source), Phase::Copying),
    (Fault::Slow(Side::Source), Phase::Freezing),
    (Fault::Slow(Side::Target), Phase::Flipped),
];

/// Every cell.
pub fn all() -> Vec<Cell> {
    let of = |fault| PHASES.map(|phase| Cell { fault, phase });
    let some = SOMEWHERE.map(|(fault, phase)| Cell { fault, phase });
    let (first, rest) = EVERYWHERE.split_at(4);
    let first = first.iter().copied().flat_map(of);
    first.chain(some).chain(rest.iter().copied().flat_map(of)).collect()
}

/// Those that matter most, for every run of the tests.
pub fn short() -> Vec<Cell> {
    vec![
        Cell { fault: Fault::Kill(Who::Node(Side::Source)), phase: Phase::Freezing },
        Cell { fault: Fault::Kill(Who::Node(Side::Target)), phase: Phase::Copying },
        Cell { fault: Fault::Kill(Who::Coordinator), phase: Phase::Frozen },
        Cell { fault: Fault::Kill(Who::Coordinator), phase: Phase::Flipped },
        Cell { fault: Fault::Pause(Who::Node(Side::Source)), phase: Phase::Freezing },
        Cell { fault: Fault::Database(Side::Target), phase: Phase::Copying },
        Cell { fault: Fault::TwoLeaders, phase: Phase::Verifying },
        Cell { fault: Fault::LostAnswer, phase: Phase::Frozen },
        Cell { fault: Fault::LostWrite(Side::Source), phase: Phase::Freezing },
        Cell { fault: Fault::Silent(Side::Target), phase: Phase::Flipped },
    ]
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Side::Source => "source",
            Side::Target => "target",
        })
    }
}

impl fmt::Display for Who {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Who::Coordinator => f.write_str("coordinator"),
            Who::OtherRouter => f.write_str("other router"),
            Who::Node(side) => write!(f, "{side}'s shard-node"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Kill(who) => write!(f, "kill -9 of the {who}"),
            Fault::Pause(who) => write!(f, "pause of the {who}"),
            Fault::Database(side) => write!(f, "kill -9 of the {side}'s database"),
            Fault::Catalog => f.write_str("kill -9 of the catalog's database"),
            Fault::TwoLeaders => f.write_str("two leaders"),
            Fault::Kafka => f.write_str("kill -9 of Kafka"),
            Fault::Redis => f.write_str("kill -9 of Redis"),
            Fault::RemoveShard => f.write_str("removal of the source shard"),
            Fault::LostAnswer => f.write_str("lost answer to a step's commit"),
            Fault::LostWrite(side) => write!(f, "lost answer to a commit of the {side}"),
            Fault::Cut(side) => write!(f, "cut links to the {side}"),
            Fault::Silent(side) => write!(f, "silent links to the {side}"),
            Fault::OneWay(side) => write!(f, "links by which the {side} is not heard"),
            Fault::Slow(side) => write!(f, "slow links to the {side}"),
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} at {}", self.fault, self.phase.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_cell_is_there_once_and_the_short_ones_are_among_them() {
        let cells = all();
        let distinct: BTreeSet<String> = cells.iter().map(ToString::to_string).collect();
        assert_eq!(distinct.len(), cells.len());
        assert!(short().iter().all(|cell| cells.contains(cell)));
        let ends = [Phase::Done, Phase::Aborted];
        let passed = Phase::ALL.iter().filter(|phase| !ends.contains(phase)).count();
        assert_eq!(PHASES.len(), passed);
    }
}
