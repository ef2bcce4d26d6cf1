//! The claims, one file each. Each is a function of the history, linear but for sorting.

mod i01_acked_once;
mod i02_nothing_invented;
mod i03_dense;
mod i04_real_time;
mod i05_sender_order;
mod i09_same_answer;
mod i14_delivered;

use crate::history::{History, Last};
use crate::record::SeenMessage;
use crate::verdict::{Finding, Verdict};

/// Judges everything this version knows to judge.
pub fn check(history: &History) -> Verdict {
    let findings: Vec<Finding> = vec![
        i01_acked_once::check(history),
        i02_nothing_invented::check(history),
        i03_dense::check(history),
        i04_real_time::check(history),
        i05_sender_order::check(history),
        i09_same_answer::check(history),
        i14_delivered::check(history),
    ];
    let mut holes = history.holes.clone();
    let unjudged = |chat: &u64| history.chats.get(chat).is_none_or(|chat| chat.last.is_none());
    let mut chats: Vec<u64> = history.sends.iter().map(|send| send.key.chat).collect();
    chats.extend(history.views.iter().map(|view| view.chat));
    chats.sort_unstable();
    chats.dedup();
    let without = chats.iter().filter(|chat| unjudged(chat)).count();
    if 0 < without {
        holes.push(format!("{without} of {} chats have no final state", chats.len()));
    }
    Verdict { findings, holes }
}

/// Where each stored message stands in its chat, for those after the base.
fn judged(last: &Last, base_seq: u64) -> impl Iterator<Item = &(crate::history::At, SeenMessage)> {
    last.stored.iter().filter(move |(_, message)| base_seq < message.seq)
}

/// Not edited and not deleted: its body is the one that was sent.
fn is_original(message: &SeenMessage) -> bool {
    message.changed_ver == message.ver
}

fn describe(message: &SeenMessage) -> String {
    let SeenMessage { seq, ver, sender, id, .. } = message;
    format!("seq {seq} ver {ver} of sender {sender}, id {id}")
}

#[cfg(test)]
mod cases;
