//! `load run`, `load bench` and their like. Exit code 1: the counts do not agree; 2: it could not run.
#![allow(clippy::print_stderr)]

use clap::{Args, Parser, Subcommand};
use shardline_client::Encoding;
use shardline_load::bench::{self, BenchPlan};
use shardline_load::body;
use shardline_load::moves;
use shardline_load::overload::{self, OverloadPlan};
use shardline_load::phase::Phase;
use shardline_load::processes::NamedProcess;
use shardline_load::reconnect::{self, ReconnectPlan};
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
    /// Twice what the cluster bears, and how soon it is as before.
    Overload(Overload),
    /// Thousands of clients lose their conn-node at once.
    Reconnect(Reconnect),
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

#[derive(Args)]
struct Overload {
    #[command(flatten)]
    common: Common,
    /// Everything that clients saw is recorded here, for `history check`.
    #[arg(long)]
    history: Option<PathBuf>,
    /// How many times what the cluster bears is offered; --seconds says for how long.
    #[arg(long, default_value_t = 2.0)]
    factor: f64,
    /// Seconds of little load before and after.
    #[arg(long, default_value_t = 20)]
    calm: u64,
    /// NAME=PID of a process whose memory is watched; may be given many times.
    #[arg(long = "process")]
    processes: Vec<NamedProcess>,
}

#[derive(Args)]
struct Reconnect {
    /// Addresses of conn-nodes; the clients are on the first.
    #[arg(long, value_delimiter = ',', required = true)]
    servers: Vec<String>,
    #[arg(long, default_value_t = 5_000)]
    clients: usize,
    /// Clients in one room.
    #[arg(long, default_value_t = 250)]
    room: usize,
    /// Messages a second in each room.
    #[arg(long, value_parser = rate, default_value = "1")]
    rate: f64,
    /// A shell command that ends the first conn-node.
    #[arg(long)]
    strike: String,
    /// Protobuf frames instead of JSON.
    #[arg(long)]
    proto: bool,
    /// Users and sessions are kept here for the next run.
    #[arg(long)]
    users_file: Option<PathBuf>,
    /// NAME=PID of a process whose memory is watched; may be given many times.
    #[arg(long = "process")]
    processes: Vec<NamedProcess>,
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

fn encoding(proto: bool) -> Encoding {
    if proto { Encoding::Proto } else { Encoding::Json }
}

impl Common {
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
                encoding: encoding(common.proto),
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
                encoding: encoding(common.proto),
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
        What::Overload(Overload { common, history, factor, calm, processes }) => {
            let plan = OverloadPlan {
                servers: common.servers,
                senders: common.senders,
                encoding: encoding(common.proto),
                users_file: common.users_file,
                history,
                body_bytes: common.body.max(body::BYTES_MIN),
                factor: factor.clamp(0.1, 100.0),
                calm: Duration::from_secs(calm),
                over: Duration::from_secs(common.seconds),
                processes,
                json: common.json,
            };
            overload::overload(plan).await
        }
        What::Reconnect(wanted) => {
            let Reconnect { servers, clients, room, rate, strike, .. } = wanted;
            let plan = ReconnectPlan {
                servers,
                clients,
                room,
                rate,
                encoding: encoding(wanted.proto),
                users_file: wanted.users_file,
                strike,
                processes: wanted.processes,
                json: wanted.json,
            };
            reconnect::reconnect(plan).await
        }
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
