//! Logs and metrics of a process: how lines look in each profile, and the recorder behind /metrics.

use crate::config::{Setting, Settings};
use crate::metrics::BUILD;
use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle};
use std::sync::OnceLock;
use thiserror::Error;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

/// Where a process runs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Profile {
    /// At a desk: short human lines.
    Local,
    /// A test cluster: human lines with where each comes from.
    Dev,
    /// JSON, one object a line.
    Prod,
}

impl Setting for Profile {
    fn parse(text: &str) -> Result<Profile, String> {
        match text {
            "local" => Ok(Profile::Local),
            "dev" => Ok(Profile::Dev),
            "prod" => Ok(Profile::Prod),
            _ => Err(format!("`{text}` is none of local, dev, prod")),
        }
    }

    fn show(&self) -> String {
        let name = match self {
            Profile::Local => "local",
            Profile::Dev => "dev",
            Profile::Prod => "prod",
        };
        name.to_owned()
    }

    fn placeholder() -> Profile {
        Profile::Local
    }
}

#[derive(Clone, Debug)]
pub struct TelemetrySettings {
    pub profile: Profile,
    /// Levels, for example `info,shardline_router=debug`.
    pub filter: String,
}

impl TelemetrySettings {
    pub fn read(settings: &mut Settings) -> TelemetrySettings {
        let filter = "info,rdkafka=warn,librdkafka=warn,h2=warn,hyper=warn".to_owned();
        let telemetry = TelemetrySettings {
            profile: settings.or("profile", Profile::Local, "local, dev or prod: how logs look"),
            filter: settings.or(
                "log",
                filter,
                "log levels: LEVEL or TARGET=LEVEL, comma-separated",
            ),
        };
        if let Err(error) = EnvFilter::try_new(&telemetry.filter) {
            settings.problem("log", error.to_string());
        }
        telemetry
    }
}

#[derive(Debug, Error)]
pub enum TelemetryError {
    #[error("the log levels are wrong: {0}")]
    Filter(#[from] tracing_subscriber::filter::ParseError),
    #[error("this process already has a log: {0}")]
    Log(#[from] tracing_subscriber::util::TryInitError),
    #[error("this process already has metrics, or their buckets are wrong: {0}")]
    Metrics(#[from] metrics_exporter_prometheus::BuildError),
}

static METRICS: OnceLock<PrometheusHandle> = OnceLock::new();

/// Once per process: logs to standard error, metrics to a recorder, panics as ERROR lines.
pub fn init(settings: &TelemetrySettings) -> Result<(), TelemetryError> {
    let filter = EnvFilter::try_new(&settings.filter)?;
    let lines = tracing_subscriber::fmt::layer().with_writer(std::io::stderr);
    let registry = tracing_subscriber::registry().with(filter);
    match settings.profile {
        Profile::Local => registry.with(lines.compact().with_target(false)).try_init()?,
        Profile::Dev => registry.with(lines.with_file(true).with_line_number(true)).try_init()?,
        Profile::Prod => {
            registry.with(lines.json().flatten_event(true).with_current_span(true)).try_init()?;
        }
    }
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let text = panic.payload_as_str().unwrap_or("");
        tracing::error!(place, text, "panic");
    }));

    let handle = recorder()?.install_recorder()?;
    METRICS.get_or_init(|| handle);
    crate::metrics::describe_all();
    metrics::gauge!(BUILD, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    Ok(())
}

/// What /metrics answers; none before [`init`].
pub(crate) fn render_metrics() -> Option<String> {
    METRICS.get().map(PrometheusHandle::render)
}

/// To be called every few seconds, or samples pile up while nobody scrapes.
pub(crate) fn upkeep() {
    if let Some(handle) = METRICS.get() {
        handle.run_upkeep();
    }
}

/// Seconds from fifty microseconds to ten seconds.
const SECONDS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];
const BYTES: [f64; 9] =
    [64.0, 256.0, 1024.0, 4096.0, 16_384.0, 65_536.0, 262_144.0, 1_048_576.0, 4_194_304.0];
/// Sizes of batches and the like.
const COUNTS: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

fn recorder() -> Result<PrometheusBuilder, metrics_exporter_prometheus::BuildError> {
    PrometheusBuilder::new()
        .set_buckets(&COUNTS)?
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_bytes".to_owned()), &BYTES)
}
