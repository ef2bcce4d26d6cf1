//! Rows as clients see them, and the events that carry them. An event's payload is encoded once, here;
//! nobody between the shard and the conn-nodes looks into it.

use crate::entity::{Chat, Member, User};
use crate::store::{ListRow, MemberRow, MessageRow, UserRow};
use bytes::Bytes;
use prost::Message as _;
use shardline_wire::client;
use shardline_wire::internal::{ChatView, Event, EventKind, SessionEnded};

/// Of the slot and the moment of a commit; the same for all events of one entity in it.
#[derive(Clone, Copy)]
pub(crate) struct Stamp {
    pub(crate) epoch: u64,
    pub(crate) at_ms: i64,
}

pub(crate) fn message(row: &MessageRow) -> client::Message {
    client::Message {
        chat: row.chat,
        seq: row.seq,
        ver: row.ver,
        changed_ver: row.changed_ver,
        sender: row.sender,
        sender_name: row.sender_name.clone(),
        client_msg_id: row.client_msg_id.to_vec(),
        body: (!row.deleted).then(|| client::Body { text: row.text.clone() }),
        sent_at_ms: row.sent_at_ms,
        edited_at_ms: row.edited_at_ms,
        deleted: row.deleted,
        reply_to: row.reply_to,
    }
}

/// As `message`, but with the row's texts lent for the time of `work`, which gives the message back:
/// the hot path copies no body.
pub(crate) fn lent_message<T>(
    row: &mut MessageRow,
    work: impl FnOnce(client::Message) -> (client::Message, T),
) -> T {
    let text = std::mem::take(&mut row.text);
    let sender_name = std::mem::take(&mut row.sender_name);
    let lent = client::Message { sender_name, body: Some(client::Body { text }), ..message(row) };
    let (lent, result) = work(lent);
    row.sender_name = lent.sender_name;
    row.text = lent.body.map(|body| body.text).unwrap_or_default();
    result
}

pub(crate) fn member(member: &Member, left_ver: Option<u64>) -> client::Member {
    client::Member {
        user: member.user,
        role: member.role.name().to_owned(),
        joined_ver: member.joined_ver,
        left_ver,
        ..client::Member::default()
    }
}

pub(crate) fn member_row(row: &MemberRow) -> client::Member {
    client::Member {
        user: row.user,
        role: row.role.clone(),
        joined_ver: row.joined_ver,
        left_ver: row.left_ver,
        ..client::Member::default()
    }
}

pub(crate) fn user(row: &UserRow) -> client::User {
    client::User {
        user: row.user,
        name: row.name.clone(),
        display_name: row.display_name.clone(),
        about: row.about.clone(),
    }
}

/// A chat as everyone in it sees it: nothing of one user.
pub(crate) fn chat_item(chat: &Chat) -> client::ChatItem {
    client::ChatItem {
        chat: chat.head.entity,
        kind: chat.kind.name().to_owned(),
        title: chat.row.title.clone(),
        members_count: chat.members.len() as u64,
        head_seq: chat.head.seq,
        head_ver: chat.head.ver,
        log: chat.head.log.to_string(),
        history: chat.history.name().to_owned(),
        ended: chat.row.ended,
        ..client::ChatItem::default()
    }
}

/// A chat for one of its members; unread, pins and the peer's name are added further out.
pub(crate) fn chat_view(chat: &Chat, member: &Member, last: Option<&MessageRow>) -> ChatView {
    let read_seq = chat.read_seq(member);
    let mut item = chat_item(chat);
    item.read_seq = Some(read_seq);
    item.role = Some(member.role.name().to_owned());
    item.last_message = last.map(message);
    ChatView {
        item: Some(item),
        joined_seq: member.joined_seq,
        trimmed_seq: chat.row.trimmed_seq,
        read_seq,
        activity_ms: chat.head.activity_ms,
        peer: chat.peer_of(member.user),
        created: false,
        joined_ver: member.joined_ver,
    }
}

/// What a chat event carries: the whole new state of what changed.
pub(crate) enum Changed {
    /// Its client kind is "message", "edit" or "delete".
    Message(&'static str, client::Message),
    Member(client::Member),
    Chat(Box<client::ChatItem>),
}

pub(crate) fn client_event(chat: u64, log: u64, ver: u64, changed: Changed) -> client::Event {
    let mut event = client::Event { chat, ver, log: log.to_string(), ..client::Event::default() };
    let kind = match changed {
        Changed::Message(kind, message) => {
            event.message = Some(message);
            kind
        }
        Changed::Member(member) => {
            event.member = Some(member);
            "member"
        }
        Changed::Chat(item) => {
            event.chat_item = Some(*item);
            "chat"
        }
    };
    event.kind = kind.to_owned();
    event
}

/// A chat's event for the bus. `receivers`: None if there are too many to name.
pub(crate) fn chat_event(
    event: &client::Event,
    log: u64,
    receivers: Option<Vec<u64>>,
    stamp: Stamp,
) -> Event {
    Event {
        entity: event.chat,
        ver: event.ver,
        log,
        kind: EventKind::Chat.into(),
        wide: receivers.is_none(),
        receivers: receivers.unwrap_or_default(),
        subject: event.member.as_ref().map_or(0, |member| member.user),
        payload: encoded(event),
        committed_at_ms: stamp.at_ms,
        epoch: stamp.epoch,
    }
}

/// Something of the user's own that changed.
pub(crate) enum Own<'a> {
    List(&'a ListRow),
    Profile,
    /// A session began or was renewed: nothing to show, but its ver is part of the sequence.
    Session,
    SessionEnded {
        session: u64,
        reason: &'static str,
    },
}

pub(crate) fn user_event(of: &User, ver: u64, own: Own<'_>, stamp: Stamp) -> Event {
    let change = |kind: &str| client::ListChange { kind: kind.to_owned(), chat: None, user: None };
    let change = match own {
        Own::List(row) => client::ListChange {
            chat: Some(row.chat),
            ..change(if row.gone { "chat_gone" } else { "chat_added" })
        },
        Own::Profile => client::ListChange { user: Some(user(&of.row)), ..change("profile") },
        Own::Session => change("session"),
        Own::SessionEnded { session, reason } => {
            let ended = SessionEnded { session, reason: reason.to_owned() };
            return own_event(of, ver, EventKind::SessionEnded, encoded(&ended), stamp);
        }
    };
    let list = client::List { list_ver: ver, change: Some(change) };
    own_event(of, ver, EventKind::List, encoded(&list), stamp)
}

fn own_event(of: &User, ver: u64, kind: EventKind, payload: Bytes, stamp: Stamp) -> Event {
    Event {
        entity: of.head.entity,
        ver,
        log: of.head.log,
        kind: kind.into(),
        receivers: vec![of.head.entity],
        wide: false,
        subject: 0,
        payload,
        committed_at_ms: stamp.at_ms,
        epoch: stamp.epoch,
    }
}

fn encoded(message: &impl prost::Message) -> Bytes {
    Bytes::from(message.encode_to_vec())
}

/// Encoded length, as a page's size is counted.
pub(crate) fn size(message: &client::Message) -> usize {
    message.encoded_len()
}
