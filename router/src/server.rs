//! A router's network face: one port for conn-nodes, shard-nodes and shardctl, or one for shardctl alone.

use shardline_wire::admin::{AdminApi, Operations};
use shardline_wire::call::{Catalog, RouterAccept};
use shardline_wire::checks::Checks;
use shardline_wire::link::{
    AdminServer, CatalogServer, CheckServer, OperationsServer, RouterServer, Secret, Trust,
};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::{Connected, TcpIncoming};
use tracing::warn;

/// Calls of shard-nodes may be in their last moments when the streams have ended.
const GRACE: Duration = Duration::from_secs(1);

/// What the port offers.
pub struct Services {
    pub router: Arc<dyn RouterAccept>,
    pub catalog: Arc<dyn Catalog>,
    pub operators: ForOperators,
    pub trust: Trust,
}

/// What operators ask and change.
pub struct ForOperators {
    pub admin: Arc<dyn AdminApi>,
    pub operations: Arc<dyn Operations>,
    pub checks: Arc<dyn Checks>,
    /// Theirs.
    pub secret: Secret,
}

/// Serves connections as they come in until `stop`, then ends the streams and lets calls finish for a
/// moment.
pub async fn serve<C>(
    incoming: impl Stream<Item = io::Result<C>>,
    services: Services,
    stop: CancellationToken,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let Services { router, catalog, operators, trust } = services;
    let ForOperators { admin, operations, checks, secret } = operators;
    let serving = trust
        .server()
        .map_err(io::Error::other)?
        .add_service(RouterServer::service(router, &trust, stop.clone()))
        .add_service(CatalogServer::service(catalog, &trust))
        .add_service(AdminServer::service(admin, &Trust::new(secret.clone(), None)))
        .add_service(OperationsServer::service(operations, &secret))
        .add_service(CheckServer::service(checks, &secret))
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    until_overdue(serving, stop).await
}

/// For operators alone, until `stop`; then their calls may finish for a moment. Nothing is encrypted.
pub async fn serve_operators(
    listener: TcpListener,
    operators: ForOperators,
    stop: CancellationToken,
) -> io::Result<()> {
    let ForOperators { admin, operations, checks, secret } = operators;
    let trust = Trust::new(secret, None);
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = trust
        .server()
        .map_err(io::Error::other)?
        .add_service(AdminServer::service(admin, &trust))
        .add_service(OperationsServer::service(operations, trust.secret()))
        .add_service(CheckServer::service(checks, trust.secret()))
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
    until_overdue(serving, stop).await
}

async fn until_overdue(
    serving: impl Future<Output = Result<(), tonic::transport::Error>>,
    stop: CancellationToken,
) -> io::Result<()> {
    let overdue = async {
        stop.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving => served.map_err(io::Error::other),
        () = overdue => {
            warn!("connections that did not end in time are dropped");
            Ok(())
        }
    }
}
