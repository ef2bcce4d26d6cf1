//! The stages of one message: for each what happened, when, and who says so.

use super::table::{Align, table};
use super::units::moment;
use crate::Shown;
use serde_json::{Value, json};
use shardline_wire::internal::{
    ExplainAnswer, MessageExplained, NodeRecalled, RelayState, RouterRecalled,
};
use std::collections::BTreeMap;

const FORGOTTEN: &str = "not remembered any more";

/// A stage as it is shown. Without a time it is known to have happened, or not, but not when.
struct Stage {
    name: &'static str,
    at_ms: Option<i64>,
    what: String,
    json: Value,
}

pub(crate) fn explained(answer: &ExplainAnswer) -> Shown {
    let message = answer.message.clone().unwrap_or_default();
    let names: BTreeMap<u64, &str> =
        answer.names.iter().map(|named| (named.user, named.name.as_str())).collect();
    let stages = stages(answer, &message, &names);
    let after = |at_ms: Option<i64>| match at_ms {
        Some(at_ms) => format!("{:+} ms", at_ms - message.sent_at_ms),
        None => String::new(),
    };
    let rows = stages.iter().map(|stage| {
        let at = stage.at_ms.map_or_else(|| "-".to_owned(), moment);
        [stage.name.to_owned(), at, after(stage.at_ms), stage.what.clone()]
    });
    let heads = [
        ("STAGE", Align::Left),
        ("AT (UTC)", Align::Left),
        ("AFTER", Align::Right),
        ("WHAT", Align::Left),
    ];
    let text = format!("{}\n{}", about(&message, &names), table(heads, rows));
    let json = json!({
        "message": message_json(&message, &names),
        "partition": answer.partition,
        "router": answer.router.as_ref().map(|router| router.router.clone()),
        "router_silent": super::some(&answer.router_silent),
        "stages": stages.into_iter().map(stage_json).collect::<Vec<_>>(),
    });
    Shown { text, json }
}

fn about(message: &MessageExplained, names: &BTreeMap<u64, &str>) -> String {
    let MessageExplained { chat, seq, ver, slot, shard, epoch, lane, node, .. } = message;
    let changed = match (message.deleted, message.edited_at_ms) {
        (true, _) => format!("deleted with ver {}", message.changed_ver),
        (false, Some(at_ms)) => {
            format!("edited with ver {}, at {}", message.changed_ver, moment(at_ms))
        }
        (false, None) => "neither edited nor deleted".to_owned(),
    };
    let head = format!("the chat is at seq {}, ver {}", message.head_seq, message.head_ver);
    let lines = [
        ("message", format!("{seq} of chat {chat}, ver {ver}")),
        ("sender", who(message.sender, names)),
        ("changed", format!("{changed}; {head}")),
        ("kept in", format!("slot {slot}, shard {shard} at epoch {epoch}, lane {lane} of {node}")),
        ("durable", super::or_dash(&message.durability)),
    ];
    lines.map(|(what, value)| format!("{what:<12}{value}\n")).concat()
}

fn stages(
    answer: &ExplainAnswer,
    message: &MessageExplained,
    names: &BTreeMap<u64, &str>,
) -> Vec<Stage> {
    let mut stages = vec![accepted(message), committed(message), relayed(message)];
    let silent = super::or_dash(&answer.router_silent);
    match &answer.router {
        Some(router) => {
            stages.push(dispatched(answer, router, message));
            let nodes = router.nodes.iter();
            stages.extend(nodes.map(|node| pushed(node, message)));
            if router.nodes.is_empty() {
                stages
                    .push(untimed("pushed", "no conn-node has a stream to that router".to_owned()));
            }
        }
        None => {
            stages.push(untimed("dispatched", format!("not known: {silent}")));
            stages.push(untimed("pushed", format!("not known: {silent}")));
        }
    }
    stages.push(read(message, names));
    stages
}

fn untimed(name: &'static str, what: String) -> Stage {
    Stage { name, at_ms: None, what, json: json!({}) }
}

fn accepted(message: &MessageExplained) -> Stage {
    let queued_ms = message.commit.map(|commit| commit.queued_ms);
    let what = match queued_ms {
        Some(queued_ms) => {
            let waited = message.sent_at_ms.saturating_sub(queued_ms).max(0);
            format!("its batch had waited for its lane for {waited} ms")
        }
        None => format!("how long it had waited for its lane is {FORGOTTEN}"),
    };
    let json = json!({ "queued_ms": queued_ms });
    Stage { name: "accepted", at_ms: Some(message.sent_at_ms), what, json }
}

fn committed(message: &MessageExplained) -> Stage {
    let position = match message.position {
        Some(position) => format!("commit {position} of lane {}", message.lane),
        None => format!("of lane {}", message.lane),
    };
    let (at_ms, what) = match &message.commit {
        Some(commit) => {
            let entities = counted(commit.entities, "entity", "entities");
            let what = format!("{position}, which changed {entities}");
            (Some(commit.committed_ms), what)
        }
        None => (None, format!("{position}; when is {FORGOTTEN}")),
    };
    let json = json!({
        "position": message.position,
        "lane_committed": message.committed,
        "remembered": message.commit.is_some(),
    });
    Stage { name: "committed", at_ms, what, json }
}

fn relayed(message: &MessageExplained) -> Stage {
    let MessageExplained { relayed, committed, .. } = message;
    let of_lane = format!("the lane's commits up to {relayed} of {committed}");
    let (state, what) = match message.relay() {
        RelayState::OnTheBus => ("on_the_bus", format!("it is on the bus, as {of_lane}")),
        RelayState::Waits => ("waits", format!("it waits for the bus, where {of_lane} are")),
        RelayState::PerhapsElsewhere => {
            let what = "nothing of it waits here; its slot came by a move, so another shard may have \
                        committed it";
            ("perhaps_elsewhere", what.to_owned())
        }
        RelayState::Unspecified => {
            ("unknown", format!("not known: too much waits for the bus, where {of_lane} are"))
        }
    };
    let at_ms = message.commit.and_then(|commit| commit.relayed_ms);
    let is_forgotten = at_ms.is_none() && message.relay() == RelayState::OnTheBus;
    let what = if is_forgotten { format!("{what}; when is {FORGOTTEN}") } else { what };
    let json = json!({ "state": state, "lane_relayed": relayed });
    Stage { name: "relayed", at_ms, what, json }
}

fn dispatched(
    answer: &ExplainAnswer,
    router: &RouterRecalled,
    message: &MessageExplained,
) -> Stage {
    let of = format!("{}, which owns partition {}", router.router, answer.partition);
    let json = json!({
        "router": router.router,
        "partition": answer.partition,
        "on_streams_ms": router.dispatch.as_ref().map(|dispatch| dispatch.dispatched_ms),
        "nodes": router.dispatch.as_ref().map(|dispatch| dispatch.nodes.clone()),
        "full": router.dispatch.as_ref().map(|dispatch| dispatch.full.clone()),
    });
    let Some(dispatch) = &router.dispatch else {
        let why = unseen(router.since_ms, message, "it did not come by");
        return Stage { name: "dispatched", at_ms: None, what: format!("by {of}: {why}"), json };
    };
    let mut what = format!("by {of}, in a batch of {}", dispatch.events);
    what += &match dispatch.nodes.as_slice() {
        [] => "; nobody's conn-node needed it".to_owned(),
        nodes => {
            let later = dispatch.dispatched_ms.saturating_sub(dispatch.taken_ms).max(0);
            format!("; {later} ms later on the streams of {}", nodes.join(", "))
        }
    };
    if !dispatch.full.is_empty() {
        what += &format!("; full, so they ask for it: {}", dispatch.full.join(", "));
    }
    Stage { name: "dispatched", at_ms: Some(dispatch.taken_ms), what, json }
}

fn pushed(node: &NodeRecalled, message: &MessageExplained) -> Stage {
    let name = super::or_dash(&node.node);
    let json = json!({
        "node": node.node,
        "answered": node.answered,
        "sessions": node.applied.as_ref().map(|applied| applied.sessions),
    });
    let (at_ms, what) = match &node.applied {
        _ if !node.answered => (None, format!("{name} did not answer in time")),
        Some(applied) => {
            let sessions = counted(applied.sessions, "session", "sessions");
            let what = format!("{name} put it into the queues of {sessions}");
            (Some(applied.queued_ms), what)
        }
        None => {
            let why = unseen(node.since_ms, message, "nobody there was to get it");
            (None, format!("{name}: {why}"))
        }
    };
    Stage { name: "pushed", at_ms, what, json }
}

/// Why somebody says nothing: what was before `since_ms` is forgotten. Clocks differ, so it is near enough.
fn unseen(since_ms: i64, message: &MessageExplained, did_not: &str) -> String {
    if message.sent_at_ms < since_ms { FORGOTTEN.to_owned() } else { did_not.to_owned() }
}

fn read(message: &MessageExplained, names: &BTreeMap<u64, &str>) -> Stage {
    let MessageExplained { read_count, members, read_by, .. } = message;
    let mut readers: Vec<String> = read_by.iter().map(|user| who(*user, names)).collect();
    let more = read_count.saturating_sub(read_by.len() as u64);
    if 0 < more {
        readers.push(format!("{more} more"));
    }
    let readers =
        if readers.is_empty() { String::new() } else { format!(": {}", readers.join(", ")) };
    let by = read_by.iter().map(u64::to_string).collect::<Vec<_>>();
    let json = json!({ "count": read_count, "members": members, "by": by });
    let what = format!("by {read_count} of {members} members, as far as the shard knows{readers}");
    Stage { name: "read", at_ms: None, what, json }
}

fn counted(count: u32, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

fn who(user: u64, names: &BTreeMap<u64, &str>) -> String {
    names.get(&user).map_or_else(|| user.to_string(), |name| format!("@{name}"))
}

fn message_json(message: &MessageExplained, names: &BTreeMap<u64, &str>) -> Value {
    json!({
        "chat": message.chat.to_string(),
        "seq": message.seq,
        "ver": message.ver,
        "changed_ver": message.changed_ver,
        "sender": message.sender.to_string(),
        "sender_name": names.get(&message.sender),
        "sent_at_ms": message.sent_at_ms,
        "edited_at_ms": message.edited_at_ms,
        "deleted": message.deleted,
        "head_seq": message.head_seq,
        "head_ver": message.head_ver,
        "log": message.log.to_string(),
        "slot": message.slot,
        "shard": message.shard,
        "epoch": message.epoch,
        "lane": message.lane,
        "node": super::some(&message.node),
        "durability": super::some(&message.durability),
    })
}

fn stage_json(stage: Stage) -> Value {
    let mut json = stage.json;
    json["stage"] = stage.name.into();
    json["at_ms"] = stage.at_ms.into();
    json["what"] = stage.what.into();
    json
}
