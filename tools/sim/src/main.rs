//! `sim`: one run from a seed, or many. Exit code 1: a run was not as promised; 2: it could not run.
#![allow(clippy::print_stderr, clippy::print_stdout)]

use anyhow::{Context, Result, bail};
use clap::Parser;
use rand::SeedableRng;
use rand::rngs::StdRng;
use shardline_faults::people::Recording;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tracing_subscriber::EnvFilter;

#[derive(Parser)]
#[command(about = "The whole cluster in one thread, in virtual time, from a seed", version)]
struct Arguments {
    /// The run's; with --runs the first one's.
    #[arg(long, env = "SEED", default_value_t = 1)]
    seed: u64,
    /// So many seeds, each in a process of its own, as many at once as there are cores.
    #[arg(long)]
    runs: Option<u64>,
    /// How long things go wrong, in seconds of virtual time.
    #[arg(long, default_value_t = 30)]
    storm: u64,
    /// Where recordings of runs go that were not as promised.
    #[arg(long, default_value = "target/sim")]
    folder: PathBuf,
    /// What the processes log, as `RUST_LOG` would say it.
    #[arg(long)]
    log: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let fine = match arguments.runs {
        Some(runs) => many(&arguments, runs),
        None => one(&arguments),
    };
    match fine {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::from(1),
        Err(error) => {
            eprintln!("sim: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// A thread that has drawn nothing yet: whatever the process drew before is not of the seed.
fn one(arguments: &Arguments) -> Result<bool> {
    let Arguments { seed, storm, .. } = *arguments;
    if let Some(filter) = &arguments.log {
        let filter = EnvFilter::try_new(filter).context("--log")?;
        tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
    }
    let panicked = note_panics();
    mad_turmoil::rand::set_rng(StdRng::seed_from_u64(seed));
    let running = std::thread::spawn(move || {
        let _clocks = mad_turmoil::time::SimClocksGuard::init();
        shardline_sim::run(seed, Duration::from_secs(storm))
    });
    let Ok(outcome) = running.join() else { bail!("seed {seed}: the simulation panicked") };
    let outcome = outcome.with_context(|| format!("seed {seed}"))?;
    if panicked.load(Ordering::Relaxed) {
        bail!("seed {seed}: a process panicked");
    }
    let (played, is_fine) = (&outcome.played, outcome.played.verdict.holds());
    println!(
        "seed {seed}: {} sends, {} failed, {} faults, {} moves, {:.1} s of virtual time",
        played.sends,
        played.failed,
        outcome.faults,
        outcome.moves,
        outcome.lasted.as_secs_f64()
    );
    if !is_fine {
        std::fs::create_dir_all(&arguments.folder)?;
        let path = arguments.folder.join(format!("seed-{seed}.jsonl"));
        if let Recording::Memory(text) = &played.recording {
            std::fs::write(&path, text).with_context(|| path.display().to_string())?;
        }
        println!("{}\n{}\n{}", outcome.deeds, path.display(), played.verdict);
    }
    println!("digest {}", outcome.digest);
    Ok(is_fine)
}

/// A process that panicked is started again, as any that ended; that must not hide it.
fn note_panics() -> Arc<AtomicBool> {
    let panicked = Arc::new(AtomicBool::new(false));
    let (noted, tell) = (panicked.clone(), std::panic::take_hook());
    std::panic::set_hook(Box::new(move |panic| {
        noted.store(true, Ordering::Relaxed);
        tell(panic);
    }));
    panicked
}

fn many(arguments: &Arguments, runs: u64) -> Result<bool> {
    let last = arguments.seed.checked_add(runs).context("--runs")?;
    let next = AtomicU64::new(arguments.seed);
    let bad = Mutex::new(Vec::new());
    let jobs = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
    let play = || -> Result<()> {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if last <= seed {
                return Ok(());
            }
            let output = Command::new(std::env::current_exe()?)
                .args(["--seed", &seed.to_string(), "--storm", &arguments.storm.to_string()])
                .arg("--folder")
                .arg(&arguments.folder)
                .output()?;
            let mut bad = bad.lock().unwrap_or_else(PoisonError::into_inner);
            print!("{}", String::from_utf8_lossy(&output.stdout));
            if !output.status.success() {
                eprint!("{}", String::from_utf8_lossy(&output.stderr));
                bad.push(seed);
            }
        }
    };
    std::thread::scope(|scope| {
        let players: Vec<_> = (0..jobs).map(|_| scope.spawn(play)).collect();
        players.into_iter().try_for_each(|player| match player.join() {
            Ok(played) => played,
            Err(_) => bail!("a player panicked"),
        })
    })?;
    let mut bad = bad.into_inner().unwrap_or_else(PoisonError::into_inner);
    bad.sort_unstable();
    println!("{runs} seeds, not as promised: {bad:?}");
    Ok(bad.is_empty())
}
