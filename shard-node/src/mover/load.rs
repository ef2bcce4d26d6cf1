//! What a shard says of itself: who it is, and about how much its slots hold.

use crate::config::Config;
use crate::store::{SlotState, Store, StoreError, migrate};
use shardline_domain::id::EntityId;
use shardline_domain::slot::Slot;
use shardline_wire::internal::{ShardDescription, SlotLoad};
use std::collections::{BTreeMap, HashSet};

/// Heads read at once.
const HEADS: u64 = 5_000;
/// About what a change takes on disk, with its keys.
const BYTES_OF_A_CHANGE: u64 = 400;

/// Counts heads: each durable change took one ver, and about one row.
pub(crate) async fn describe(
    config: &Config,
    store: &dyn Store,
    writes: bool,
) -> Result<ShardDescription, StoreError> {
    let rows = store.slots().await?;
    let known: HashSet<u16> =
        rows.iter().filter(|row| row.state != SlotState::Empty).map(|row| row.slot).collect();
    let claims = |state| !matches!(state, SlotState::Empty | SlotState::Moved);
    let claimed = rows.iter().filter(|row| claims(row.state)).count();
    let mut loads: BTreeMap<u16, SlotLoad> = BTreeMap::new();
    let mut after = 0;
    loop {
        let heads = store.heads_in(&[after + 1..=u64::MAX >> 1], HEADS).await?;
        let Some(last) = heads.last() else { break };
        after = last.entity;
        for head in &heads {
            let Ok(id) = EntityId::new(head.entity) else { continue };
            let slot = Slot::of(id).get();
            let load = loads.entry(slot).or_default();
            load.slot = slot.into();
            load.entities += 1;
            load.rows += head.ver;
            load.bytes += head.ver * BYTES_OF_A_CHANGE;
        }
        if (heads.len() as u64) < HEADS {
            break;
        }
    }
    Ok(ShardDescription {
        foreign: loads.keys().any(|slot| !known.contains(slot)),
        claimed: u32::try_from(claimed).unwrap_or(u32::MAX),
        writes,
        durability: store.durability().await.unwrap_or_default(),
        slots: loads.into_values().collect(),
        ..describe_new(config)
    })
}

/// Of a database that is still to be made.
pub(crate) fn describe_new(config: &Config) -> ShardDescription {
    ShardDescription {
        shard: config.shard,
        node: config.node.clone(),
        schema: migrate::own_version(migrate::MYSQL),
        partitions: config.partitions.count(),
        ..ShardDescription::default()
    }
}
