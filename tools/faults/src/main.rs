//! `faults moves` and `faults failover`. Exit code 1: something was lost, or did not come back; 2: it
//! could not run.
#![allow(clippy::print_stderr, clippy::print_stdout)]

use anyhow::{Context, Result};
use clap::{Args, Parser, Subcommand};
use shardline_faults::cell::{self, Cell};
use shardline_faults::cluster::Cluster;
use shardline_faults::course::Field;
use shardline_faults::failover;
use shardline_faults::links::Links;
use shardline_faults::table::{self, Matrix};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

#[derive(Parser)]
#[command(about = "Faults on a local cluster, and what they leave", version)]
struct Command {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// Faults at each phase of moves.
    Moves(Moves),
    /// A shard's writer dies, again and again; its standby goes on.
    Failover(Failover),
}

#[derive(Args)]
struct Place {
    /// The script that starts and stops the cluster; the settings of that script are taken from the
    /// environment.
    #[arg(long, default_value = "deploy/local/cluster.sh")]
    script: PathBuf,
    /// Where the cluster keeps its data.
    #[arg(long, env = "SHARDLINE_CLUSTER", default_value = "target/cluster")]
    folder: PathBuf,
}

#[derive(Args)]
struct Moves {
    #[command(flatten)]
    place: Place,
    /// Only cells whose name has this; may be given many times. See --list.
    #[arg(long)]
    only: Vec<String>,
    /// The few that the tests play.
    #[arg(long)]
    short: bool,
    /// Prints the names of the cells and ends.
    #[arg(long)]
    list: bool,
    /// Begins no more cells after so many minutes.
    #[arg(long, default_value_t = 120)]
    minutes: u64,
    /// How often a cell is tried at most, until it hits.
    #[arg(long, default_value_t = 6)]
    tries: u32,
    /// Of the lengths of pauses; default: random, and shown.
    #[arg(long)]
    seed: Option<u64>,
    /// A document to put the table into.
    #[arg(long)]
    write: Option<PathBuf>,
}

#[derive(Args)]
struct Failover {
    #[command(flatten)]
    place: Place,
    #[arg(long, default_value_t = 5)]
    times: u32,
}

#[tokio::main]
async fn main() -> ExitCode {
    let fine = match Command::parse().what {
        What::Moves(moves) => play(moves).await,
        What::Failover(failover) => fail_over(failover).await,
    };
    match fine {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("faults: {error:#}");
            ExitCode::from(2)
        }
    }
}

impl Place {
    fn cluster(&self) -> Result<Cluster> {
        let script = self.script.canonicalize();
        let script = script.with_context(|| self.script.display().to_string())?;
        let folder = std::path::absolute(&self.folder)?;
        let settings = vec![("SECOND_DATABASE".to_owned(), "yes".into())];
        Ok(Cluster { script, folder, settings })
    }
}

async fn play(moves: Moves) -> Result<bool> {
    let cells = if moves.short { cell::short() } else { cell::all() };
    let wanted = |cell: &Cell| {
        let name = cell.to_string();
        moves.only.is_empty() || moves.only.iter().any(|only| name.contains(only.as_str()))
    };
    let cells: Vec<Cell> = cells.into_iter().filter(wanted).collect();
    if moves.list {
        cells.iter().for_each(|cell| println!("{cell}"));
        return Ok(true);
    }
    let seed = moves.seed.unwrap_or_else(rand::random);
    eprintln!("{} cells, --seed {seed}", cells.len());
    let cluster = moves.place.cluster()?.with_detour();
    let links = Arc::new(Links::open(&cluster).await?);
    cluster.run_aside(&["start"]).await?;
    let recordings = cluster.folder.join("faults");
    let enter = || Field::enter(cluster.clone(), links.clone(), recordings.clone(), seed);
    let mut field = enter().await?;
    let began = Instant::now();
    let mut matrix = Matrix { left: cells.len(), ..Matrix::default() };
    for cell in cells {
        if Duration::from_secs(60 * moves.minutes) <= began.elapsed() {
            break;
        }
        matrix.left -= 1;
        match field.play(cell, moves.tries).await {
            Ok(outcome) => {
                eprintln!("{outcome}");
                matrix.played.push(outcome);
            }
            Err(error) => {
                eprintln!("{cell}: FAILED: {error:#}");
                matrix.failed.push((cell.to_string(), format!("{error:#}")));
                // Whatever did not come back is started; the next cells are another story.
                links.heal();
                cluster.heal().await?;
                field = enter().await?;
            }
        }
        // After each: a run that is interrupted leaves what it found.
        if let Some(document) = &moves.write {
            table::write_into(document, &matrix.markdown(&how(seed, began)))?;
        }
    }
    println!("{}", matrix.markdown(&how(seed, began)));
    cluster.run_aside(&["stop"]).await?;
    Ok(matrix.failed.is_empty() && matrix.played.iter().all(|outcome| 0 < outcome.hits))
}

fn how(seed: u64, began: Instant) -> String {
    let minutes = began.elapsed().as_secs() / 60;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    format!("`faults moves --seed {seed}`, {minutes} minutes on {cores} cores.")
}

async fn fail_over(failover: Failover) -> Result<bool> {
    let cluster = failover.place.cluster()?;
    cluster.run_aside(&["start"]).await?;
    let recordings = cluster.folder.join("faults");
    let figures = failover::play(&cluster, &recordings, failover.times).await?;
    println!("{figures}");
    cluster.run_aside(&["stop"]).await?;
    Ok(true)
}
