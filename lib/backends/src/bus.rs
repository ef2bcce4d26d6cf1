//! The bus carries what happened in chats from the shard-nodes' journals to the routers: one topic,
//! a fixed number of partitions, records in order within each.

pub mod conformance;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod memory;
pub mod prefix;

use crate::Unavailable;
use async_trait::async_trait;
use bytes::Bytes;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use thiserror::Error;
use tokio::sync::oneshot;

/// Bytes of one record: a commit of the largest batch, each event with 256 receivers, fits.
pub const RECORD_BYTES_MAX: usize = 4 * 1024 * 1024;
/// Records handed out by one [`Consumer::next`].
pub const CONSUMED_RECORDS_MAX: usize = 256;

#[async_trait]
pub trait Bus: Send + Sync {
    /// Makes sure that the topic exists with exactly this many partitions; creates it if it does not.
    ///
    /// Called at start, until it worked. A topic deleted later is made again by this form itself.
    async fn ensure_topic(&self, partitions: u32) -> Result<(), TopicError>;

    /// Hands a record over and returns at once; the result resolves when it is durable, or failed.
    ///
    /// Records of one partition are stored in the order handed over. Once one failed, it and every
    /// later record of that partition must be handed over again, in order, whatever became of the
    /// later ones: readers may see records twice, but after any record that was acknowledged to a
    /// publisher going on like this they have seen all before it.
    fn publish(&self, partition: u32, payload: Bytes) -> Published;

    /// A reader that has no partitions yet. All readers share one set of committed offsets.
    fn consume(&self) -> Arc<dyn Consumer>;
}

/// One process's reading of the partitions it owns. No group, no rebalancing: who owns what is
/// decided elsewhere, and two readers of one partition both get everything.
#[async_trait]
pub trait Consumer: Send + Sync {
    /// From now on exactly these. A partition that is new here begins at the committed offset; at the
    /// end if there is none, or if it fell out of what is kept; at the beginning if the log is now
    /// shorter, because it was deleted and is another. Those kept go on undisturbed.
    fn set_partitions(&self, partitions: &[u32]);

    /// Those whose beginning is settled: what is published from now on will be read.
    fn consuming(&self) -> Vec<u32>;

    /// The next records, at least one, in order within each partition. Waits as long as there are
    /// none; an outage only makes it wait longer. Dropping the future loses nothing. One caller at
    /// a time; it bounds what it has taken and not finished.
    ///
    /// Records of a partition that was just taken away may still come once.
    async fn next(&self) -> Vec<Record>;

    /// A record needs no more work. In any order; what is committed (about every second) is the end
    /// of the unbroken run of finished ones, so a reader that starts there misses none.
    fn finished(&self, partition: u32, offset: u64);
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    pub partition: u32,
    pub offset: u64,
    pub payload: Bytes,
    /// When it was published, by the publisher's clock.
    pub timestamp_ms: i64,
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TopicError {
    #[error("the topic has {found} partitions, {expected} are configured, and they never change")]
    PartitionCount { expected: u32, found: u32 },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PublishError {
    /// Nothing was handed over: wait for earlier ones.
    #[error("too many records are in flight")]
    Full,
    /// Never possible, whatever the bus does.
    #[error("the record has {bytes} bytes, {RECORD_BYTES_MAX} are allowed")]
    TooLarge { bytes: usize },
    /// It may or may not have been stored.
    #[error("the record failed: {0}")]
    Failed(String),
}

/// What became of a record; a future.
#[derive(Debug)]
pub struct Published {
    outcome: Outcome,
}

#[derive(Debug)]
enum Outcome {
    Known(Option<Result<(), PublishError>>),
    Awaited(oneshot::Receiver<Result<(), PublishError>>),
}

impl Published {
    pub fn known(result: Result<(), PublishError>) -> Published {
        Published { outcome: Outcome::Known(Some(result)) }
    }

    /// Where the result is told later. Dropped without one, it is a failure.
    pub fn awaited() -> (oneshot::Sender<Result<(), PublishError>>, Published) {
        let (sender, receiver) = oneshot::channel();
        (sender, Published { outcome: Outcome::Awaited(receiver) })
    }
}

impl Future for Published {
    type Output = Result<(), PublishError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        match &mut self.outcome {
            Outcome::Known(result) => {
                Poll::Ready(result.take().expect("a future is not polled after it was ready"))
            }
            Outcome::Awaited(receiver) => Pin::new(receiver).poll(context).map(|outcome| {
                outcome.unwrap_or_else(|_| {
                    Err(PublishError::Failed("the producer went away".to_owned()))
                })
            }),
        }
    }
}
