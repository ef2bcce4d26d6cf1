//! The table of a reconnect, as docs/reliability.md has it.

use super::Report;
use crate::run::percentile_line;
use std::fmt::Write;

pub(super) fn table(report: &Report) -> String {
    let mut table = String::new();
    // Writing to a string cannot fail.
    let _ = write_table(&mut table, report);
    table
}

fn write_table(table: &mut String, report: &Report) -> std::fmt::Result {
    let Report { clients, rooms, not_back, told_to_wait, .. } = report;
    writeln!(table, "{clients} clients in {rooms} rooms; {not_back} did not come back")?;
    table.push_str(&percentile_line("welcomed again after", &report.back_ms));
    table.push_str(&percentile_line("heard again after", &report.heard_ms));
    let seconds: Vec<String> = report.welcomed.iter().map(usize::to_string).collect();
    writeln!(table, "welcomed in each second  {}", seconds.join(" "))?;
    writeln!(table, "told to come later       {told_to_wait} times")?;
    table.push_str(&percentile_line("speakers before", &report.before_ms));
    table.push_str(&percentile_line("speakers meanwhile", &report.during_ms));
    let Report { spoken, missing, doubled, out_of_order, not_acknowledged, .. } = report;
    writeln!(
        table,
        "{spoken} messages acknowledged, {not_acknowledged} not; for all listeners together \
         {missing} missing, {doubled} doubled, {out_of_order} out of order"
    )?;
    writeln!(table, "most memory, MiB: before, meanwhile")?;
    for (name, before) in &report.memory_before {
        let during = report.memory_during.get(name).copied().unwrap_or(0);
        writeln!(table, "    {name:<16} {:>6} {:>6}", before >> 20, during >> 20)?;
    }
    Ok(())
}
