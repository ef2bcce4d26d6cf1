//! The claims, one file each. Each is a function of the history, linear but for sorting.

mod i01_acked_once;
mod i02_nothing_invented;
mod i03_dense;
mod i04_real_time;
mod i05_sender_order;
mod i06_never_other;
mod i08_refused_is_absent;
mod i09_same_answer;
mod i10_slices;
mod i11_no_read_goes_back;
mod i12_changes;
mod i13_members_only;
mod i14_delivered;
mod i15_caught_up;
mod i19_cursors;
mod i20_unread;

mod highest;
mod sight;

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
        i06_never_other::check(history),
        i08_refused_is_absent::check(history),
        i09_same_answer::check(history),
        i10_slices::check(history),
        i11_no_read_goes_back::check(history),
        i12_changes::check(history),
        i13_members_only::check(history),
        i14_delivered::check(history),
        i15_caught_up::check(history),
        i19_cursors::check(history),
        i20_unread::check(history),
    ];
    let mut holes = history.holes.clone();
    let used =
        history.chats.values().filter(|chat| !chat.sends.is_empty() || !chat.views.is_empty());
    let without = used.clone().filter(|chat| chat.last.is_none()).count();
    if 0 < without {
        holes.push(format!("{without} of {} chats have no final state", used.count()));
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
