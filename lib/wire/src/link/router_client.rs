//! A router over the network, as a conn-node calls it.

use super::outbox::Outbox;
use super::pending::Pending;
use super::secret::Secret;
use super::{BATCHES_IN_FLIGHT, MESSAGE_BYTES_MAX, RECONNECT_FIRST, endpoint, next_delay};
use crate::call::{Done, NodeOp, NodeSink, Push, Router, RouterConnect};
use crate::internal::router_service_client::RouterServiceClient;
use crate::internal::{FromRouter, NodeHello, NodeRequest, RouterInfo, ToRouter, node_request};
use crate::refusal::Refusal;
use parking_lot::Mutex;
use prost::Message as _;
use shardline_domain::limits::{IN_FLIGHT_PER_LINK_MAX, LINK_BATCH_BYTES_MAX};
use std::sync::Arc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Status, Streaming};
use tracing::{debug, info};

/// Opens streams to routers.
#[derive(Clone, Debug)]
pub struct RouterLinks {
    secret: Secret,
}

impl RouterLinks {
    pub fn new(secret: Secret) -> RouterLinks {
        RouterLinks { secret }
    }
}

impl RouterConnect for RouterLinks {
    fn open(
        &self,
        router: &RouterInfo,
        hello: NodeHello,
        sink: Arc<dyn NodeSink>,
    ) -> Arc<dyn Router> {
        let stop = CancellationToken::new();
        let current = Arc::new(Mutex::new(None));
        let keeper = Keeper {
            router: router.clone(),
            hello,
            sink,
            secret: self.secret.clone(),
            current: current.clone(),
        };
        super::spawn(stop.clone(), keeper.keep_open());
        Arc::new(RouterLink { current, _stop: stop.drop_guard() })
    }
}

struct Stream {
    outbox: Outbox<NodeRequest>,
    pending: Pending,
}

struct RouterLink {
    current: Arc<Mutex<Option<Arc<Stream>>>>,
    _stop: DropGuard,
}

impl Router for RouterLink {
    fn submit(&self, op: NodeOp, done: Done) {
        let stream = self.current.lock().clone();
        let Some(stream) = stream else {
            return done.finish(Err(Refusal::try_again("the router is not connected", 100)));
        };
        let op = match op {
            NodeOp::Call(call) => node_request::Op::Call(call),
            NodeOp::Interest(interest) => node_request::Op::Interest(interest),
            NodeOp::Presence(presence) => node_request::Op::Presence(presence),
            NodeOp::Signal(signal) => {
                // Signals may be lost and are not answered.
                let op = Some(node_request::Op::Signal(signal));
                drop(stream.outbox.put(NodeRequest { id: 0, op }));
                return done.finish(Ok(crate::internal::reply::Answer::Registered(
                    crate::internal::Registered {},
                )));
            }
        };
        let id = match stream.pending.add(done) {
            Ok(id) => id,
            Err(done) => {
                return done.finish(Err(Refusal::try_again("too many calls to the router", 50)));
            }
        };
        if stream.outbox.put(NodeRequest { id, op: Some(op) }).is_err()
            && let Some(done) = stream.pending.take(id)
        {
            done.finish(Err(Refusal::try_again("the router is not connected", 100)));
        }
    }

    fn is_connected(&self) -> bool {
        self.current.lock().is_some()
    }
}

struct Keeper {
    router: RouterInfo,
    hello: NodeHello,
    sink: Arc<dyn NodeSink>,
    secret: Secret,
    current: Arc<Mutex<Option<Arc<Stream>>>>,
}

impl Keeper {
    async fn keep_open(self) {
        let mut delay = RECONNECT_FIRST;
        loop {
            match self.run_once().await {
                Ok(()) => delay = RECONNECT_FIRST,
                Err(status) => debug!(router = %self.router.id, %status, "no stream to the router"),
            }
            tokio::time::sleep(delay).await;
            delay = next_delay(delay);
        }
    }

    /// Opens a stream and serves it to its end.
    async fn run_once(&self) -> Result<(), Status> {
        let channel = endpoint(&self.router.address)
            .map_err(|e| Status::invalid_argument(e.to_string()))?
            .connect()
            .await
            .map_err(|e| Status::unavailable(e.to_string()))?;
        let mut client = RouterServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let (batches, outgoing) = tokio::sync::mpsc::channel(BATCHES_IN_FLIGHT);
        let hello = ToRouter { hello: Some(self.hello.clone()), requests: Vec::new() };
        batches.send(hello).await.map_err(|_| Status::internal("the channel is new"))?;
        let mut request = Request::new(ReceiverStream::new(outgoing));
        self.secret.put_on(&mut request);
        let incoming = client.link(request).await?.into_inner();
        info!(router = %self.router.id, "connected to the router");

        let stream = Arc::new(Stream {
            outbox: Outbox::new(IN_FLIGHT_PER_LINK_MAX),
            pending: Pending::new(IN_FLIGHT_PER_LINK_MAX),
        });
        let _end = End { current: &self.current, stream: stream.clone() };
        *self.current.lock() = Some(stream.clone());
        tokio::select! {
            () = write(&stream, batches) => {}
            () = self.read(&stream, incoming) => {}
        }
        info!(router = %self.router.id, "the stream to the router ended");
        Ok(())
    }

    async fn read(&self, stream: &Stream, mut incoming: Streaming<FromRouter>) {
        while let Ok(Some(batch)) = incoming.message().await {
            stream.pending.finish(batch.replies);
            let mut pushes = Vec::new();
            if batch.behind {
                pushes.push(Push::Behind);
            }
            if let Some(routers) = batch.routers {
                pushes.push(Push::Routers(routers));
            }
            if !batch.events.is_empty() {
                pushes.push(Push::Events(batch.events));
            }
            if !batch.signals.is_empty() {
                pushes.push(Push::Signals(batch.signals));
            }
            for push in pushes {
                if self.sink.push(push).is_err() {
                    // The node itself is behind: a new stream begins with `Behind` and tells it so.
                    return;
                }
            }
        }
    }
}

struct End<'a> {
    current: &'a Mutex<Option<Arc<Stream>>>,
    stream: Arc<Stream>,
}

impl Drop for End<'_> {
    fn drop(&mut self) {
        *self.current.lock() = None;
        self.stream.outbox.close();
        self.stream.pending.fail_all();
    }
}

async fn write(stream: &Stream, batches: tokio::sync::mpsc::Sender<ToRouter>) {
    while let Ok(permit) = batches.reserve().await {
        let mut bytes = 0;
        let fits = |request: &NodeRequest| {
            bytes += request.encoded_len();
            bytes < LINK_BATCH_BYTES_MAX
        };
        let Some(requests) = stream.outbox.take(fits).await else { return };
        permit.send(ToRouter { hello: None, requests });
    }
}
