//! A router over the network, as a conn-node calls it.

use super::MESSAGE_BYTES_MAX;
use super::keeper::{Line, Load, Peer};
use super::pending::Pending;
use super::trust::Trust;
use crate::call::{Done, NodeOp, NodeSink, Push, Router, RouterAsk, RouterConnect};
use crate::internal::router_service_client::RouterServiceClient;
use crate::internal::{
    FromRouter, NodeHello, NodeRequest, RecallRequest, Registered, RouterInfo, RouterRecalled,
    ToRouter, node_request, reply,
};
use crate::refusal::{Code, Refusal};
use async_trait::async_trait;
use prost::Message as _;
use shardline_domain::limits::CALL_TIME_MAX;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

/// Beyond what a router takes to ask its conn-nodes.
const RECALL_TIME_MAX: Duration = Duration::from_secs(2);

/// Opens streams to routers, and asks them.
#[derive(Clone, Debug)]
pub struct RouterLinks {
    trust: Trust,
}

impl RouterLinks {
    pub fn new(trust: Trust) -> RouterLinks {
        RouterLinks { trust }
    }
}

impl RouterConnect for RouterLinks {
    fn open(
        &self,
        router: &RouterInfo,
        hello: NodeHello,
        sink: Arc<dyn NodeSink>,
    ) -> Arc<dyn Router> {
        let address = router.address.clone();
        let peer = RouterPeer { address, hello, sink, trust: self.trust.clone() };
        Arc::new(RouterLink(Line::keep(peer, router.address.clone(), CALL_TIME_MAX)))
    }
}

#[async_trait]
impl RouterAsk for RouterLinks {
    async fn recall(&self, address: &str, event: RecallRequest) -> Result<RouterRecalled, Refusal> {
        // A connection of its own: operators ask seldom.
        let ask = async {
            let mut client = RouterServiceClient::new(self.trust.connect(address).await?)
                .max_decoding_message_size(MESSAGE_BYTES_MAX);
            let mut request = Request::new(event);
            self.trust.put_on(&mut request);
            Ok::<_, Status>(client.recall(request).await?.into_inner())
        };
        let silent = |why: &str| Refusal::new(Code::Unavailable, why);
        match tokio::time::timeout(RECALL_TIME_MAX, ask).await {
            Ok(Ok(recalled)) => Ok(recalled),
            Ok(Err(status)) => Err(silent(status.message())),
            Err(_) => Err(silent("it did not answer in time")),
        }
    }
}

struct RouterLink(Line<RouterPeer>);

impl Router for RouterLink {
    fn submit(&self, op: NodeOp, done: Done) {
        let (op, is_read) = match op {
            NodeOp::Call(call) => {
                let is_read = call.is_read();
                (node_request::Op::Call(call), is_read)
            }
            NodeOp::Interest(interest) => (node_request::Op::Interest(interest), true),
            NodeOp::Presence(presence) => (node_request::Op::Presence(presence), true),
            NodeOp::Signal(signal) => {
                return self.tell(node_request::Op::Signal(signal), done);
            }
            NodeOp::Recalled(recalled) => {
                return self.tell(node_request::Op::Recalled(recalled), done);
            }
        };
        let request = NodeRequest { id: 0, op: Some(op) };
        let load = Load { size: request.encoded_len(), is_read };
        self.0.call(load, done, |id| NodeRequest { id, ..request });
    }

    fn is_connected(&self) -> bool {
        self.0.is_connected()
    }
}

impl RouterLink {
    /// What may be lost and is not answered.
    fn tell(&self, op: node_request::Op, done: Done) {
        let request = NodeRequest { id: 0, op: Some(op) };
        let size = request.encoded_len();
        self.0.tell(request, size);
        done.finish(Ok(reply::Answer::Registered(Registered {})));
    }
}

struct RouterPeer {
    address: String,
    hello: NodeHello,
    sink: Arc<dyn NodeSink>,
    trust: Trust,
}

impl Peer for RouterPeer {
    type Request = NodeRequest;
    type Batch = ToRouter;
    type Incoming = FromRouter;

    const KIND: &'static str = "router";

    async fn open(
        &self,
        batches: ReceiverStream<ToRouter>,
    ) -> Result<Streaming<FromRouter>, Status> {
        let mut client = RouterServiceClient::new(self.trust.connect(&self.address).await?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let mut request = Request::new(batches);
        self.trust.put_on(&mut request);
        Ok(client.link(request).await?.into_inner())
    }

    fn hello(&self) -> Option<ToRouter> {
        Some(ToRouter { hello: Some(self.hello.clone()), requests: Vec::new() })
    }

    fn number(request: &NodeRequest) -> u64 {
        request.id
    }

    fn batch(requests: Vec<NodeRequest>) -> ToRouter {
        ToRouter { hello: None, requests }
    }

    fn take(&self, incoming: FromRouter, pending: &Pending) -> ControlFlow<()> {
        pending.finish(incoming.replies);
        for recall in incoming.recalls {
            // Whoever asks knows that nothing may come.
            let _ = self.sink.push(Push::Recall(recall));
        }
        let pushes = [
            incoming.behind.then_some(Push::Behind),
            incoming.routers.map(Push::Routers),
            (!incoming.events.is_empty()).then_some(Push::Events(incoming.events)),
            (!incoming.signals.is_empty()).then_some(Push::Signals(incoming.signals)),
        ];
        for push in pushes.into_iter().flatten() {
            if self.sink.push(push).is_err() {
                // The node itself is behind: a new stream begins with `Behind` and tells it so.
                return ControlFlow::Break(());
            }
        }
        ControlFlow::Continue(())
    }
}
