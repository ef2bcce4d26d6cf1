//! The smallest process: it counts its pulse until it is stopped, or fails as it is told to.
//! `tests/process.rs` runs it.

use shardline_daemon::config::{Settings, Span};
use shardline_daemon::process;
use std::process::ExitCode;

struct Config {
    every: Span,
    panics: bool,
    refuses: bool,
    deaf: bool,
}

fn main() -> ExitCode {
    let read = |settings: &mut Settings| Config {
        every: settings.required("every", "time between two beats"),
        panics: settings.or("panics", false, "the task panics at its first beat"),
        refuses: settings.or("refuses", false, "the start fails"),
        deaf: settings.or("deaf", false, "the task does not stop when asked"),
    };
    process::main("pulse", read, |config, process| async move {
        anyhow::ensure!(!config.refuses, "there is no heart");
        let token = process.lifecycle.token();
        process.lifecycle.run("pulse", async move {
            while config.deaf || !token.is_cancelled() {
                tokio::time::sleep(config.every.get()).await;
                metrics::counter!("shardline_pulse_beats_total").increment(1);
                assert!(!config.panics, "the heart stopped");
            }
        });
        Ok(())
    })
}
