//! I19: a user's read cursor in a chat never goes back, neither as acknowledged nor as shown; it is never
//! beyond the head; and in the end it is the highest that was acknowledged, or one that somebody asked for
//! without learning the outcome.

use super::highest::Highest;
use crate::history::{At, Chat, Ended, History, Mark, Read};
use crate::verdict::Finding;
use std::collections::BTreeMap;

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I19", "read cursors only grow, and stay where they were put");
    for (number, chat) in &history.chats {
        // Where history was rewritten, cursors beyond its end came back with it.
        if chat.last.is_some() && !chat.is_of_last_log("") {
            continue;
        }
        let mut users: BTreeMap<u64, Cursor<'_>> = BTreeMap::new();
        for mark in &chat.calls.marks {
            users.entry(mark.user).or_default().marks.push(mark);
        }
        for read in chat.calls.reads.iter().filter(|read| read.item.is_some()) {
            users.entry(read.user).or_default().items.push(read);
        }
        let heads = heads(history, chat);
        for (user, cursor) in users {
            cursor.judge(history, &mut finding, (*number, chat), user, &heads);
        }
    }
    finding
}

/// What was recorded of one user's cursor in one chat.
#[derive(Default)]
struct Cursor<'a> {
    marks: Vec<&'a Mark>,
    items: Vec<&'a Read>,
}

/// The cursor as one answer told it.
#[derive(Clone, Copy)]
struct Told {
    asked: At,
    at: At,
    read_seq: u64,
    /// At least this was to be expected whatever was told before.
    wanted: u64,
    /// What it must not be beyond.
    head_seq: Option<u64>,
    is_item: bool,
}

/// The seqs acknowledged by anybody.
fn heads(history: &History, chat: &Chat) -> Highest {
    let sends = chat.sends.iter().map(|index| &history.sends[*index]);
    let acks = sends.flat_map(|send| &send.acks);
    Highest::of(acks.map(|ack| (ack.at, ack.seq)))
}

impl Cursor<'_> {
    fn told(&self, chat: &Chat, heads: &Highest) -> Vec<Told> {
        let base_seq = chat.base().0;
        let last_seq = chat.last.as_ref().map(|last| last.head.seq);
        let marks = self.marks.iter().filter_map(|mark| {
            let (at, read_seq) = mark.ended.acked()?;
            let head_seq = heads.before(mark.asked).map_or(0, |(_, seq)| seq).max(base_seq);
            let (asked, read_seq, wanted) = (mark.asked, *read_seq, mark.seq.min(head_seq));
            Some(Told { asked, at, read_seq, wanted, head_seq: last_seq, is_item: false })
        });
        let items = self.items.iter().filter_map(|read| {
            let item = read.item.as_ref()?;
            let (read_seq, head_seq) = (item.answer.read_seq, Some(item.answer.head_seq));
            let (asked, at) = (read.asked, item.at);
            Some(Told { asked, at, read_seq, wanted: 0, head_seq, is_item: true })
        });
        marks.chain(items).collect()
    }

    fn judge(
        &self,
        history: &History,
        finding: &mut Finding,
        (number, chat): (u64, &Chat),
        user: u64,
        heads: &Highest,
    ) {
        let told = self.told(chat, heads);
        let before = Highest::of(told.iter().map(|one| (one.at, one.read_seq)));
        let acked = told.iter().filter(|one| !one.is_item).max_by_key(|one| one.read_seq);
        let acked = acked.map(|one| (one.at, one.read_seq));
        let explained = self.highest_explained(chat, user);
        for one in &told {
            finding.checked += 1;
            // When all is quiet, what was acknowledged is so by anybody's clock.
            let is_final =
                one.is_item && chat.last.as_ref().is_some_and(|last| last.at.is_before(&one.asked));
            let known = [before.before(one.asked), acked.filter(|_| is_final)];
            let known = known.into_iter().flatten().max_by_key(|(_, read_seq)| *read_seq);
            let read_seq = one.read_seq;
            let (what, known) = if let Some((_, higher)) = known.filter(|known| read_seq < known.1)
            {
                (format!("is {read_seq} after it was {higher}"), known)
            } else if let Some(head_seq) = one.head_seq.filter(|head_seq| *head_seq < read_seq) {
                (format!("is {read_seq}, beyond the head {head_seq}"), None)
            } else if read_seq < one.wanted {
                (format!("is {read_seq} after {} was read", one.wanted), None)
            } else if is_final && explained.is_some_and(|explained| explained < read_seq) {
                (format!("is {read_seq}, and nobody read so far"), acked)
            } else {
                continue;
            };
            finding.violated(one.at.t, || {
                let known = known.map(|(at, seq)| format!("known: {}: {seq}", history.place(at)));
                let mut records: Vec<String> = known.into_iter().collect();
                records.push(format!("asked: {}", history.place(one.asked)));
                records.push(format!("told:  {}: {read_seq}", history.place(one.at)));
                (format!("the cursor of user {user} in chat {number} {what}"), records)
            });
        }
    }

    /// The highest seq that the user may be said to have read: asked for, sent, or before the recording.
    /// None: another reason may have moved the cursor, or where the chat began is not known.
    fn highest_explained(&self, chat: &Chat, user: u64) -> Option<u64> {
        let joins = chat.calls.memberships.iter().any(|one| one.joins && one.user == user);
        let last = chat.last.as_ref().filter(|_| !joins)?;
        let asked = self.marks.iter().filter(|mark| mark.ended != Ended::InVain);
        let asked = asked.map(|mark| mark.seq).max().unwrap_or(0);
        let sent = last.stored.iter().filter(|(_, message)| message.sender == user);
        let sent = sent.map(|(_, message)| message.seq).max().unwrap_or(0);
        Some(asked.max(sent).max(chat.base.as_ref()?.seq))
    }
}
