//! Events of the partitions this router owns, from the bus to the conn-nodes that need them, in
//! order, each once for a node. Two routers that both believe they own a partition only double them.

mod backlog;
pub(crate) mod remembered;

use crate::audience::{Streams, all_receivers};
use crate::connections::{Connections, Stream};
use crate::interest::Interest;
use crate::metrics::{CONSUMER_LAG, DELIVERY_SECONDS, EVENTS, EVENTS_PUSHED};
use crate::routers::Routers;
use crate::whereabouts::Whereabouts;
use backlog::{Backlog, is_old};
use prost::Message as _;
use remembered::{Batch, Part, Remembered};
use shardline_backends::bus::{Bus, Consumer, Record, TopicError};
use shardline_daemon::backoff::Backoff;
use shardline_daemon::clock;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::limits::LINK_BATCH_BYTES_MAX;
use shardline_wire::call::Push;
use shardline_wire::internal::{Event, EventBatch};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

/// How soon a quiet bus ends a backlog.
const QUIET: Duration = Duration::from_millis(200);
/// How often a partition whose beginning is not settled is looked at.
const SETTLE_EVERY: Duration = Duration::from_millis(100);
/// Events in one push: a queue of pushes then has a bound in events, too.
const PUSH_EVENTS_MAX: usize = 256;

pub(crate) struct Deliveries {
    pub(crate) routers: Arc<Routers>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) interest: Arc<Interest>,
    pub(crate) whereabouts: Arc<Whereabouts>,
    pub(crate) remembered: Arc<Remembered>,
}

impl Deliveries {
    /// Waits for the bus, then delivers until `stop`. Stops the process if the topic is not as
    /// configured: events of a slot would be looked for in the wrong partition.
    pub(crate) async fn run(
        self: Arc<Deliveries>,
        bus: Arc<dyn Bus>,
        lifecycle: Lifecycle,
        stop: CancellationToken,
    ) {
        if !self.topic_is_there(bus.as_ref(), &lifecycle, &stop).await {
            return;
        }
        let consumer = bus.consume();
        tokio::join!(
            self.keep_partitions(consumer.as_ref(), &stop),
            self.deliver(consumer.as_ref(), &stop)
        );
    }

    async fn topic_is_there(
        &self,
        bus: &dyn Bus,
        lifecycle: &Lifecycle,
        stop: &CancellationToken,
    ) -> bool {
        let mut backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));
        let mut has_warned = false;
        loop {
            let topic = tokio::select! {
                () = stop.cancelled() => return false,
                topic = bus.ensure_topic(self.routers.partitions().count()) => topic,
            };
            match topic {
                Ok(()) => return true,
                Err(error @ TopicError::PartitionCount { .. }) => {
                    lifecycle.fail(error.to_string());
                    return false;
                }
                Err(TopicError::Unavailable(error)) => {
                    if !has_warned {
                        warn!(%error, "nothing is delivered until the bus is there");
                    }
                    has_warned = true;
                }
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(backoff.next()) => {}
            }
        }
    }

    /// Consumes what the router list gives this router. Once a new partition's beginning is settled,
    /// every conn-node compares heads: what was published before may have been nobody's.
    async fn keep_partitions(&self, consumer: &dyn Consumer, stop: &CancellationToken) {
        let mut list = self.routers.changed();
        let mut unsettled = BTreeSet::new();
        let mut owned = BTreeSet::new();
        loop {
            let now_owned: BTreeSet<u32> = self.routers.load().partitions().into_iter().collect();
            if now_owned != owned {
                let partitions: Vec<u32> = now_owned.iter().copied().collect();
                consumer.set_partitions(&partitions);
                unsettled.retain(|partition| now_owned.contains(partition));
                unsettled.extend(now_owned.difference(&owned));
                info!(owned = now_owned.len(), "the consumed partitions changed");
                owned = now_owned;
            }
            if !unsettled.is_empty() {
                let before = unsettled.len();
                for settled in consumer.consuming() {
                    unsettled.remove(&settled);
                }
                if unsettled.len() < before {
                    self.connections.all_behind();
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                // Its sender lives in `routers`: it cannot be closed.
                _ = list.changed() => {}
                () = tokio::time::sleep(SETTLE_EVERY), if !unsettled.is_empty() => {}
            }
        }
    }

    async fn deliver(&self, consumer: &dyn Consumer, stop: &CancellationToken) {
        let mut backlog = Backlog::default();
        loop {
            let records = tokio::select! {
                () = stop.cancelled() => return,
                records = consumer.next() => records,
                () = tokio::time::sleep(QUIET), if backlog.is_owed() => Vec::new(),
            };
            self.deliver_batch(&records, &mut backlog).await;
            for record in &records {
                consumer.finished(record.partition, record.offset);
            }
        }
    }

    /// Hands records to the streams that need them. What a stream does not take is its loss, of which
    /// it will hear: nothing here waits for a conn-node.
    async fn deliver_batch(&self, records: &[Record], backlog: &mut Backlog) {
        let now_ms = clock::now_ms();
        let mut events = Vec::new();
        let mut skipped = 0;
        for record in records {
            // From a slice, so that each payload is a copy: an event that waits for a stuck conn-node
            // must not keep its whole record.
            match EventBatch::decode(&record.payload[..]) {
                Ok(batch) => {
                    let before = events.len() + batch.events.len();
                    events.extend(batch.events.into_iter().filter(|event| !is_old(event, now_ms)));
                    skipped += before - events.len();
                }
                Err(error) => {
                    let (partition, offset) = (record.partition, record.offset);
                    error!(partition, offset, %error, "a record that is none; it is skipped");
                    skipped += 1;
                }
            }
        }
        if backlog.is_over(skipped, events.len(), Instant::now()) {
            self.connections.all_behind();
        }
        self.measure(records, &events, skipped, now_ms);
        if events.is_empty() {
            return;
        }

        let streams = Streams::as_of_now(&self.connections.load());
        let located = self.whereabouts.of(&all_receivers(events.iter())).await;
        let audience = streams.audience(&events, &self.interest, &located);
        let mut reached = vec![false; events.len()];
        let mut batch = Batch::of(&events, now_ms);
        for (stream, needed) in streams.get().iter().zip(audience) {
            if needed.is_empty() {
                continue;
            }
            needed.iter().for_each(|index| reached[*index] = true);
            let was_taken = self.push(stream, &events, &needed);
            batch.streams.push(Part { node: stream.node.clone(), needed, was_taken });
        }
        batch.dispatched_ms = clock::now_ms();
        self.remembered.put(batch);
        let delivered = reached.iter().filter(|reached| **reached).count();
        metrics::counter!(EVENTS, "outcome" => "delivered").increment(delivered as u64);
        let nobody = events.len() - delivered;
        metrics::counter!(EVENTS, "outcome" => "nobody").increment(nobody as u64);
    }

    /// Whether the stream took all of it.
    fn push(&self, stream: &Stream, events: &[Event], needed: &[usize]) -> bool {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut was_taken = true;
        for index in needed {
            let event = &events[*index];
            let size = event.encoded_len();
            let is_full = batch.len() == PUSH_EVENTS_MAX || LINK_BATCH_BYTES_MAX < bytes + size;
            if is_full && !batch.is_empty() {
                was_taken &= self.push_batch(stream, std::mem::take(&mut batch));
                bytes = 0;
            }
            bytes += size;
            batch.push(event.clone());
        }
        if !batch.is_empty() {
            was_taken &= self.push_batch(stream, batch);
        }
        was_taken
    }

    fn push_batch(&self, stream: &Stream, batch: Vec<Event>) -> bool {
        let count = batch.len();
        let was_taken = self.connections.push(stream, Push::Events(batch));
        if was_taken {
            metrics::counter!(EVENTS_PUSHED).increment(count as u64);
        }
        was_taken
    }

    fn measure(&self, records: &[Record], events: &[Event], skipped: usize, now_ms: i64) {
        if let Some(newest) = records.iter().map(|record| record.timestamp_ms).max() {
            metrics::gauge!(CONSUMER_LAG).set(seconds(now_ms - newest));
        }
        if let Some(event) = events.last() {
            metrics::histogram!(DELIVERY_SECONDS).record(seconds(now_ms - event.committed_at_ms));
        }
        metrics::counter!(EVENTS, "outcome" => "old").increment(skipped as u64);
    }
}

fn seconds(ms: i64) -> f64 {
    Duration::from_millis(u64::try_from(ms).unwrap_or(0)).as_secs_f64()
}
