//! I20: what an item says is unread follows from what it says of head and cursor:
//! `max(0, head_seq - max(floor, read_seq))`, where one's own sends count as read.

use super::highest::Highest;
use crate::history::{At, Chat, History};
use crate::verdict::Finding;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I20", "unread is what head, cursor and own sends say");
    for (number, chat) in &history.chats {
        let items = chat.calls.reads.iter().filter(|read| read.item.is_some());
        let users: BTreeSet<u64> = items.clone().map(|read| read.user).collect();
        let mut own = own_sends(history, chat, &users);
        for read in items {
            let Some(item) = &read.item else { continue };
            let own = own.entry(read.user).or_default();
            let told = &item.answer;
            finding.checked += 1;
            let known = own.acked.before(read.asked).map_or(0, |(_, seq)| seq);
            let may_be = own.highest_up_to(told.head_seq);
            let floor = told.read_seq.max(told.floor_seq.unwrap_or(0));
            let most = told.head_seq.saturating_sub(floor.max(known));
            let least = match told.floor_seq {
                Some(_) => told.head_seq.saturating_sub(floor.max(may_be)),
                None => 0,
            };
            if (least..=most).contains(&told.unread) {
                continue;
            }
            finding.violated(item.at.t, || {
                let (user, unread, client) = (read.user, told.unread, read.client);
                let wanted =
                    if least == most { most.to_string() } else { format!("{least} to {most}") };
                let (head, read_seq) = (told.head_seq, told.read_seq);
                (
                    format!("chat {number} has {unread} unread for user {user}, not {wanted}"),
                    vec![
                        format!("asked: {}: client {client}", history.place(read.asked)),
                        format!("item:  {}: head {head}, read {read_seq}", history.place(item.at)),
                    ],
                )
            });
        }
    }
    finding
}

/// Where a user's own messages stand.
#[derive(Default)]
struct Own {
    acked: Highest,
    /// All that may be stored.
    seqs: BTreeSet<u64>,
}

impl Own {
    fn highest_up_to(&self, head_seq: u64) -> u64 {
        self.seqs.range(..=head_seq).next_back().copied().unwrap_or(0)
    }
}

fn own_sends(history: &History, chat: &Chat, users: &BTreeSet<u64>) -> BTreeMap<u64, Own> {
    let mut acked: BTreeMap<u64, Vec<(At, u64)>> = BTreeMap::new();
    for send in chat.sends.iter().map(|index| &history.sends[*index]) {
        if users.contains(&send.key.user) {
            let acks = send.acks.iter().filter(|ack| chat.is_of_last_log(&ack.log));
            acked.entry(send.key.user).or_default().extend(acks.map(|ack| (ack.at, ack.seq)));
        }
    }
    let mut own: BTreeMap<u64, Own> = BTreeMap::new();
    for (user, acked) in acked {
        let seqs = acked.iter().map(|(_, seq)| *seq).collect();
        own.insert(user, Own { acked: Highest::of(acked.into_iter()), seqs });
    }
    for (_, message) in chat.last.iter().flat_map(|last| &last.stored) {
        if users.contains(&message.sender) {
            own.entry(message.sender).or_default().seqs.insert(message.seq);
        }
    }
    own
}
