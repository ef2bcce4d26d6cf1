//! `load overload`: what the cluster bears, a little, twice what it bears for minutes, and a little again.
//! Senders keep to the rate whether they are answered or not, as people do; a client repeats what is
//! answered "later".

mod report;

use crate::cast::{Cast, CastPlan};
use crate::ledger::Balance;
use crate::measure::{Measured, Percentiles};
use crate::phase::{Phase, Played};
use crate::processes::{Memory, NamedProcess};
use crate::recording;
use crate::run::show_second;
use anyhow::{Context, Result, ensure};
use serde::Serialize;
use shardline_client::Encoding;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;
use tokio::time::Instant;

/// Each sender, while it is measured what the cluster bears.
const IN_FLIGHT: usize = 16;
/// How much of that is a little.
const LITTLE: f64 = 0.25;
const WARM_UP: Duration = Duration::from_secs(3);
const BEARING: Duration = Duration::from_secs(15);
/// Unanswered messages of one sender, who then waits.
const UNANSWERED_MAX: usize = 100;
/// Above the usual, a second's p99 is usual up to this factor.
const USUAL_FACTOR: f64 = 2.0;
const SETTLE_MAX: Duration = Duration::from_secs(120);

pub struct OverloadPlan {
    pub servers: Vec<String>,
    pub senders: usize,
    pub encoding: Encoding,
    pub users_file: Option<PathBuf>,
    pub history: Option<PathBuf>,
    pub body_bytes: usize,
    /// Of what the cluster bears, how much is offered.
    pub factor: f64,
    pub calm: Duration,
    pub over: Duration,
    pub processes: Vec<NamedProcess>,
    pub json: bool,
}

#[derive(Debug, Serialize)]
struct Report {
    /// Acknowledged messages a second that the cluster bears.
    borne: f64,
    /// Messages a second in the overload.
    offered: f64,
    acked_per_second: f64,
    before: Measured,
    over: Measured,
    after: Measured,
    /// Answers that said "later" or "same" in the overload.
    repeats_asked: u64,
    /// From the end of the overload until the last of its messages was answered.
    answered_after_s: f64,
    /// From the end of the overload until each second's p99 was as usual; None: it never was again.
    usual_after_s: Option<f64>,
    /// Bytes, the most in each stretch.
    memory_before: BTreeMap<String, u64>,
    memory_over: BTreeMap<String, u64>,
    memory_after: BTreeMap<String, u64>,
    balance: Balance,
}

/// Whether nothing acknowledged was lost or doubled, and it was as before in the end.
pub async fn overload(plan: OverloadPlan) -> Result<bool> {
    let writer = match &plan.history {
        Some(path) => Some(recording::create(path).with_context(|| path.display().to_string())?),
        None => None,
    };
    eprintln!("{} pairs: users, chats, connections…", plan.senders);
    let cast = Cast::gather(CastPlan {
        servers: plan.servers.clone(),
        senders: plan.senders,
        encoding: plan.encoding,
        users_file: plan.users_file.clone(),
        writer: writer.clone(),
    })
    .await?;
    let report = measure(&plan, &cast).await?;
    cast.record_final_states().await?;
    cast.end().await?;
    if let Some(writer) = writer {
        writer.finish().context("the history is not whole")?;
    }
    if plan.json {
        println!("{:#}", serde_json::to_value(&report)?);
    } else {
        print!("{}", report::table(&report));
    }
    let Balance { missing, doubled, .. } = report.balance;
    Ok(missing == 0 && doubled == 0 && report.usual_after_s.is_some())
}

async fn measure(plan: &OverloadPlan, cast: &Cast) -> Result<Report> {
    let phase = |in_flight, measured, rate, first_number| Phase {
        senders: plan.senders,
        in_flight,
        body_bytes: plan.body_bytes,
        warm_up: WARM_UP,
        measured,
        repeats: 0.0,
        rate,
        first_number,
    };
    eprintln!("what it bears:");
    let bears = phase(IN_FLIGHT, BEARING, None, 0);
    let Stretch { played, .. } = Stretch::play(plan, cast, &bears).await;
    let borne = played.acked_per_second();
    ensure!(0.0 < borne, "nothing is acknowledged");
    cast.settled(SETTLE_MAX).await;

    let little = Some(borne * LITTLE);
    eprintln!("a little:");
    let calm = phase(UNANSWERED_MAX, plan.calm, little, played.next_number);
    let before = Stretch::play(plan, cast, &calm).await;

    let offered = borne * plan.factor;
    eprintln!("{:.1} times what it bears:", plan.factor);
    let too_much = phase(UNANSWERED_MAX, plan.over, Some(offered), before.played.next_number);
    let asked_before = repeats_asked(cast);
    let over = Stretch::play(plan, cast, &too_much).await;
    let repeats_asked = repeats_asked(cast) - asked_before;
    let answered_after = over.ended_at.elapsed();

    eprintln!("a little:");
    let calm = phase(UNANSWERED_MAX, plan.calm, little, over.played.next_number);
    let after = Stretch::play(plan, cast, &calm).await;
    let usual = before.played.measured.ack_ms.p99 * USUAL_FACTOR;
    let usual_after = usual_since(&after.seconds, usual).map(|since| {
        // Its clock began when the last message of the overload was answered.
        (answered_after + since).as_secs_f64()
    });
    let balance = cast.settled(SETTLE_MAX).await;
    Ok(Report {
        borne,
        offered,
        acked_per_second: over.played.acked_per_second(),
        before: before.played.measured,
        over: over.played.measured,
        after: after.played.measured,
        repeats_asked,
        answered_after_s: answered_after.as_secs_f64(),
        usual_after_s: usual_after,
        memory_before: before.memory.most,
        memory_over: over.memory.most,
        memory_after: after.memory.most,
        balance,
    })
}

fn repeats_asked(cast: &Cast) -> u64 {
    cast.pairs.iter().map(|pair| pair.sender.repeats_asked()).sum()
}

struct Stretch {
    played: Played,
    /// When the last message was due; it was answered later.
    ended_at: Instant,
    /// Each second's acknowledgements, and when it ended.
    seconds: Vec<(Duration, Percentiles)>,
    memory: Memory,
}

impl Stretch {
    async fn play(plan: &OverloadPlan, cast: &Cast, phase: &Phase) -> Stretch {
        let mut memory = Memory::new(&plan.processes);
        let (mut ended_at, mut seconds) = (Instant::now(), Vec::new());
        let progress = |since, second: &Measured| {
            show_second(since, second);
            memory.look();
            seconds.push((since, second.ack_ms));
        };
        let mark = || ended_at = Instant::now();
        let played = cast.play(phase, std::future::pending(), progress, mark).await;
        Stretch { played, ended_at, seconds, memory }
    }
}

/// The end of the last second whose p99 was above what is usual; None: the last one still was.
fn usual_since(seconds: &[(Duration, Percentiles)], usual_ms: f64) -> Option<Duration> {
    let last_unusual = seconds.iter().rposition(|(_, ack_ms)| usual_ms < ack_ms.p99);
    match last_unusual {
        None => Some(Duration::ZERO),
        Some(last) if last + 1 < seconds.len() => Some(seconds[last].0),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(p99s: &[f64], expected: Option<u64>) {
        let second = |(index, p99): (u64, &f64)| {
            (Duration::from_secs(index + 1), Percentiles { p99: *p99, ..Percentiles::default() })
        };
        let seconds: Vec<_> = (0..).zip(p99s).map(second).collect();
        assert_eq!(usual_since(&seconds, 20.0), expected.map(Duration::from_secs));
    }

    #[test]
    fn it_is_as_usual_after_the_last_second_that_is_not() {
        check(&[10.0, 11.0, 12.0], Some(0));
        check(&[90.0, 15.0, 30.0, 12.0], Some(3));
        check(&[10.0, 30.0], None);
        check(&[], Some(0));
    }
}
