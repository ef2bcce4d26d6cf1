//! The bus keeps its promises in memory and in Kafka.

use crate::each_claim;
use crate::services;
use bytes::Bytes;
use rdkafka::admin::{AdminClient, AdminOptions};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use shardline_backends::bus::conformance::Subject;
use shardline_backends::bus::kafka::{KafkaBus, KafkaSettings};
use shardline_backends::bus::memory::MemoryBus;
use shardline_backends::bus::{Bus, Consumer};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

async fn memory() -> Subject {
    Subject { bus: Arc::new(MemoryBus::new()), wipe: Box::new(|| Box::pin(async {})) }
}

fn settings() -> Option<KafkaSettings> {
    let brokers = services::address("SHARDLINE_TEST_KAFKA")?;
    let prefix = format!("{}-", services::random_name());
    Some(KafkaSettings { prefix, ..KafkaSettings::new(brokers) })
}

async fn real() -> Option<Subject> {
    let settings = settings()?;
    let bus = Arc::new(KafkaBus::new(settings.clone()).expect("the settings are right"));
    Some(Subject {
        bus,
        wipe: Box::new(move || {
            let settings = settings.clone();
            Box::pin(async move { delete_topic(&settings).await })
        }),
    })
}

async fn delete_topic(settings: &KafkaSettings) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", &settings.brokers);
    let admin: AdminClient<DefaultClientContext> = config.create().expect("plain settings");
    let options = AdminOptions::new().operation_timeout(Some(Duration::from_secs(10)));
    let deleted = admin.delete_topics(&[&settings.topic()], &options).await;
    assert!(deleted.is_ok_and(|topics| topics.iter().all(Result::is_ok)), "it was not deleted");
}

macro_rules! claims {
    ($($claims:tt)*) => {
        each_claim!(shardline_backends::bus::conformance, in_kafka; $($claims)*);
    };
}

shardline_backends::bus_claims!(claims);

async fn reads_again(bus: &dyn Bus, reader: &dyn Consumer, patience: Duration) -> Duration {
    let started = Instant::now();
    let mut number = 0_u64;
    loop {
        assert!(started.elapsed() < patience, "nothing is read after {number} attempts");
        number += 1;
        // Its failure is part of the story; only the end counts.
        let _ = timeout(Duration::from_secs(2), bus.publish(0, Bytes::from_static(b"again"))).await;
        if let Ok(batch) = timeout(Duration::from_millis(200), reader.next()).await {
            assert!(batch.iter().all(|record| record.payload == b"again"[..]));
            return started.elapsed();
        }
        sleep(Duration::from_millis(100)).await;
    }
}

/// An operator deletes the topic under a working system: it comes back with all its partitions, and
/// both sides go on by themselves.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_deleted_topic_comes_back() {
    let Some(settings) = settings() else { return };
    let bus = KafkaBus::new(settings.clone()).expect("the settings are right");
    bus.ensure_topic(4).await.expect("Kafka is there");
    let reader = bus.consume();
    reader.set_partitions(&[0]);
    reads_again(&bus, &*reader, Duration::from_secs(30)).await;
    delete_topic(&settings).await;
    reads_again(&bus, &*reader, Duration::from_secs(90)).await;
    assert_eq!(bus.ensure_topic(4).await, Ok(()));
    delete_topic(&settings).await;
}

/// What is handed over while no broker is there waits, without blocking anybody, and bounded.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_broker_nothing_blocks() {
    let bus = KafkaBus::new(KafkaSettings::new("127.0.0.1:1")).expect("the settings are right");
    let started = Instant::now();
    let reader = bus.consume();
    reader.set_partitions(&[0, 1]);
    let pending: Vec<_> =
        (0..1_000).map(|_| bus.publish(0, Bytes::from_static(b"waits"))).collect();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    assert!(timeout(Duration::from_millis(500), reader.next()).await.is_err());
    assert!(reader.consuming().is_empty());
    drop((reader, bus));
    for published in pending {
        // The bus is gone: nobody waits for ever.
        let outcome = timeout(Duration::from_secs(10), published).await;
        assert!(outcome.is_ok_and(|outcome| outcome.is_err()));
    }
}
