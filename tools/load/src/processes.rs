//! CPU time and memory of processes as Linux counts them: all threads, and children that still run.

use serde::Serialize;
use std::collections::{BTreeMap, HashMap};
use std::str::FromStr;
use std::time::Duration;

/// /proc counts in hundredths of a second on every Linux that people run.
const TICKS_PER_SECOND: u64 = 100;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NamedProcess {
    pub name: String,
    pub pid: u32,
}

impl FromStr for NamedProcess {
    type Err = String;

    fn from_str(text: &str) -> Result<NamedProcess, String> {
        let parsed = text.split_once('=').and_then(|(name, pid)| {
            Some(NamedProcess { name: name.to_owned(), pid: pid.parse().ok()? })
        });
        parsed.filter(|process| !process.name.is_empty()).ok_or("not like NAME=PID".to_owned())
    }
}

/// CPU time of each process at one moment. Processes of one name count together.
#[derive(Clone, Debug)]
pub struct Watch {
    processes: Vec<NamedProcess>,
    at: BTreeMap<String, Duration>,
}

/// What a process spent on a number of messages.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Spent {
    pub name: String,
    pub kind: Kind,
    pub cpu_seconds: f64,
    pub cpu_seconds_per_1000: f64,
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Shardline's own.
    Ours,
    Database,
    Bus,
    Cache,
    /// This process: senders and receivers.
    Load,
}

impl Kind {
    fn of_name(name: &str) -> Kind {
        let is = |words: &[&str]| words.iter().any(|word| name.contains(word));
        if is(&["mysql", "mariadb", "database"]) {
            Kind::Database
        } else if is(&["kafka"]) {
            Kind::Bus
        } else if is(&["redis"]) {
            Kind::Cache
        } else if name == "load" {
            Kind::Load
        } else {
            Kind::Ours
        }
    }
}

impl Watch {
    /// This process is watched, too, as `load`.
    pub fn begin(processes: &[NamedProcess]) -> Watch {
        let mut processes = processes.to_vec();
        processes.push(NamedProcess { name: "load".to_owned(), pid: std::process::id() });
        let at = used(&processes);
        Watch { processes, at }
    }

    /// What was spent since then on this many messages.
    pub fn spent(&self, messages: u64) -> Vec<Spent> {
        let now = Watch { processes: self.processes.clone(), at: used(&self.processes) };
        self.until(&now, messages)
    }

    pub fn until(&self, later: &Watch, messages: u64) -> Vec<Spent> {
        // Exact for any count a run can reach.
        #[allow(clippy::cast_precision_loss)]
        let thousands = (messages.max(1) as f64) / 1000.0;
        let spent = self.at.iter().filter_map(|(name, before)| {
            let cpu = later.at.get(name)?.saturating_sub(*before).as_secs_f64();
            Some(Spent {
                name: name.clone(),
                kind: Kind::of_name(name),
                cpu_seconds: cpu,
                cpu_seconds_per_1000: cpu / thousands,
            })
        });
        let mut spent: Vec<Spent> = spent.collect();
        spent.sort_by_key(|spent| spent.kind);
        spent
    }
}

/// The most memory each was seen to hold, in bytes. Processes of one name count together.
#[derive(Clone, Debug)]
pub struct Memory {
    processes: Vec<NamedProcess>,
    pub most: BTreeMap<String, u64>,
}

impl Memory {
    /// This process is watched, too, as `load`.
    pub fn new(processes: &[NamedProcess]) -> Memory {
        let mut processes = processes.to_vec();
        processes.push(NamedProcess { name: "load".to_owned(), pid: std::process::id() });
        Memory { processes, most: BTreeMap::new() }
    }

    pub fn look(&mut self) {
        let stats = all_stats();
        let mut now: BTreeMap<String, u64> = BTreeMap::new();
        for NamedProcess { name, pid } in &self.processes {
            let resident: u64 = family(&stats, *pid).into_iter().map(resident).sum();
            *now.entry(name.clone()).or_default() += resident;
        }
        for (name, resident) in now {
            let most = self.most.entry(name).or_default();
            *most = resident.max(*most);
        }
    }
}

/// In bytes; 0 if there is no such process any more.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB")?.trim().parse::<u64>().ok());
    kib.unwrap_or(0) * 1024
}

fn used(processes: &[NamedProcess]) -> BTreeMap<String, Duration> {
    let stats = all_stats();
    let mut used: BTreeMap<String, Duration> = BTreeMap::new();
    for NamedProcess { name, pid } in processes {
        let ticks: u64 = family(&stats, *pid).iter().map(|pid| stats[pid].ticks).sum();
        *used.entry(name.clone()).or_default() +=
            Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND);
    }
    used
}

/// A process that runs, and all below it.
fn family(stats: &HashMap<u32, Stat>, pid: u32) -> Vec<u32> {
    let mut found: Vec<u32> = stats.contains_key(&pid).then_some(pid).into_iter().collect();
    let mut looked_at = 0;
    while let Some(parent) = found.get(looked_at).copied() {
        found.extend(stats.iter().filter(|(_, stat)| stat.parent == parent).map(|(pid, _)| *pid));
        looked_at += 1;
    }
    found
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Stat {
    parent: u32,
    /// User and system time.
    ticks: u64,
}

fn all_stats() -> HashMap<u32, Stat> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return HashMap::new() };
    let pids = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let stats = pids.filter_map(|pid: u32| {
        let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        Some((pid, parse_stat(&text)?))
    });
    stats.collect()
}

/// The command's name stands in brackets and may hold anything: fields are counted from the last one.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, fields) = text.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
    Some(Stat { parent: fields.get(1)?.parse().ok()?, ticks: number(11)? + number(12)? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_whatever_the_command_is_called() {
        let line = "42 (a ) b (c) S 7 42 42 0 -1 4194560 9 0 0 0 150 25 3 4 20 0 8 0 100 0 0";
        assert_eq!(parse_stat(line), Some(Stat { parent: 7, ticks: 175 }));
        assert_eq!(parse_stat("42 (short) S 7"), None);
    }

    #[test]
    fn a_process_is_given_by_name_and_number() {
        let expected = NamedProcess { name: "router-1".to_owned(), pid: 12 };
        assert_eq!("router-1=12".parse(), Ok(expected));
        for bad in ["router", "=12", "router=x", "router=-1"] {
            assert!(bad.parse::<NamedProcess>().is_err(), "{bad}");
        }
    }

    #[test]
    fn the_memory_of_this_process_is_seen_and_the_most_is_kept() {
        let mut memory = Memory::new(&[NamedProcess { name: "gone".to_owned(), pid: u32::MAX }]);
        memory.look();
        let before = memory.most["load"];
        assert!(0 < before && memory.most["gone"] == 0);
        let more = std::hint::black_box(vec![1_u8; 64 << 20]);
        memory.look();
        assert!(before + (32 << 20) < memory.most["load"], "{} bytes", more.len());
        let most = memory.most["load"];
        drop(more);
        memory.look();
        assert!(most <= memory.most["load"]);
    }

    #[test]
    fn what_this_process_works_is_counted_and_kinds_are_told_by_name() {
        let watch = Watch::begin(&[NamedProcess { name: "mariadb".to_owned(), pid: u32::MAX }]);
        let mut sum = 0_u64;
        let spent = loop {
            for number in 0..1_000_000_u64 {
                sum = std::hint::black_box(sum.wrapping_add(number * number));
            }
            let spent = watch.spent(2000);
            if spent.iter().any(|spent| spent.kind == Kind::Load && 0.05 < spent.cpu_seconds) {
                break spent;
            }
        };
        let load = &spent[1];
        assert!((load.cpu_seconds_per_1000 - load.cpu_seconds / 2.0).abs() < 1e-9);
        assert_eq!((spent[0].kind, spent[0].cpu_seconds), (Kind::Database, 0.0));
    }
}
