//! What people see while an act is played: recorded, and how far each has come.

use parking_lot::Mutex;
use shardline_client::Seen;
use shardline_history::Writer;
use shardline_load::recording as records;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::mpsc::Receiver;

/// Where what is seen goes: the act that is played.
pub(super) struct Sight {
    pub(super) writer: Writer,
    pub(super) chats: BTreeSet<u64>,
    /// The highest seq and ver that (person, chat) saw.
    pub(super) seen: HashMap<(u32, u64), (u64, u64)>,
}

/// Takes what a person sees, for as long as the client lives.
pub(super) async fn watch(
    number: u32,
    mut seen: Receiver<Seen>,
    shared: Arc<Mutex<Option<Sight>>>,
) {
    while let Some(one) = seen.recv().await {
        let mut shared = shared.lock();
        let Some(sight) = shared.as_mut() else { continue };
        let (chat, seq, ver) = match &one {
            Seen::Event(event) => {
                let seq = event.message.as_ref().map_or(0, |message| message.seq);
                (event.chat, seq, event.ver)
            }
            Seen::Opened { chat, ver, .. } => (*chat, 0, *ver),
            Seen::Resumed { chat, .. } => (*chat, 0, 0),
            Seen::Resynced(page) => match &page.chat {
                Some(item) => (item.chat, item.head_seq, page.to_ver),
                None => continue,
            },
            _ => continue,
        };
        if !sight.chats.contains(&chat) {
            continue;
        }
        records::seen(&sight.writer, number, &one);
        let highest = sight.seen.entry((number, chat)).or_default();
        *highest = (seq.max(highest.0), ver.max(highest.1));
    }
}
