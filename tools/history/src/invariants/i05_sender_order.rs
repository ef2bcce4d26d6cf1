//! I5: what one device sent to a chat is stored in the order in which it was sent. A send that its
//! sender gave up is left out: no promise is made about its place.

use super::judged;
use crate::history::{At, History, Send, SendKey};
use crate::verdict::Finding;
use std::collections::BTreeMap;

/// (recording, client, chat)
type Line = (usize, u32, u64);
/// (when, stored as seq, what)
type Sent<'a> = (At, u64, &'a Send);

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I5", "one sender's messages are stored in the order sent");
    let mut lines: BTreeMap<Line, Vec<Sent>> = BTreeMap::new();
    for (chat, state) in &history.chats {
        let Some(last) = &state.last else { continue };
        for (_, message) in judged(last, state.base().0) {
            let key = SendKey { chat: *chat, user: message.sender, id: message.id };
            let Some(send) = history.send(&key) else { continue };
            if send.given_up.is_none() {
                let line = (send.invoked.recording, send.client, *chat);
                lines.entry(line).or_default().push((send.invoked, message.seq, send));
            }
        }
    }
    for ((_, client, chat), mut line) in lines {
        line.sort_by_key(|(invoked, ..)| *invoked);
        for pair in line.windows(2) {
            finding.checked += 1;
            let [(one_at, one_seq, one), (other_at, other_seq, other)] = pair else { continue };
            if one_seq < other_seq {
                continue;
            }
            finding.violated(other_at.t, || {
                let places = (history.place(*one_at), history.place(*other_at));
                (
                    format!("client {client} sent them to chat {chat} the other way round"),
                    vec![
                        format!("first: {}: id {}, stored as seq {one_seq}", places.0, one.key.id),
                        format!(
                            "then:  {}: id {}, stored as seq {other_seq}",
                            places.1, other.key.id
                        ),
                    ],
                )
            });
        }
    }
    finding
}
