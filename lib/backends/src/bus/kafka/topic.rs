//! The topic itself: made with its fixed number of partitions, checked, and made again if somebody
//! deleted it.

use super::KafkaSettings;
use crate::Unavailable;
use crate::bus::{RECORD_BYTES_MAX, TopicError};
use parking_lot::Mutex;
use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{info, warn};

/// What Kafka's batch and record headers may add.
pub(super) const OVERHEAD_BYTES: usize = 64 * 1024;
const ASK_TIME: Duration = Duration::from_secs(5);
/// From creating a topic until every broker knows it.
const SPREAD_TIME: Duration = Duration::from_secs(10);
const SPREAD_STEP: Duration = Duration::from_millis(100);
/// A reader further behind than this reads heads instead; the store has the history.
const RETENTION_MS: &str = "86400000";
/// A deleted topic is made again at most this often.
const AGAIN_EVERY: Duration = Duration::from_secs(5);

pub(super) struct Topic {
    settings: KafkaSettings,
    name: String,
    ensured: Mutex<Ensured>,
}

#[derive(Default)]
struct Ensured {
    /// The number of partitions last asked for.
    partitions: Option<u32>,
    again_at: Option<Instant>,
}

/// The topic is not there (any more), or not the one the client knew.
pub(super) fn is_gone(error: &KafkaError) -> bool {
    matches!(
        error.rdkafka_error_code(),
        Some(
            RDKafkaErrorCode::UnknownTopic
                | RDKafkaErrorCode::UnknownPartition
                | RDKafkaErrorCode::UnknownTopicOrPartition
                | RDKafkaErrorCode::UnknownTopicId
        )
    )
}

impl Topic {
    pub(super) fn new(settings: KafkaSettings) -> Topic {
        Topic { name: settings.topic(), settings, ensured: Mutex::default() }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) async fn ensure(self: &Arc<Self>, partitions: u32) -> Result<(), TopicError> {
        self.ensured.lock().partitions = Some(partitions);
        let topic = Arc::clone(self);
        let ended = tokio::task::spawn_blocking(move || topic.ensure_blocking(partitions)).await;
        ended.unwrap_or_else(|error| Err(unavailable(error).into()))
    }

    /// In a thread of its own, and not too often. Does nothing if the topic was never ensured: then
    /// nobody knows how many partitions it shall have.
    pub(super) fn make_again(topic: &Arc<Topic>) {
        let partitions = {
            let mut ensured = topic.ensured.lock();
            let now = Instant::now();
            if ensured.again_at.is_some_and(|at| now < at) {
                return;
            }
            ensured.again_at = Some(now + AGAIN_EVERY);
            ensured.partitions
        };
        let Some(partitions) = partitions else { return };
        let topic = Arc::clone(topic);
        let make = move || {
            if let Err(error) = topic.ensure_blocking(partitions) {
                warn!(%error, "the topic is gone and could not be made again");
            }
        };
        if let Err(error) = std::thread::Builder::new().name("kafka topic".to_owned()).spawn(make) {
            warn!(%error, "no thread to make the topic again in");
        }
    }

    fn ensure_blocking(&self, partitions: u32) -> Result<(), TopicError> {
        // A consumer: asking for the metadata of a missing topic as a producer may create it.
        let config = self.settings.client(&[("allow.auto.create.topics", "false")]);
        let asker: BaseConsumer = config.create().map_err(unavailable)?;
        let mut found = self.partitions(&asker)?;
        if found == 0 {
            self.create(partitions)?;
            let deadline = Instant::now() + SPREAD_TIME;
            while found == 0 && Instant::now() < deadline {
                std::thread::park_timeout(SPREAD_STEP);
                found = self.partitions(&asker)?;
            }
        }
        match found {
            0 => Err(unavailable("the topic was created but is not there yet").into()),
            found if found == partitions => Ok(()),
            found => Err(TopicError::PartitionCount { expected: partitions, found }),
        }
    }

    /// How many there are; 0 if there is no such topic, or one that has no leaders yet.
    fn partitions(&self, asker: &BaseConsumer) -> Result<u32, TopicError> {
        let metadata = asker.fetch_metadata(Some(&self.name), ASK_TIME).map_err(unavailable)?;
        let topic = metadata.topics().iter().find(|topic| topic.name() == self.name);
        let partitions = topic.map(|topic| topic.partitions()).unwrap_or_default();
        let all_led = partitions.iter().all(|partition| 0 <= partition.leader());
        if all_led { Ok(u32::try_from(partitions.len()).unwrap_or(u32::MAX)) } else { Ok(0) }
    }

    fn create(&self, partitions: u32) -> Result<(), TopicError> {
        let admin: AdminClient<DefaultClientContext> =
            self.settings.client(&[]).create().map_err(unavailable)?;
        let record_bytes = (RECORD_BYTES_MAX + OVERHEAD_BYTES).to_string();
        let count = i32::try_from(partitions).map_err(unavailable)?;
        let copies = TopicReplication::Fixed(self.settings.replication);
        let mut topic = NewTopic::new(&self.name, count, copies)
            .set("max.message.bytes", &record_bytes)
            .set("retention.ms", RETENTION_MS);
        if 3 <= self.settings.replication {
            // One broker may be away without a pause, and none may be the only one that has it.
            topic = topic.set("min.insync.replicas", "2");
        }
        let options =
            AdminOptions::new().request_timeout(Some(ASK_TIME)).operation_timeout(Some(ASK_TIME));
        // This is a thread for blocking work, and the client's threads drive the answer.
        let waiting = tokio::runtime::Builder::new_current_thread().build().map_err(unavailable)?;
        let created =
            waiting.block_on(admin.create_topics([&topic], &options)).map_err(unavailable)?;
        for result in created {
            match result {
                Ok(name) => info!(topic = name, partitions, "topic created"),
                // Another process was faster; what it made is checked next.
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((_, code)) => return Err(unavailable(code).into()),
            }
        }
        Ok(())
    }
}

fn unavailable(reason: impl ToString) -> Unavailable {
    Unavailable { system: "bus", reason: reason.to_string() }
}
