//! The course of a process from its settings to its end, the same for all of ours.
//!
//! ```no_run
//! use shardline_daemon::config::Settings;
//! use shardline_daemon::process;
//! use std::net::SocketAddr;
//! use std::process::ExitCode;
//!
//! struct Config {
//!     listen: SocketAddr,
//! }
//!
//! fn main() -> ExitCode {
//!     let read = |settings: &mut Settings| Config {
//!         listen: settings.required("listen", "where conn-nodes and shard-nodes connect"),
//!     };
//!     process::main("router", read, |config, process| async move {
//!         let token = process.lifecycle.token();
//!         process.lifecycle.run("something long", async move { token.cancelled().await });
//!         process.health.part("catalog").ready();
//!         tracing::info!(listen = %config.listen, "started");
//!         Ok(())
//!     })
//! }
//! ```

use crate::clock::Stopwatch;
use crate::config::{Settings, SettingsError, Span};
use crate::health::Health;
use crate::lifecycle::{Lifecycle, stop_signal};
use crate::telemetry::{self, TelemetrySettings};
use std::future::Future;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::ExitCode;
use std::time::Duration;
use tracing::{error, info, warn};

/// The settings were wrong (EX_USAGE of sysexits).
const EXIT_SETTINGS: u8 = 64;
/// Something failed while starting, running or stopping.
const EXIT_FAILED: u8 = 1;
/// What remains after the deadline of stopping gets this long to be dropped.
const LAST_GRACE: Duration = Duration::from_secs(1);

/// What a process's start is given. Services take the two parts, never this whole: several can live
/// in one process, with one ops address.
#[derive(Clone, Debug)]
pub struct Process {
    pub lifecycle: Lifecycle,
    pub health: Health,
}

/// Settings every process has.
#[derive(Debug)]
struct Common {
    telemetry: TelemetrySettings,
    ops_listen: Option<SocketAddr>,
    stop_delay: Span,
    stop_time: Span,
    worker_threads: usize,
}

impl Common {
    fn read(settings: &mut Settings) -> Common {
        Common {
            telemetry: TelemetrySettings::read(settings),
            ops_listen: settings.optional("ops-listen", "address of /healthz, /readyz, /metrics"),
            stop_delay: settings.or(
                "stop-delay",
                Duration::ZERO.into(),
                "from not ready to stopping, so that a balancer notices",
            ),
            stop_time: settings.or(
                "stop-time",
                Duration::from_secs(20).into(),
                "how long tasks may take to stop",
            ),
            worker_threads: settings.or("worker-threads", 0, "0: one a core"),
        }
    }
}

/// Runs a process: reads its settings (all mistakes are printed, exit code 64), starts logs,
/// metrics, the runtime and the ops server, awaits `start`, then a stop signal or a failure, and
/// stops: not ready first, then the tasks of `process.lifecycle`, the ops server last. A second
/// signal ends it at once.
///
/// `start` returns when the process does its work; what goes on belongs to the lifecycle. Services
/// that must stop in an order use [`Lifecycle::child`]s and one task that stops them in turn.
pub fn main<C, F>(
    name: &'static str,
    read: impl FnOnce(&mut Settings) -> C,
    start: impl FnOnce(C, Process) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    main_with(name, Settings::from_process(name), read, start)
}

/// As [`main`], with settings from elsewhere than the process.
pub fn main_with<C, F>(
    name: &'static str,
    mut settings: Settings,
    read: impl FnOnce(&mut Settings) -> C,
    start: impl FnOnce(C, Process) -> F,
) -> ExitCode
where
    F: Future<Output = anyhow::Result<()>>,
{
    let common = Common::read(&mut settings);
    let config = read(&mut settings);
    if let Err(error) = settings.finish() {
        return explain(name, &error);
    }
    if let Err(error) = telemetry::init(&common.telemetry) {
        return print_failure(name, &error);
    }
    let mut runtime = tokio::runtime::Builder::new_multi_thread();
    runtime.enable_all().thread_name(name);
    if 0 < common.worker_threads {
        runtime.worker_threads(common.worker_threads);
    }
    let runtime = match runtime.build() {
        Ok(runtime) => runtime,
        Err(error) => return print_failure(name, &error),
    };
    let ended = runtime.block_on(live(name, &common, |process| start(config, process)));
    // A blocking call that never returns must not keep a stopped process.
    runtime.shutdown_timeout(LAST_GRACE);
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            error!(process = name, reason = format!("{error:#}"), "ended by a failure");
            ExitCode::from(EXIT_FAILED)
        }
    }
}

async fn live<F>(
    name: &'static str,
    common: &Common,
    start: impl FnOnce(Process) -> F,
) -> anyhow::Result<()>
where
    F: Future<Output = anyhow::Result<()>>,
{
    let mut stop = pin!(stop_signal());
    let process = Process { lifecycle: Lifecycle::new(), health: Health::new() };
    let whole = process.health.part("process");
    let ops = process.lifecycle.child();
    if let Some(listen) = common.ops_listen {
        let address = process.health.serve(listen, &ops).await?;
        info!(%address, "ops server listens");
    }

    let mut outcome = tokio::select! {
        started = start(process.clone()) => started,
        () = &mut stop => {
            info!(process = name, "asked to stop while starting");
            return finish(&process, &ops, common).await;
        }
        reason = process.lifecycle.failed() => Err(anyhow::Error::msg(reason)),
    };
    if outcome.is_ok() {
        whole.ready();
        info!(process = name, version = env!("CARGO_PKG_VERSION"), "started");
        tokio::select! {
            () = stop => info!(process = name, "asked to stop"),
            reason = process.lifecycle.failed() => outcome = Err(anyhow::Error::msg(reason)),
        }
    }
    let finished = finish(&process, &ops, common).await;
    outcome.and(finished)
}

async fn finish(process: &Process, ops: &Lifecycle, common: &Common) -> anyhow::Result<()> {
    let again = stop_signal();
    let stopping = Stopwatch::start();
    let in_order = async {
        process.health.stopping();
        if process.lifecycle.failure().is_none() {
            tokio::time::sleep(common.stop_delay.get()).await;
        }
        let finished = process.lifecycle.finish(common.stop_time.get()).await;
        // A scraper may be in the middle of a page; nothing of value is lost by leaving.
        ops.finish(LAST_GRACE).await;
        finished
    };
    let finished = tokio::select! {
        finished = in_order => finished,
        () = again => false,
    };
    if !finished {
        warn!(seconds = stopping.seconds(), "left with tasks that had not ended");
        anyhow::bail!("tasks were still running when the process left");
    }
    info!(seconds = stopping.seconds(), "stopped");
    match process.lifecycle.failure() {
        Some(reason) => Err(anyhow::Error::msg(reason)),
        None => Ok(()),
    }
}

#[expect(clippy::print_stdout, clippy::print_stderr, reason = "there is no log yet")]
fn explain(name: &str, error: &SettingsError) -> ExitCode {
    match error {
        SettingsError::Asked(text) => {
            print!("{text}");
            ExitCode::SUCCESS
        }
        SettingsError::Wrong(problems) => {
            for problem in problems {
                eprintln!("{name}: {problem}");
            }
            eprintln!("{name}: --help lists all settings");
            ExitCode::from(EXIT_SETTINGS)
        }
    }
}

#[expect(clippy::print_stderr, reason = "there is no log yet")]
fn print_failure(name: &str, error: &dyn std::error::Error) -> ExitCode {
    eprintln!("{name}: {error}");
    ExitCode::from(EXIT_FAILED)
}
