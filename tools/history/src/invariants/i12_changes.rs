//! I12: in the end each message is as its newest acknowledged edit or delete left it, or as one left it
//! whose outcome nobody learned. One asked after another was acknowledged is the newer one. What was
//! deleted stays deleted, and no read begun after the acknowledgement shows it.

use super::highest::Highest;
use super::judged;
use super::sight::{How, Sight, sights};
use crate::history::{At, Change, Chat, Ended, History};
use crate::record::SeenMessage;
use crate::verdict::Finding;
use std::collections::HashMap;

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I12", "messages are as last edited, and deleted ones are gone");
    for (number, chat) in &history.chats {
        let mut changes: HashMap<(&str, u64), Vec<&Change>> = HashMap::new();
        for change in chat.calls.changes.iter().filter(|change| chat.base().0 < change.seq) {
            let log = match &change.ended {
                Ended::InVain => continue,
                Ended::Acked(_, (log, _)) => chat.log(log),
                // Of whatever log: it only explains.
                Ended::Unknown => chat.log(""),
            };
            changes.entry((log, change.seq)).or_default().push(change);
        }
        for ((_, seq), of) in &changes {
            order(history, &mut finding, *number, *seq, of);
        }
        ends(history, &mut finding, *number, chat, &changes);
        deleted(history, &mut finding, *number, chat, &changes);
    }
    finding
}

fn acked(change: &Change) -> Option<(At, u64)> {
    change.ended.acked().map(|(at, (_, ver))| (at, *ver))
}

/// Acknowledged before the other was asked: not newer.
fn order(history: &History, finding: &mut Finding, chat: u64, seq: u64, changes: &[&Change]) {
    let newest = Highest::of(changes.iter().filter_map(|change| acked(change)));
    for change in changes {
        let Some((at, ver)) = acked(change) else { continue };
        finding.checked += 1;
        if let Some((before, known)) = newest.before(change.asked)
            && ver < known
        {
            finding.violated(at.t, || {
                let records = vec![
                    format!("acked: {}: ver {known}", history.place(before)),
                    format!("then asked: {}", history.place(change.asked)),
                    format!("acked: {}: ver {ver}", history.place(at)),
                ];
                (format!("seq {seq} of chat {chat}: the later change is the older one"), records)
            });
        }
    }
}

/// The final state of every message that changed.
fn ends(
    history: &History,
    finding: &mut Finding,
    number: u64,
    chat: &Chat,
    changes: &HashMap<(&str, u64), Vec<&Change>>,
) {
    let Some(last) = &chat.last else { return };
    // What another log brought along, nobody here can explain.
    let is_anew = !chat.is_of_last_log("");
    for (at, message) in judged(last, chat.base().0) {
        let of = changes.get(&(last.head.log.as_str(), message.seq)).map_or(&[][..], Vec::as_slice);
        if of.is_empty() && message.changed_ver == message.ver {
            continue;
        }
        finding.checked += 1;
        let newest = of.iter().filter_map(|change| acked(change).map(|(_, ver)| (ver, *change)));
        let newest = newest.max_by_key(|(ver, _)| *ver);
        let Some(what) = wrong_end(message, newest, of, is_anew) else { continue };
        finding.violated(at.t, || {
            let mut records: Vec<String> = newest
                .map(|(ver, change)| (ver, change, acked(change).map_or(change.asked, |end| end.0)))
                .map(|(ver, change, at)| {
                    let place = history.place(at);
                    format!("acked:  {place}: {}, ver {ver}", describe(change.body.as_deref()))
                })
                .into_iter()
                .collect();
            let (place, body) = (history.place(*at), describe(message.body.as_deref()));
            records
                .push(format!("stored: {place}: {body}, changed at ver {}", message.changed_ver));
            (format!("seq {} of chat {number} {what}", message.seq), records)
        });
    }
}

fn wrong_end(
    message: &SeenMessage,
    newest: Option<(u64, &Change)>,
    of: &[&Change],
    is_anew: bool,
) -> Option<&'static str> {
    if newest.is_some_and(|(ver, _)| message.changed_ver < ver) {
        return Some("lost its newest acknowledged change");
    }
    let explained = match newest {
        Some((ver, change)) if ver == message.changed_ver => change.body == message.body,
        _ if is_anew || message.changed_ver == message.ver => true,
        _ => of.iter().any(|change| acked(change).is_none() && change.body == message.body),
    };
    (!explained).then_some("was changed by nobody to what it is")
}

/// Nobody sees it any more: no read begun after the acknowledgement, nothing of a later ver.
fn deleted(
    history: &History,
    finding: &mut Finding,
    number: u64,
    chat: &Chat,
    changes: &HashMap<(&str, u64), Vec<&Change>>,
) {
    let mut deletes: HashMap<(&str, u64), Deletes> = HashMap::new();
    for (key, of) in changes {
        let of = of.iter().filter(|change| change.body.is_none());
        let mut acked: Vec<(At, u64)> = of.filter_map(|change| acked(change)).collect();
        acked.sort_unstable();
        if let Some(first) = acked.iter().copied().min_by_key(|(_, ver)| *ver) {
            deletes.insert(*key, Deletes { acked, first });
        }
    }
    if deletes.is_empty() {
        return;
    }
    for sight in sights(history, chat).filter(|sight| sight.message.body.is_some()) {
        let Some(of) = deletes.get(&(sight.log, sight.message.seq)) else { continue };
        finding.checked += 1;
        if of.first.1 <= sight.message.changed_ver {
            seen(history, finding, number, sight, None, of.first);
        }
    }
    for read in &chat.calls.reads {
        let Some(page) = &read.page else { continue };
        let log = chat.log(&page.answer.log);
        for message in page.answer.messages.iter().filter(|message| message.body.is_some()) {
            let Some(of) = deletes.get(&(log, message.seq)) else { continue };
            let begin = of.acked.partition_point(|(at, _)| at.recording < read.asked.recording);
            let before = of.acked.get(begin).filter(|(at, _)| at.is_before(&read.asked));
            if let Some(delete) = before.filter(|_| message.changed_ver < of.first.1) {
                let sight = Sight { at: page.at, how: How::Page, log, message };
                seen(history, finding, number, sight, Some(read.asked), *delete);
            }
        }
    }
}

/// The acknowledged deletes of one message: as answered, in the order of time, and the one that did it.
struct Deletes {
    acked: Vec<(At, u64)>,
    first: (At, u64),
}

fn seen(
    history: &History,
    finding: &mut Finding,
    chat: u64,
    sight: Sight<'_>,
    asked: Option<At>,
    (acked, ver): (At, u64),
) {
    finding.violated(sight.at.t, || {
        let mut records = vec![format!("delete acked: {} as ver {ver}", history.place(acked))];
        records.extend(asked.map(|asked| format!("asked: {}", history.place(asked))));
        let (how, place) = (sight.how.word(), history.place(sight.at));
        let body = describe(sight.message.body.as_deref());
        records.push(format!("{how}: {place}: {body}, ver {}", sight.message.changed_ver));
        (format!("seq {} of chat {chat} was seen after it was deleted", sight.message.seq), records)
    });
}

fn describe(body: Option<&str>) -> String {
    body.map_or_else(|| "deleted".to_owned(), |body| format!("{body:?}"))
}
