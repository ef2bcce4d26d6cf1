//! How our processes ask each other for things, in one process or over the network.
//!
//! A call never blocks its caller and is answered exactly once, through a [`Done`]. There is no task
//! and no channel per call: what answers runs on the answering side's thread, so it must be short.

use crate::internal::{self, Call, NodeHello, RouterInfo, RouterList, Signal, reply};
use crate::refusal::Refusal;
use async_trait::async_trait;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// What a call gets: an answer fitting its op, or why not.
pub type Outcome = Result<Answer, Refusal>;
/// Any variant but `Refusal`.
pub type Answer = reply::Answer;

type Callback = Box<dyn FnOnce(Outcome) + Send>;

/// Where a call's outcome goes. Dropped without an outcome (its holder died), it reports `unknown`:
/// the call may or may not have been carried out.
pub struct Done(Option<Callback>);

impl Done {
    pub fn new(callback: impl FnOnce(Outcome) + Send + 'static) -> Done {
        Done(Some(Box::new(callback)))
    }

    /// A `Done` and where its outcome can be awaited.
    pub fn channel() -> (Done, oneshot::Receiver<Outcome>) {
        let (sender, receiver) = oneshot::channel();
        // Nobody waits any more: the outcome is of no interest.
        (Done::new(move |outcome| drop(sender.send(outcome))), receiver)
    }

    pub fn finish(mut self, outcome: Outcome) {
        if let Some(callback) = self.0.take() {
            callback(outcome);
        }
    }
}

impl Drop for Done {
    fn drop(&mut self) {
        if let Some(callback) = self.0.take() {
            callback(Err(Refusal::unknown("the process that worked on it went away")));
        }
    }
}

/// A shard-node, as a router sees it.
///
/// Calls for one slot are taken in the order submitted. `call.epoch` (or that of each entity) is
/// what the router knows; another one is refused with WRONG_EPOCH, a frozen slot with FROZEN.
pub trait Shard: Send + Sync {
    fn submit(&self, call: Call, done: Done);
}

/// What a conn-node asks of a router.
pub enum NodeOp {
    Call(Call),
    /// Follow these chats from now on, or no longer; answered with `Registered`.
    Interest(internal::Interest),
    /// Whether presence holds every session of this node; answered with `Registered`.
    Presence(internal::PresenceState),
    /// Not answered.
    Signal(Signal),
    /// What was asked with `Push::Recall`. Not answered.
    Recalled(internal::Recalled),
}

/// A router, as a conn-node sees it: one stream, opened with [`RouterConnect::open`].
///
/// Sends and interest for partitions of another router are refused with WRONG_ROUTER and the list.
pub trait Router: Send + Sync {
    fn submit(&self, op: NodeOp, done: Done);

    /// Whether the stream stands. A broken one comes back by itself, as a new stream: what was in
    /// flight got `unknown`, interest and presence state must be registered again.
    fn is_connected(&self) -> bool;
}

/// What a router says to a conn-node without being asked, in order.
pub enum Push {
    Events(Vec<internal::Event>),
    Signals(Vec<Signal>),
    /// Events may be missing up to here. The first push of every stream.
    Behind,
    Routers(RouterList),
    /// A question, answered with `NodeOp::Recalled`; lost like a signal.
    Recall(internal::Recall),
}

/// A conn-node, as a router sees it.
pub trait NodeSink: Send + Sync {
    /// Takes a push, or drops it if its queue is full; the router then marks the stream and sends
    /// `Behind` as soon as there is room again.
    fn push(&self, push: Push) -> Result<(), Full>;
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

/// How a conn-node reaches routers.
pub trait RouterConnect: Send + Sync {
    /// Opens a stream and keeps it open (reconnecting with backoff) until the result is dropped.
    fn open(
        &self,
        router: &RouterInfo,
        hello: NodeHello,
        sink: Arc<dyn NodeSink>,
    ) -> Arc<dyn Router>;
}

/// How a router reaches shard-nodes.
pub trait ShardConnect: Send + Sync {
    /// As above. While there is no connection, or too much waits on it, calls are refused with
    /// TRY_AGAIN at once. One that is not answered within `SHARD_ANSWER_TIME_MAX` gets UNKNOWN, or
    /// TRY_AGAIN if it only reads; a later answer is ignored.
    fn open(&self, address: &str) -> Arc<dyn Shard>;
}

/// A router, as others come to it.
#[async_trait]
pub trait RouterAccept: Send + Sync {
    /// A node's new stream: what `RouterConnect` leads to. Dropping the result ends it.
    fn accept(&self, hello: NodeHello, sink: Arc<dyn NodeSink>) -> Arc<dyn Router>;

    /// What this router, and the conn-nodes with a stream to it, remember of an event. Answers within
    /// a second.
    async fn recall(&self, event: internal::RecallRequest) -> internal::RouterRecalled;
}

/// How a router asks another.
#[async_trait]
pub trait RouterAsk: Send + Sync {
    /// As [`RouterAccept::recall`]. UNAVAILABLE if nobody answers at the address in time.
    async fn recall(
        &self,
        address: &str,
        event: internal::RecallRequest,
    ) -> Result<internal::RouterRecalled, Refusal>;
}

/// What a shard-node asks of any router: the catalog, and the way to other shards.
#[async_trait]
pub trait Catalog: Send + Sync {
    /// Acquires (term 0) or renews the right to write a shard. A lease elects; it is the term in the
    /// shard's own database that keeps data safe.
    async fn acquire_writer(
        &self,
        request: internal::WriterRequest,
    ) -> Result<internal::WriterLease, Refusal>;

    /// The slots this shard owns, read with a lock: never older than the call.
    async fn owned_slots(&self, shard: u32) -> Result<Vec<internal::SlotEntry>, Refusal>;

    async fn locate_slot(&self, slot: u32) -> Result<internal::SlotEntry, Refusal>;

    /// Many slots, each as `locate_slot` answers, by number: one question, while writes may wait.
    async fn locate_slots(&self, slots: &[u32]) -> Result<Vec<internal::SlotEntry>, Refusal> {
        let mut entries = Vec::with_capacity(slots.len());
        for slot in slots {
            entries.push(self.locate_slot(*slot).await?);
        }
        Ok(entries)
    }

    async fn report(
        &self,
        report: internal::ShardReport,
    ) -> Result<internal::ShardReportAnswer, Refusal>;

    /// A call for an entity on any shard.
    async fn route(&self, call: Call) -> Outcome;
}

/// Awaits an outcome for at most `limit`, then reports `unknown`.
pub async fn wait(outcome: oneshot::Receiver<Outcome>, limit: Duration) -> Outcome {
    match tokio::time::timeout(limit, outcome).await {
        Ok(Ok(outcome)) => outcome,
        Ok(Err(_)) => Err(Refusal::unknown("the process that worked on it went away")),
        Err(_) => Err(Refusal::unknown("no answer in time")),
    }
}
