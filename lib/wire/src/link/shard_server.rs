//! The server's side of a router's stream to a shard-node.

use super::outbox::Outbox;
use super::pending::reply;
use super::secret::Secret;
use super::{BATCHES_IN_FLIGHT, MESSAGE_BYTES_MAX};
use crate::call::{Done, Shard};
use crate::internal::shard_service_server::{ShardService, ShardServiceServer};
use crate::internal::{FromShard, Reply, ToShard};
use prost::Message as _;
use shardline_domain::limits::{IN_FLIGHT_PER_LINK_MAX, LINK_BATCH_BYTES_MAX};
use std::sync::Arc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status, Streaming};

/// Hands the calls of every stream to one shard, in each stream's order.
pub struct ShardServer {
    shard: Arc<dyn Shard>,
    stop: CancellationToken,
}

impl ShardServer {
    /// The service to add to a [`super::server`]. Streams end when `stop` is cancelled.
    pub fn service(
        shard: Arc<dyn Shard>,
        secret: &Secret,
        stop: CancellationToken,
    ) -> InterceptedService<
        ShardServiceServer<ShardServer>,
        impl tonic::service::Interceptor + Clone + use<>,
    > {
        let server = ShardServiceServer::new(ShardServer { shard, stop })
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        InterceptedService::new(server, secret.guard())
    }
}

#[tonic::async_trait]
impl ShardService for ShardServer {
    type LinkStream = ReceiverStream<Result<FromShard, Status>>;

    async fn link(
        &self,
        request: Request<Streaming<ToShard>>,
    ) -> Result<Response<Self::LinkStream>, Status> {
        let incoming = request.into_inner();
        let outbox = Arc::new(Outbox::new(IN_FLIGHT_PER_LINK_MAX));
        let (batches, outgoing) = tokio::sync::mpsc::channel(BATCHES_IN_FLIGHT);
        let shard = self.shard.clone();
        super::spawn(self.stop.clone(), async move {
            tokio::select! {
                () = read(shard, incoming, &outbox) => {}
                () = write(&outbox, batches) => {}
            }
            outbox.close();
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

async fn read(
    shard: Arc<dyn Shard>,
    mut incoming: Streaming<ToShard>,
    outbox: &Arc<Outbox<Reply>>,
) {
    while let Ok(Some(batch)) = incoming.message().await {
        for request in batch.requests {
            let (id, outbox) = (request.id, outbox.clone());
            let Some(call) = request.call else { continue };
            // A reply that finds no place belongs to a stream that is gone or hopelessly behind: its
            // caller counts it as unknown.
            shard.submit(call, Done::new(move |outcome| drop(outbox.put(reply(id, outcome)))));
        }
    }
}

async fn write(
    outbox: &Outbox<Reply>,
    batches: tokio::sync::mpsc::Sender<Result<FromShard, Status>>,
) {
    while let Ok(permit) = batches.reserve().await {
        let mut bytes = 0;
        let fits = |reply: &Reply| {
            bytes += reply.encoded_len();
            bytes < LINK_BATCH_BYTES_MAX
        };
        let Some(replies) = outbox.take(fits).await else { return };
        permit.send(Ok(FromShard { replies }));
    }
}
