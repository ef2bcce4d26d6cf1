//! The bus in memory, but it can be away.

use async_trait::async_trait;
use bytes::Bytes;
use shardline_backends::bus::memory::MemoryBus;
use shardline_backends::bus::{Bus, Consumer, Published, TopicError};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

pub(crate) struct TestBus {
    bus: MemoryBus,
    /// Without a topic: every record fails.
    nowhere: MemoryBus,
    pub(crate) away: AtomicBool,
}

impl TestBus {
    pub(crate) fn new() -> Arc<TestBus> {
        let (bus, nowhere) = (MemoryBus::new(), MemoryBus::new());
        Arc::new(TestBus { bus, nowhere, away: AtomicBool::new(false) })
    }
}

#[async_trait]
impl Bus for TestBus {
    async fn ensure_topic(&self, partitions: u32) -> Result<(), TopicError> {
        self.bus.ensure_topic(partitions).await
    }

    fn publish(&self, partition: u32, payload: Bytes) -> Published {
        let bus = if self.away.load(Ordering::SeqCst) { &self.nowhere } else { &self.bus };
        bus.publish(partition, payload)
    }

    fn consume(&self) -> Arc<dyn Consumer> {
        self.bus.consume()
    }
}
