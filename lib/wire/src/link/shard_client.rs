//! A shard-node over the network, as a router calls it.

use super::outbox::Outbox;
use super::pending::Pending;
use super::secret::Secret;
use super::{BATCHES_IN_FLIGHT, MESSAGE_BYTES_MAX, RECONNECT_FIRST, endpoint, next_delay};
use crate::call::{Done, Shard, ShardConnect};
use crate::internal::shard_service_client::ShardServiceClient;
use crate::internal::{Call, FromShard, ShardRequest, ToShard};
use crate::refusal::Refusal;
use parking_lot::Mutex;
use prost::Message as _;
use shardline_domain::limits::{IN_FLIGHT_PER_LINK_MAX, LINK_BATCH_BYTES_MAX};
use std::sync::Arc;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Request, Status, Streaming};
use tracing::{debug, info};

/// Opens streams to shard-nodes.
#[derive(Clone, Debug)]
pub struct ShardLinks {
    secret: Secret,
}

impl ShardLinks {
    pub fn new(secret: Secret) -> ShardLinks {
        ShardLinks { secret }
    }
}

impl ShardConnect for ShardLinks {
    fn open(&self, address: &str) -> Arc<dyn Shard> {
        let stop = CancellationToken::new();
        let current = Arc::new(Mutex::new(None));
        let keeper = Keeper {
            address: address.to_owned(),
            secret: self.secret.clone(),
            current: current.clone(),
        };
        super::spawn(stop.clone(), keeper.keep_open());
        Arc::new(ShardLink { current, _stop: stop.drop_guard() })
    }
}

/// One stream's life.
struct Stream {
    outbox: Outbox<ShardRequest>,
    pending: Pending,
}

struct ShardLink {
    current: Arc<Mutex<Option<Arc<Stream>>>>,
    _stop: DropGuard,
}

impl Shard for ShardLink {
    fn submit(&self, call: Call, done: Done) {
        let stream = self.current.lock().clone();
        let Some(stream) = stream else {
            return done.finish(Err(Refusal::try_again("the shard is not connected", 100)));
        };
        let id = match stream.pending.add(done) {
            Ok(id) => id,
            Err(done) => {
                return done.finish(Err(Refusal::try_again("too many calls to the shard", 50)));
            }
        };
        if stream.outbox.put(ShardRequest { id, call: Some(call) }).is_err()
            && let Some(done) = stream.pending.take(id)
        {
            done.finish(Err(Refusal::try_again("the shard is not connected", 100)));
        }
    }
}

struct Keeper {
    address: String,
    secret: Secret,
    current: Arc<Mutex<Option<Arc<Stream>>>>,
}

impl Keeper {
    async fn keep_open(self) {
        let mut delay = RECONNECT_FIRST;
        loop {
            match self.run_once().await {
                Ok(()) => delay = RECONNECT_FIRST,
                Err(status) => debug!(address = %self.address, %status, "no stream to the shard"),
            }
            tokio::time::sleep(delay).await;
            delay = next_delay(delay);
        }
    }

    /// Opens a stream and serves it to its end.
    async fn run_once(&self) -> Result<(), Status> {
        let channel = endpoint(&self.address)
            .map_err(|e| Status::invalid_argument(e.to_string()))?
            .connect()
            .await
            .map_err(|e| Status::unavailable(e.to_string()))?;
        let mut client = ShardServiceClient::new(channel)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let (batches, outgoing) = tokio::sync::mpsc::channel(BATCHES_IN_FLIGHT);
        let mut request = Request::new(ReceiverStream::new(outgoing));
        self.secret.put_on(&mut request);
        let incoming = client.link(request).await?.into_inner();
        info!(address = %self.address, "connected to the shard");

        let stream = Arc::new(Stream {
            outbox: Outbox::new(IN_FLIGHT_PER_LINK_MAX),
            pending: Pending::new(IN_FLIGHT_PER_LINK_MAX),
        });
        // Also when this future is dropped: nothing may wait on a dead stream.
        let _end = End { current: &self.current, stream: stream.clone() };
        *self.current.lock() = Some(stream.clone());
        tokio::select! {
            () = write(&stream, batches) => {}
            () = read(&stream, incoming) => {}
        }
        info!(address = %self.address, "the stream to the shard ended");
        Ok(())
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

async fn write(stream: &Stream, batches: tokio::sync::mpsc::Sender<ToShard>) {
    // A permit first: what gathers while the network is busy goes into one batch.
    while let Ok(permit) = batches.reserve().await {
        let mut bytes = 0;
        let fits = |request: &ShardRequest| {
            bytes += request.encoded_len();
            bytes < LINK_BATCH_BYTES_MAX
        };
        let Some(requests) = stream.outbox.take(fits).await else { return };
        permit.send(ToShard { requests });
    }
}

async fn read(stream: &Stream, mut incoming: Streaming<FromShard>) {
    while let Ok(Some(batch)) = incoming.message().await {
        stream.pending.finish(batch.replies);
    }
}
