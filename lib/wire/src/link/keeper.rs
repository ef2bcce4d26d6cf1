//! A stream to one peer, kept open: connect, carry calls there and answers back, and when it breaks,
//! fail what was under way and begin anew with backoff. The same for both of our streams.

use super::outbox::{Bound, Outbox};
use super::pending::Pending;
use super::{BATCHES_IN_FLIGHT, RECONNECT_FIRST, next_delay};
use crate::call::Done;
use crate::refusal::Refusal;
use parking_lot::Mutex;
use shardline_domain::limits::{IN_FLIGHT_BYTES_PER_LINK_MAX, IN_FLIGHT_PER_LINK_MAX};
use std::future::Future;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_stream::wrappers::ReceiverStream;
use tokio_util::sync::{CancellationToken, DropGuard};
use tonic::{Status, Streaming};
use tracing::{debug, info};

/// A call that is refused before it left may be sent again after this.
const NOT_CONNECTED_RETRY_MS: u64 = 100;
const FULL_RETRY_MS: u64 = 50;

/// What may wait on one stream for its answer, whether it was written yet or not.
pub(super) const LINK_BOUND: Bound =
    Bound { items: IN_FLIGHT_PER_LINK_MAX, bytes: IN_FLIGHT_BYTES_PER_LINK_MAX };

/// What differs between the streams we open.
pub(super) trait Peer: Send + Sync + 'static {
    type Request: Send + 'static;
    type Batch: Send + 'static;
    type Incoming: Send + 'static;

    /// router or shard.
    const KIND: &'static str;

    /// Connects, and opens a stream that says what comes out of `batches`.
    fn open(
        &self,
        batches: ReceiverStream<Self::Batch>,
    ) -> impl Future<Output = Result<Streaming<Self::Incoming>, Status>> + Send;

    /// What is said before all requests.
    fn hello(&self) -> Option<Self::Batch>;

    /// 0 for what gets no answer.
    fn number(request: &Self::Request) -> u64;

    fn batch(requests: Vec<Self::Request>) -> Self::Batch;

    /// Takes what came in. `Break` gives the stream up: a new one begins.
    fn take(&self, incoming: Self::Incoming, pending: &Pending) -> ControlFlow<()>;
}

/// The near end of a stream that is kept open until this is dropped.
pub(super) struct Line<P: Peer> {
    current: Current<P>,
    _stop: DropGuard,
}

type Current<P> = Arc<Mutex<Option<Arc<Stream<P>>>>>;

/// One stream's life.
struct Stream<P: Peer> {
    outbox: Outbox<P::Request>,
    pending: Pending,
}

/// What a call is to the stream that carries it.
pub(super) struct Load {
    pub(super) size: usize,
    pub(super) is_read: bool,
}

impl<P: Peer> Line<P> {
    /// Each call is answered within about `answer_time`, by the peer or in its place.
    pub(super) fn keep(peer: P, address: String, answer_time: Duration) -> Line<P> {
        let stop = CancellationToken::new();
        let current = Current::<P>::default();
        let keeper = Keeper { peer, address, answer_time, current: current.clone() };
        super::spawn(stop.clone(), keeper.keep_open());
        Line { current, _stop: stop.drop_guard() }
    }

    /// Sends the request that `numbered` makes, to be answered through `done`.
    pub(super) fn call(&self, load: Load, done: Done, numbered: impl FnOnce(u64) -> P::Request) {
        let stream = self.current.lock().clone();
        let Some(stream) = stream else { return done.finish(Err(not_connected(P::KIND))) };
        let id = match stream.pending.add(done, load.size, load.is_read) {
            Ok(id) => id,
            Err(done) => {
                let message = format!("too much waits for the {}", P::KIND);
                return done.finish(Err(Refusal::try_again(message, FULL_RETRY_MS)));
            }
        };
        if stream.outbox.put(numbered(id), load.size).is_err()
            && let Some(done) = stream.pending.take(id)
        {
            done.finish(Err(not_connected(P::KIND)));
        }
    }

    /// Sends what may be lost and gets no answer.
    pub(super) fn tell(&self, request: P::Request, size: usize) {
        let stream = self.current.lock().clone();
        // No place: lost, as it may be.
        drop(stream.map(|stream| stream.outbox.put(request, size)));
    }

    pub(super) fn is_connected(&self) -> bool {
        self.current.lock().is_some()
    }
}

fn not_connected(kind: &str) -> Refusal {
    Refusal::try_again(format!("the {kind} is not connected"), NOT_CONNECTED_RETRY_MS)
}

struct Keeper<P: Peer> {
    peer: P,
    /// For the log.
    address: String,
    answer_time: Duration,
    current: Current<P>,
}

impl<P: Peer> Keeper<P> {
    async fn keep_open(self) {
        let mut delay = RECONNECT_FIRST;
        let mut was_told = String::new();
        loop {
            match self.run_once().await {
                Ok(()) => (delay, was_told) = (RECONNECT_FIRST, String::new()),
                // Each reason once: a wrong certificate must be seen, a peer that is away is tried often.
                Err(status) if status.message() != was_told => {
                    info!(peer = P::KIND, address = self.address, %status, "no stream; trying on");
                    status.message().clone_into(&mut was_told);
                }
                Err(status) => debug!(peer = P::KIND, address = self.address, %status, "no stream"),
            }
            tokio::time::sleep(delay).await;
            delay = next_delay(delay);
        }
    }

    /// Opens a stream and serves it to its end.
    async fn run_once(&self) -> Result<(), Status> {
        let (batches, outgoing) = tokio::sync::mpsc::channel(BATCHES_IN_FLIGHT);
        if let Some(hello) = self.peer.hello() {
            batches.send(hello).await.map_err(|_| Status::internal("the channel is new"))?;
        }
        let incoming = self.peer.open(ReceiverStream::new(outgoing)).await?;
        info!(peer = P::KIND, address = self.address, "a stream stands");

        let stream = Arc::new(Stream {
            outbox: Outbox::new(LINK_BOUND),
            pending: Pending::new(LINK_BOUND, self.answer_time),
        });
        // Also when this future is dropped: nothing may wait on a dead stream.
        let _end = End { current: &self.current, stream: stream.clone() };
        *self.current.lock() = Some(stream.clone());
        let batch_of = |requests: Vec<P::Request>| P::batch(still_asked(&stream, requests));
        tokio::select! {
            () = stream.outbox.write_to(&batches, batch_of) => {}
            () = self.read(&stream, incoming) => {}
            () = sweep(&stream.pending) => {}
        }
        info!(peer = P::KIND, address = self.address, "the stream ended");
        Ok(())
    }

    async fn read(&self, stream: &Stream<P>, mut incoming: Streaming<P::Incoming>) {
        while let Ok(Some(batch)) = incoming.message().await {
            if self.peer.take(batch, &stream.pending).is_break() {
                return;
            }
        }
    }
}

/// What was not even written in its time is not carried out late: its caller has its answer.
fn still_asked<P: Peer>(stream: &Stream<P>, mut requests: Vec<P::Request>) -> Vec<P::Request> {
    let over_to = stream.pending.over_to();
    requests.retain(|request| P::number(request) == 0 || over_to < P::number(request));
    requests
}

/// Does not end.
async fn sweep(pending: &Pending) {
    loop {
        tokio::time::sleep(pending.sweep_every()).await;
        pending.expire(Instant::now());
    }
}

struct End<'a, P: Peer> {
    current: &'a Current<P>,
    stream: Arc<Stream<P>>,
}

impl<P: Peer> Drop for End<'_, P> {
    fn drop(&mut self) {
        *self.current.lock() = None;
        self.stream.outbox.close();
        self.stream.pending.fail_all();
    }
}
