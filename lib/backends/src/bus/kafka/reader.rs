//! A reader: a handle, and one thread that owns a Kafka consumer (`reading.rs`) and makes another one
//! when it is of no use any more. They talk through what both share.

use super::client::Complaints;
use super::reading::Reading;
use super::topic::Topic;
use super::{KafkaSettings, KafkaSettingsError};
use crate::bus::prefix::Prefix;
use crate::bus::{Consumer as BusConsumer, Record};
use async_trait::async_trait;
use parking_lot::Mutex;
use rdkafka::TopicPartitionList;
use rdkafka::client::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, ConsumerContext};
use rdkafka::error::{KafkaError, KafkaResult};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tracing::error;

/// Before an attempt that failed is repeated.
pub(super) const RETRY_AFTER: Duration = Duration::from_millis(500);
/// Batches that wait for [`BusConsumer::next`].
const BATCHES_MAX: usize = 4;

pub(super) struct Reader {
    shared: Arc<Shared>,
    batches: tokio::sync::Mutex<mpsc::Receiver<Vec<Record>>>,
}

#[derive(Default)]
pub(super) struct Shared {
    stopping: AtomicBool,
    pub(super) wanted: Mutex<BTreeSet<u32>>,
    /// Of the partitions whose beginning is settled.
    pub(super) marks: Mutex<BTreeMap<u32, Marks>>,
}

#[derive(Default)]
pub(super) struct Marks {
    pub(super) prefix: Prefix,
    pub(super) to_commit: Option<u64>,
}

impl Reader {
    pub(super) fn start(settings: KafkaSettings, topic: Arc<Topic>) -> Reader {
        let shared = Arc::new(Shared::default());
        let (sender, batches) = mpsc::channel(BATCHES_MAX);
        let thread = Thread { settings, topic, shared: Arc::clone(&shared), sender };
        std::thread::Builder::new()
            .name("kafka reader".to_owned())
            .spawn(move || thread.run())
            .expect("the operating system gives one more thread");
        Reader { shared, batches: tokio::sync::Mutex::new(batches) }
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.shared.stopping.store(true, Ordering::Relaxed);
    }
}

#[async_trait]
impl BusConsumer for Reader {
    fn set_partitions(&self, partitions: &[u32]) {
        *self.shared.wanted.lock() = partitions.iter().copied().collect();
    }

    fn consuming(&self) -> Vec<u32> {
        self.shared.marks.lock().keys().copied().collect()
    }

    async fn next(&self) -> Vec<Record> {
        let mut batches = self.batches.lock().await;
        batches.recv().await.expect("the thread lives as long as this reader")
    }

    fn finished(&self, partition: u32, offset: u64) {
        if let Some(marks) = self.shared.marks.lock().get_mut(&partition)
            && let Some(next) = marks.prefix.finished(offset)
        {
            marks.to_commit = Some(next);
        }
    }
}

fn new_consumer(settings: &KafkaSettings) -> KafkaResult<BaseConsumer<Context>> {
    let config = settings.client(&[
        ("group.id", &settings.group()),
        ("enable.auto.commit", "false"),
        ("enable.auto.offset.store", "false"),
        ("auto.offset.reset", "latest"),
        ("allow.auto.create.topics", "false"),
        ("fetch.error.backoff.ms", "100"),
        // Read ahead little, and never pause for a second because of it.
        ("queued.min.messages", "1000"),
        ("queued.max.messages.kbytes", "16384"),
        ("fetch.queue.backoff.ms", "10"),
    ]);
    config.create_with_context(Context { complaints: Complaints::new("reader") })
}

pub(super) fn check_settings(settings: &KafkaSettings) -> Result<(), KafkaSettingsError> {
    new_consumer(settings).map(drop).map_err(|error| KafkaSettingsError(error.to_string()))
}

pub(super) struct Context {
    pub(super) complaints: Complaints,
}

impl ClientContext for Context {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.complaints.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.complaints.error(&error, reason);
    }
}

impl ConsumerContext for Context {
    fn commit_callback(&self, result: KafkaResult<()>, _: &TopicPartitionList) {
        // A hint that did not arrive: the next second carries a newer one.
        if let Err(error) = result {
            self.complaints.error(&error, "commit");
        }
    }
}

pub(super) struct Thread {
    settings: KafkaSettings,
    pub(super) topic: Arc<Topic>,
    pub(super) shared: Arc<Shared>,
    pub(super) sender: mpsc::Sender<Vec<Record>>,
}

/// The handle is gone.
pub(super) struct Stop;

impl Thread {
    fn run(self) {
        let mut reached = BTreeMap::new();
        while !self.stopping() {
            match new_consumer(&self.settings) {
                Ok(consumer) => {
                    let mut reading = Reading::new(&self, &consumer, reached);
                    if let Err(Stop) = reading.go_on() {
                        // Its own end is nobody's hurry: this thread is on its own now.
                        reading.commit(CommitMode::Sync);
                        return;
                    }
                    reached = reading.reached();
                }
                Err(error) => error!(%error, "no kafka consumer can be made"),
            }
            std::thread::park_timeout(RETRY_AFTER);
        }
    }

    pub(super) fn stopping(&self) -> bool {
        self.shared.stopping.load(Ordering::Relaxed)
    }
}
