//! `history check FILE...`: judges recordings. Exit code 1: something is wrong; 2: nothing wrong was
//! found, but the recordings do not tell everything; 64: not called like this; 66: not readable.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use shardline_history::{History, Reader, invariants};
use std::path::Path;
use std::process::ExitCode;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let files = match arguments.split_first() {
        Some((command, files)) if command == "check" && !files.is_empty() => files,
        _ => {
            eprintln!("usage: history check FILE...");
            return ExitCode::from(64);
        }
    };
    let mut history = History::default();
    for file in files {
        let read = Reader::open(Path::new(file)).and_then(|reader| history.read(file, reader));
        if let Err(error) = read {
            eprintln!("{file}: {error}");
            return ExitCode::from(66);
        }
    }
    println!(
        "{} sends, {} chats, {} receivers",
        history.sends.len(),
        history.chats.len(),
        history.views.len()
    );
    let verdict = invariants::check(&history);
    print!("{verdict}");
    if verdict.violated() {
        ExitCode::from(1)
    } else if !verdict.holds() {
        ExitCode::from(2)
    } else {
        ExitCode::SUCCESS
    }
}
