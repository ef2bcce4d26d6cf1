//! The bus in memory, but it can be away, or take records and never say so.

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use shardline_backends::bus::memory::MemoryBus;
use shardline_backends::bus::{Bus, Consumer, PublishError, Published, TopicError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use tokio::sync::oneshot;

pub(crate) struct TestBus {
    bus: MemoryBus,
    /// Without a topic: every record fails.
    nowhere: MemoryBus,
    pub(crate) away: AtomicBool,
    /// Records go nowhere, and nobody is told.
    pub(crate) silent: AtomicBool,
    untold: Mutex<Vec<oneshot::Sender<Result<(), PublishError>>>>,
}

impl TestBus {
    pub(crate) fn new() -> Arc<TestBus> {
        let (bus, nowhere) = (MemoryBus::new(), MemoryBus::new());
        let (away, silent) = (AtomicBool::new(false), AtomicBool::new(false));
        Arc::new(TestBus { bus, nowhere, away, silent, untold: Mutex::default() })
    }
}

impl TestBus {
    /// It speaks again, and says that it has nothing of what it took.
    pub(crate) fn lose_what_it_took(&self) {
        self.silent.store(false, Ordering::SeqCst);
        self.untold.lock().clear();
    }
}

#[async_trait]
impl Bus for TestBus {
    async fn ensure_topic(&self, partitions: u32) -> Result<(), TopicError> {
        self.bus.ensure_topic(partitions).await
    }

    fn publish(&self, partition: u32, payload: Bytes) -> Published {
        if self.silent.load(Ordering::SeqCst) {
            let (tell, published) = Published::awaited();
            self.untold.lock().push(tell);
            return published;
        }
        let bus = if self.away.load(Ordering::SeqCst) { &self.nowhere } else { &self.bus };
        bus.publish(partition, payload)
    }

    fn consume(&self) -> Arc<dyn Consumer> {
        self.bus.consume()
    }
}
