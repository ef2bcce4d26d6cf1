//! What operators change, as they see it.

use super::table::{Align, table};
use super::totals::Totals;
use super::units::{bytes, count, moment, time};
use super::{or_dash, some};
use crate::Shown;
use crate::show::ranges::ranges;
use serde_json::{Value, json};
use shardline_wire::internal::{
    MoveInfo, OperatorChange, PlanAnswer, RebalanceInfo, ShardChanged, ShowMoveAnswer, Throttle,
};
use std::time::Duration;

const RANGES_A_LINE: usize = 8;

fn shown_ms(ms: u64) -> String {
    if ms < 1000 { format!("{ms} ms") } else { time(Duration::from_millis(ms)) }
}

/// `next` is what usually comes then.
pub(crate) fn shard_changed(changed: &ShardChanged, next: &str) -> Shown {
    let ShardChanged { shard, weight, state, unchanged } = changed;
    let before = if *unchanged { ", as before" } else { "" };
    let text = format!("shard {shard} is {state}, weight {weight}{before}\n{next}\n");
    let json = json!({ "shard": shard, "weight": weight, "state": state, "unchanged": unchanged });
    Shown { text, json }
}

pub(crate) fn throttle(throttle: &Throttle) -> Shown {
    let text = match throttle.bytes_per_second {
        0 => "moves copy as fast as the shards let them\n".to_owned(),
        limit => format!("each move copies at most {}/s\n", bytes(limit)),
    };
    Shown { text, json: json!({ "bytes_per_second": throttle.bytes_per_second }) }
}

pub(crate) fn changes(changes: &[OperatorChange]) -> Shown {
    let rows = changes
        .iter()
        .map(|change| [moment(change.at_ms), or_dash(&change.by), change.what.clone()]);
    let heads = ["AT (UTC)", "BY", "WHAT"].map(|head| (head, Align::Left));
    let text = match changes {
        [] => "nothing was changed yet\n".to_owned(),
        _ => table(heads, rows),
    };
    let json = changes.iter().map(|change| {
        json!({ "number": change.number, "at_ms": change.at_ms, "by": change.by, "what": change.what })
    });
    Shown { text, json: json!({ "changes": json.collect::<Vec<_>>() }) }
}

pub(crate) fn plan(plan: &PlanAnswer) -> Shown {
    let shards = plan.shards.iter().map(|shard| {
        let change = i64::from(shard.slots_then) - i64::from(shard.slots_now);
        [
            shard.shard.to_string(),
            shard.state.clone(),
            shard.weight.to_string(),
            shard.slots_now.to_string(),
            shard.slots_then.to_string(),
            if change == 0 { "-".to_owned() } else { format!("{change:+}") },
        ]
    });
    let moves = plan.moves.iter().map(|planned| {
        let after = planned.after_move.map(|id| format!("after move {id}"));
        [
            format!("{} to {}", planned.source, planned.target),
            planned.slots.len().to_string(),
            count(planned.entities),
            count(planned.rows),
            bytes(planned.bytes),
            time(Duration::from_secs(planned.seconds)),
            format!("{} ms", planned.pause_ms),
            after.unwrap_or_default(),
        ]
    });
    let right = |head| (head, Align::Right);
    let mut text = table(
        [
            right("SHARD"),
            ("STATE", Align::Left),
            right("WEIGHT"),
            right("SLOTS"),
            right("THEN"),
            right("CHANGE"),
        ],
        shards,
    );
    if plan.moves.is_empty() {
        text += "\nnothing is to be moved\n";
    } else {
        text += "\n";
        text += &table(
            [
                ("MOVE", Align::Left),
                right("SLOTS"),
                right("ENTITIES"),
                right("ROWS"),
                right("BYTES"),
                right("TIME"),
                right("PAUSE"),
                ("", Align::Left),
            ],
            moves,
        );
        let slots: usize = plan.moves.iter().map(|planned| planned.slots.len()).sum();
        let size: u64 = plan.moves.iter().map(|planned| planned.bytes).sum();
        text += &format!(
            "\n{} slots, {}, about {} in all; writes to a slot wait about as long as PAUSE says, once\n\
             {}\n\
             to begin exactly this: shardctl rebalance --plan {}\n",
            count(slots as u64),
            bytes(size),
            time(Duration::from_secs(plan.seconds)),
            pace(plan),
            plan.digest,
        );
    }
    Shown { text, json: plan_json(plan) }
}

/// What TIME rests on.
fn pace(plan: &PlanAnswer) -> String {
    let pace = plan.pace.unwrap_or_default();
    let figures = format!(
        "{} rows and {} a second",
        count(pace.rows_per_second),
        bytes(pace.bytes_per_second)
    );
    match pace.moves {
        0 => format!("TIME is assumed: {figures}, for too little has moved yet to measure it"),
        moves => format!("TIME is measured: {figures}, by the last {moves} moves that copied much"),
    }
}

fn plan_json(plan: &PlanAnswer) -> Value {
    let moves = plan.moves.iter().map(|planned| {
        json!({
            "source": planned.source,
            "target": planned.target,
            "slots": planned.slots,
            "entities": planned.entities,
            "rows": planned.rows,
            "bytes": planned.bytes,
            "seconds": planned.seconds,
            "pause_ms": planned.pause_ms,
            "after_move": planned.after_move,
        })
    });
    let shards = plan.shards.iter().map(|shard| {
        json!({
            "shard": shard.shard,
            "state": shard.state,
            "weight": shard.weight,
            "slots_now": shard.slots_now,
            "slots_then": shard.slots_then,
        })
    });
    json!({
        "moves": moves.collect::<Vec<_>>(),
        "shards": shards.collect::<Vec<_>>(),
        "seconds": plan.seconds,
        "digest": plan.digest,
        "pace": plan.pace.map(|pace| json!({
            "measured": 0 < pace.moves,
            "moves": pace.moves,
            "rows_per_second": pace.rows_per_second,
            "bytes_per_second": pace.bytes_per_second,
        })),
    })
}

pub(crate) fn nothing_to_move(plan: &PlanAnswer) -> Shown {
    let text = "nothing is to be moved: every shard has what its weight says\n".to_owned();
    Shown { text, json: json!({ "rebalance": null, "plan": plan_json(plan) }) }
}

pub(crate) fn rebalance(info: &RebalanceInfo) -> Shown {
    let RebalanceInfo { rebalance, state, window_ms, by, age_ms, note } = info;
    let mut text = format!(
        "rebalance {rebalance} of {by} is {state}, since {}; window {}\n",
        shown_ms(*age_ms),
        shown_ms(*window_ms)
    );
    if !note.is_empty() {
        text += &format!("{note}\n");
    }
    text += "`shardctl rebalance watch` shows how it goes\n";
    let json = json!({
        "rebalance": rebalance,
        "state": state,
        "window_ms": window_ms,
        "by": by,
        "age_ms": age_ms,
        "note": some(note),
    });
    Shown { text, json }
}

/// One line, as plain as a log's.
pub(crate) fn move_line(info: &MoveInfo) -> String {
    let MoveInfo { r#move, source, target, slots, phase, .. } = info;
    let back = if info.kind == "reverse" { " back" } else { "" };
    let mut line = format!("move {move}: {source} to {target}{back}, {slots} slots, {phase}");
    if phase == "copying" && 0 < info.entities_total {
        line += &format!(" {} %", info.entities.saturating_mul(100) / info.entities_total);
    }
    if 1 < info.attempt {
        line += &format!(", attempt {}", info.attempt);
    }
    if phase.starts_with("abort") && !info.aborted.is_empty() {
        line += &format!(" ({})", info.aborted);
    }
    if 0 < info.rows && !info.has_ended {
        line += &format!(", {} rows", count(info.rows));
    }
    if 0 < info.lag_entities {
        line += &format!(", lag {}", count(info.lag_entities));
    }
    if let Some(eta) = info.eta_ms {
        line += &format!(", eta {}", shown_ms(eta));
    }
    if let Some(pause) = info.pause_ms {
        line += &format!(", paused {pause} ms");
    }
    if !matches!(info.blocked.as_str(), "" | "nothing") {
        line += &format!(", waits for {}", info.blocked);
        if !info.note.is_empty() {
            line += &format!(": {}", info.note);
        }
    }
    line
}

pub(crate) fn event_of(info: &MoveInfo) -> Value {
    let mut json = move_json(info);
    json["event"] = "move".into();
    json
}

fn move_json(info: &MoveInfo) -> Value {
    json!({
        "move": info.r#move,
        "kind": info.kind,
        "source": info.source,
        "target": info.target,
        "phase": info.phase,
        "attempt": info.attempt,
        "slots": info.slots,
        "window_ms": info.window_ms,
        "wish": info.wish,
        "aborted": some(&info.aborted),
        "in_phase_ms": info.in_phase_ms,
        "age_ms": info.age_ms,
        "rebalance": info.rebalance,
        "has_ended": info.has_ended,
        "blocked": some(&info.blocked),
        "note": some(&info.note),
        "entities": info.entities,
        "entities_total": info.entities_total,
        "rows": info.rows,
        "bytes": info.bytes,
        "lag_entities": info.lag_entities,
        "eta_ms": info.eta_ms,
        "pause_ms": info.pause_ms,
        "reversed_by": info.reversed_by,
    })
}

/// With `all`, those that have ended are among them.
pub(crate) fn moves(moves: &[MoveInfo], all: bool) -> Shown {
    let rows = moves.iter().map(|info| {
        let way = format!("{} to {}", info.source, info.target);
        let blocked = if info.blocked == "nothing" { "" } else { info.blocked.as_str() };
        [
            info.r#move.to_string(),
            if info.kind == "reverse" { format!("{way} (back)") } else { way },
            info.slots.to_string(),
            info.phase.clone(),
            info.attempt.to_string(),
            shown_ms(info.in_phase_ms),
            count(info.rows),
            bytes(info.bytes),
            count(info.lag_entities),
            info.eta_ms.map_or("-".to_owned(), shown_ms),
            info.pause_ms.map_or("-".to_owned(), |ms| format!("{ms} ms")),
            or_dash(if info.has_ended { &info.aborted } else { blocked }),
        ]
    });
    let right = |head| (head, Align::Right);
    let heads = [
        right("MOVE"),
        ("SHARDS", Align::Left),
        right("SLOTS"),
        ("PHASE", Align::Left),
        right("ATTEMPT"),
        right("SINCE"),
        right("ROWS"),
        right("BYTES"),
        right("LAG"),
        right("ETA"),
        right("PAUSE"),
        ("WAITS FOR", Align::Left),
    ];
    let totals = Totals::of(moves);
    let text = match (moves, all) {
        ([], false) => "no moves are under way (--all shows those that have ended)\n".to_owned(),
        ([], true) => "there were no moves\n".to_owned(),
        _ => table(heads, rows) + "\n" + &totals.text() + "\n",
    };
    let json = moves.iter().map(move_json).collect::<Vec<_>>();
    Shown { text, json: json!({ "moves": json, "total": totals.json() }) }
}

pub(crate) fn wished(info: &MoveInfo) -> Shown {
    Shown { text: format!("{}; wish: {}\n", move_line(info), info.wish), json: move_json(info) }
}

pub(crate) fn one_move(answer: &ShowMoveAnswer) -> Shown {
    let info = answer.info.clone().unwrap_or_default();
    let mut text = format!("{}; wish: {}\n", move_line(&info), info.wish);
    text += &format!(
        "begun {} ago, in this phase for {}; copied {} of {} entities, {} rows, {}; window {}\n",
        shown_ms(info.age_ms),
        shown_ms(info.in_phase_ms),
        count(info.entities),
        count(info.entities_total),
        count(info.rows),
        bytes(info.bytes),
        shown_ms(info.window_ms),
    );
    if let Some(id) = info.reversed_by {
        text += &format!("move {id} took its slots back\n");
    }
    let slots = ranges(&answer.slots);
    let lines = slots.chunks(RANGES_A_LINE).map(|line| line.join(", "));
    text += &format!("slots {}\n\n", lines.collect::<Vec<_>>().join("\n      "));
    let rows = answer.journal.iter().map(|step| {
        let what =
            if step.from == step.to { format!("wish in {}", step.to) } else { step.to.clone() };
        let term = if step.term == 0 { "-".to_owned() } else { step.term.to_string() };
        [moment(step.at_ms), what, step.attempt.to_string(), term, step.detail.clone()]
    });
    let heads = [
        ("AT (UTC)", Align::Left),
        ("STEP", Align::Left),
        ("ATTEMPT", Align::Right),
        ("TERM", Align::Right),
        ("DETAIL", Align::Left),
    ];
    text += &table(heads, rows);
    let journal = answer.journal.iter().map(|step| {
        json!({
            "number": step.number,
            "at_ms": step.at_ms,
            "from": some(&step.from),
            "to": step.to,
            "attempt": step.attempt,
            "term": step.term,
            "detail": some(&step.detail),
        })
    });
    let mut json = move_json(&info);
    json["slot_numbers"] = json!(answer.slots);
    json["journal"] = journal.collect();
    Shown { text, json }
}
