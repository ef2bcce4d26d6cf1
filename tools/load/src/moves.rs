//! `load moves`: what people noticed of moves. Puts what a run recorded beside the journal of the moves
//! made meanwhile: for how long writes to a slot waited, and what became of everybody else.

mod busy;
mod report;

use anyhow::{Context, Result};
use busy::{Busy, Span};
use report::Report;
use serde::Deserialize;
use shardline_history::{MsgId, Reader, Record};
use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::time::Duration;

/// Slots are the top bits of ids.
const SLOT_SHIFT: u32 = 49;

/// A move as shardctl shows it.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Moved {
    phase: String,
    entities_total: u64,
    rows: u64,
    pause_ms: Option<u64>,
    slot_numbers: Vec<u64>,
    journal: Vec<Step>,
}

#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Step {
    at_ms: i64,
    from: Option<String>,
    to: String,
}

/// Prints the report; whether every move came to its end.
pub fn show(history: &Path, moves: &Path, json: bool) -> Result<bool> {
    let moved = read_moves(moves).with_context(|| moves.display().to_string())?;
    let reader = Reader::open(history).with_context(|| history.display().to_string())?;
    let busy = Busy::of(&moved, reader.header.began_at_ms);
    let report = judge(reader, &moved, &busy)?;
    if json {
        println!("{:#}", serde_json::to_value(&report)?);
    } else {
        print!("{}", report.table());
    }
    Ok(moved.iter().all(|one| one.phase == "done"))
}

fn read_moves(path: &Path) -> Result<Vec<Moved>> {
    let file = BufReader::new(File::open(path)?);
    let moves = serde_json::Deserializer::from_reader(file).into_iter();
    Ok(moves.collect::<Result<_, _>>()?)
}

fn judge(
    lines: impl Iterator<Item = Result<(u64, shardline_history::Line), shardline_history::ReadError>>,
    moved: &[Moved],
    busy: &Busy,
) -> Result<Report> {
    let mut report = Report::new(moved);
    let mut sends: Option<Span> = None;
    let mut waiting: HashMap<MsgId, (u64, Duration)> = HashMap::new();
    for line in lines {
        let line = line?.1;
        let at = Duration::from_micros(line.t);
        match line.record {
            Record::Send { chat, id, .. } => {
                sends = Some(Span { from: sends.map_or(at, |sends| sends.from), to: at });
                waiting.entry(id).or_insert((chat, at));
            }
            Record::Acked { id, .. } => {
                // Of a repeat the first answer counts.
                let Some((chat, sent)) = waiting.remove(&id) else { continue };
                let span = Span { from: sent, to: at };
                report.acked(busy, span, busy.changes_hands(chat >> SLOT_SHIFT, span));
            }
            _ => {}
        }
    }
    if let Some(sends) = sends {
        report.ended(busy, sends);
    }
    Ok(report)
}

#[cfg(test)]
mod tests;
