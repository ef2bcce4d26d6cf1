//! I1: what was acknowledged is in the final state exactly once, where it was acknowledged.

use super::{describe, is_original, judged};
use crate::history::{At, History, SendKey};
use crate::index::Index;
use crate::record::SeenMessage;
use crate::verdict::Finding;

pub(crate) fn check(history: &History) -> Finding {
    let mut finding =
        Finding::new("I1", "an acknowledged message is stored once, with the seq acknowledged");
    let mut stored: Index<SendKey, Vec<&(At, SeenMessage)>> = Index::default();
    for (chat, state) in &history.chats {
        let Some(last) = &state.last else { continue };
        for entry in judged(last, state.base().0) {
            let key = SendKey { chat: *chat, user: entry.1.sender, id: entry.1.id };
            stored.entry(key).or_default().push(entry);
        }
    }
    for send in &history.sends {
        let Some(ack) = send.first_ack() else { continue };
        let Some(chat) = history.chats.get(&send.key.chat) else { continue };
        if chat.last.is_none() || ack.seq <= chat.base().0 {
            continue;
        }
        finding.checked += 1;
        let found = stored.get(&send.key).map_or(&[][..], Vec::as_slice);
        let what = match found {
            [] => "an acknowledged message is lost",
            [(_, message)] if message.seq != ack.seq => "it is stored with another seq",
            [(_, message)] if message.ver != ack.ver => "it is stored with another ver",
            [(_, message)] if is_original(message) && message.body.as_ref() != Some(&send.body) => {
                "it is stored with another body"
            }
            [_] => continue,
            _ => "an acknowledged message is stored more than once",
        };
        finding.violated(ack.at.t, || {
            let mut records = vec![
                format!("sent:   {} in chat {}", history.place(send.invoked), send.key.chat),
                format!("acked:  {} as seq {} ver {}", history.place(ack.at), ack.seq, ack.ver),
            ];
            let places = found.iter().map(|(at, m)| (history.place(*at), describe(m)));
            records.extend(places.map(|(place, message)| format!("stored: {place}: {message}")));
            (format!("{what}: id {}", send.key.id), records)
        });
    }
    finding
}
