//! The list: what is hit, and how.

use std::fmt;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Fault {
    pub on: On,
    pub how: How,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum On {
    ConnNode,
    /// The router that coordinates.
    Coordinator,
    OtherRouter,
    ShardNode,
    /// Of one shard.
    Database,
    /// The server that has the catalog, and the other shard's data.
    Catalog,
    Kafka,
    Redis,
    /// All that are ours.
    Processes,
    /// These and the servers below.
    Everything,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum How {
    /// kill -9, and started again at once.
    Kill,
    /// kill -9, and started again after a long time.
    Away,
    /// Stopped for some seconds.
    Pause,
    /// Connections are reset, new ones too, for some seconds.
    Cut,
    /// Nothing passes and nobody is told, for some seconds.
    Silent,
    /// It hears and is not heard, for some seconds.
    OneWay,
    /// Everything takes 50 ms longer, for some seconds.
    Slow,
    /// Its wall clock jumps an hour ahead, and back after some seconds.
    ClockAhead,
    /// An hour back, and ahead again.
    ClockBehind,
    /// For some seconds nothing that it stores can grow.
    DiskFull,
    /// For some seconds every fsync takes 200 ms longer.
    DiskSlow,
    /// A commit of messages is done, and its answer lost with the connection.
    LostCommit,
    /// FLUSHALL.
    Flush,
    /// Dropped while no router runs, and rebuilt from the shards by `shardctl`.
    Lost,
    /// The topic, under those who write and read it.
    Deleted,
}

impl On {
    pub(super) fn is_server(self) -> bool {
        matches!(self, On::Database | On::Catalog | On::Kafka | On::Redis)
    }
}

const LINKED: [How; 6] = [How::Kill, How::Pause, How::Cut, How::Silent, How::OneWay, How::Slow];

pub fn all() -> Vec<Fault> {
    let linked = [
        On::ConnNode,
        On::Coordinator,
        On::OtherRouter,
        On::ShardNode,
        On::Database,
        On::Catalog,
        On::Kafka,
        On::Redis,
    ];
    let mut faults: Vec<Fault> =
        linked.into_iter().flat_map(|on| LINKED.map(|how| Fault { on, how })).collect();
    let clocks = [On::ConnNode, On::Coordinator, On::OtherRouter, On::ShardNode];
    let jumps = [How::ClockAhead, How::ClockBehind];
    faults.extend(clocks.into_iter().flat_map(|on| jumps.map(|how| Fault { on, how })));
    faults.extend([
        Fault { on: On::Database, how: How::DiskFull },
        Fault { on: On::Database, how: How::DiskSlow },
        Fault { on: On::Kafka, how: How::DiskFull },
        Fault { on: On::Database, how: How::LostCommit },
        Fault { on: On::Redis, how: How::Flush },
        Fault { on: On::Redis, how: How::Away },
        Fault { on: On::Catalog, how: How::Lost },
        Fault { on: On::Kafka, how: How::Away },
        Fault { on: On::Kafka, how: How::Deleted },
        Fault { on: On::Processes, how: How::Kill },
        Fault { on: On::Everything, how: How::Kill },
    ]);
    faults
}

/// Those that matter most, for every run of the tests.
pub fn short() -> Vec<Fault> {
    [
        (On::ConnNode, How::Kill),
        (On::OtherRouter, How::Kill),
        (On::ShardNode, How::Kill),
        (On::ShardNode, How::OneWay),
        (On::Database, How::Kill),
        (On::Database, How::LostCommit),
        (On::Kafka, How::Kill),
        (On::Redis, How::Flush),
        (On::Catalog, How::Lost),
        (On::Everything, How::Kill),
    ]
    .map(|(on, how)| Fault { on, how })
    .into()
}

impl fmt::Display for On {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            On::ConnNode => "a conn-node",
            On::Coordinator => "the coordinator",
            On::OtherRouter => "the other router",
            On::ShardNode => "a shard-node",
            On::Database => "a shard's database",
            On::Catalog => "the catalog's database",
            On::Kafka => "Kafka",
            On::Redis => "Redis",
            On::Processes => "all processes",
            On::Everything => "all processes and servers",
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { on, how } = self;
        match how {
            How::Kill => write!(f, "kill -9 of {on}"),
            How::Away => write!(f, "{on} away for long"),
            How::Pause => write!(f, "pause of {on}"),
            How::Cut => write!(f, "cut links to {on}"),
            How::Silent => write!(f, "silent links to {on}"),
            How::OneWay => write!(f, "{on} is not heard"),
            How::Slow => write!(f, "slow links to {on}"),
            How::ClockAhead => write!(f, "clock of {on} an hour ahead"),
            How::ClockBehind => write!(f, "clock of {on} an hour back"),
            How::DiskFull => write!(f, "full disk of {on}"),
            How::DiskSlow => write!(f, "slow disk of {on}"),
            How::LostCommit => write!(f, "lost answer to a commit of {on}"),
            How::Flush => write!(f, "FLUSHALL of {on}"),
            How::Lost => f.write_str("the catalog is lost, and rebuilt"),
            How::Deleted => write!(f, "the topic of {on} is deleted"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_fault_is_there_once_and_the_short_ones_are_among_them() {
        let faults = all();
        let distinct: BTreeSet<String> = faults.iter().map(ToString::to_string).collect();
        assert_eq!(distinct.len(), faults.len());
        assert!(short().iter().all(|fault| faults.contains(fault)));
    }
}
