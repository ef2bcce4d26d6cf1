//! /healthz, /readyz and /metrics of a process. Ready means: every part said so, and it is not
//! stopping. Healthy means only that the process answers; what is down outside is not its illness.

use crate::lifecycle::Lifecycle;
use crate::{metrics, telemetry};
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use std::borrow::Cow;
use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;
use tokio::net::TcpListener;
use tracing::info;

/// How often samples of histograms are folded into their buckets.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// What the parts of a process say about themselves; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health {
    state: Arc<Mutex<State>>,
}

#[derive(Debug, Default)]
struct State {
    parts: Vec<Part>,
    stopping: bool,
    included: Vec<Weak<Mutex<State>>>,
}

#[derive(Debug)]
struct Part {
    name: Cow<'static, str>,
    /// None: ready.
    waits_for: Option<String>,
}

/// One part's word on whether it is ready.
#[derive(Clone, Debug)]
pub struct ReadyFlag {
    health: Health,
    index: usize,
}

/// Only starts wait for it, so looking is simpler than being told.
const READY_LOOK_EVERY: std::time::Duration = std::time::Duration::from_millis(10);

impl Health {
    pub fn new() -> Health {
        Health::default()
    }

    /// A part that is not ready until it says so.
    pub fn part(&self, name: impl Into<Cow<'static, str>>) -> ReadyFlag {
        let name = name.into();
        self.with(|state| {
            state.parts.push(Part { name, waits_for: Some("starting".to_owned()) });
            ReadyFlag { health: self.clone(), index: state.parts.len() - 1 }
        })
    }

    /// The parts of `other` count here, too, until nobody has it or one of its flags any more: for what
    /// comes and goes while the process runs. It must not include this one.
    pub fn include(&self, other: &Health) {
        self.with(|state| {
            state.included.retain(|included| 0 < included.strong_count());
            state.included.push(Arc::downgrade(&other.state));
        });
    }

    /// From now on not ready, whatever the parts say: nobody shall send more work.
    pub fn stopping(&self) {
        self.with(|state| state.stopping = true);
    }

    pub fn is_ready(&self) -> bool {
        let is_ready = self.with(|state| {
            !state.stopping && state.parts.iter().all(|part| part.waits_for.is_none())
        });
        is_ready && self.included().iter().all(Health::is_ready)
    }

    /// Returns once every part is ready.
    pub async fn until_ready(&self) {
        while !self.is_ready() {
            tokio::time::sleep(READY_LOOK_EVERY).await;
        }
    }

    /// One line a part: `catalog: ready`, `bus: waiting for 127.0.0.1:9092`.
    pub fn report(&self) -> String {
        let mut report = self.with(|state| {
            let mut report = String::new();
            if state.stopping {
                report.push_str("process: stopping\n");
            }
            for part in &state.parts {
                let words = part.waits_for.as_deref().unwrap_or("ready");
                writeln!(report, "{}: {words}", part.name).expect("a string takes all");
            }
            report
        });
        report.extend(self.included().iter().map(Health::report));
        report
    }

    /// Looked at without the lock of this one.
    fn included(&self) -> Vec<Health> {
        let alive =
            |included: &Weak<Mutex<State>>| included.upgrade().map(|state| Health { state });
        self.with(|state| state.included.iter().filter_map(alive).collect())
    }

    /// Serves until the lifecycle stops. The lifecycle should be one that stops last, so that a
    /// stopping process still answers.
    ///
    /// # Errors
    /// If the address cannot be listened on.
    pub async fn serve(&self, listen: SocketAddr, lifecycle: &Lifecycle) -> io::Result<SocketAddr> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let health = self.clone();
        let routes = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(move || readyz(health)))
            .route("/metrics", get(metrics_page));
        let token = lifecycle.token();
        lifecycle.run("ops server", async move {
            // Not graceful: a scraper's idle connection must not hold the process.
            tokio::select! {
                ended = axum::serve(listener, routes) => {
                    info!(?ended, "the ops server ended");
                }
                () = token.cancelled() => {}
            }
        });
        let token = lifecycle.token();
        lifecycle.run("metrics upkeep", async move {
            while tokio::time::timeout(UPKEEP_EVERY, token.cancelled()).await.is_err() {
                telemetry::upkeep();
            }
        });
        Ok(address)
    }

    fn with<T>(&self, look: impl FnOnce(&mut State) -> T) -> T {
        // Nothing under the lock can panic half-way, so a poisoned state is still whole.
        look(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl ReadyFlag {
    pub fn ready(&self) {
        self.set(None);
    }

    /// Lower case, no full stop: `waiting for the catalog at 127.0.0.1:3306`.
    pub fn not_ready(&self, waits_for: impl Into<String>) {
        self.set(Some(waits_for.into()));
    }

    fn set(&self, waits_for: Option<String>) {
        let index = self.index;
        let (name, changed) = self.health.with(|state| {
            let part = &mut state.parts[index];
            let changed = part.waits_for != waits_for;
            part.waits_for.clone_from(&waits_for);
            (part.name.clone(), changed)
        });
        if changed {
            match waits_for {
                None => info!(part = &*name, "ready"),
                Some(waits_for) => info!(part = &*name, waits_for, "not ready"),
            }
        }
    }
}

async fn readyz(health: Health) -> impl IntoResponse {
    let status = if health.is_ready() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (status, health.report())
}

async fn metrics_page() -> impl IntoResponse {
    metrics::sample_process();
    let form = [(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")];
    match telemetry::render_metrics() {
        Some(text) => (StatusCode::OK, form, text),
        None => (StatusCode::SERVICE_UNAVAILABLE, form, "# no recorder installed\n".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpStream;

    #[test]
    fn ready_means_that_every_part_said_so() {
        let health = Health::new();
        assert!(health.is_ready());
        let (catalog, bus) = (health.part("catalog"), health.part("bus"));
        catalog.ready();
        bus.not_ready("waiting for a broker");
        assert!(!health.is_ready());
        assert_eq!(health.report(), "catalog: ready\nbus: waiting for a broker\n");
        bus.ready();
        assert!(health.is_ready());
    }

    #[test]
    fn a_stopping_process_is_not_ready() {
        let health = Health::new();
        let part = health.part("catalog");
        health.stopping();
        part.ready();
        assert!(!health.is_ready());
        assert_eq!(health.report(), "process: stopping\ncatalog: ready\n");
    }

    #[test]
    fn what_was_included_counts_until_nobody_has_it() {
        let health = Health::new();
        health.part("catalog").ready();
        let shard = Health::new();
        let writer = shard.part("writer of shard 2");
        health.include(&shard);
        writer.not_ready("waiting for the catalog");
        assert!(!health.is_ready());
        let report = "catalog: ready\nwriter of shard 2: waiting for the catalog\n";
        assert_eq!(health.report(), report);
        writer.ready();
        assert!(health.is_ready());
        writer.not_ready("stopping");
        drop(shard);
        assert!(!health.is_ready(), "the part itself is still there");
        drop(writer);
        assert!(health.is_ready());
        assert_eq!(health.report(), "catalog: ready\n");
    }

    async fn get(address: SocketAddr, path: &str) -> String {
        let mut stream = TcpStream::connect(address).await.expect("the server listens");
        let request = format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.expect("the server answers");
        answer
    }

    #[tokio::test]
    async fn the_pages_are_served_until_the_lifecycle_stops() {
        let (health, lifecycle) = (Health::new(), Lifecycle::new());
        let part = health.part("catalog");
        let listen = "127.0.0.1:0".parse().expect("an address");
        let address = health.serve(listen, &lifecycle).await.expect("a free port");
        assert!(get(address, "/healthz").await.starts_with("HTTP/1.1 200"));
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 503"));
        part.ready();
        assert!(get(address, "/readyz").await.starts_with("HTTP/1.1 200"));
        assert!(lifecycle.finish(Duration::from_secs(5)).await);
        assert!(TcpStream::connect(address).await.is_err());
    }
}
