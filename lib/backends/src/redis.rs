//! The way to one Redis, for presence and cursors alike: one multiplexed connection that many calls
//! share, a deadline for each call, and a pause after a failure, so that a Redis that is away costs
//! its callers nothing.

use crate::Unavailable;
use crate::metrics::{REDIS_FAILURES, REDIS_SECONDS};
use deadpool_redis::redis::aio::MultiplexedConnection;
use deadpool_redis::redis::{self, AsyncConnectionConfig, FromRedisValue, Pipeline, RedisError};
use deadpool_redis::{Connection, Manager, Pool};
use metrics::{counter, histogram};
use parking_lot::Mutex;
use std::sync::OnceLock;
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, timeout};
use tracing::{info, warn};

/// Pauses after the first and after many failures in a row.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_MAX: Duration = Duration::from_secs(1);

#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://[user:password@]host:port/database`
    pub url: String,
    /// Before every key, so that several systems can share one Redis.
    pub prefix: String,
    /// How long a read on the way of a message may take.
    pub read_time: Duration,
    /// How long anything else may take.
    pub write_time: Duration,
}

/// Without the URL: it may hold a password.
impl std::fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisSettings").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl RedisSettings {
    pub fn new(url: impl Into<String>) -> RedisSettings {
        RedisSettings {
            url: url.into(),
            prefix: "shardline:".to_owned(),
            read_time: Duration::from_millis(250),
            write_time: Duration::from_secs(1),
        }
    }
}

#[derive(Debug, Error)]
#[error("the Redis URL is not one: {0}")]
pub struct RedisSettingsError(String);

pub(crate) struct Link {
    system: &'static str,
    /// Makes connections; each is taken out and shared, because a pool's own hand-over asks the
    /// server twice per call.
    pool: Pool,
    state: Mutex<State>,
    /// Held while connecting: the others wait for the same connection.
    connecting: tokio::sync::Mutex<()>,
}

#[derive(Default)]
struct State {
    connection: Option<MultiplexedConnection>,
    /// Grows with each connection, so that a late failure does not end its successor.
    generation: u64,
    /// Calls fail at once until then.
    paused_until: Option<Instant>,
    pause: Duration,
}

impl Link {
    pub(crate) fn new(
        system: &'static str,
        settings: &RedisSettings,
    ) -> Result<Link, RedisSettingsError> {
        crate::metrics::describe_all();
        let wrong = |error: &dyn std::fmt::Display| RedisSettingsError(error.to_string());
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(settings.write_time))
            .set_response_timeout(None);
        let manager = Manager::new_with_config(settings.url.as_str(), config)
            .map_err(|error| wrong(&error))?;
        let pool = Pool::builder(manager).max_size(1).build().map_err(|error| wrong(&error))?;
        let connecting = tokio::sync::Mutex::new(());
        Ok(Link { system, pool, state: Mutex::default(), connecting })
    }

    /// Sends the commands in order, in one round trip, and gives up at the deadline; then they may
    /// still be carried out.
    pub(crate) async fn ask<T: FromRedisValue>(
        &self,
        call: &'static str,
        limit: Duration,
        commands: &Pipeline,
    ) -> Result<T, Unavailable> {
        let started = Instant::now();
        let answer = match timeout(limit, self.ask_without_limit(commands)).await {
            Ok(answer) => answer,
            Err(_) => {
                // Also a connection whose other end vanished without a word looks like this.
                self.failed(None, "no answer in time");
                Err(self.unavailable("no answer in time"))
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        histogram!(REDIS_SECONDS, "system" => self.system, "call" => call).record(seconds);
        if answer.is_err() {
            counter!(REDIS_FAILURES, "system" => self.system, "call" => call).increment(1);
        }
        answer
    }

    async fn ask_without_limit<T: FromRedisValue>(
        &self,
        commands: &Pipeline,
    ) -> Result<T, Unavailable> {
        let (generation, mut connection) = self.connection().await?;
        match commands.query_async(&mut connection).await {
            Ok(answer) => {
                self.state.lock().pause = Duration::ZERO;
                Ok(answer)
            }
            Err(error) => {
                if breaks_connection(&error) {
                    self.failed(Some(generation), &error.to_string());
                }
                Err(self.unavailable(error))
            }
        }
    }

    async fn connection(&self) -> Result<(u64, MultiplexedConnection), Unavailable> {
        if let Some(known) = self.known()? {
            return Ok(known);
        }
        let _connecting = self.connecting.lock().await;
        if let Some(known) = self.known()? {
            return Ok(known);
        }
        match self.pool.get().await {
            Ok(pooled) => {
                let connection = Connection::take(pooled);
                let mut state = self.state.lock();
                state.generation += 1;
                state.connection = Some(connection.clone());
                info!(system = self.system, "connected to Redis");
                Ok((state.generation, connection))
            }
            Err(error) => {
                self.failed(None, &error.to_string());
                Err(self.unavailable(error))
            }
        }
    }

    fn known(&self) -> Result<Option<(u64, MultiplexedConnection)>, Unavailable> {
        let state = self.state.lock();
        if state.paused_until.is_some_and(|until| Instant::now() < until) {
            return Err(self.unavailable("it failed a moment ago"));
        }
        Ok(state.connection.clone().map(|connection| (state.generation, connection)))
    }

    /// The connection (of this generation, if given) is not to be used again; no call for a while.
    fn failed(&self, generation: Option<u64>, reason: &str) {
        let mut state = self.state.lock();
        if generation.is_some_and(|generation| generation != state.generation) {
            return;
        }
        if state.connection.take().is_some() || state.pause.is_zero() {
            warn!(system = self.system, reason, "Redis failed");
        }
        state.pause = (state.pause * 2).clamp(PAUSE_FIRST, PAUSE_MAX);
        state.paused_until = Some(Instant::now() + state.pause);
    }

    fn unavailable(&self, reason: impl ToString) -> Unavailable {
        Unavailable { system: self.system, reason: reason.to_string() }
    }
}

/// A server that refuses one command is still there; one that became a replica is the wrong one.
fn breaks_connection(error: &RedisError) -> bool {
    error.is_io_error()
        || error.is_timeout()
        || error.is_connection_dropped()
        || error.is_unrecoverable_error()
        || error.code() == Some("READONLY")
}

/// A script's text and hash.
pub(crate) struct Script {
    text: &'static str,
    hash: OnceLock<String>,
}

impl Script {
    pub(crate) const fn new(text: &'static str) -> Script {
        Script { text, hash: OnceLock::new() }
    }

    fn hash(&self) -> &str {
        self.hash.get_or_init(|| redis::Script::new(self.text).get_hash().to_owned())
    }

    /// Calls of this script, to be added to a pipeline.
    pub(crate) fn calls(&self) -> ScriptCalls<'_> {
        ScriptCalls { script: self, told: false }
    }
}

/// The first call of a pipeline carries the text, which also teaches it to a server that restarted;
/// the others name it by its hash.
pub(crate) struct ScriptCalls<'a> {
    script: &'a Script,
    told: bool,
}

impl ScriptCalls<'_> {
    pub(crate) fn add(&mut self, pipe: &mut Pipeline, keys: &[&str], args: &[&str]) {
        if self.told {
            pipe.cmd("EVALSHA").arg(self.script.hash());
        } else {
            pipe.cmd("EVAL").arg(self.script.text);
            self.told = true;
        }
        pipe.arg(keys.len()).arg(keys).arg(args);
    }
}
