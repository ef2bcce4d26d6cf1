//! One Kafka consumer's life: decides where each partition begins, polls, hands out, commits.

use super::reader::{Context, RETRY_AFTER, Stop, Thread};
use super::topic::{self, Topic};
use crate::bus::{CONSUMED_RECORDS_MAX, Record};
use crate::metrics::{CONSUME_FAILURES, CONSUMED, CONSUMED_BYTES};
use bytes::Bytes;
use metrics::counter;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer};
use rdkafka::error::{KafkaError, KafkaResult, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Message};
use rdkafka::{Offset, TopicPartitionList};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;
use tracing::{error, info};

/// How long a poll waits; a new assignment is noticed after at most this.
const POLL_TIME: Duration = Duration::from_millis(20);
const COMMIT_EVERY: Duration = Duration::from_secs(1);
/// Asking where a partition begins.
const ASK_TIME: Duration = Duration::from_secs(2);
const BATCH_BYTES_MAX: usize = 4 * 1024 * 1024;

pub(super) struct Reading<'a> {
    thread: &'a Thread,
    consumer: &'a BaseConsumer<Context>,
    /// Of each assigned partition the next offset to be read.
    next: BTreeMap<u32, i64>,
    /// Where an earlier consumer of this reader had come to; the next goes on there.
    reached: BTreeMap<u32, i64>,
    retry_at: Option<Instant>,
    commit_at: Instant,
    /// A failure that needs another consumer came behind records; those are handed out first.
    over: bool,
}

impl<'a> Reading<'a> {
    pub(super) fn new(
        thread: &'a Thread,
        consumer: &'a BaseConsumer<Context>,
        reached: BTreeMap<u32, i64>,
    ) -> Reading<'a> {
        let commit_at = Instant::now() + COMMIT_EVERY;
        let next = BTreeMap::new();
        Reading { thread, consumer, next, reached, retry_at: None, commit_at, over: false }
    }

    pub(super) fn reached(mut self) -> BTreeMap<u32, i64> {
        self.reached.extend(self.next);
        self.reached
    }

    /// Until the handle is gone, or (Ok) this consumer is of no use any more.
    pub(super) fn go_on(&mut self) -> Result<(), Stop> {
        while !self.thread.stopping() {
            if let Err(error) = self.follow_wanted()
                && self.is_over(&error)
            {
                return Ok(());
            }
            match self.poll() {
                Ok(batch) if batch.is_empty() => {}
                Ok(batch) => self.hand_out(batch)?,
                Err(error) if self.is_over(&error) => return Ok(()),
                Err(_) => {}
            }
            if self.over {
                return Ok(());
            }
            if self.commit_at <= Instant::now() {
                self.commit(CommitMode::Async);
            }
        }
        Err(Stop)
    }

    /// Whether a failure needs another consumer. Brokers that are away come back to this one.
    fn is_over(&self, error: &KafkaError) -> bool {
        counter!(CONSUME_FAILURES).increment(1);
        self.consumer.context().complaints.error(error, "reading");
        if topic::is_gone(error) {
            Topic::make_again(&self.thread.topic);
            return true;
        }
        !matches!(
            error.rdkafka_error_code(),
            Some(
                RDKafkaErrorCode::BrokerTransportFailure
                    | RDKafkaErrorCode::AllBrokersDown
                    | RDKafkaErrorCode::OperationTimedOut
                    | RDKafkaErrorCode::RequestTimedOut
                    | RDKafkaErrorCode::Resolve
                    | RDKafkaErrorCode::NotLeaderForPartition
                    | RDKafkaErrorCode::LeaderNotAvailable
                    | RDKafkaErrorCode::CoordinatorLoadInProgress
                    | RDKafkaErrorCode::CoordinatorNotAvailable
                    | RDKafkaErrorCode::NotCoordinator
                    | RDKafkaErrorCode::WaitingForCoordinator
            )
        )
    }

    /// Brings what is assigned to what is wanted. Where a beginning cannot be settled now, the
    /// others are read meanwhile.
    fn follow_wanted(&mut self) -> KafkaResult<()> {
        let wanted = self.thread.shared.wanted.lock().clone();
        if wanted.iter().eq(self.next.keys()) {
            self.retry_at = None;
            return Ok(());
        }
        let removes = self.next.keys().any(|partition| !wanted.contains(partition));
        let pausing = self.retry_at.is_some_and(|at| Instant::now() < at);
        if pausing && !removes {
            return Ok(());
        }
        if removes {
            // While the marks are still there: what they say may be committed.
            self.commit(CommitMode::Async);
        }
        self.reached.retain(|partition, _| wanted.contains(partition));
        let mut next = self.next.clone();
        next.retain(|partition, _| wanted.contains(partition));
        let fresh: Vec<u32> =
            wanted.into_iter().filter(|partition| !next.contains_key(partition)).collect();
        let beginnings = if pausing { Ok(Vec::new()) } else { self.beginnings(&fresh) };
        if let Ok(beginnings) = &beginnings {
            next.extend(beginnings.iter().copied());
        }
        if next != self.next {
            self.assign(next)?;
        }
        self.retry_at = beginnings.is_err().then(|| Instant::now() + RETRY_AFTER);
        beginnings.map(drop)
    }

    fn beginnings(&self, fresh: &[u32]) -> KafkaResult<Vec<(u32, i64)>> {
        if fresh.is_empty() {
            return Ok(Vec::new());
        }
        let name = self.thread.topic.name();
        let mut list = TopicPartitionList::with_capacity(fresh.len());
        for partition in fresh {
            list.add_partition(name, number(*partition));
        }
        let committed = self.consumer.committed_offsets(list, ASK_TIME)?;
        fresh
            .iter()
            .map(|partition| {
                let number = number(*partition);
                let (low, high) = self.consumer.fetch_watermarks(name, number, ASK_TIME)?;
                let known = self.reached.get(partition).copied().or_else(|| {
                    let committed = committed.find_partition(name, number)?.offset();
                    committed.to_raw().filter(|offset| 0 <= *offset)
                });
                let begin = beginning(known, low, high);
                Ok((*partition, begin))
            })
            .collect()
    }

    /// Gives the consumer a whole new assignment; what it had fetched ahead is fetched again.
    fn assign(&mut self, next: BTreeMap<u32, i64>) -> KafkaResult<()> {
        let mut list = TopicPartitionList::with_capacity(next.len());
        for (partition, offset) in &next {
            let name = self.thread.topic.name();
            list.add_partition_offset(name, number(*partition), Offset::Offset(*offset))?;
        }
        self.consumer.assign(&list)?;
        let mut marks = self.thread.shared.marks.lock();
        marks.retain(|partition, _| next.contains_key(partition));
        for partition in next.keys() {
            marks.entry(*partition).or_default();
        }
        info!(partitions = next.len(), "reading partitions of the bus");
        self.next = next;
        Ok(())
    }

    /// What is there, up to a batch; waits a little if there is nothing.
    fn poll(&mut self) -> KafkaResult<Vec<Record>> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut wait = POLL_TIME;
        while batch.len() < CONSUMED_RECORDS_MAX && bytes < BATCH_BYTES_MAX {
            match self.consumer.poll(wait) {
                None => break,
                Some(Err(error)) if batch.is_empty() => return Err(error),
                Some(Err(error)) => {
                    self.over = self.is_over(&error);
                    break;
                }
                Some(Ok(message)) => {
                    if let Some(record) = record(&message) {
                        bytes += record.payload.len();
                        self.next.insert(record.partition, message.offset() + 1);
                        batch.push(record);
                    }
                }
            }
            wait = Duration::ZERO;
        }
        counter!(CONSUMED).increment(batch.len() as u64);
        counter!(CONSUMED_BYTES).increment(bytes as u64);
        Ok(batch)
    }

    fn hand_out(&self, batch: Vec<Record>) -> Result<(), Stop> {
        {
            let mut marks = self.thread.shared.marks.lock();
            for record in &batch {
                if let Some(marks) = marks.get_mut(&record.partition) {
                    marks.prefix.handed_out(record.offset);
                }
            }
        }
        // Waits while the owner is busy: nothing is read ahead but what the client fetched.
        self.thread.sender.blocking_send(batch).map_err(|_| Stop)
    }

    pub(super) fn commit(&mut self, mode: CommitMode) {
        self.commit_at = Instant::now() + COMMIT_EVERY;
        let mut list = TopicPartitionList::new();
        for (partition, marks) in self.thread.shared.marks.lock().iter_mut() {
            if let Some(next) = marks.to_commit.take() {
                let offset = Offset::Offset(i64::try_from(next).unwrap_or(i64::MAX));
                let name = self.thread.topic.name();
                if let Err(error) = list.add_partition_offset(name, number(*partition), offset) {
                    error!(%error, "an offset cannot be committed");
                }
            }
        }
        if list.count() == 0 {
            return;
        }
        if let Err(error) = self.consumer.commit(&list, mode) {
            self.consumer.context().complaints.error(&error, "commit");
        }
    }
}

/// Where reading begins in a log that holds `low..high`, if it should go on at `known`.
fn beginning(known: Option<i64>, low: i64, high: i64) -> i64 {
    match known {
        Some(known) if (low..=high).contains(&known) => known,
        // The log began again: all of it is new.
        Some(known) if high < known => low,
        // Never read, or so long ago that it would only be old news.
        _ => high,
    }
}

fn number(partition: u32) -> i32 {
    i32::try_from(partition).expect("a topic has at most 16384 partitions")
}

fn record(message: &BorrowedMessage<'_>) -> Option<Record> {
    Some(Record {
        partition: u32::try_from(message.partition()).ok()?,
        offset: u64::try_from(message.offset()).ok()?,
        payload: Bytes::copy_from_slice(message.payload().unwrap_or_default()),
        timestamp_ms: message.timestamp().to_millis().unwrap_or(0),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(known: Option<i64>, expected: i64) {
        assert_eq!(beginning(known, 10, 20), expected, "{known:?}");
    }

    #[test]
    fn reading_begins_where_nothing_new_is_missed() {
        check(None, 20);
        check(Some(10), 10);
        check(Some(15), 15);
        check(Some(20), 20);
        check(Some(9), 20);
        check(Some(21), 10);
    }
}
