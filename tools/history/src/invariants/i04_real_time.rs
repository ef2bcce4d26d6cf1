//! I4: a message acknowledged before another was sent stands before it.

use super::judged;
use crate::history::{History, Send, SendKey};
use crate::verdict::Finding;
use std::collections::BTreeMap;

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I4", "acknowledged before the other was sent: the lower seq");
    // Two clocks cannot be compared: each recording alone, and each chat.
    let mut lines: BTreeMap<(usize, u64), Vec<(u64, &Send)>> = BTreeMap::new();
    for (chat, state) in &history.chats {
        let Some(last) = &state.last else { continue };
        for (_, message) in judged(last, state.base().0) {
            let key = SendKey { chat: *chat, user: message.sender, id: message.id };
            if let Some(send) = history.send(&key) {
                let line = lines.entry((send.invoked.recording, *chat)).or_default();
                line.push((message.seq, send));
            }
        }
    }
    for ((_, chat), mut line) in lines {
        line.sort_by_key(|(seq, _)| *seq);
        // From the end: the earliest acknowledgement among those that stand later.
        let mut earliest: Option<(u64, u64, &Send)> = None;
        for (seq, send) in line.into_iter().rev() {
            finding.checked += 1;
            if let Some((acked, later_seq, later)) = earliest
                && acked < send.invoked.t
            {
                finding.violated(send.invoked.t - acked, || {
                    let (ack_place, place) = match later.first_ack() {
                        Some(ack) => (history.place(ack.at), history.place(send.invoked)),
                        None => (String::new(), history.place(send.invoked)),
                    };
                    (
                        format!("chat {chat} has them the other way round"),
                        vec![
                            format!(
                                "acked: {ack_place}: id {}, stored as seq {later_seq}",
                                later.key.id
                            ),
                            format!("then sent: {place}: id {}, stored as seq {seq}", send.key.id),
                        ],
                    )
                });
            }
            if let Some(ack) = send.first_ack()
                && ack.at.recording == send.invoked.recording
                && earliest.is_none_or(|(acked, ..)| ack.at.t < acked)
            {
                earliest = Some((ack.at.t, seq, send));
            }
        }
    }
    finding
}
