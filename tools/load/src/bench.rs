//! `load bench`: the cluster against the raw limit of its database, in one run on one machine.
//!
//! Raw and cluster measurements take turns, because a machine is not equally fast all the time. What is
//! measured:
//! (a) rows per second of one writer straight into the database ([`raw`]), and one-row commits;
//! (b) acknowledged and delivered messages per second through the cluster, and the CPU time each
//!     process spent on them;
//! (c) the acknowledgement with one message in flight, against one raw commit.

pub mod raw;
mod report;

use crate::cast::{Cast, CastPlan};
use crate::phase::{Phase, Played};
use crate::processes::{NamedProcess, Spent, Watch};
use crate::run::show_second;
use anyhow::{Context, Result};
use raw::{Raw, RawMeasured};
use serde::Serialize;
use shardline_client::Encoding;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::sleep;

/// As many as the largest commit of a shard-node.
const BATCH_ROWS: usize = 256;
const SETTLE_MAX: Duration = Duration::from_secs(70);
/// Between measurements, so that one does not pay for what the other left to be written.
const PAUSE: Duration = Duration::from_secs(2);
const ONE_IN_FLIGHT: Duration = Duration::from_secs(5);

pub struct BenchPlan {
    pub servers: Vec<String>,
    pub senders: usize,
    pub encoding: Encoding,
    pub users_file: Option<PathBuf>,
    pub phase: Phase,
    pub mysql: String,
    pub processes: Vec<NamedProcess>,
    pub raw: Duration,
    pub rounds: usize,
    pub json: bool,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct RawRound {
    pub(crate) measured: RawMeasured,
    pub(crate) spent: Vec<Spent>,
}

#[derive(Clone, Debug, Serialize)]
pub(crate) struct ClusterRound {
    pub(crate) acked_per_second: f64,
    pub(crate) delivered_per_second: f64,
    pub(crate) measured: crate::measure::Measured,
    pub(crate) spent: Vec<Spent>,
}

#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) senders: usize,
    pub(crate) in_flight: usize,
    pub(crate) body_bytes: usize,
    pub(crate) raw: Vec<RawRound>,
    pub(crate) cluster: Vec<ClusterRound>,
    pub(crate) single_commits: Vec<RawMeasured>,
    /// All senders with one in flight, then one sender alone.
    pub(crate) one_in_flight: Vec<ClusterRound>,
    pub(crate) missing: u64,
    pub(crate) doubled: u64,
}

/// Whether every acknowledged message was delivered exactly once.
pub async fn bench(plan: BenchPlan) -> Result<bool> {
    eprintln!("{} pairs: users, chats, connections…", plan.senders);
    let cast = Cast::gather(CastPlan {
        servers: plan.servers.clone(),
        senders: plan.senders,
        encoding: plan.encoding,
        users_file: plan.users_file.clone(),
        writer: None,
    })
    .await?;
    let mut raw = Raw::create(&plan.mysql, plan.phase.body_bytes)
        .await
        .context("the database server of the raw measurements")?;
    let report = measure(&plan, &cast, &mut raw).await;
    // Whatever happened, nothing of it stays.
    let dropped = raw.drop_database().await;
    cast.end().await?;
    let report = report?;
    dropped.context("dropping the raw measurements' database")?;
    if plan.json {
        let mut summary = serde_json::to_value(&report)?;
        summary["means"] = serde_json::to_value(report::means(&report))?;
        println!("{summary:#}");
    } else {
        print!("{}", report::table(&report));
    }
    Ok(report.missing == 0 && report.doubled == 0)
}

async fn measure(plan: &BenchPlan, cast: &Cast, raw: &mut Raw) -> Result<Report> {
    let mut report = Report {
        senders: plan.senders,
        in_flight: plan.phase.in_flight,
        body_bytes: plan.phase.body_bytes,
        raw: Vec::new(),
        cluster: Vec::new(),
        single_commits: Vec::new(),
        one_in_flight: Vec::new(),
        missing: 0,
        doubled: 0,
    };
    let mut next_number = 0;
    report.raw.push(raw_round(plan, raw).await?);
    for round in 1..=plan.rounds {
        eprintln!("cluster, round {round} of {}", plan.rounds);
        let phase = Phase { first_number: next_number, ..plan.phase.clone() };
        report.cluster.push(cluster_round(plan, cast, &phase, &mut next_number).await);
        report.raw.push(raw_round(plan, raw).await?);
    }
    for senders in [plan.senders, 1] {
        eprintln!("one in flight, {senders} senders");
        report.single_commits.push(raw.measure(plan.raw, 1).await?);
        sleep(PAUSE).await;
        let phase = Phase {
            first_number: next_number,
            in_flight: 1,
            senders,
            measured: ONE_IN_FLIGHT,
            warm_up: Duration::from_secs(1),
            ..plan.phase.clone()
        };
        report.one_in_flight.push(cluster_round(plan, cast, &phase, &mut next_number).await);
    }
    report.single_commits.push(raw.measure(plan.raw, 1).await?);
    let balance = cast.settled(SETTLE_MAX).await;
    (report.missing, report.doubled) = (balance.missing, balance.doubled);
    Ok(report)
}

async fn raw_round(plan: &BenchPlan, raw: &mut Raw) -> Result<RawRound> {
    eprintln!("raw, {} s", plan.raw.as_secs());
    let watch = Watch::begin(&plan.processes);
    let measured = raw.measure(plan.raw, BATCH_ROWS).await?;
    let spent = watch.spent(measured.rows);
    sleep(PAUSE).await;
    Ok(RawRound { measured, spent })
}

async fn cluster_round(
    plan: &BenchPlan,
    cast: &Cast,
    phase: &Phase,
    next_number: &mut u32,
) -> ClusterRound {
    let mut watches = Vec::new();
    let never = std::future::pending::<()>();
    let mark = || watches.push(Watch::begin(&plan.processes));
    let played: Played = cast.play(phase, never, show_second, mark).await;
    *next_number = played.next_number;
    let measured = played.measured;
    // What is on its way at both ends is about the same.
    let messages = measured.counts.acked.min(measured.counts.delivered);
    let spent = match &watches[..] {
        [begin, end] => begin.until(end, messages),
        _ => Vec::new(),
    };
    cast.settled(SETTLE_MAX).await;
    sleep(PAUSE).await;
    ClusterRound {
        acked_per_second: played.acked_per_second(),
        delivered_per_second: played.delivered_per_second(),
        measured,
        spent,
    }
}
