//! The bus inside one process. Bounded: the oldest records of a partition fall out, and a reader that
//! is that far behind misses them; what it feeds notices by `ver` and repairs.

use super::prefix::Prefix;
use super::{
    Bus, CONSUMED_RECORDS_MAX, Consumer, PublishError, Published, RECORD_BYTES_MAX, Record,
    TopicError,
};
use crate::metrics::{
    CONSUMED, CONSUMED_BYTES, DROPPED, PUBLISH_FAILURES, PUBLISHED, PUBLISHED_BYTES,
};
use async_trait::async_trait;
use bytes::Bytes;
use metrics::counter;
use parking_lot::Mutex;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::sync::watch;

/// What one partition keeps: a few seconds of a busy one.
pub const KEPT_RECORDS_MAX: usize = 4_096;
/// All 64 partitions together stay below 128 MiB.
pub const KEPT_BYTES_MAX: usize = 2 * 1024 * 1024;

pub struct MemoryBus {
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    /// Changes with every publish and every new assignment: readers look again.
    changed: watch::Sender<u64>,
}

#[derive(Default)]
struct State {
    partitions: Option<u32>,
    logs: HashMap<u32, Log>,
    /// Shared by all readers.
    committed: HashMap<u32, u64>,
}

#[derive(Default)]
struct Log {
    /// The offset after the last record.
    end: u64,
    bytes: usize,
    records: VecDeque<Record>,
}

impl Log {
    fn append(&mut self, partition: u32, payload: Bytes, timestamp_ms: i64) {
        self.bytes += payload.len();
        self.records.push_back(Record { partition, offset: self.end, payload, timestamp_ms });
        self.end += 1;
        // The newest record stays whatever its size.
        while 1 < self.records.len()
            && (KEPT_RECORDS_MAX < self.records.len() || KEPT_BYTES_MAX < self.bytes)
        {
            if let Some(oldest) = self.records.pop_front() {
                self.bytes -= oldest.payload.len();
            }
        }
    }

    /// The oldest record kept, or where the next one will be.
    fn start(&self) -> u64 {
        self.end - self.records.len() as u64
    }

    fn from(&self, offset: u64) -> impl Iterator<Item = &Record> {
        let behind = usize::try_from(offset.saturating_sub(self.start())).unwrap_or(usize::MAX);
        self.records.iter().skip(behind)
    }
}

impl MemoryBus {
    #[expect(clippy::new_without_default, reason = "a second one would be another bus")]
    pub fn new() -> MemoryBus {
        crate::metrics::describe_all();
        let shared = Shared { state: Mutex::default(), changed: watch::Sender::new(0) };
        MemoryBus { shared: Arc::new(shared) }
    }

    fn append(&self, partition: u32, payload: Bytes) -> Result<(), PublishError> {
        let bytes = payload.len();
        if RECORD_BYTES_MAX < bytes {
            counter!(PUBLISH_FAILURES, "reason" => "too_large").increment(1);
            return Err(PublishError::TooLarge { bytes });
        }
        let mut state = self.shared.state.lock();
        if state.partitions.is_none_or(|count| count <= partition) {
            counter!(PUBLISH_FAILURES, "reason" => "failed").increment(1);
            return Err(PublishError::Failed(format!("there is no partition {partition}")));
        }
        state.logs.entry(partition).or_default().append(partition, payload, now_ms());
        drop(state);
        self.shared.changed.send_modify(|turn| *turn += 1);
        counter!(PUBLISHED).increment(1);
        counter!(PUBLISHED_BYTES).increment(bytes as u64);
        Ok(())
    }
}

/// This crate stands beside `daemon`, not above it.
#[expect(clippy::disallowed_methods, reason = "the stand-in for a broker stamps its records")]
fn now_ms() -> i64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

#[async_trait]
impl Bus for MemoryBus {
    async fn ensure_topic(&self, partitions: u32) -> Result<(), TopicError> {
        let mut state = self.shared.state.lock();
        let found = *state.partitions.get_or_insert(partitions);
        if found == partitions {
            Ok(())
        } else {
            Err(TopicError::PartitionCount { expected: partitions, found })
        }
    }

    fn publish(&self, partition: u32, payload: Bytes) -> Published {
        Published::known(self.append(partition, payload))
    }

    fn consume(&self) -> Arc<dyn Consumer> {
        let shared = Arc::clone(&self.shared);
        Arc::new(MemoryConsumer { shared, reading: Mutex::default() })
    }
}

struct MemoryConsumer {
    shared: Arc<Shared>,
    // Locked after the bus's state where both are.
    reading: Mutex<Reading>,
}

#[derive(Default)]
struct Reading {
    positions: BTreeMap<u32, Position>,
    /// Where the next batch begins, so that a busy partition does not starve the others.
    turn: u32,
}

struct Position {
    next: u64,
    prefix: Prefix,
}

impl MemoryConsumer {
    fn take(&self) -> Vec<Record> {
        let state = self.shared.state.lock();
        let reading = &mut *self.reading.lock();
        let mut taken = Vec::new();
        let turn = reading.turn;
        let (before, after): (Vec<_>, Vec<_>) =
            reading.positions.iter_mut().partition(|(partition, _)| **partition < turn);
        for (partition, position) in after.into_iter().chain(before) {
            let Some(log) = state.logs.get(partition) else { continue };
            let dropped = log.start().saturating_sub(position.next);
            if 0 < dropped {
                counter!(DROPPED).increment(dropped);
                position.next = log.start();
            }
            for record in log.from(position.next).take(CONSUMED_RECORDS_MAX - taken.len()) {
                position.prefix.handed_out(record.offset);
                position.next = record.offset + 1;
                reading.turn = partition + 1;
                taken.push(record.clone());
            }
        }
        counter!(CONSUMED).increment(taken.len() as u64);
        let bytes: usize = taken.iter().map(|record| record.payload.len()).sum();
        counter!(CONSUMED_BYTES).increment(bytes as u64);
        taken
    }
}

#[async_trait]
impl Consumer for MemoryConsumer {
    fn set_partitions(&self, partitions: &[u32]) {
        let state = self.shared.state.lock();
        let mut reading = self.reading.lock();
        reading.positions.retain(|partition, _| partitions.contains(partition));
        for partition in partitions {
            reading.positions.entry(*partition).or_insert_with(|| {
                let end = state.logs.get(partition).map_or(0, |log| log.end);
                let next = state.committed.get(partition).copied().unwrap_or(end);
                Position { next, prefix: Prefix::default() }
            });
        }
        drop(reading);
        drop(state);
        self.shared.changed.send_modify(|turn| *turn += 1);
    }

    fn consuming(&self) -> Vec<u32> {
        self.reading.lock().positions.keys().copied().collect()
    }

    async fn next(&self) -> Vec<Record> {
        let mut changed = self.shared.changed.subscribe();
        loop {
            changed.mark_unchanged();
            let taken = self.take();
            if !taken.is_empty() {
                return taken;
            }
            // The sender lives in what this reader holds.
            let _ = changed.changed().await;
        }
    }

    fn finished(&self, partition: u32, offset: u64) {
        let mut state = self.shared.state.lock();
        let mut reading = self.reading.lock();
        let next = reading.positions.get_mut(&partition).and_then(|at| at.prefix.finished(offset));
        if let Some(next) = next {
            state.committed.insert(partition, next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_reader_that_lags_too_far_loses_the_oldest() {
        let bus = MemoryBus::new();
        bus.ensure_topic(1).await.expect("a new topic");
        let consumer = bus.consume();
        consumer.set_partitions(&[0]);
        for _ in 0..KEPT_RECORDS_MAX + 10 {
            bus.publish(0, Bytes::from_static(b"x")).await.expect("it always takes");
        }
        assert_eq!(consumer.next().await[0].offset, 10);
    }

    #[tokio::test]
    async fn large_records_are_bounded_by_their_bytes() {
        let bus = MemoryBus::new();
        bus.ensure_topic(1).await.expect("a new topic");
        let consumer = bus.consume();
        consumer.set_partitions(&[0]);
        for _ in 0..4 {
            bus.publish(0, vec![0; RECORD_BYTES_MAX].into()).await.expect("it always takes");
        }
        let offsets: Vec<u64> = consumer.next().await.iter().map(|record| record.offset).collect();
        assert_eq!(offsets, [3]);
    }
}
