//! I8: a message that was refused, or given up as certainly not stored, is nowhere. One whose outcome its
//! sender never learned is there or not; once anybody saw it, it stays.

use super::{describe, judged, sight};
use crate::history::{At, Chat, History, Send};
use crate::record::{MsgId, SeenMessage};
use crate::verdict::Finding;
use std::collections::{HashMap, HashSet};

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I8", "refused is absent, unknown is either and then stays");
    for chat in history.chats.values() {
        let open = chat.sends.iter().map(|index| &history.sends[*index]);
        let open: HashMap<(u64, MsgId), &Send> = open
            .filter(|send| send.acks.is_empty())
            .map(|send| ((send.key.user, send.key.id), send))
            .collect();
        if !open.is_empty() {
            finding.checked += u64::try_from(open.len()).unwrap_or(u64::MAX);
            judge(history, &mut finding, chat, &open);
        }
    }
    finding
}

fn judge(
    history: &History,
    finding: &mut Finding,
    chat: &Chat,
    open: &HashMap<(u64, MsgId), &Send>,
) {
    let key = |message: &SeenMessage| (message.sender, message.id);
    let stored: HashSet<(u64, MsgId)> = chat
        .last
        .iter()
        .flat_map(|last| judged(last, chat.base().0))
        .map(|(_, message)| key(message))
        .collect();
    let mut told = HashSet::new();
    for sight in sight::sights(history, chat) {
        let Some(send) = open.get(&key(sight.message)) else { continue };
        let what = if send.is_surely_absent() {
            "it was refused, and is there"
        } else if chat.is_of_last_log(sight.log) && !stored.contains(&key(sight.message)) {
            "it was seen, and is not there in the end"
        } else {
            continue;
        };
        // Once for each message, however many saw it.
        if told.insert(key(sight.message)) {
            finding.violated(sight.at.t, || {
                let mut records = vec![format!("sent: {}", history.place(send.invoked))];
                records
                    .extend(ended(send).map(|(at, how)| format!("{how}: {}", history.place(at))));
                let (how, place) = (sight.how.word(), history.place(sight.at));
                records.push(format!("{how}: {place}: {}", describe(sight.message)));
                (format!("{what}: id {} in chat {}", send.key.id, send.key.chat), records)
            });
        }
    }
}

fn ended(send: &Send) -> Option<(At, String)> {
    let refused = send.refused.as_ref().map(|(at, code)| (*at, format!("refused, {code}")));
    let given_up = send.given_up.map(|(at, maybe)| {
        (at, if maybe { "given up, not known" } else { "given up, not stored" }.to_owned())
    });
    refused.or(given_up)
}
