//! `history check FILE...`: judges recordings. Exit code 1: something is wrong; 2: nothing wrong was
//! found, but the recordings do not tell everything; 64: not called like this; 66: not readable.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use shardline_history::{History, Reader, invariants};
use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let files = match arguments.split_first() {
        Some((command, files)) if command == "check" && !files.is_empty() => files,
        _ => {
            eprintln!("usage: history check FILE...");
            return ExitCode::from(64);
        }
    };
    // For people, of a tool of its own.
    #[allow(clippy::disallowed_methods)]
    let began = Instant::now();
    let mut history = History::default();
    for file in files {
        let read = Reader::open(Path::new(file)).and_then(|reader| history.read(file, reader));
        if let Err(error) = read {
            eprintln!("{file}: {error}");
            return ExitCode::from(66);
        }
    }
    let read = began.elapsed();
    let calls = history.calls();
    println!(
        "{} sends, {calls} other calls, {} chats, {} receivers",
        history.sends.len(),
        history.chats.len(),
        history.views.len()
    );
    let verdict = invariants::check(&history);
    print!("{verdict}");
    let operations = history.sends.len() + calls;
    println!("{}", took(operations, history.records, read, began.elapsed() - read));
    if verdict.violated() {
        ExitCode::from(1)
    } else if !verdict.holds() {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}

fn took(operations: usize, records: u64, read: Duration, judged: Duration) -> String {
    // Exact up to 2^53, and for display.
    #[allow(clippy::cast_precision_loss)]
    let per_second = operations as f64 / (read + judged).as_secs_f64().max(0.001);
    format!(
        "{records} records read in {:.1} s and judged in {:.1} s, {per_second:.0} operations/s",
        read.as_secs_f64(),
        judged.as_secs_f64(),
    )
}
