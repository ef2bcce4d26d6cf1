//! `load run` and `load bench`. Exit code 1: the counts do not agree; 2: it could not run.
#![allow(clippy::print_stderr)]

use clap::{Args, Parser, Subcommand};
use shardline_client::Encoding;
use shardline_load::bench::{self, BenchPlan, NamedProcess};
use shardline_load::body;
use shardline_load::moves;
use shardline_load::phase::Phase;
use shardline_load::run::{self, RunPlan};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

#[derive(Parser)]
#[command(about = "Closed-loop load on Shardline, and the benchmark", version)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Senders who each keep messages in flight to a receiver of their own.
    Run(Run),
    /// The cluster against the raw limit of its database.
    Bench(Bench),
    /// What people noticed of moves, from a run's history and the moves' journal.
    Moves(Moves),
}

#[derive(Args)]
struct Common {
    /// Addresses of conn-nodes; each pair's receiver is on the one after its sender's.
    #[arg(long, value_delimiter = ',', default_value = "http://127.0.0.1:8080")]
    servers: Vec<String>,
    #[arg(long, default_value_t = 200)]
    senders: usize,
    #[arg(long, default_value_t = 16)]
    in_flight: usize,
    /// Bytes of each body.
    #[arg(long, default_value_t = 100)]
    body: usize,
    /// Seconds measured.
    #[arg(long, default_value_t = 30)]
    seconds: u64,
    /// Seconds before, not measured.
    #[arg(long, default_value_t = 3)]
    warm_up: u64,
    /// Protobuf frames instead of JSON.
    #[arg(long)]
    proto: bool,
    /// Users and sessions are kept here for the next run.
    #[arg(long)]
    users_file: Option<PathBuf>,
    /// The summary as JSON.
    #[arg(long)]
    json: bool,
}

#[derive(Args)]
struct Run {
    #[command(flatten)]
    common: Common,
    /// Everything that clients saw is recorded here, for `history check`.
    #[arg(long)]
    history: Option<PathBuf>,
    /// Of the acknowledged messages, how many are sent once more with the same id (0 to 1).
    #[arg(long, default_value_t = 0.0)]
    repeat: f64,
    /// Messages a second, all senders together; without it, the next goes out when one is answered.
    #[arg(long, value_parser = rate)]
    rate: Option<f64>,
}

#[derive(Args)]
struct Moves {
    /// What a run recorded while slots moved.
    #[arg(long)]
    history: PathBuf,
    /// The moves, as `shardctl move show M --json` prints them, one after another.
    #[arg(long)]
    moves: PathBuf,
    /// The figures as JSON.
    #[arg(long)]
    json: bool,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.001..=10_000_000.0).contains(&rate) => Ok(rate),
        _ => Err("a number of messages a second".to_owned()),
    }
}

#[derive(Args)]
struct Bench {
    #[command(flatten)]
    common: Common,
    /// The database server that the cluster writes to; the bench makes a database of its own there
    /// and drops it.
    #[arg(long)]
    mysql: String,
    /// NAME=PID of a process whose CPU time is counted; may be given many times.
    #[arg(long = "process")]
    processes: Vec<NamedProcess>,
    /// Seconds of each raw measurement.
    #[arg(long, default_value_t = 5)]
    raw_seconds: u64,
    /// How often the cluster is measured, between raw measurements.
    #[arg(long, default_value_t = 2)]
    rounds: usize,
}

impl Common {
    fn encoding(&self) -> Encoding {
        if self.proto { Encoding::Proto } else { Encoding::Json }
    }

    fn phase(&self, repeats: f64, rate: Option<f64>) -> Phase {
        Phase {
            senders: self.senders,
            in_flight: self.in_flight.max(1),
            body_bytes: self.body.max(body::BYTES_MIN),
            warm_up: Duration::from_secs(self.warm_up),
            measured: Duration::from_secs(self.seconds),
            repeats,
            rate,
            first_number: 0,
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let agrees = match Command::parse().what {
        What::Run(Run { common, history, repeat, rate }) => {
            let plan = RunPlan {
                phase: common.phase(repeat.clamp(0.0, 1.0), rate),
                encoding: common.encoding(),
                servers: common.servers,
                senders: common.senders,
                users_file: common.users_file,
                history,
                json: common.json,
            };
            run::run(plan).await
        }
        What::Bench(Bench { common, mysql, processes, raw_seconds, rounds }) => {
            let plan = BenchPlan {
                phase: common.phase(0.0, None),
                encoding: common.encoding(),
                servers: common.servers,
                senders: common.senders,
                users_file: common.users_file,
                mysql,
                processes,
                raw: Duration::from_secs(raw_seconds),
                rounds: rounds.max(1),
                json: common.json,
            };
            bench::bench(plan).await
        }
        What::Moves(Moves { history, moves, json }) => moves::show(&history, &moves, json),
    };
    match agrees {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("load: {error:#}");
            ExitCode::from(2)
        }
    }
}
