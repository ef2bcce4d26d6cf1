//! I2: what is stored or was seen was sent, with the body that was sent.

use super::{describe, is_original, judged};
use crate::history::{At, History, SendKey, Step};
use crate::record::SeenMessage;
use crate::verdict::Finding;

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I2", "nothing is stored or seen that nobody sent");
    for (chat, state) in &history.chats {
        let Some(last) = &state.last else { continue };
        for (at, message) in judged(last, state.base().0) {
            judge(history, &mut finding, "stored", *chat, *at, message);
        }
    }
    for view in &history.views {
        let base_seq = history.chats.get(&view.chat).map_or(0, |chat| chat.base().0);
        for (at, step) in &view.steps {
            match step {
                Step::Saw { message: Some(message), .. } if base_seq < message.seq => {
                    judge(history, &mut finding, "seen", view.chat, *at, message);
                }
                _ => {}
            }
        }
    }
    finding
}

fn judge(
    history: &History,
    finding: &mut Finding,
    how: &str,
    chat: u64,
    at: At,
    message: &SeenMessage,
) {
    finding.checked += 1;
    let key = SendKey { chat, user: message.sender, id: message.id };
    let send = history.send(&key);
    let what = match send {
        None => "nobody sent it",
        Some(send) if is_original(message) && message.body.as_ref() != Some(&send.body) => {
            "another body was sent"
        }
        // Of one recording the clock is one.
        Some(send) if send.invoked.recording == at.recording && at.t < send.invoked.t => {
            "it was not sent yet"
        }
        Some(_) => return,
    };
    finding.violated(at.t, || {
        let mut records = vec![format!("{how}: {} in chat {chat}", history.place(at))];
        records.extend(send.map(|send| format!("sent: {}", history.place(send.invoked))));
        (format!("{what}: {}", describe(message)), records)
    });
}
