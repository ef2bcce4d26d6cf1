//! The table of an overload, as docs/reliability.md has it.

use super::Report;
use crate::ledger::Balance;
use crate::measure::Measured;
use std::fmt::Write;

pub(super) fn table(report: &Report) -> String {
    let mut table = String::new();
    // Writing to a string cannot fail.
    let _ = write_table(&mut table, report);
    table
}

fn write_table(table: &mut String, report: &Report) -> std::fmt::Result {
    let Report { borne, offered, acked_per_second, .. } = report;
    writeln!(
        table,
        "It bears {borne:.0} messages a second; {offered:.0} a second were offered, and \
         {acked_per_second:.0} a second acknowledged.\n"
    )?;
    writeln!(table, "| | acknowledged | p50 | p99 | p99.9 | max |")?;
    writeln!(table, "|---|---|---|---|---|---|")?;
    write_stretch(table, "before", &report.before)?;
    write_stretch(table, "overload", &report.over)?;
    write_stretch(table, "after", &report.after)?;
    writeln!(table)?;
    let Measured { counts, .. } = report.over;
    writeln!(
        table,
        "In the overload {} answers said to come again; {} messages were given up, {} of them with \
         an outcome not known, and {} refused for good.",
        report.repeats_asked,
        counts.not_stored + counts.unknown,
        counts.unknown,
        counts.refused
    )?;
    writeln!(
        table,
        "The last of its messages was answered {:.1} s after its end.",
        report.answered_after_s
    )?;
    match report.usual_after_s {
        Some(after) => writeln!(table, "Each second's p99 was as before {after:.1} s after it.")?,
        None => writeln!(table, "The p99 was never again as before.")?,
    }
    let Balance { acked, delivered, missing, doubled, unacked } = report.balance;
    writeln!(
        table,
        "Of {acked} acknowledged messages {missing} are missing and {doubled} doubled \
         ({delivered} delivered, {unacked} without an acknowledgement).\n"
    )?;
    writeln!(table, "| most memory, MiB | before | overload | after |")?;
    writeln!(table, "|---|---|---|---|")?;
    for (name, before) in &report.memory_before {
        let mib = |bytes: Option<&u64>| bytes.copied().unwrap_or(0) >> 20;
        let (over, after) = (report.memory_over.get(name), report.memory_after.get(name));
        writeln!(table, "| {name} | {} | {} | {} |", mib(Some(before)), mib(over), mib(after))?;
    }
    Ok(())
}

fn write_stretch(table: &mut String, name: &str, measured: &Measured) -> std::fmt::Result {
    let Measured { counts, ack_ms, .. } = measured;
    writeln!(
        table,
        "| {name} | {} | {:.1} ms | {:.1} ms | {:.1} ms | {:.1} ms |",
        counts.acked, ack_ms.p50, ack_ms.p99, ack_ms.p999, ack_ms.max
    )
}
