//! Events of one commit as records of the bus.

use bytes::Bytes;
use prost::Message as _;
use shardline_domain::id::EntityId;
use shardline_domain::slot::{Partitions, Slot};
use shardline_wire::internal::{Event, EventBatch};
use std::collections::BTreeMap;

/// A record is cut here, well below what the bus takes.
const RECORD_BYTES_MAX: usize = shardline_backends::bus::RECORD_BYTES_MAX / 2;

/// One record per partition (more if it is large), events in commit order within each.
pub(crate) fn records(events: Vec<Event>, partitions: Partitions) -> Vec<(u32, Bytes)> {
    let mut by_partition: BTreeMap<u32, Vec<Event>> = BTreeMap::new();
    for event in events {
        let Ok(entity) = EntityId::new(event.entity) else { continue };
        let partition = Slot::of(entity).partition(partitions);
        by_partition.entry(partition).or_default().push(event);
    }
    let mut records = Vec::with_capacity(by_partition.len());
    for (partition, events) in by_partition {
        let mut batch = EventBatch::default();
        let mut bytes = 0;
        for event in events {
            let size = event.payload.len() + 10 * event.receivers.len() + 64;
            if RECORD_BYTES_MAX < bytes + size && !batch.events.is_empty() {
                let full = std::mem::take(&mut batch);
                records.push((partition, Bytes::from(full.encode_to_vec())));
                bytes = 0;
            }
            bytes += size;
            batch.events.push(event);
        }
        records.push((partition, Bytes::from(batch.encode_to_vec())));
    }
    records
}
