//! The server's side of a conn-node's stream to a router.

use super::answers::Answers;
use super::outbox::{Bound, Outbox};
use super::trust::Trust;
use super::{BATCHES_IN_FLIGHT, MESSAGE_BYTES_MAX};
use crate::call::{Done, Full, NodeOp, NodeSink, Push, Router, RouterAccept};
use crate::internal::router_service_server::{RouterService, RouterServiceServer};
use crate::internal::{FromRouter, RecallRequest, RouterRecalled, ToRouter, node_request};
use prost::Message as _;
use shardline_domain::limits::PUSH_QUEUE_BYTES_MAX;
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
    /// The service to add to a [`Trust::server`]. Streams end when `stop` is cancelled.
    pub fn service(
        router: Arc<dyn RouterAccept>,
        trust: &Trust,
        stop: CancellationToken,
    ) -> InterceptedService<
        RouterServiceServer<RouterServer>,
        impl tonic::service::Interceptor + Clone + use<>,
    > {
        let server = RouterServiceServer::new(RouterServer { router, stop })
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        InterceptedService::new(server, trust.guard())
    }
}

/// What is pushed to one conn-node. Answers have a queue and a bound of their own, so that a flood of
/// events delays no answer's place.
struct Pushes(Outbox<Push>);

impl NodeSink for Pushes {
    fn push(&self, push: Push) -> Result<(), Full> {
        let size = size(&push);
        self.0.put(push, size).map_err(|_| Full)
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
        let bound = Bound { items: PUSHES_WAITING_MAX, bytes: PUSH_QUEUE_BYTES_MAX };
        let (answers, pushes) = (Answers::new(), Arc::new(Pushes(Outbox::new(bound))));
        let (batches, outgoing) = tokio::sync::mpsc::channel(BATCHES_IN_FLIGHT);
        let router = self.router.clone();
        super::spawn(self.stop.clone(), async move {
            let Ok(Some(ToRouter { hello: Some(hello), .. })) = incoming.message().await else {
                let refusal = Status::invalid_argument("the first batch has no hello");
                drop(batches.send(Err(refusal)).await);
                return;
            };
            let stream = router.accept(hello, pushes.clone());
            let answered = |replies| Ok(FromRouter { replies, ..FromRouter::default() });
            tokio::select! {
                () = read(stream.as_ref(), incoming, &answers) => {}
                () = answers.write_to(&batches, answered) => {}
                () = pushes.0.write_to(&batches, |pushes| Ok(join(pushes))) => {}
            }
            answers.close();
            pushes.0.close();
        });
        Ok(Response::new(ReceiverStream::new(outgoing)))
    }

    async fn recall(
        &self,
        request: Request<RecallRequest>,
    ) -> Result<Response<RouterRecalled>, Status> {
        Ok(Response::new(self.router.recall(request.into_inner()).await))
    }
}

async fn read(router: &dyn Router, mut incoming: Streaming<ToRouter>, answers: &Arc<Answers>) {
    while let Ok(Some(batch)) = incoming.message().await {
        for request in batch.requests {
            let (op, is_read) = match request.op {
                Some(node_request::Op::Call(call)) => {
                    let is_read = call.is_read();
                    (NodeOp::Call(call), is_read)
                }
                Some(node_request::Op::Interest(interest)) => (NodeOp::Interest(interest), true),
                Some(node_request::Op::Presence(presence)) => (NodeOp::Presence(presence), true),
                Some(node_request::Op::Signal(signal)) => {
                    router.submit(NodeOp::Signal(signal), Done::new(drop));
                    continue;
                }
                Some(node_request::Op::Recalled(recalled)) => {
                    router.submit(NodeOp::Recalled(recalled), Done::new(drop));
                    continue;
                }
                None => continue,
            };
            router.submit(op, answers.to(request.id, is_read));
        }
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
            Push::Recall(recall) => joined.recalls.push(recall),
        }
    }
    joined
}

/// What it occupies while it waits: what its parts own, and the parts themselves.
fn size(push: &Push) -> usize {
    let own = match push {
        Push::Events(events) => sizes(events),
        Push::Signals(signals) => sizes(signals),
        Push::Routers(routers) => routers.encoded_len(),
        Push::Recall(recall) => recall.encoded_len(),
        Push::Behind => 0,
    };
    size_of::<Push>() + own
}

fn sizes<M: prost::Message>(messages: &[M]) -> usize {
    messages.iter().map(|message| size_of::<M>() + message.encoded_len()).sum()
}
