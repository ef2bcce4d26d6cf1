//! I3: in the final state a chat's seq and ver have no gap and no number twice, and grow together.
//!
//! Not every change is still told by the final state: a later change of the same thing hides an earlier
//! one. So a ver that nobody knows is a gap only if no edit, delete or other change came after it.

use super::{describe, judged};
use crate::history::{At, Chat, History, Last, Step};
use crate::record::SeenMessage;
use crate::verdict::Finding;
use std::collections::{BTreeSet, HashMap};

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I3", "seq and ver are dense, each number once");
    let mut known: HashMap<u64, BTreeSet<u64>> = HashMap::new();
    for view in &history.views {
        let vers = known.entry(view.chat).or_default();
        vers.extend(view.steps.iter().filter_map(|(_, step)| match step {
            Step::Saw { ver, .. } => Some(*ver),
            _ => None,
        }));
    }
    for send in &history.sends {
        known.entry(send.key.chat).or_default().extend(send.acks.iter().map(|ack| ack.ver));
    }
    for (chat, state) in &history.chats {
        let Some(last) = &state.last else { continue };
        finding.checked += 1;
        let mut messages: Vec<&(At, SeenMessage)> = judged(last, state.base().0).collect();
        messages.sort_by_key(|(_, message)| message.seq);
        check_seqs(history, &mut finding, *chat, state, last, &messages);
        let mut vers = known.remove(chat).unwrap_or_default();
        check_vers(history, &mut finding, *chat, state, last, &messages, &mut vers);
    }
    finding
}

fn check_seqs(
    history: &History,
    finding: &mut Finding,
    chat: u64,
    state: &Chat,
    last: &Last,
    messages: &[&(At, SeenMessage)],
) {
    let mut expected = state.base().0 + 1;
    for (at, message) in messages {
        if message.seq != expected {
            let kind = if message.seq < expected { "twice" } else { "missing" };
            let seq = message.seq.min(expected);
            finding.violated(message.seq, || {
                let place = history.place(*at);
                (
                    format!("seq {seq} of chat {chat} is {kind}"),
                    vec![format!("stored: {place}: {}", describe(message))],
                )
            });
        }
        expected = message.seq + 1;
    }
    if expected != last.head.seq + 1 {
        finding.violated(last.head.seq, || {
            let place = history.place(last.at);
            (
                format!(
                    "chat {chat} has messages up to seq {}, its head is {}",
                    expected - 1,
                    last.head.seq
                ),
                vec![format!("final: {place}")],
            )
        });
    }
}

fn check_vers(
    history: &History,
    finding: &mut Finding,
    chat: u64,
    state: &Chat,
    last: &Last,
    messages: &[&(At, SeenMessage)],
    known: &mut BTreeSet<u64>,
) {
    for pair in messages.windows(2) {
        let [(_, one), (at, other)] = pair else { continue };
        if other.ver <= one.ver {
            finding.violated(other.seq, || {
                let place = history.place(*at);
                (
                    format!("the vers of chat {chat} do not grow with its seqs"),
                    vec![
                        format!("stored: {}", describe(one)),
                        format!("stored: {place}: {}", describe(other)),
                    ],
                )
            });
        }
    }
    // The latest change that may hide earlier ones.
    let mut hides = 0;
    for (_, message) in messages {
        known.extend([message.ver, message.changed_ver]);
        if message.ver != message.changed_ver {
            hides = hides.max(message.changed_ver);
        }
    }
    known.extend(last.changes.iter().map(|(_, ver, _)| *ver));
    hides = last.changes.iter().map(|(_, ver, _)| *ver).fold(hides, u64::max);
    let beyond = known.last().copied().unwrap_or(0);
    if last.head.ver < beyond {
        finding.violated(beyond, || {
            let place = history.place(last.at);
            (
                format!("ver {beyond} of chat {chat} is beyond its head {}", last.head.ver),
                vec![format!("final: {place}")],
            )
        });
    }
    let from = state.base().1.max(hides) + 1;
    let mut expected = from;
    for ver in known.range(from..).copied().chain([last.head.ver + 1]) {
        if expected < ver {
            let gap = expected;
            finding.violated(gap, || {
                let place = history.place(last.at);
                let what = if ver == gap + 1 {
                    format!("ver {gap} of chat {chat} is missing")
                } else {
                    format!("vers {gap} to {} of chat {chat} are missing", ver - 1)
                };
                (what, vec![format!("final: {place} with head {}", last.head.ver)])
            });
        }
        expected = ver.max(expected) + 1;
    }
}
