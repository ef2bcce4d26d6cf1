//! `load run`: one phase, its progress, its table, and whether the counts agree.

use crate::cast::{Cast, CastPlan};
use crate::ledger::Balance;
use crate::measure::{Measured, Percentiles};
use crate::phase::{Phase, Played};
use crate::recording;
use anyhow::{Context, Result};
use serde_json::json;
use shardline_client::Encoding;
use std::path::PathBuf;
use std::time::Duration;

/// After the last acknowledgement, for the last delivery: the heads beacon heals within a minute.
const SETTLE_MAX: Duration = Duration::from_secs(70);

pub struct RunPlan {
    pub servers: Vec<String>,
    pub senders: usize,
    pub encoding: Encoding,
    pub users_file: Option<PathBuf>,
    pub phase: Phase,
    pub history: Option<PathBuf>,
    pub json: bool,
}

/// Whether every acknowledged message was delivered exactly once and none failed for good.
pub async fn run(plan: RunPlan) -> Result<bool> {
    let writer = match &plan.history {
        Some(path) => Some(recording::create(path).with_context(|| path.display().to_string())?),
        None => None,
    };
    let cast_plan = CastPlan {
        servers: plan.servers,
        senders: plan.senders,
        encoding: plan.encoding,
        users_file: plan.users_file,
        writer: writer.clone(),
    };
    eprintln!("{} pairs: users, chats, connections…", plan.senders);
    let cast = Cast::gather(cast_plan).await?;
    eprintln!("{} in flight each, {} bytes", plan.phase.in_flight, plan.phase.body_bytes);
    let interrupted = async {
        // Without signals it just runs to its end.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let played = cast.play(&plan.phase, interrupted, show_second, || {}).await;
    let balance = cast.settled(SETTLE_MAX).await;
    cast.record_final_states().await?;
    cast.end().await?;
    if let Some(writer) = writer {
        writer.finish().context("the history is not whole")?;
    }
    if plan.json {
        println!("{}", summary(&played, &balance));
    } else {
        print!("{}", table(&played, &balance));
    }
    let counts = played.measured.counts;
    Ok(balance.missing == 0 && balance.doubled == 0 && counts.refused == 0)
}

pub fn show_second(since: Duration, second: &Measured) {
    let Measured { counts, ack_ms, end_to_end_ms } = second;
    let failed = counts.refused + counts.not_stored + counts.unknown;
    let failed = if failed == 0 { String::new() } else { format!("  failed {failed}") };
    eprintln!(
        "{:>4} s  acked {:>6}/s  delivered {:>6}/s  ack p50 {:>7.2} p99 {:>7.2} ms  \
         end to end p50 {:>7.2} p99 {:>7.2} ms{failed}",
        since.as_secs(),
        counts.acked,
        counts.delivered,
        ack_ms.p50,
        ack_ms.p99,
        end_to_end_ms.p50,
        end_to_end_ms.p99,
    );
}

pub fn percentile_line(name: &str, percentiles: &Percentiles) -> String {
    let Percentiles { p50, p90, p99, p999, max } = percentiles;
    format!(
        "{name:<22} p50 {p50:>8.2}  p90 {p90:>8.2}  p99 {p99:>8.2}  p99.9 {p999:>8.2}  \
         max {max:>8.2} ms\n"
    )
}

fn table(played: &Played, balance: &Balance) -> String {
    let counts = played.measured.counts;
    let mut table = format!(
        "measured for           {:.1} s\nacknowledged           {:.0}/s\ndelivered              {:.0}/s\n",
        played.took.as_secs_f64(),
        played.acked_per_second(),
        played.delivered_per_second(),
    );
    table += &percentile_line("acknowledgement", &played.measured.ack_ms);
    table += &percentile_line("end to end", &played.measured.end_to_end_ms);
    table += &format!(
        "refused {}, not stored {}, unknown {}\n",
        counts.refused, counts.not_stored, counts.unknown
    );
    let Balance { acked, delivered, missing, doubled, unacked } = balance;
    table += &format!(
        "in all: {acked} acknowledged, {delivered} delivered ({unacked} without an \
         acknowledgement), {missing} missing, {doubled} doubled\n"
    );
    table
}

fn summary(played: &Played, balance: &Balance) -> serde_json::Value {
    json!({
        "seconds": played.took.as_secs_f64(),
        "acked_per_second": played.acked_per_second(),
        "delivered_per_second": played.delivered_per_second(),
        "measured": played.measured,
        "all": balance,
    })
}
