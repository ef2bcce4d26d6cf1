//! The bus in Kafka: one topic, one idempotent producer (acks=all, no transactions), readers with
//! manual assignment. The only place with the topic's name.
//!
//! The producer never gives a record up by itself while brokers are away: it keeps trying in order,
//! and [`PublishError::Full`] says when no more fit.

mod client;
mod reader;
mod reading;
mod topic;

use self::client::Complaints;
use self::topic::Topic;
use super::{Bus, Consumer, PublishError, Published, RECORD_BYTES_MAX, TopicError};
use crate::metrics::{PUBLISH_FAILURES, PUBLISH_SECONDS, PUBLISHED, PUBLISHED_BYTES};
use async_trait::async_trait;
use bytes::Bytes;
use metrics::{counter, histogram};
use parking_lot::Mutex;
use rdkafka::client::ClientContext;
use rdkafka::config::{ClientConfig, FromClientConfigAndContext, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseRecord, DeliveryResult, ProducerContext, ThreadedProducer};
use std::sync::Arc;
use thiserror::Error;
use tokio::sync::oneshot;
use tokio::time::Instant;
use tracing::error;

/// Records handed over and not yet acknowledged, of the whole process.
const IN_FLIGHT_RECORDS_MAX: &str = "100000";
const IN_FLIGHT_KIB_MAX: &str = "65536";

#[derive(Clone)]
pub struct KafkaSettings {
    /// `host:port`, comma-separated.
    pub brokers: String,
    /// Before the topic's and the group's name, so that several systems can share one Kafka.
    pub prefix: String,
    /// Copies of the topic, when it is created; -1 is the brokers' default.
    pub replication: i32,
    /// More of librdkafka's own settings, for example of security; they win over ours.
    pub properties: Vec<(String, String)>,
}

/// Without the properties: they may hold a password.
impl std::fmt::Debug for KafkaSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KafkaSettings")
            .field("brokers", &self.brokers)
            .field("prefix", &self.prefix)
            .field("replication", &self.replication)
            .finish_non_exhaustive()
    }
}

impl KafkaSettings {
    pub fn new(brokers: impl Into<String>) -> KafkaSettings {
        KafkaSettings {
            brokers: brokers.into(),
            prefix: String::new(),
            replication: -1,
            properties: Vec::new(),
        }
    }

    pub fn topic(&self) -> String {
        format!("{}chat-events", self.prefix)
    }

    fn group(&self) -> String {
        format!("{}shardline-routers", self.prefix)
    }

    fn client(&self, own: &[(&str, &str)]) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &self.brokers);
        config.set("client.id", "shardline");
        config.set("socket.keepalive.enable", "true");
        config.set("socket.nagle.disable", "true");
        config.set("socket.timeout.ms", "10000");
        // Back within moments of a broker's return, and of a topic's.
        config.set("reconnect.backoff.ms", "50");
        config.set("reconnect.backoff.max.ms", "1000");
        config.set("topic.metadata.refresh.interval.ms", "10000");
        // How long a topic may be unknown before its records fail; ours was there at the start.
        config.set("topic.metadata.propagation.max.ms", "5000");
        for (key, value) in own {
            config.set(*key, *value);
        }
        for (key, value) in &self.properties {
            config.set(key, value);
        }
        config.set_log_level(RDKafkaLogLevel::Notice);
        config
    }
}

#[derive(Debug, Error)]
#[error("the Kafka settings are wrong: {0}")]
pub struct KafkaSettingsError(String);

pub struct KafkaBus {
    settings: KafkaSettings,
    topic: Arc<Topic>,
    producer: Mutex<ThreadedProducer<Acks>>,
}

impl KafkaBus {
    /// Connects by itself, in the background.
    pub fn new(settings: KafkaSettings) -> Result<KafkaBus, KafkaSettingsError> {
        crate::metrics::describe_all();
        let topic = Arc::new(Topic::new(settings.clone()));
        let producer = new_producer(&settings, &topic)?;
        // A wrong property shall be known now, not when the first reader starts.
        reader::check_settings(&settings)?;
        Ok(KafkaBus { settings, topic, producer: Mutex::new(producer) })
    }

    fn hand_over(
        &self,
        partition: u32,
        payload: &[u8],
        sender: oneshot::Sender<Result<(), PublishError>>,
    ) {
        let bytes = payload.len();
        let handed = Box::new(Handed { sender, at: Instant::now(), bytes });
        let Ok(number) = i32::try_from(partition) else {
            return handed.failed(PublishError::Failed(format!("no partition {partition}")));
        };
        if RECORD_BYTES_MAX < bytes {
            return handed.failed(PublishError::TooLarge { bytes });
        }
        let name = self.topic.name();
        let record = BaseRecord::<(), [u8], _>::with_opaque_to(name, handed)
            .partition(number)
            .payload(payload);
        // Under the lock, so that records of one partition keep their callers' order; it does not
        // wait for anything.
        let mut producer = self.producer.lock();
        if let Err((error, record)) = producer.send(record) {
            let reason = match error {
                KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull) => PublishError::Full,
                error => {
                    if producer.is_broken() {
                        self.replace(&mut producer);
                    }
                    PublishError::Failed(error.to_string())
                }
            };
            record.delivery_opaque.failed(reason);
        }
    }

    /// An idempotent producer that lost its place with the broker takes no more records, ever.
    fn replace(&self, producer: &mut ThreadedProducer<Acks>) {
        match new_producer(&self.settings, &self.topic) {
            Ok(fresh) => {
                let broken = std::mem::replace(producer, fresh);
                // Dropping waits for its thread and fails what it still held.
                let dropping = move || drop(broken);
                if let Err(error) = std::thread::Builder::new().spawn(dropping) {
                    error!(%error, "no thread to drop a broken producer in");
                }
            }
            Err(error) => error!(%error, "the producer is broken and no other can be made"),
        }
    }
}

trait IsBroken {
    fn is_broken(&self) -> bool;
}

impl IsBroken for ThreadedProducer<Acks> {
    fn is_broken(&self) -> bool {
        use rdkafka::producer::Producer;
        self.client().fatal_error().is_some()
    }
}

fn new_producer(
    settings: &KafkaSettings,
    topic: &Arc<Topic>,
) -> Result<ThreadedProducer<Acks>, KafkaSettingsError> {
    let message_bytes = (RECORD_BYTES_MAX + topic::OVERHEAD_BYTES).to_string();
    let config = settings.client(&[
        ("enable.idempotence", "true"),
        ("acks", "all"),
        // For ever: giving one record up would let later ones overtake it.
        ("message.timeout.ms", "0"),
        ("linger.ms", "1"),
        ("queue.buffering.max.messages", IN_FLIGHT_RECORDS_MAX),
        ("queue.buffering.max.kbytes", IN_FLIGHT_KIB_MAX),
        ("message.max.bytes", &message_bytes),
    ]);
    let acks = Acks { topic: Arc::clone(topic), complaints: Complaints::new("producer") };
    ThreadedProducer::from_config_and_context(&config, acks)
        .map_err(|error| KafkaSettingsError(error.to_string()))
}

/// A record on its way.
struct Handed {
    sender: oneshot::Sender<Result<(), PublishError>>,
    at: Instant,
    bytes: usize,
}

impl Handed {
    fn stored(self) {
        histogram!(PUBLISH_SECONDS).record(self.at.elapsed().as_secs_f64());
        counter!(PUBLISHED).increment(1);
        counter!(PUBLISHED_BYTES).increment(self.bytes as u64);
        // Nobody waits any more: what became of it is of no interest.
        let _ = self.sender.send(Ok(()));
    }

    fn failed(self, error: PublishError) {
        let reason = match error {
            PublishError::Full => "full",
            PublishError::TooLarge { .. } => "too_large",
            PublishError::Failed(_) => "failed",
        };
        counter!(PUBLISH_FAILURES, "reason" => reason).increment(1);
        let _ = self.sender.send(Err(error));
    }
}

/// Hears what became of records, on the producer's own thread.
struct Acks {
    topic: Arc<Topic>,
    complaints: Complaints,
}

impl ClientContext for Acks {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        self.complaints.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.complaints.error(&error, reason);
    }
}

impl ProducerContext for Acks {
    type DeliveryOpaque = Box<Handed>;

    fn delivery(&self, result: &DeliveryResult<'_>, handed: Box<Handed>) {
        match result {
            Ok(_) => handed.stored(),
            Err((error, _)) => {
                if topic::is_gone(error) {
                    Topic::make_again(&self.topic);
                }
                handed.failed(PublishError::Failed(error.to_string()));
            }
        }
    }
}

#[async_trait]
impl Bus for KafkaBus {
    async fn ensure_topic(&self, partitions: u32) -> Result<(), TopicError> {
        self.topic.ensure(partitions).await
    }

    fn publish(&self, partition: u32, payload: Bytes) -> Published {
        let (sender, published) = Published::awaited();
        self.hand_over(partition, &payload, sender);
        published
    }

    fn consume(&self) -> Arc<dyn Consumer> {
        Arc::new(reader::Reader::start(self.settings.clone(), Arc::clone(&self.topic)))
    }
}
