//! What so many users need, as a table with what it was worked out from.

use super::table::{Align, columns};
use super::units::{scaled, time};
use crate::Shown;
use crate::capacity::{
    Assumptions, CHATS_OWNED, CONNECTIONS_A_NODE, CURSOR_BYTES, CURSORS_HOT, DATABASE_COPIES,
    EVENT_BYTES, EVENT_COPIES, JOIN_BYTES_A_SECOND, MOVE_BYTES_A_SECOND, Need, PRESENCE_BYTES,
    need,
};
use crate::cli::Capacity;
use serde_json::{Value, json};
use std::time::Duration;

pub(crate) fn capacity(asked: &Capacity) -> Shown {
    let needs: Vec<Need> =
        asked.users.iter().map(|users| need(&given(asked, users.count))).collect();
    let mut rows: Vec<Vec<String>> = Vec::new();
    for (name, value) in LINES {
        let mut row = vec![(*name).to_owned()];
        row.extend(needs.iter().map(value));
        rows.push(row);
    }
    let mut heads = vec![("", Align::Left)];
    heads.extend(asked.users.iter().map(|users| (users.text.as_str(), Align::Right)));
    let text = format!("{}\n{}", columns(&heads, rows), assumptions(asked));
    let columns = asked.users.iter().zip(&needs).map(|(users, need)| {
        let mut json = as_json(need);
        json["users"] = users.count.into();
        json
    });
    let columns: Vec<Value> = columns.collect();
    Shown { text, json: json!({ "assumptions": given_json(asked), "needs": columns }) }
}

fn given(asked: &Capacity, users: f64) -> Assumptions {
    Assumptions {
        users,
        active: asked.active / 100.0,
        online: asked.online / 100.0,
        sends_a_day: asked.sends,
        recipients: asked.recipients,
        peak: asked.peak,
        spike: asked.spike,
        message_bytes: asked.message_bytes,
        shard_bytes: asked.shard_tb * 1e12,
        shard_writes: asked.shard_writes,
        days: asked.days,
    }
}

type Line = (&'static str, fn(&Need) -> String);

const LINES: &[Line] = &[
    ("messages a day", |need| scaled(need.messages_a_day)),
    ("messages/s, average", |need| scaled(need.sends)),
    ("messages/s, peak", |need| scaled(need.sends_peak)),
    ("messages/s, spike", |need| scaled(need.sends_spike)),
    ("deliveries/s, average", |need| scaled(need.deliveries)),
    ("deliveries/s, peak", |need| scaled(need.deliveries_peak)),
    ("connections", |need| scaled(need.connections)),
    ("conn-nodes", |need| whole(need.conn_nodes)),
    ("stored a day", |need| size(need.stored_a_day)),
    ("stored a day, all copies", |need| size(need.stored_a_day_copies)),
    ("stored in all", |need| size(need.stored)),
    ("shards by size", |need| exact(need.shards_by_size)),
    ("shards by peak", |need| exact(need.shards_by_peak)),
    ("shards by spike", |need| exact(need.shards_by_spike)),
    ("shards", |need| whole(need.shards)),
    ("growth of a shard a day", |need| size(need.growth_a_day)),
    ("slots of a shard", |need| exact(need.slots_a_shard)),
    ("size of a slot", |need| size(need.slot_bytes)),
    ("moving a slot", |need| took(need.slot_move)),
    ("chats in a slot", |need| scaled(need.chats_a_slot)),
    ("Kafka in, peak", |need| size(need.bus_peak) + "/s"),
    ("Kafka in, spike", |need| size(need.bus_spike) + "/s"),
    ("Kafka, a day, all copies", |need| size(need.bus_stored_a_day)),
    ("Redis, presence", |need| size(need.presence)),
    ("Redis, cursors", |need| size(need.cursors)),
    ("one shard more: slots", |need| whole(need.join_slots)),
    ("one shard more: bytes", |need| size(need.join_bytes)),
    ("one shard more: time", |need| took(need.join_time)),
];

fn size(bytes: f64) -> String {
    format!("{}B", scaled(bytes))
}

fn exact(number: f64) -> String {
    format!("{number:.1}")
}

fn whole(number: f64) -> String {
    format!("{number:.0}")
}

fn took(seconds: f64) -> String {
    Duration::try_from_secs_f64(seconds).map_or("for ever".to_owned(), time)
}

fn assumptions(asked: &Capacity) -> String {
    format!(
        "Arithmetic, not a measurement. It assumes: {} % of users active a day, {} sends each, to {} others; \
         peak {}x and spike {}x the average; {} % connected at once, {} on a conn-node; {} bytes a message on \
         disk, {} copies, kept {} days; a shard of {} TB and {} messages/s (measure yours); {} chats owned by a \
         user; {} bytes an event in Kafka, {} copies; {} bytes of presence a connection, {} cursors of {} bytes; \
         {}/s while a slot moves, {}/s into a shard that joins.\n",
        asked.active,
        asked.sends,
        asked.recipients,
        asked.peak,
        asked.spike,
        asked.online,
        CONNECTIONS_A_NODE,
        asked.message_bytes,
        DATABASE_COPIES,
        asked.days,
        asked.shard_tb,
        asked.shard_writes,
        CHATS_OWNED,
        EVENT_BYTES,
        EVENT_COPIES,
        PRESENCE_BYTES,
        CURSORS_HOT,
        CURSOR_BYTES,
        size(MOVE_BYTES_A_SECOND),
        size(JOIN_BYTES_A_SECOND),
    )
}

fn given_json(asked: &Capacity) -> Value {
    json!({
        "active_percent": asked.active,
        "sends_a_day": asked.sends,
        "recipients": asked.recipients,
        "peak": asked.peak,
        "spike": asked.spike,
        "online_percent": asked.online,
        "connections_a_node": CONNECTIONS_A_NODE,
        "message_bytes": asked.message_bytes,
        "database_copies": DATABASE_COPIES,
        "days": asked.days,
        "shard_tb": asked.shard_tb,
        "shard_writes": asked.shard_writes,
        "chats_owned": CHATS_OWNED,
        "event_bytes": EVENT_BYTES,
        "event_copies": EVENT_COPIES,
        "presence_bytes": PRESENCE_BYTES,
        "cursors": CURSORS_HOT,
        "cursor_bytes": CURSOR_BYTES,
        "move_bytes_a_second": MOVE_BYTES_A_SECOND,
        "join_bytes_a_second": JOIN_BYTES_A_SECOND,
    })
}

fn as_json(need: &Need) -> Value {
    json!({
        "messages_a_day": need.messages_a_day,
        "sends": need.sends,
        "sends_peak": need.sends_peak,
        "sends_spike": need.sends_spike,
        "deliveries": need.deliveries,
        "deliveries_peak": need.deliveries_peak,
        "connections": need.connections,
        "conn_nodes": need.conn_nodes,
        "stored_a_day": need.stored_a_day,
        "stored_a_day_copies": need.stored_a_day_copies,
        "stored": need.stored,
        "shards_by_size": need.shards_by_size,
        "shards_by_peak": need.shards_by_peak,
        "shards_by_spike": need.shards_by_spike,
        "shards": need.shards,
        "growth_a_day": need.growth_a_day,
        "slots_a_shard": need.slots_a_shard,
        "slot_bytes": need.slot_bytes,
        "slot_move_seconds": need.slot_move,
        "chats_a_slot": need.chats_a_slot,
        "bus_peak": need.bus_peak,
        "bus_spike": need.bus_spike,
        "bus_stored_a_day": need.bus_stored_a_day,
        "presence": need.presence,
        "cursors": need.cursors,
        "join_slots": need.join_slots,
        "join_bytes": need.join_bytes,
        "join_seconds": need.join_time,
    })
}
