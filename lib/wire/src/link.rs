//! The network form of the conversations: one gRPC stream each way per pair of processes, carrying
//! batches of what gathered while the last batch was written.
//!
//! A stream that breaks answers what was in flight with `unknown` and is opened anew with backoff.
//! A call that a peer never answers is answered in its place after its time. Whatever waits on a
//! stream is bounded in number and in bytes; beyond that calls are refused and pushes are lost, of
//! which the conn-node is told (`Behind`).
//! Services know each other by a shared secret in the metadata of every stream and call, and by
//! certificates where they do not talk on loopback.

mod admin;
mod answers;
mod catalog;
mod checks;
mod inspect;
mod keeper;
mod moves;
mod operations;
mod outbox;
mod pending;
mod router_client;
mod router_server;
mod secret;
mod shard_client;
mod shard_server;
mod tls;
mod trust;

pub use admin::AdminServer;
pub use catalog::{CatalogClient, CatalogServer};
pub use checks::CheckServer;
pub use inspect::{InspectLinks, InspectServer};
pub use moves::{MoveLinks, MoveServer};
pub use operations::OperationsServer;
pub use router_client::RouterLinks;
pub use router_server::RouterServer;
pub use secret::Secret;
pub use shard_client::ShardLinks;
pub use shard_server::ShardServer;
pub use tls::{TLS_NAME, Tls, TlsError};
pub use trust::{Trust, TrustError};

use std::future::Future;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tonic::transport::Endpoint;

/// A batch of the largest pages fits; anything larger is a defect, not a message.
const MESSAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Batches written but not yet taken by the network; more only adds delay.
const BATCHES_IN_FLIGHT: usize = 4;
const CONNECT_TIME_MAX: Duration = Duration::from_secs(2);
/// A peer that is silent for this long (half-open connection) is given up.
const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);
const KEEPALIVE_TIME_MAX: Duration = Duration::from_secs(3);
const RECONNECT_FIRST: Duration = Duration::from_millis(20);
const RECONNECT_MAX: Duration = Duration::from_secs(1);

/// How to reach `address` ("host:port").
fn endpoint(scheme: &str, address: &str) -> Result<Endpoint, tonic::transport::Error> {
    Ok(Endpoint::from_shared(format!("{scheme}://{address}"))?
        .connect_timeout(CONNECT_TIME_MAX)
        .tcp_nodelay(true)
        .http2_keep_alive_interval(KEEPALIVE_EVERY)
        .keep_alive_timeout(KEEPALIVE_TIME_MAX)
        .keep_alive_while_idle(true)
        .initial_stream_window_size(4 * 1024 * 1024)
        .initial_connection_window_size(8 * 1024 * 1024))
}

/// With the same keepalive as the clients.
fn server() -> tonic::transport::Server {
    tonic::transport::Server::builder()
        .tcp_nodelay(true)
        .http2_keepalive_interval(Some(KEEPALIVE_EVERY))
        .http2_keepalive_timeout(Some(KEEPALIVE_TIME_MAX))
        .initial_stream_window_size(4 * 1024 * 1024)
        .initial_connection_window_size(8 * 1024 * 1024)
}

/// Doubles from `RECONNECT_FIRST` to `RECONNECT_MAX`. Not jittered: a process has few peers.
fn next_delay(delay: Duration) -> Duration {
    (delay * 2).min(RECONNECT_MAX)
}

/// Runs a stream's work until it ends or `stop` is cancelled. Streams are many and short-lived, and
/// their errors end with them, so they are not named tasks of the process.
#[allow(clippy::disallowed_methods)]
fn spawn(stop: CancellationToken, work: impl Future<Output = ()> + Send + 'static) {
    tokio::spawn(async move {
        tokio::select! {
            () = stop.cancelled() => {}
            () = work => {}
        }
    });
}
