//! `faults moves`, `faults storm` and `faults failover`. Exit code 1: something was lost, or did not come
//! back; 2: it could not run.
#![allow(clippy::print_stderr, clippy::print_stdout)]

use anyhow::{Context, Result, ensure};
use clap::{Args, Parser, Subcommand};
use shardline_faults::cluster::Cluster;
use shardline_faults::course::Field;
use shardline_faults::links::Links;
use shardline_faults::storm::Storm;
use shardline_faults::table::{self, Matrix};
use shardline_faults::{cell, failover, storm};
use std::fmt::Display;
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
    /// One fault after another on every kind of process, and on the servers below.
    Storm(Storming),
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

/// Which faults of a list are played.
#[derive(Args)]
struct Choice {
    /// Only those whose name has this; may be given many times. See --list.
    #[arg(long)]
    only: Vec<String>,
    /// The few that the tests play.
    #[arg(long)]
    short: bool,
    /// Prints the names and ends.
    #[arg(long)]
    list: bool,
    /// Begins no more after so many minutes.
    #[arg(long, default_value_t = 120)]
    minutes: u64,
    /// Of the lengths of pauses; default: random, and shown.
    #[arg(long)]
    seed: Option<u64>,
    /// A document to put the table into.
    #[arg(long)]
    write: Option<PathBuf>,
}

#[derive(Args)]
struct Moves {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    choice: Choice,
    /// How often a cell is tried at most, until it hits.
    #[arg(long, default_value_t = 6)]
    tries: u32,
}

#[derive(Args)]
struct Storming {
    #[command(flatten)]
    place: Place,
    #[command(flatten)]
    choice: Choice,
    /// For how many seconds a server is away that is away for long.
    #[arg(long, default_value_t = 60)]
    away: u64,
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
        What::Moves(moves) => play_moves(moves).await,
        What::Storm(storming) => play_storm(storming).await,
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
        let library = std::env::current_exe()?.with_file_name("libshardline_interpose.so");
        ensure!(library.exists(), "{} is missing: build the workspace", library.display());
        Ok(Cluster { script, folder, settings }.with_lies(library))
    }

    /// A cluster that runs over links.
    async fn start(&self) -> Result<(Cluster, Arc<Links>)> {
        let cluster = self.cluster()?.with_detour();
        let links = Arc::new(Links::open(&cluster).await?);
        cluster.run_aside(&["start"]).await?;
        Ok((cluster, links))
    }
}

impl Choice {
    /// None: they were only to be listed.
    fn choose<F: Display>(&self, all: Vec<F>, short: Vec<F>) -> Option<Vec<F>> {
        let mut chosen = if self.short { short } else { all };
        chosen.retain(|one| {
            let name = one.to_string();
            self.only.is_empty() || self.only.iter().any(|only| name.contains(only.as_str()))
        });
        if self.list {
            chosen.iter().for_each(|one| println!("{one}"));
            return None;
        }
        Some(chosen)
    }
}

/// A run over a list, and its table.
struct Run<'a> {
    command: &'a str,
    choice: &'a Choice,
    seed: u64,
    began: Instant,
}

impl<'a> Run<'a> {
    fn begin(command: &'a str, choice: &'a Choice, count: usize) -> Run<'a> {
        let seed = choice.seed.unwrap_or_else(rand::random);
        eprintln!("{count} faults, --seed {seed}");
        Run { command, choice, seed, began: Instant::now() }
    }

    fn has_time(&self) -> bool {
        self.began.elapsed() < Duration::from_secs(60 * self.choice.minutes)
    }

    fn how(&self) -> String {
        let minutes = self.began.elapsed().as_secs() / 60;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let Run { command, seed, .. } = self;
        format!("`faults {command} --seed {seed}`, {minutes} minutes on {cores} cores.")
    }

    /// After each fault: a run that is interrupted leaves what it found.
    fn write(&self, text: &str) -> Result<()> {
        match &self.choice.write {
            Some(document) => table::write_into(document, self.command, text),
            None => Ok(()),
        }
    }
}

/// Plays a list in its order, each fault on what `enter` made ready; after one that failed it is made
/// ready again.
async fn play<F: Copy + Display, P, O: Display>(
    run: &Run<'_>,
    place: Place,
    faults: Vec<F>,
    enter: impl AsyncFn(&Cluster, &Arc<Links>, PathBuf) -> Result<P>,
    play_one: impl AsyncFn(&mut P, F) -> Result<O>,
    table: impl Fn(&Matrix<O>, &str) -> String,
) -> Result<Matrix<O>> {
    let (cluster, links) = place.start().await?;
    // What failed is kept: those who begin anew record beside it.
    let mut begun = 0;
    let mut recordings = || {
        begun += 1;
        cluster.folder.join(format!("faults/{begun}"))
    };
    let mut ready = enter(&cluster, &links, recordings()).await?;
    let mut matrix = Matrix { left: faults.len(), ..Matrix::default() };
    for fault in faults {
        if !run.has_time() {
            break;
        }
        matrix.left -= 1;
        match play_one(&mut ready, fault).await {
            Ok(outcome) => {
                eprintln!("{outcome}");
                matrix.played.push(outcome);
            }
            Err(error) => {
                eprintln!("{fault}: FAILED: {error:#}");
                matrix.failed.push((fault.to_string(), format!("{error:#}")));
                // Whatever did not come back is started; the next ones are another story.
                links.heal();
                cluster.heal().await?;
                ready = enter(&cluster, &links, recordings()).await?;
            }
        }
        run.write(&table(&matrix, &run.how()))?;
    }
    println!("{}", table(&matrix, &run.how()));
    cluster.run_aside(&["stop"]).await?;
    Ok(matrix)
}

async fn play_moves(moves: Moves) -> Result<bool> {
    let Moves { place, choice, tries } = moves;
    let Some(cells) = choice.choose(cell::all(), cell::short()) else { return Ok(true) };
    let run = Run::begin("moves", &choice, cells.len());
    let enter = async |cluster: &Cluster, links: &Arc<Links>, recordings| {
        Field::enter(cluster.clone(), links.clone(), recordings, run.seed).await
    };
    let play_one = async |field: &mut Field, cell| field.play(cell, tries).await;
    let matrix = play(&run, place, cells, enter, play_one, Matrix::of_moves).await?;
    Ok(matrix.failed.is_empty() && matrix.played.iter().all(|outcome| 0 < outcome.hits))
}

async fn play_storm(storming: Storming) -> Result<bool> {
    let Storming { place, choice, away } = storming;
    let Some(faults) = choice.choose(storm::all(), storm::short()) else { return Ok(true) };
    let run = Run::begin("storm", &choice, faults.len());
    let away = Duration::from_secs(away);
    let enter = async |cluster: &Cluster, links: &Arc<Links>, recordings| {
        Storm::enter(cluster.clone(), links.clone(), recordings, run.seed, away).await
    };
    let play_one = async |storm: &mut Storm, fault| storm.play(fault).await;
    let matrix = play(&run, place, faults, enter, play_one, Matrix::of_storm).await?;
    Ok(matrix.failed.is_empty())
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
