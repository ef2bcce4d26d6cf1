//! The server's side of a conn-node's stream to a router.

use super::outbox::Outbox;
use super::pending::reply;
use super::secret::Secret;
use super::{BATCHES_IN_FLIGHT, MESSAGE_BYTES_MAX};
use crate::call::{Done, Full, NodeOp, NodeSink, Push, Router, RouterAccept};
use crate::internal::router_service_server::{RouterService, RouterServiceServer};
use crate::internal::{FromRouter, Reply, ToRouter, node_request};
use prost::Message as _;
use shardline_domain::limits::{IN_FLIGHT_PER_LINK_MAX, LINK_BATCH_BYTES_MAX};
use std::sync::Arc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::CancellationToken;
use tonic::service::interceptor::InterceptedService;
use tonic::{Request, Response, Status, Streaming};

/// Pushes waiting for one conn-node. Past this the node is stuck: it is told `Behind` later.
const PUSHES_WAITING_MAX: usize = 1_024;

/// Hands every conn-node's stream to one router.
pub struct RouterServer {
    router: Arc<dyn RouterAccept>,
    stop: CancellationToken,
}

impl RouterServer {
    /// The service to add to a [`super::server`]. Streams end when `stop` is cancelled.
    pub fn service(
        router: Arc<dyn RouterAccept>,
        secret: &Secret,
        stop: CancellationToken,
    ) -> InterceptedService<
        RouterServiceServer<RouterServer>,
        impl tonic::service::Interceptor + Clone + use<>,
    > {
        let server = RouterServiceServer::new(RouterServer { router, stop })
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        InterceptedService::new(server, secret.guard())
    }
}

/// What waits for one conn-node. Replies and pushes have bounds of their own, so that a flood of
/// events delays no answer's place.
struct NodeOutbox {
    replies: Outbox<Reply>,
    pushes: Outbox<Push>,
}

impl NodeSink for NodeOutbox {
    fn push(&self, push: Push) -> Result<(), Full> {
        self.pushes.put(push).map_err(|_| Full)
    }
}

#[tonic::async_trait]
impl RouterService for RouterServer {
    type LinkStream = ReceiverStream<Result<FromRouter, Status>>;

    async fn link(
        &self,
        request: Request<Streaming<ToRouter>>,
    ) -> Result<Response<Self::LinkStream>, Status> {
        let mut incoming = request.into_inner();
        let outbox = Arc::new(NodeOutbox {
            replies: Outbox::new(IN_FLIGHT_PER_LINK_MAX),
            pushes: Outbox::new(PUSHES_WAITING_MAX),
        });
        let (batches, outgoing) = tokio::sync::mpsc::channel(BATCHES_IN_FLIGHT);
        let router = self.router.clone();
        super::spawn(self.stop.clone(), async move {
            let Ok(Some(ToRouter { hello: Some(hello), .. })) = incoming.message().await else {
                let refusal = Status::invalid_argument("the first batch has no hello");
                drop(batches.send(Err(refusal)).await);
                return;
            };
            let stream = router.accept(hello, outbox.clone());
            tokio::select! {
                () = read(stream.as_ref(), incoming, &outbox) => {}
                () = write_replies(&outbox.replies, batches.clone()) => {}
                () = write_pushes(&outbox.pushes, batches) => {}
            }
            outbox.replies.close();
            outbox.pushes.close();
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }
}

async fn read(router: &dyn Router, mut incoming: Streaming<ToRouter>, outbox: &Arc<NodeOutbox>) {
    while let Ok(Some(batch)) = incoming.message().await {
        for request in batch.requests {
            let op = match request.op {
                Some(node_request::Op::Call(call)) => NodeOp::Call(call),
                Some(node_request::Op::Interest(interest)) => NodeOp::Interest(interest),
                Some(node_request::Op::Presence(presence)) => NodeOp::Presence(presence),
                Some(node_request::Op::Signal(signal)) => {
                    router.submit(NodeOp::Signal(signal), Done::new(drop));
                    continue;
                }
                None => continue,
            };
            let (id, outbox) = (request.id, outbox.clone());
            // A reply that finds no place belongs to a stream that is gone or hopelessly behind: its
            // caller counts it as unknown.
            let put = move |outcome| drop(outbox.replies.put(reply(id, outcome)));
            router.submit(op, Done::new(put));
        }
    }
}

type Batches = tokio::sync::mpsc::Sender<Result<FromRouter, Status>>;

async fn write_replies(replies: &Outbox<Reply>, batches: Batches) {
    while let Ok(permit) = batches.reserve().await {
        let mut bytes = 0;
        let fits = |reply: &Reply| {
            bytes += reply.encoded_len();
            bytes < LINK_BATCH_BYTES_MAX
        };
        let Some(replies) = replies.take(fits).await else { return };
        permit.send(Ok(FromRouter { replies, ..FromRouter::default() }));
    }
}

async fn write_pushes(pushes: &Outbox<Push>, batches: Batches) {
    while let Ok(permit) = batches.reserve().await {
        let mut bytes = 0;
        let fits = |push: &Push| {
            bytes += size(push);
            bytes < LINK_BATCH_BYTES_MAX
        };
        let Some(pushes) = pushes.take(fits).await else { return };
        permit.send(Ok(join(pushes)));
    }
}

/// `behind` may be said earlier than it was meant, never later.
fn join(pushes: Vec<Push>) -> FromRouter {
    let mut joined = FromRouter::default();
    for push in pushes {
        match push {
            Push::Events(events) if joined.events.is_empty() => joined.events = events,
            Push::Events(events) => joined.events.extend(events),
            Push::Signals(signals) => joined.signals.extend(signals),
            Push::Behind => joined.behind = true,
            Push::Routers(routers) => joined.routers = Some(routers),
        }
    }
    joined
}

fn size(push: &Push) -> usize {
    match push {
        Push::Events(events) => events.iter().map(prost::Message::encoded_len).sum(),
        Push::Signals(signals) => signals.iter().map(prost::Message::encoded_len).sum(),
        Push::Routers(routers) => routers.encoded_len(),
        Push::Behind => 2,
    }
}
