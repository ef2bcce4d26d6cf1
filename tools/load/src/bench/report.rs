//! The table of a bench.

use crate::bench::{ClusterRound, Report};
use crate::processes::{Kind, Spent};
use crate::run::percentile_line;
use serde::Serialize;
use std::fmt::Write;

/// The figures that the whole bench is about.
#[derive(Clone, Copy, Debug, Serialize)]
pub(crate) struct Means {
    /// Rows per second.
    pub(crate) raw: f64,
    /// Acknowledged and delivered messages per second.
    pub(crate) cluster: f64,
    pub(crate) b_over_a: f64,
    /// Of our processes, per acknowledged and delivered message.
    pub(crate) our_cpu_us: f64,
    /// The database's CPU time per row, cluster against raw; if the database was among the processes.
    pub(crate) database_over_raw: Option<f64>,
}

pub(crate) fn means(report: &Report) -> Means {
    let both = |round: &ClusterRound| round.acked_per_second.min(round.delivered_per_second);
    let raw = mean(report.raw.iter().map(|round| round.measured.rows_per_second));
    let cluster = mean(report.cluster.iter().map(both));
    let spent = |kind| mean(report.cluster.iter().map(|round| of_kind(&round.spent, kind)));
    let raw_database = mean(report.raw.iter().map(|round| of_kind(&round.spent, Kind::Database)));
    let database_over_raw = (0.0 < raw_database).then(|| spent(Kind::Database) / raw_database);
    let our_cpu_us = spent(Kind::Ours) * 1000.0;
    Means { raw, cluster, b_over_a: cluster / raw, our_cpu_us, database_over_raw }
}

pub(crate) fn table(report: &Report) -> String {
    let mut table = String::new();
    // Writing to a string cannot fail.
    let _ = write_table(&mut table, report);
    table
}

fn write_table(table: &mut String, report: &Report) -> std::fmt::Result {
    writeln!(table, "(a) raw: one writer, batches of 256, the same tables and statements")?;
    for round in &report.raw {
        let database = of_kind(&round.spent, Kind::Database) * 1000.0;
        writeln!(
            table,
            "    {:>8.0} rows/s   {:>6.1} commits/s   database {database:>6.1} µs CPU/row",
            round.measured.rows_per_second, round.measured.commits_per_second,
        )?;
    }
    let Report { senders, in_flight, body_bytes, .. } = report;
    writeln!(
        table,
        "(b) cluster: {senders} senders, {in_flight} in flight each, {body_bytes} bytes"
    )?;
    for round in &report.cluster {
        write_round(table, round)?;
    }
    let Means { raw, cluster, b_over_a, .. } = means(report);
    writeln!(table, "b/a: {cluster:.0} / {raw:.0} = {b_over_a:.3}")?;
    write_cpu(table, report)?;
    writeln!(table, "(c) one in flight")?;
    for single in &report.single_commits {
        write!(table, "    {}", percentile_line("raw commit of one row", &single.commit_ms))?;
    }
    for (round, who) in report.one_in_flight.iter().zip(["all senders", "one sender"]) {
        let name = format!("ack, {who}");
        write!(table, "    {}", percentile_line(&name, &round.measured.ack_ms))?;
    }
    let Report { missing, doubled, .. } = report;
    writeln!(
        table,
        "acknowledged messages missing at their receiver: {missing}, doubled: {doubled}"
    )
}

fn write_round(table: &mut String, round: &ClusterRound) -> std::fmt::Result {
    writeln!(
        table,
        "    acknowledged {:>6.0}/s   delivered {:>6.0}/s   our processes {:>6.1} µs CPU/message",
        round.acked_per_second,
        round.delivered_per_second,
        of_kind(&round.spent, Kind::Ours) * 1000.0,
    )?;
    write!(table, "      {}", percentile_line("acknowledgement", &round.measured.ack_ms))?;
    write!(table, "      {}", percentile_line("end to end", &round.measured.end_to_end_ms))
}

/// CPU seconds per 1,000 messages: the mean of the rounds.
fn write_cpu(table: &mut String, report: &Report) -> std::fmt::Result {
    let Some(first) = report.cluster.first() else { return Ok(()) };
    writeln!(table, "CPU seconds per 1,000 acknowledged and delivered messages")?;
    for (index, spent) in first.spent.iter().enumerate() {
        let rounds = report.cluster.iter().filter_map(|round| round.spent.get(index));
        let mean = mean(rounds.map(|spent| spent.cpu_seconds_per_1000));
        let kind = match spent.kind {
            Kind::Ours => "",
            Kind::Database => "(database)",
            Kind::Bus => "(bus)",
            Kind::Cache => "(cache)",
            Kind::Load => "(senders and receivers)",
        };
        writeln!(table, "    {:<20} {mean:>8.4} {kind}", spent.name)?;
    }
    let Means { our_cpu_us, database_over_raw, .. } = means(report);
    writeln!(table, "    {:<20} {:>8.4}", "ours together", our_cpu_us / 1000.0)?;
    if let Some(times) = database_over_raw {
        writeln!(table, "    the database per row, against raw: {times:.2} times")?;
    }
    Ok(())
}

/// CPU seconds per 1,000 messages of all processes of a kind.
fn of_kind(spent: &[Spent], kind: Kind) -> f64 {
    let of_kind = spent.iter().filter(|spent| spent.kind == kind);
    of_kind.map(|spent| spent.cpu_seconds_per_1000).sum()
}

fn mean(values: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0_u32), |(sum, count), value| (sum + value, count + 1));
    if count == 0 { 0.0 } else { sum / f64::from(count) }
}
