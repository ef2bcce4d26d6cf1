//! The server's side of a router's stream to a shard-node.

use super::answers::Answers;
use super::trust::Trust;
use super::{BATCHES_IN_FLIGHT, MESSAGE_BYTES_MAX};
use crate::call::Shard;
use crate::internal::shard_service_server::{ShardService, ShardServiceServer};
use crate::internal::{FromShard, ToShard};
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
    /// The service to add to a [`Trust::server`]. Streams end when `stop` is cancelled.
    pub fn service(
        shard: Arc<dyn Shard>,
        trust: &Trust,
        stop: CancellationToken,
    ) -> InterceptedService<
        ShardServiceServer<ShardServer>,
        impl tonic::service::Interceptor + Clone + use<>,
    > {
        let server = ShardServiceServer::new(ShardServer { shard, stop })
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        InterceptedService::new(server, trust.guard())
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
        let answers = Answers::new();
        let (batches, outgoing) = tokio::sync::mpsc::channel(BATCHES_IN_FLIGHT);
        let shard = self.shard.clone();
        super::spawn(self.stop.clone(), async move {
            let batch_of = |replies| Ok(FromShard { replies });
            tokio::select! {
                () = read(shard, incoming, &answers) => {}
                () = answers.write_to(&batches, batch_of) => {}
            }
            answers.close();
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

async fn read(shard: Arc<dyn Shard>, mut incoming: Streaming<ToShard>, answers: &Arc<Answers>) {
    while let Ok(Some(batch)) = incoming.message().await {
        for request in batch.requests {
            let Some(call) = request.call else { continue };
            let done = answers.to(request.id, call.is_read());
            shard.submit(call, done);
        }
    }
}
