//! What every form of the bus must do. Each function is one claim; it panics where it is not kept.

use super::{Bus, Consumer, PublishError, RECORD_BYTES_MAX, Record, TopicError};
use bytes::Bytes;
use futures::future::{BoxFuture, join_all};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// How long a claim waits for what must come.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long a claim waits to see that something does not come.
const QUIET: Duration = Duration::from_millis(300);

/// Calls `$run!` with all claims, each with what its subject is made with.
#[macro_export]
macro_rules! bus_claims {
    ($run:ident) => {
        $run! {
            the_topic_keeps_its_partitions(),
            each_partition_is_read_in_the_order_published(),
            without_a_committed_offset_reading_begins_at_the_end(),
            the_next_reader_begins_behind_the_finished_prefix(),
            two_readers_of_a_partition_both_get_everything(),
            a_changed_assignment_leaves_the_kept_partitions_alone(),
            giving_up_on_next_loses_nothing(),
            the_largest_record_fits_and_one_byte_more_does_not(),
            a_partition_that_is_not_there_is_a_failure(),
        }
    };
}

/// A form under test, with a topic of its own that was not made yet.
pub struct Subject {
    pub bus: Arc<dyn Bus>,
    /// Gives back what the claim used outside.
    pub wipe: Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>,
}

impl Subject {
    async fn topic(&self, partitions: u32) {
        self.bus.ensure_topic(partitions).await.expect("the topic can be made");
    }

    /// One record after the other is handed over, then all are awaited.
    async fn publish(&self, partition: u32, texts: impl IntoIterator<Item = String>) {
        let texts = texts.into_iter();
        let published: Vec<_> =
            texts.map(|text| self.bus.publish(partition, Bytes::from(text))).collect();
        for outcome in join_all(published).await {
            outcome.expect("the bus is there");
        }
    }

    /// A reader whose beginnings are settled.
    async fn reader(&self, partitions: &[u32]) -> Arc<dyn Consumer> {
        let reader = self.bus.consume();
        reader.set_partitions(partitions);
        settled(&*reader, partitions).await;
        reader
    }
}

async fn settled(reader: &dyn Consumer, partitions: &[u32]) {
    let started = Instant::now();
    while reader.consuming() != partitions {
        assert!(started.elapsed() < PATIENCE, "reads {:?}", reader.consuming());
        sleep(Duration::from_millis(10)).await;
    }
}

async fn take(reader: &dyn Consumer, count: usize) -> Vec<Record> {
    let mut taken = Vec::new();
    while taken.len() < count {
        let batch = timeout(PATIENCE, reader.next()).await;
        taken.extend(batch.unwrap_or_else(|_| panic!("{} of {count} came", taken.len())));
    }
    taken
}

fn text(record: &Record) -> &str {
    std::str::from_utf8(&record.payload).expect("texts were published")
}

fn texts(records: &[Record]) -> Vec<&str> {
    records.iter().map(text).collect()
}

fn numbered(word: &str, count: usize) -> impl Iterator<Item = String> + use<> {
    let word = word.to_owned();
    (0..count).map(move |number| format!("{word} {number}"))
}

pub async fn the_topic_keeps_its_partitions(subject: &Subject) {
    subject.topic(4).await;
    subject.topic(4).await;
    let other = subject.bus.ensure_topic(8).await;
    assert_eq!(other, Err(TopicError::PartitionCount { expected: 8, found: 4 }));
}

pub async fn each_partition_is_read_in_the_order_published(subject: &Subject) {
    const COUNT: usize = 2_000;
    subject.topic(4).await;
    let reader = subject.reader(&[0, 1, 3]).await;
    let publish = [0, 1, 2, 3]
        .map(|partition| subject.publish(partition, numbered(&format!("p{partition}"), COUNT)));
    let (_, records) = tokio::join!(join_all(publish), take(&*reader, 3 * COUNT));
    let mut read: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
    for record in records {
        read.entry(record.partition).or_default().push(record);
    }
    assert_eq!(read.keys().collect::<Vec<_>>(), [&0, &1, &3]);
    for (partition, records) in read {
        let expected: Vec<String> = numbered(&format!("p{partition}"), COUNT).collect();
        assert_eq!(texts(&records), expected);
        assert!(records.is_sorted_by(|one, next| one.offset < next.offset));
        assert!(records.iter().all(|record| 1_600_000_000_000 < record.timestamp_ms));
    }
}

pub async fn without_a_committed_offset_reading_begins_at_the_end(subject: &Subject) {
    subject.topic(1).await;
    subject.publish(0, ["before".to_owned()]).await;
    let reader = subject.reader(&[0]).await;
    subject.publish(0, ["after".to_owned()]).await;
    assert_eq!(texts(&take(&*reader, 1).await), ["after"]);
}

pub async fn the_next_reader_begins_behind_the_finished_prefix(subject: &Subject) {
    subject.topic(2).await;
    let reader = subject.reader(&[0, 1]).await;
    subject.publish(0, numbered("n", 10)).await;
    subject.publish(1, numbered("m", 10)).await;
    let records = take(&*reader, 20).await;
    let offset = |partition: u32, number: usize| {
        let mut of_it = records.iter().filter(|record| record.partition == partition);
        of_it.nth(number).expect("ten of each were read").offset
    };
    for number in [3, 0, 7, 1, 2, 9] {
        reader.finished(0, offset(0, number));
    }
    for number in 0..10 {
        reader.finished(1, offset(1, number));
    }
    drop(reader);
    subject.publish(1, ["new".to_owned()]).await;
    // Committing takes its time; until then a reader begins at the end, or too early.
    let started = Instant::now();
    loop {
        let next = subject.reader(&[0, 1]).await;
        let mut first = BTreeMap::new();
        while first.len() < 2
            && let Ok(batch) = timeout(6 * QUIET, next.next()).await
        {
            for record in batch {
                first.entry(record.partition).or_insert_with(|| text(&record).to_owned());
            }
        }
        let expected = [(0, "n 4".to_owned()), (1, "new".to_owned())];
        if first == BTreeMap::from(expected) {
            break;
        }
        assert!(started.elapsed() < PATIENCE, "a new reader still begins at {first:?}");
    }
}

pub async fn two_readers_of_a_partition_both_get_everything(subject: &Subject) {
    subject.topic(1).await;
    let (one, other) = (subject.reader(&[0]).await, subject.reader(&[0]).await);
    subject.publish(0, numbered("n", 100)).await;
    let expected: Vec<String> = numbered("n", 100).collect();
    assert_eq!(texts(&take(&*one, 100).await), expected);
    assert_eq!(texts(&take(&*other, 100).await), expected);
}

pub async fn a_changed_assignment_leaves_the_kept_partitions_alone(subject: &Subject) {
    subject.topic(3).await;
    let reader = subject.reader(&[0, 1]).await;
    subject.publish(0, numbered("first", 50)).await;
    subject.publish(1, numbered("first", 50)).await;
    let read = take(&*reader, 100).await;
    assert_eq!(read.len(), 100);

    // Nothing is finished, so nothing is committed: whoever began anew would begin at the end.
    subject.publish(0, numbered("second", 50)).await;
    reader.set_partitions(&[0, 2]);
    settled(&*reader, &[0, 2]).await;
    subject.publish(1, ["not ours any more".to_owned()]).await;
    subject.publish(2, ["new here".to_owned()]).await;
    let read = take(&*reader, 51).await;
    let of = |partition: u32| {
        let of_it = read.iter().filter(move |record| record.partition == partition);
        of_it.map(text).collect::<Vec<_>>()
    };
    assert_eq!(of(0), numbered("second", 50).collect::<Vec<_>>());
    assert_eq!(of(2), ["new here"]);
    assert!(of(1).is_empty());
    assert!(timeout(QUIET, reader.next()).await.is_err(), "something else came");

    reader.set_partitions(&[]);
    settled(&*reader, &[]).await;
    subject.publish(0, ["to nobody".to_owned()]).await;
    assert!(timeout(QUIET, reader.next()).await.is_err(), "a reader of nothing read");
}

pub async fn giving_up_on_next_loses_nothing(subject: &Subject) {
    const COUNT: usize = 300;
    subject.topic(1).await;
    let reader = subject.reader(&[0]).await;
    let publish = async {
        for text in numbered("n", COUNT) {
            subject.publish(0, [text]).await;
        }
    };
    let read = async {
        let mut read = Vec::new();
        let started = Instant::now();
        let mut given_up = 0;
        while read.len() < COUNT {
            assert!(started.elapsed() < PATIENCE, "{} came", read.len());
            match timeout(Duration::from_micros(50), reader.next()).await {
                Ok(batch) => read.extend(batch),
                Err(_) => given_up += 1,
            }
        }
        (read, given_up)
    };
    let ((), (read, _)) = tokio::join!(publish, read);
    assert_eq!(texts(&read), numbered("n", COUNT).collect::<Vec<_>>());
}

pub async fn the_largest_record_fits_and_one_byte_more_does_not(subject: &Subject) {
    subject.topic(1).await;
    let reader = subject.reader(&[0]).await;
    let bytes = RECORD_BYTES_MAX + 1;
    let refused = subject.bus.publish(0, vec![7; bytes].into()).await;
    assert_eq!(refused, Err(PublishError::TooLarge { bytes }));
    let largest = vec![7; RECORD_BYTES_MAX];
    subject.bus.publish(0, largest.clone().into()).await.expect("it fits");
    let read = take(&*reader, 1).await;
    assert!(read[0].payload == largest, "{} bytes came", read[0].payload.len());
}

pub async fn a_partition_that_is_not_there_is_a_failure(subject: &Subject) {
    subject.topic(2).await;
    subject.publish(1, ["here".to_owned()]).await;
    let outcome = timeout(PATIENCE, subject.bus.publish(2, Bytes::from_static(b"x"))).await;
    assert!(matches!(outcome, Ok(Err(PublishError::Failed(_)))), "{outcome:?}");
}
