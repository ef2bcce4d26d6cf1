//! Answers as people read them and as programs do. Ids are strings in JSON, as everywhere.

mod capacity;
mod checks;
mod explain;
mod operations;
mod ranges;
mod table;
mod totals;
pub(crate) mod units;

use crate::Shown;
use ranges::ranges;
use serde_json::{Value, json};
use shardline_wire::internal::{NodeInfo, ShardInfo, SlotEntry, WhereAnswer};
use std::collections::BTreeMap;
use table::{Align, table};

pub(crate) use capacity::capacity;
pub(crate) use checks::*;
pub(crate) use explain::explained;
pub(crate) use operations::*;
pub(crate) use totals::Totals;

/// Of one shard, where all are shown.
const RANGES_SHOWN: usize = 6;
/// Of one line, where one shard's ranges are shown.
const RANGES_A_LINE: usize = 8;

pub(crate) fn shards(shards: &[ShardInfo]) -> Shown {
    let rows = shards.iter().map(|shard| {
        [
            shard.shard.to_string(),
            shard.state.clone(),
            shard.weight.to_string(),
            shard.slots.to_string(),
            or_dash(&shard.writer),
            shard.writer_term.to_string(),
            or_dash(&shard.address),
            ago(shard.reported_ms_ago),
            behind(shard),
            or_dash(&shard.durability),
        ]
    });
    let heads = [
        ("SHARD", Align::Right),
        ("STATE", Align::Left),
        ("WEIGHT", Align::Right),
        ("SLOTS", Align::Right),
        ("WRITER", Align::Left),
        ("TERM", Align::Right),
        ("ADDRESS", Align::Left),
        ("REPORTED", Align::Left),
        ("TO RELAY", Align::Right),
        ("DURABILITY", Align::Left),
    ];
    let text = match shards {
        [] => "there are no shards yet; routers place slots on those of their setting initial-shards\n"
            .to_owned(),
        _ => table(heads, rows),
    };
    let json = shards.iter().map(|shard| {
        let lanes = shard.lanes.iter().map(|lane| {
            json!({ "lane": lane.lane, "committed": lane.committed, "relayed": lane.relayed })
        });
        json!({
            "shard": shard.shard,
            "state": shard.state,
            "weight": shard.weight,
            "slots": shard.slots,
            "writer": some(&shard.writer),
            "writer_term": shard.writer_term,
            "address": some(&shard.address),
            "reported_ms_ago": shard.reported_ms_ago,
            "lanes": lanes.collect::<Vec<_>>(),
            "durability": some(&shard.durability),
        })
    });
    Shown { text, json: json!({ "shards": json.collect::<Vec<_>>() }) }
}

/// With `whole`, the slots are one shard's and all are shown.
pub(crate) fn slots(slots: &[SlotEntry], whole: bool) -> Shown {
    let mut by_shard: BTreeMap<u32, Vec<&SlotEntry>> = BTreeMap::new();
    for entry in slots {
        by_shard.entry(entry.shard).or_default().push(entry);
    }
    let rows = by_shard.iter().map(|(shard, entries)| {
        let numbers: Vec<u32> = entries.iter().map(|entry| entry.slot).collect();
        let mut shown = ranges(&numbers);
        if !whole && RANGES_SHOWN < shown.len() {
            let more = shown.len() - RANGES_SHOWN;
            shown.truncate(RANGES_SHOWN);
            shown.push(format!("and {more} more (--shard {shard})"));
        }
        [shard.to_string(), entries.len().to_string(), epochs(entries), shown.join(", ")]
    });
    let text = match (slots, whole) {
        ([], true) => "the shard has no slots\n".to_owned(),
        ([], false) => "no slots are placed yet\n".to_owned(),
        (_, true) => {
            let numbers: Vec<u32> = slots.iter().map(|entry| entry.slot).collect();
            let lines = ranges(&numbers);
            let lines = lines.chunks(RANGES_A_LINE).map(|line| line.join(", "));
            let entries: Vec<&SlotEntry> = slots.iter().collect();
            let head = format!("{} slots, epoch {}\n", slots.len(), epochs(&entries));
            head + &lines.collect::<Vec<_>>().join("\n") + "\n"
        }
        (_, false) => table(
            [
                ("SHARD", Align::Right),
                ("SLOTS", Align::Right),
                ("EPOCH", Align::Right),
                ("RANGES", Align::Left),
            ],
            rows,
        ),
    };
    let json = slots
        .iter()
        .map(|entry| json!({ "slot": entry.slot, "shard": entry.shard, "epoch": entry.epoch }));
    Shown { text, json: json!({ "slots": json.collect::<Vec<_>>() }) }
}

pub(crate) fn place(place: &WhereAnswer) -> Shown {
    let entity = place.entity.to_string();
    let rows = [
        ["entity".to_owned(), entity.clone()],
        ["slot".to_owned(), place.slot.to_string()],
        ["shard".to_owned(), place.shard.to_string()],
        ["epoch".to_owned(), place.epoch.to_string()],
        ["written at".to_owned(), or_dash(&place.shard_address)],
        ["partition".to_owned(), place.partition.to_string()],
        ["router".to_owned(), or_dash(&place.router)],
    ];
    let text = rows.map(|[what, value]| format!("{what:<12}{value}\n")).concat();
    let json = json!({
        "entity": entity,
        "slot": place.slot,
        "shard": place.shard,
        "epoch": place.epoch,
        "shard_address": some(&place.shard_address),
        "partition": place.partition,
        "router": some(&place.router),
    });
    Shown { text, json }
}

pub(crate) fn nodes(nodes: &[NodeInfo]) -> Shown {
    let rows = nodes.iter().map(|node| {
        [node.kind.clone(), node.id.clone(), or_dash(&node.address), node.detail.clone()]
    });
    let heads = ["KIND", "NAME", "ADDRESS", "DETAIL"].map(|head| (head, Align::Left));
    let json = nodes.iter().map(|node| {
        json!({
            "kind": node.kind,
            "id": node.id,
            "address": some(&node.address),
            "detail": some(&node.detail),
        })
    });
    Shown { text: table(heads, rows), json: json!({ "nodes": json.collect::<Vec<_>>() }) }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

/// An empty text stands for nothing.
pub(crate) fn some(text: &str) -> Value {
    if text.is_empty() { Value::Null } else { Value::from(text) }
}

fn ago(ms: Option<u64>) -> String {
    match ms {
        None => "never".to_owned(),
        Some(ms) if ms < 10_000 => format!("{}.{} s ago", ms / 1000, ms % 1000 / 100),
        Some(ms) if ms < 600_000 => format!("{} s ago", ms / 1000),
        Some(ms) => format!("{} min ago", ms / 60_000),
    }
}

/// Commits that are not on the bus yet, of all lanes.
fn behind(shard: &ShardInfo) -> String {
    let behind = shard.lanes.iter().map(|lane| lane.committed.saturating_sub(lane.relayed));
    behind.sum::<u64>().to_string()
}

fn epochs(entries: &[&SlotEntry]) -> String {
    let epochs = entries.iter().map(|entry| entry.epoch);
    match (epochs.clone().min(), epochs.max()) {
        (Some(low), Some(high)) if low != high => format!("{low} to {high}"),
        (Some(epoch), _) => epoch.to_string(),
        _ => "-".to_owned(),
    }
}
