//! What a run writes into its history, and the chats as they are in the end.

mod caller;

pub use caller::Caller;
use shardline_client::frames::{Ack, Event, Message, Opened};
use shardline_client::{Seen, SendError};
use shardline_history::{MsgId, Record, SeenMessage, Writer};
use std::io;
use std::path::Path;
use std::time::SystemTime;

/// Begins a recording whose header has the time of day.
pub fn create(path: &Path) -> io::Result<Writer> {
    // A tool of its own, and for display only.
    #[allow(clippy::disallowed_methods)]
    let now = SystemTime::now();
    let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Writer::create(path, "load", i64::try_from(since.as_millis()).unwrap_or(0))
}

pub fn message_id(id: &[u8]) -> MsgId {
    let mut bytes = [0; 16];
    if id.len() == bytes.len() {
        bytes.copy_from_slice(id);
    }
    MsgId(u128::from_be_bytes(bytes))
}

/// Bodies of a run differ in their first words; the padding says nothing.
pub fn digest(body: &str) -> String {
    format!("{} {}", body.trim_end_matches('.'), body.len())
}

pub fn seen_message(message: &Message) -> SeenMessage {
    SeenMessage {
        seq: message.seq,
        ver: message.ver,
        changed_ver: message.changed_ver,
        sender: message.sender,
        id: message_id(&message.client_msg_id),
        body: message.body.as_ref().map(|body| digest(&body.text)),
    }
}

/// The chat as the run found it.
pub fn found(writer: &Writer, opened: &Opened) {
    let Some(item) = &opened.chat else { return };
    let (chat, log) = (item.chat, item.log.clone());
    writer.record(Record::Base { chat, log, seq: item.head_seq, ver: item.head_ver });
}

/// How a send ended for its sender.
pub fn outcome(
    writer: &Writer,
    client: u32,
    user: u64,
    chat: u64,
    id: MsgId,
    outcome: &Result<Ack, SendError>,
) {
    writer.record(match outcome {
        Ok(ack) => Record::Acked {
            client,
            user,
            chat,
            id,
            seq: ack.seq.unwrap_or(0),
            ver: ack.ver.unwrap_or(0),
            duplicate: ack.duplicate.unwrap_or(false),
            log: ack.log.clone().unwrap_or_default(),
        },
        Err(SendError::Refused(refused)) => {
            Record::Refused { client, user, chat, id, code: refused.code.clone() }
        }
        Err(SendError::NotStored(_)) => {
            Record::GaveUp { client, user, chat, id, maybe_stored: false }
        }
        Err(SendError::Unknown(_)) => Record::GaveUp { client, user, chat, id, maybe_stored: true },
    });
}

pub fn seen(writer: &Writer, client: u32, seen: &Seen) {
    match seen {
        Seen::Event(event) => {
            let Event { chat, ver, log, kind, message, .. } = &**event;
            let message = message.as_ref().map(seen_message);
            let (chat, log, ver, kind) = (*chat, log.clone(), *ver, kind.clone());
            writer.record(Record::Saw { client, chat, log, ver, kind, message });
        }
        Seen::Opened { chat, log, ver } => {
            let (chat, log, ver) = (*chat, log.clone(), *ver);
            writer.record(Record::Follows { client, chat, log, ver });
        }
        Seen::Resumed { chat, to_ver, .. } => {
            writer.record(Record::Resumed { client, chat: *chat, to_ver: *to_ver });
        }
        Seen::Resynced(page) => {
            if let Some(item) = &page.chat {
                let (chat, log, to_ver) = (item.chat, item.log.clone(), page.to_ver);
                writer.record(Record::Resynced { client, chat, log, to_ver });
            }
        }
        _ => {}
    }
}
