//! A router's network face: one port for conn-nodes, shard-nodes and shardctl.

use shardline_wire::admin::{AdminApi, Operations};
use shardline_wire::call::{Catalog, RouterAccept};
use shardline_wire::link::{
    AdminServer, CatalogServer, OperationsServer, RouterServer, Secret, Trust,
};
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::TcpIncoming;
use tracing::{info, warn};

/// Calls of shard-nodes may be in their last moments when the streams have ended.
const GRACE: Duration = Duration::from_secs(1);

/// What the port offers.
pub struct Services {
    pub router: Arc<dyn RouterAccept>,
    pub catalog: Arc<dyn Catalog>,
    pub admin: Arc<dyn AdminApi>,
    pub operations: Arc<dyn Operations>,
    pub trust: Trust,
    /// Of operators.
    pub admin_secret: Secret,
}

/// Serves until `stop`, then ends the streams and lets calls finish for a moment.
pub async fn serve(
    listener: TcpListener,
    services: Services,
    stop: CancellationToken,
) -> io::Result<()> {
    let Services { router, catalog, admin, operations, trust, admin_secret } = services;
    if let Ok(address) = listener.local_addr() {
        info!(%address, "listens for conn-nodes, shard-nodes and shardctl");
    }
    let incoming = TcpIncoming::from(listener).with_nodelay(Some(true));
    let serving = trust
        .server()
        .map_err(io::Error::other)?
        .add_service(RouterServer::service(router, &trust, stop.clone()))
        .add_service(CatalogServer::service(catalog, &trust))
        .add_service(AdminServer::service(admin, &Trust::new(admin_secret.clone(), None)))
        .add_service(OperationsServer::service(operations, &admin_secret))
        .serve_with_incoming_shutdown(incoming, stop.clone().cancelled_owned());
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
