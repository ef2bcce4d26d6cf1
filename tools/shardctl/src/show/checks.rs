//! What checks found, and what a catalog was made of.

use super::table::{Align, table};
use super::units::count;
use super::{or_dash, some};
use crate::Shown;
use serde_json::{Value, json};
use shardline_wire::internal::{CheckCatalogAnswer, FsckFinding, RebuildCatalogAnswer};

/// One line of `--json`.
pub(crate) fn finding(finding: &FsckFinding) -> Value {
    json!({
        "event": "finding",
        "kind": finding.kind,
        "shard": finding.shard,
        "slot": finding.slot,
        "entity": finding.entity.to_string(),
        "other": (finding.other != 0).then(|| finding.other.to_string()),
        "text": finding.text,
        "state": finding.state,
        "why": some(&finding.why),
    })
}

/// Nothing if there are none.
pub(crate) fn findings(findings: &[FsckFinding]) -> String {
    if findings.is_empty() {
        return String::new();
    }
    let rows = findings.iter().map(|finding| {
        let other = if finding.other == 0 { String::new() } else { finding.other.to_string() };
        let text = match finding.why.as_str() {
            "" => finding.text.clone(),
            why => format!("{} ({why})", finding.text),
        };
        [
            finding.kind.clone(),
            finding.shard.to_string(),
            finding.slot.to_string(),
            finding.entity.to_string(),
            or_dash(&other),
            finding.state.clone(),
            text,
        ]
    });
    let heads = [
        ("KIND", Align::Left),
        ("SHARD", Align::Right),
        ("SLOT", Align::Right),
        ("ENTITY", Align::Right),
        ("OTHER", Align::Right),
        ("STATE", Align::Left),
        ("WHAT", Align::Left),
    ];
    table(heads, rows)
}

pub(crate) fn catalog_check(answer: &CheckCatalogAnswer) -> Shown {
    let number = |number: Option<u32>| number.map_or("-".to_owned(), |number| number.to_string());
    let rows = answer.findings.iter().map(|finding| {
        [finding.kind.clone(), number(finding.shard), number(finding.slot), finding.text.clone()]
    });
    let heads = [
        ("KIND", Align::Left),
        ("SHARD", Align::Right),
        ("SLOT", Align::Right),
        ("WHAT", Align::Left),
    ];
    let mut text = if answer.findings.is_empty() { String::new() } else { table(heads, rows) };
    let more = answer.total - answer.findings.len() as u64;
    if 0 < more {
        text.push_str(&format!("and {} more\n", count(more)));
    }
    let verdict = match answer.total {
        0 => "the catalog says what the shards say".to_owned(),
        total => format!("{} disagreements", count(total)),
    };
    let (shards, slots) = (answer.shards, answer.slots);
    text.push_str(&format!("{shards} shards, {slots} slots: {verdict}\n"));
    let json = answer.findings.iter().map(|finding| {
        json!({
            "kind": finding.kind,
            "shard": finding.shard,
            "slot": finding.slot,
            "text": finding.text,
        })
    });
    let json = json!({
        "findings": json.collect::<Vec<_>>(),
        "total": answer.total,
        "shards": shards,
        "slots": slots,
    });
    Shown { text, json }
}

pub(crate) fn catalog_rebuilt(answer: &RebuildCatalogAnswer) -> Shown {
    let shards = answer.shards.iter().map(|shard| {
        [
            shard.shard.to_string(),
            shard.address.clone(),
            shard.slots.to_string(),
            shard.writer_term.to_string(),
            shard.lanes.to_string(),
        ]
    });
    let heads = [
        ("SHARD", Align::Right),
        ("ADDRESS", Align::Left),
        ("SLOTS", Align::Right),
        ("TERM", Align::Right),
        ("LANES", Align::Right),
    ];
    let mut text = table(heads, shards);
    if !answer.moves.is_empty() {
        let moves = answer.moves.iter().map(|rebuilt| {
            [
                rebuilt.r#move.to_string(),
                rebuilt.attempt.to_string(),
                format!("{} to {}", rebuilt.source, rebuilt.target),
                rebuilt.phase.clone(),
                rebuilt.slots.to_string(),
            ]
        });
        let heads = [
            ("MOVE", Align::Right),
            ("ATTEMPT", Align::Right),
            ("SHARDS", Align::Left),
            ("PHASE", Align::Left),
            ("SLOTS", Align::Right),
        ];
        text.push('\n');
        text.push_str(&table(heads, moves));
    }
    text.push_str(&format!(
        "\n{} slots get a new epoch, the next move is {}, coordinators begin above term {}\n{}\n",
        answer.renewed_slots,
        answer.next_move,
        answer.leader_term,
        match answer.written {
            true => {
                "the catalog is written; weights are 100 each: `shardctl shard reweight`, then \
                 `shardctl catalog check`"
            }
            false => "nothing was changed: this was a dry run",
        }
    ));
    let shards = answer.shards.iter().map(|shard| {
        json!({
            "shard": shard.shard,
            "address": shard.address,
            "slots": shard.slots,
            "writer_term": shard.writer_term,
            "lanes": shard.lanes,
        })
    });
    let moves = answer.moves.iter().map(|rebuilt| {
        json!({
            "move": rebuilt.r#move,
            "attempt": rebuilt.attempt,
            "source": rebuilt.source,
            "target": rebuilt.target,
            "phase": rebuilt.phase,
            "slots": rebuilt.slots,
        })
    });
    let json = json!({
        "shards": shards.collect::<Vec<_>>(),
        "moves": moves.collect::<Vec<_>>(),
        "renewed_slots": answer.renewed_slots,
        "next_move": answer.next_move,
        "leader_term": answer.leader_term,
        "written": answer.written,
    });
    Shown { text, json }
}
