//! A shard-node over the network, as a router calls it.

use super::MESSAGE_BYTES_MAX;
use super::keeper::{Line, Load, Peer};
use super::pending::Pending;
use super::trust::Trust;
use crate::call::{Done, Shard, ShardConnect};
use crate::internal::shard_service_client::ShardServiceClient;
use crate::internal::{Call, FromShard, ShardRequest, ToShard};
use prost::Message as _;
use shardline_domain::limits::SHARD_ANSWER_TIME_MAX;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Status, Streaming};

/// Opens streams to shard-nodes.
#[derive(Clone, Debug)]
pub struct ShardLinks {
    trust: Trust,
    answer_time: Duration,
}

impl ShardLinks {
    pub fn new(trust: Trust) -> ShardLinks {
        ShardLinks { trust, answer_time: SHARD_ANSWER_TIME_MAX }
    }

    /// Waits for answers no longer than this, in place of `SHARD_ANSWER_TIME_MAX`.
    pub fn answering_within(self, answer_time: Duration) -> ShardLinks {
        ShardLinks { answer_time, ..self }
    }
}

impl ShardConnect for ShardLinks {
    fn open(&self, address: &str) -> Arc<dyn Shard> {
        let peer = ShardPeer { address: address.to_owned(), trust: self.trust.clone() };
        Arc::new(ShardLink(Line::keep(peer, address.to_owned(), self.answer_time)))
    }
}

struct ShardLink(Line<ShardPeer>);

impl Shard for ShardLink {
    fn submit(&self, call: Call, done: Done) {
        let load = Load { size: call.encoded_len(), is_read: call.is_read() };
        self.0.call(load, done, |id| ShardRequest { id, call: Some(call) });
    }
}

struct ShardPeer {
    address: String,
    trust: Trust,
}

impl Peer for ShardPeer {
    type Request = ShardRequest;
    type Batch = ToShard;
    type Incoming = FromShard;

    const KIND: &'static str = "shard";

    async fn open(&self, batches: ReceiverStream<ToShard>) -> Result<Streaming<FromShard>, Status> {
        let mut client = ShardServiceClient::new(self.trust.connect(&self.address).await?)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let mut request = Request::new(batches);
        self.trust.put_on(&mut request);
        Ok(client.link(request).await?.into_inner())
    }

    fn hello(&self) -> Option<ToShard> {
        None
    }

    fn number(request: &ShardRequest) -> u64 {
        request.id
    }

    fn batch(requests: Vec<ShardRequest>) -> ToShard {
        ToShard { requests }
    }

    fn take(&self, incoming: FromShard, pending: &Pending) -> ControlFlow<()> {
        pending.finish(incoming.replies);
        ControlFlow::Continue(())
    }
}
