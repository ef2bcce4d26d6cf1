//! A shard-node's network face: one port for routers and other shard-nodes.

use shardline_wire::call::Shard;
use shardline_wire::inspect::Inspect;
use shardline_wire::link::{InspectServer, MoveServer, ShardServer, Trust};
use shardline_wire::moves::Moves;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_stream::Stream;
use tokio_util::sync::CancellationToken;
use tonic::transport::server::Connected;

/// Answers on their way when the streams end.
const GRACE: Duration = Duration::from_secs(1);

/// Serves connections as they come in until `stopped`, then ends the streams and lets what is on its
/// way arrive for a moment.
pub async fn serve<C>(
    incoming: impl Stream<Item = io::Result<C>>,
    shard: Arc<dyn Shard>,
    moves: Arc<dyn Moves>,
    inspect: Arc<dyn Inspect>,
    trust: Trust,
    stopped: CancellationToken,
) -> io::Result<()>
where
    C: AsyncRead + AsyncWrite + Connected + Unpin + Send + 'static,
{
    let serving = trust
        .server()
        .map_err(io::Error::other)?
        .add_service(ShardServer::service(shard, &trust, stopped.clone()))
        .add_service(MoveServer::service(moves, &trust))
        .add_service(InspectServer::service(inspect, &trust))
        .serve_with_incoming_shutdown(incoming, stopped.clone().cancelled_owned());
    let overdue = async {
        stopped.cancelled().await;
        tokio::time::sleep(GRACE).await;
    };
    tokio::select! {
        served = serving => served.map_err(io::Error::other),
        () = overdue => {
            tracing::warn!("connections that did not end in time are dropped");
            Ok(())
        }
    }
}
