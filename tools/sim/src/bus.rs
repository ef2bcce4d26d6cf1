//! The bus: the one in memory, with a broker's faults. An acknowledgement may be late, or lost; what was
//! finished is committed a while later.

use crate::climate::{Climate, Fate};
use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use shardline_backends::Unavailable;
use shardline_backends::bus::memory::MemoryBus;
use shardline_backends::bus::{Bus, Consumer, PublishError, Published, Record, TopicError};
use shardline_daemon::clock::now_ms;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// As the real form commits.
const COMMIT_AFTER_MS: i64 = 1_000;
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Every process's way to the broker.
#[derive(Clone)]
pub struct SimBus {
    bus: Arc<MemoryBus>,
    climate: Climate,
    commits: Arc<Mutex<VecDeque<Commit>>>,
}

/// What a reader has finished, until the broker knows of it: also if the reader died meanwhile.
struct Commit {
    /// Processes have clocks of their own; this one is everybody's.
    due_ms: i64,
    consumer: Arc<dyn Consumer>,
    partition: u32,
    offset: u64,
}

impl SimBus {
    pub fn new(climate: Climate) -> SimBus {
        SimBus { bus: Arc::new(MemoryBus::new()), climate, commits: Arc::default() }
    }

    fn commit(&self) {
        let now_ms = now_ms();
        let mut commits = self.commits.lock();
        while let Some(due) = commits.pop_front_if(|commit| commit.due_ms <= now_ms) {
            due.consumer.finished(due.partition, due.offset);
        }
    }
}

#[async_trait]
impl Bus for SimBus {
    async fn ensure_topic(&self, partitions: u32) -> Result<(), TopicError> {
        let befallen = self.climate.befall(self.bus.ensure_topic(partitions)).await;
        let away = Unavailable { system: "bus", reason: "the simulation has it so".to_owned() };
        befallen.unwrap_or_else(|| Err(away.into()))
    }

    fn publish(&self, partition: u32, payload: Bytes) -> Published {
        let failed = || Err(PublishError::Failed("the simulation has it so".to_owned()));
        let outcome = match self.climate.fate() {
            // A producer's retries come once, or not at all.
            Fate::Fails | Fate::OnItsWay => {
                futures::future::Either::Left(std::future::ready(failed()))
            }
            Fate::Untold => {
                drop(self.bus.publish(partition, payload));
                futures::future::Either::Left(std::future::ready(failed()))
            }
            Fate::Done | Fate::Slow(_) => {
                futures::future::Either::Right(self.bus.publish(partition, payload))
            }
        };
        let (tell, published) = Published::awaited();
        let delay = self.climate.delay();
        // It ends with the process that publishes, as a producer's thread does.
        #[allow(clippy::disallowed_methods)]
        tokio::spawn(async move {
            let outcome = outcome.await;
            sleep(delay).await;
            // Nobody waits any more.
            drop(tell.send(outcome));
        });
        published
    }

    fn consume(&self) -> Arc<dyn Consumer> {
        Arc::new(SimConsumer { consumer: self.bus.consume(), bus: self.clone() })
    }
}

struct SimConsumer {
    consumer: Arc<dyn Consumer>,
    bus: SimBus,
}

#[async_trait]
impl Consumer for SimConsumer {
    fn set_partitions(&self, partitions: &[u32]) {
        self.bus.commit();
        self.consumer.set_partitions(partitions);
    }

    fn consuming(&self) -> Vec<u32> {
        if self.bus.climate.is_away() { Vec::new() } else { self.consumer.consuming() }
    }

    async fn next(&self) -> Vec<Record> {
        sleep(self.bus.climate.delay()).await;
        loop {
            self.bus.commit();
            if self.bus.climate.is_away() {
                sleep(LOOK_EVERY).await;
                continue;
            }
            // Whoever drops this loses nothing: what is taken is returned at once.
            tokio::select! {
                biased;
                records = self.consumer.next() => return records,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }

    fn finished(&self, partition: u32, offset: u64) {
        let (due_ms, consumer) = (now_ms() + COMMIT_AFTER_MS, self.consumer.clone());
        self.bus.commits.lock().push_back(Commit { due_ms, consumer, partition, offset });
        self.bus.commit();
    }
}
