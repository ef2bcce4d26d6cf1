//! `load reconnect`: thousands of clients lose their conn-node at the same moment. How soon each is back
//! on another one and hears again, what those feel who were there before, and whether anybody missed
//! anything.
//!
//! The clients are listeners, a room's worth in each room, all on the first address; a speaker in each
//! room is on the second one and goes on speaking.

mod listener;
mod report;
mod rooms;

use crate::measure::{Meter, Outcome, Percentiles, latencies, micros, percentiles};
use crate::processes::{Memory, NamedProcess};
use anyhow::{Context, Result, ensure};
use listener::{Back, Listener};
use rooms::Room;
use serde::Serialize;
use shardline_client::{Encoding, SendError};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep, timeout};

/// Before the strike and after everybody is back.
const CALM: Duration = Duration::from_secs(10);
/// By then everybody is back, or it is a fault.
const BACK_TIME_MAX: Duration = Duration::from_secs(180);
/// After the last acknowledgement, for the last delivery: the heads beacon heals within a minute.
const SETTLE_MAX: Duration = Duration::from_secs(70);
const LOOK_EVERY: Duration = Duration::from_millis(250);

pub struct ReconnectPlan {
    /// The first loses its clients, the others take them.
    pub servers: Vec<String>,
    pub clients: usize,
    /// Listeners in one room; a speaker comes with them.
    pub room: usize,
    /// Messages of each speaker a second.
    pub rate: f64,
    pub encoding: Encoding,
    pub users_file: Option<PathBuf>,
    /// A shell command that ends the first conn-node.
    pub strike: String,
    pub processes: Vec<NamedProcess>,
    pub json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    clients: usize,
    rooms: usize,
    /// From the strike until each was welcomed again.
    back_ms: Percentiles,
    /// From the strike until each heard something that was said after it.
    heard_ms: Percentiles,
    not_back: usize,
    /// Welcomed in each second since the strike.
    welcomed: Vec<usize>,
    /// How often one was told to come later.
    told_to_wait: u64,
    /// Acknowledgements of the speakers.
    before_ms: Percentiles,
    during_ms: Percentiles,
    spoken: u64,
    /// Of what was said, by what of the listeners it did not reach, or reached twice or in another order.
    missing: u64,
    doubled: u64,
    out_of_order: u64,
    not_acknowledged: u64,
    memory_before: BTreeMap<String, u64>,
    memory_during: BTreeMap<String, u64>,
}

/// Whether everybody came back and nobody missed anything.
pub async fn reconnect(plan: ReconnectPlan) -> Result<bool> {
    ensure!(2 <= plan.servers.len(), "at least two servers: one goes, the others take its clients");
    ensure!(0 < plan.room && 0 < plan.clients, "nobody would listen");
    let run = Run::gather(&plan).await?;
    let report = run.play(&plan).await?;
    if plan.json {
        println!("{:#}", serde_json::to_value(&report)?);
    } else {
        print!("{}", report::table(&report));
    }
    let wrong = report.missing + report.doubled + report.out_of_order + report.not_acknowledged;
    Ok(wrong == 0 && report.not_back == 0)
}

struct Run {
    rooms: Vec<Arc<Room>>,
    listeners: Vec<Arc<Listener>>,
    /// Of the speakers.
    meter: Arc<Meter>,
    tasks: JoinSet<()>,
}

impl Run {
    async fn gather(plan: &ReconnectPlan) -> Result<Run> {
        let rooms = rooms::gather(plan).await?;
        let (meter, mut tasks) = (Arc::new(Meter::default()), JoinSet::new());
        let (mut all_rooms, mut listeners) = (Vec::new(), Vec::new());
        for (room, entered) in rooms {
            for (client, seen) in entered {
                let listener = Arc::new(Listener::new(room.clone(), client));
                tasks.spawn(listener.clone().listen(seen));
                tasks.spawn(listener.clone().watch());
                listeners.push(listener);
            }
            all_rooms.push(room);
        }
        Ok(Run { rooms: all_rooms, listeners, meter, tasks })
    }

    async fn play(mut self, plan: &ReconnectPlan) -> Result<Report> {
        let stopping = Arc::new(AtomicBool::new(false));
        let mut speakers = JoinSet::new();
        for room in &self.rooms {
            let (room, meter) = (room.clone(), self.meter.clone());
            speakers.spawn(speak(room, meter, plan.rate, stopping.clone()));
        }
        let mut memory = Memory::new(&plan.processes);
        self.meter.begin();
        sleep(CALM).await;
        memory.look();
        let before = self.meter.end();

        eprintln!("the strike: {}", plan.strike);
        let struck_at = Instant::now();
        self.listeners.iter().for_each(|listener| listener.strike(struck_at));
        self.meter.begin();
        strike(&plan.strike).await?;
        let mut during = Memory::new(&plan.processes);
        while struck_at.elapsed() < BACK_TIME_MAX && self.listeners.iter().any(|one| !one.is_back())
        {
            during.look();
            self.show(struck_at);
            sleep(LOOK_EVERY).await;
        }
        self.show(struck_at);
        let during_strike = self.meter.end();
        sleep(CALM).await;
        stopping.store(true, Ordering::Relaxed);
        let mut not_acknowledged = 0;
        while let Some(failed) = speakers.join_next().await {
            not_acknowledged += failed.unwrap_or(1);
        }
        self.settle().await;

        let backs: Vec<Back> = self.listeners.iter().map(|listener| listener.back()).collect();
        let report = Report {
            clients: self.listeners.len(),
            rooms: self.rooms.len(),
            back_ms: spread(backs.iter().filter_map(|back| back.welcomed_after)),
            heard_ms: spread(backs.iter().filter_map(|back| back.heard_after)),
            not_back: backs.iter().filter(|back| back.heard_after.is_none()).count(),
            welcomed: by_second(backs.iter().filter_map(|back| back.welcomed_after)),
            told_to_wait: backs.iter().map(|back| back.told_to_wait).sum(),
            before_ms: before.ack_ms,
            during_ms: during_strike.ack_ms,
            spoken: self.rooms.iter().map(|room| u64::from(room.spoken())).sum(),
            missing: self.listeners.iter().map(|one| one.missing()).sum(),
            doubled: backs.iter().map(|back| back.doubled).sum(),
            out_of_order: backs.iter().map(|back| back.out_of_order).sum(),
            not_acknowledged,
            memory_before: memory.most,
            memory_during: during.most,
        };
        for listener in &self.listeners {
            listener.stop().await;
        }
        while self.tasks.join_next().await.is_some() {}
        Ok(report)
    }

    fn show(&self, struck_at: Instant) {
        let back = self.listeners.iter().filter(|listener| listener.is_back()).count();
        eprintln!("{:>6.2} s  {back} are back", struck_at.elapsed().as_secs_f64());
    }

    async fn settle(&self) {
        let until = Instant::now() + SETTLE_MAX;
        while Instant::now() < until && self.listeners.iter().any(|one| 0 < one.missing()) {
            sleep(LOOK_EVERY).await;
        }
    }
}

async fn strike(command: &str) -> Result<()> {
    let mut shell = Command::new("sh");
    shell.args(["-c", command]).stdin(Stdio::null()).stdout(Stdio::null());
    let ended = timeout(Duration::from_secs(30), shell.status()).await;
    let status = ended.context("the strike does not end")?.context("the strike")?;
    ensure!(status.success(), "the strike ended with {status}");
    Ok(())
}

/// One message after the other at a rate; how many were given up.
async fn speak(room: Arc<Room>, meter: Arc<Meter>, rate: f64, stopping: Arc<AtomicBool>) -> u64 {
    let every = Duration::from_secs_f64(1.0 / rate.clamp(0.01, 1_000.0));
    let mut ticks = interval_at(Instant::now() + every.mul_f64(rand::random()), every);
    let mut given_up = 0;
    loop {
        ticks.tick().await;
        if stopping.load(Ordering::Relaxed) {
            return given_up;
        }
        let began = Instant::now();
        meter.sent(match room.speak().await {
            Ok(()) => Outcome::Acked(began.elapsed()),
            Err(error) => {
                given_up += 1;
                match error {
                    SendError::Refused(_) => Outcome::Refused,
                    SendError::NotStored(_) => Outcome::NotStored,
                    SendError::Unknown(_) => Outcome::Unknown,
                }
            }
        });
    }
}

fn spread(times: impl Iterator<Item = Duration>) -> Percentiles {
    let mut histogram = latencies();
    times.for_each(|time| histogram.saturating_record(micros(time)));
    percentiles(&histogram)
}

fn by_second(times: impl Iterator<Item = Duration>) -> Vec<usize> {
    let mut counts = Vec::new();
    for time in times {
        let second = usize::try_from(time.as_secs()).unwrap_or(usize::MAX);
        if counts.len() <= second {
            counts.resize(second + 1, 0);
        }
        counts[second] += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_came_back_is_counted_by_second() {
        let times = [300, 900, 2_100, 1_000].map(Duration::from_millis);
        assert_eq!(by_second(times.into_iter()), [2, 1, 1]);
        assert!(by_second(std::iter::empty()).is_empty());
    }
}
