//! From columns to what they mean, whatever database they came from. What cannot be is `Corrupt`.

use super::lease::Lease;
use super::moves::{self, HeldColumns, HeldSlot};
use super::{CatalogError, ShardRow, ShardState, SlotNews, SlotRow, WriterGrant};
use shardline_domain::{
    id::ShardId,
    placement::transfer::Held,
    slot::{Epoch, Slot},
};
use std::collections::BTreeMap;

/// shard, weight, state, writer_term, writer, address, until_ms, reported_ms, durability
pub(super) type ShardColumns = (u32, u32, u8, u64, String, String, i64, Option<i64>, String);

pub(super) fn shard_row(columns: ShardColumns, now_ms: i64) -> Result<ShardRow, CatalogError> {
    let (shard, weight, state, term, writer, address, until_ms, reported_ms, durability) = columns;
    let state = ShardState::from_number(state)
        .ok_or_else(|| CatalogError::Corrupt(format!("shard {shard} has the state {state}")))?;
    let lease = Lease { term, holder: writer, until_ms };
    let writer_alive = lease.is_alive(now_ms);
    // A report from the future was made before the clock went back: just now.
    let reported_ms_ago =
        reported_ms.map(|at| u64::try_from(now_ms.saturating_sub(at)).unwrap_or(0));
    Ok(ShardRow {
        shard: ShardId(shard),
        weight,
        state,
        writer_term: lease.term,
        writer: lease.holder,
        address,
        writer_alive,
        reported_ms_ago,
        durability,
    })
}

pub(super) fn slot_row((slot, shard, epoch): (u32, u32, u64)) -> Result<SlotRow, CatalogError> {
    let slot = Slot::new(slot)
        .ok_or_else(|| CatalogError::Corrupt(format!("there is a row for slot {slot}")))?;
    Ok(SlotRow { slot, shard: ShardId(shard), epoch: Epoch(epoch) })
}

/// From (slot, shard, epoch, version) rows that are newer than `version`.
pub(super) fn news(
    version: u64,
    rows: Vec<(u32, u32, u64, u64)>,
) -> Result<SlotNews, CatalogError> {
    let newest = rows.iter().map(|row| row.3).max().unwrap_or(version);
    let slots = rows.into_iter().map(|(slot, shard, epoch, _)| slot_row((slot, shard, epoch)));
    Ok(SlotNews { version: newest, slots: slots.collect::<Result<_, _>>()? })
}

/// Slots with what holds them, by number.
pub(super) fn held_slots(
    rows: Vec<(u32, u32, u64)>,
    holds: Vec<HeldColumns>,
) -> Result<Vec<HeldSlot>, CatalogError> {
    let holds: BTreeMap<u32, Held> =
        holds.into_iter().map(moves::held).collect::<Result<_, _>>()?;
    let with_held = |row: SlotRow| {
        let held = holds.get(&row.slot.get().into()).copied();
        HeldSlot { row, held }
    };
    let mut slots: Vec<HeldSlot> =
        rows.into_iter().map(|row| slot_row(row).map(with_held)).collect::<Result<_, _>>()?;
    slots.sort_by_key(|held| held.row.slot);
    Ok(slots)
}

pub(super) fn no_shard(shard: ShardId) -> CatalogError {
    CatalogError::Refused(format!("there is no shard {shard}"))
}

pub(super) fn granted(lease: Lease) -> WriterGrant {
    WriterGrant { granted: true, term: lease.term, holder: lease.holder }
}

pub(super) fn refused(lease: Lease) -> WriterGrant {
    WriterGrant { granted: false, term: lease.term, holder: lease.holder }
}
