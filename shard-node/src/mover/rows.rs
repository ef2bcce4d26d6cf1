//! Rows of a moving slot on the wire. What comes from the other side is checked: a row that cannot be
//! is refused before it gets near the database.

use crate::pressure::CommitTimes;
use crate::store;
use crate::store::{ChangeKind, Closing, CursorRow, EntityPart, EntityRow, Wanted};
use shardline_wire::internal as wire;
use shardline_wire::internal::entity_part::Row;
use shardline_wire::refusal::{Code, Refusal};
use std::time::Duration;

pub(super) fn head_out(row: &store::HeadRow) -> wire::HeadRow {
    let store::HeadRow { entity, seq, ver, log, activity_ms } = *row;
    wire::HeadRow { entity, seq, ver, log, activity_ms }
}

pub(super) fn head_in(row: &wire::HeadRow) -> store::HeadRow {
    let wire::HeadRow { entity, seq, ver, log, activity_ms } = *row;
    store::HeadRow { entity, seq, ver, log, activity_ms }
}

pub(super) fn wanted_in(wanted: &[wire::WantedEntity]) -> Vec<Wanted> {
    let one = |one: &wire::WantedEntity| Wanted { entity: one.entity, since: one.since };
    wanted.iter().map(one).collect()
}

pub(super) fn wanted_out(wanted: &[Wanted]) -> Vec<wire::WantedEntity> {
    let one = |one: &Wanted| wire::WantedEntity { entity: one.entity, since: one.since };
    wanted.iter().map(one).collect()
}

pub(super) fn cursor_out(row: &CursorRow) -> wire::StoredCursor {
    wire::StoredCursor { chat: row.chat, user: row.user, seq: row.seq }
}

pub(super) fn cursor_in(row: &wire::StoredCursor) -> CursorRow {
    CursorRow { chat: row.chat, user: row.user, seq: row.seq }
}

pub(super) fn fact_out(row: store::OutboxRow) -> wire::OutboxRow {
    let store::OutboxRow { chat, ver, user, joined, kind, created_at_ms } = row;
    wire::OutboxRow { chat, ver, user, joined, kind, created_at_ms }
}

pub(super) fn fact_in(row: wire::OutboxRow) -> store::OutboxRow {
    let wire::OutboxRow { chat, ver, user, joined, kind, created_at_ms } = row;
    store::OutboxRow { chat, ver, user, joined, kind, created_at_ms }
}

pub(super) fn commits_out(times: CommitTimes) -> wire::CommitTimes {
    let micros = |time: Duration| u32::try_from(time.as_micros()).unwrap_or(u32::MAX);
    wire::CommitTimes { recent_us: times.recent.map(micros), usual_us: times.usual.map(micros) }
}

/// Of a side that does not say, nothing is known.
pub(super) fn commits_in(times: Option<wire::CommitTimes>) -> CommitTimes {
    let times = times.unwrap_or_default();
    let time = |micros: u32| Duration::from_micros(micros.into());
    CommitTimes { recent: times.recent_us.map(time), usual: times.usual_us.map(time) }
}

pub(super) fn part_out(part: EntityPart) -> wire::EntityPart {
    let EntityPart { entity, as_of_ver, messages, changes, members, outbox, list, closing } = part;
    let mut out = wire::EntityPart {
        entity,
        as_of_ver,
        messages: messages.into_iter().map(message_out).collect(),
        changes: changes.iter().map(change_out).collect(),
        members: members.into_iter().map(member_out).collect(),
        outbox: outbox.into_iter().map(fact_out).collect(),
        list: list.into_iter().map(list_out).collect(),
        ..wire::EntityPart::default()
    };
    if let Some(Closing { head, row, sessions }) = closing {
        out.head = Some(head_out(&head));
        out.row = Some(match row {
            EntityRow::Chat(row) => Row::Chat(chat_out(row)),
            EntityRow::User(row) => Row::User(user_out(row)),
            EntityRow::Name(row) => Row::Name(wire::NameRow { name: row.name, user: row.user }),
        });
        out.sessions = sessions.into_iter().map(session_out).collect();
    }
    out
}

pub(super) fn part_in(part: wire::EntityPart) -> Result<EntityPart, Refusal> {
    let wire::EntityPart {
        entity,
        as_of_ver,
        messages,
        changes,
        members,
        outbox,
        list,
        head,
        row,
        sessions,
    } = part;
    let messages = messages.into_iter().map(|row| message_in(entity, row));
    let changes = changes.iter().map(|row| change_in(entity, row));
    let sessions = sessions.into_iter().map(|row| session_in(entity, row));
    let sessions = sessions.collect::<Result<Vec<_>, _>>()?;
    let closing = match (head, row) {
        (Some(head), Some(row)) if head.entity == entity => {
            let row = match row {
                Row::Chat(row) => EntityRow::Chat(chat_in(entity, row)?),
                Row::User(row) => EntityRow::User(user_in(entity, row)),
                Row::Name(wire::NameRow { name, user }) => {
                    EntityRow::Name(store::NameRow { entity, name, user })
                }
            };
            Some(Closing { head: head_in(&head), row, sessions })
        }
        (None, None) => None,
        _ => return Err(bad("a head")),
    };
    if outbox.iter().any(|row| row.chat != entity) {
        return Err(bad("a fact"));
    }
    Ok(EntityPart {
        entity,
        as_of_ver,
        messages: messages.collect::<Result<_, _>>()?,
        changes: changes.collect::<Result<_, _>>()?,
        members: members.into_iter().map(|row| member_in(entity, row)).collect(),
        outbox: outbox.into_iter().map(fact_in).collect(),
        list: list.into_iter().map(|row| list_in(entity, row)).collect(),
        closing,
    })
}

fn bad(what: &str) -> Refusal {
    Refusal::new(Code::BadRequest, format!("{what} of a moving slot cannot be read"))
}

fn sixteen(bytes: &[u8], what: &str) -> Result<[u8; 16], Refusal> {
    bytes.try_into().map_err(|_| bad(what))
}

fn message_out(row: store::MessageRow) -> wire::MessageRow {
    let store::MessageRow {
        chat: _,
        seq,
        ver,
        changed_ver,
        sender,
        sender_name,
        client_msg_id,
        body_hash,
        text,
        reply_to,
        sent_at_ms,
        edited_at_ms,
        deleted,
    } = row;
    wire::MessageRow {
        seq,
        ver,
        changed_ver,
        sender,
        sender_name,
        client_msg_id: client_msg_id.to_vec(),
        body_hash: body_hash.to_vec(),
        text,
        reply_to,
        sent_at_ms,
        edited_at_ms,
        deleted,
    }
}

fn message_in(chat: u64, row: wire::MessageRow) -> Result<store::MessageRow, Refusal> {
    let wire::MessageRow {
        seq,
        ver,
        changed_ver,
        sender,
        sender_name,
        client_msg_id,
        body_hash,
        text,
        reply_to,
        sent_at_ms,
        edited_at_ms,
        deleted,
    } = row;
    Ok(store::MessageRow {
        chat,
        seq,
        ver,
        changed_ver,
        sender,
        sender_name,
        client_msg_id: sixteen(&client_msg_id, "a client id")?,
        body_hash: sixteen(&body_hash, "a hash")?,
        text,
        reply_to,
        sent_at_ms,
        edited_at_ms,
        deleted,
    })
}

fn change_out(row: &store::ChangeRow) -> wire::ChangeRow {
    let store::ChangeRow { entity: _, ver, kind, subject, at_ms } = *row;
    wire::ChangeRow { ver, kind: u32::from(kind as u8), subject, at_ms }
}

fn change_in(entity: u64, row: &wire::ChangeRow) -> Result<store::ChangeRow, Refusal> {
    let wire::ChangeRow { ver, kind, subject, at_ms } = *row;
    let kind = u8::try_from(kind).ok().and_then(ChangeKind::from_number);
    let kind = kind.ok_or_else(|| bad("a change"))?;
    Ok(store::ChangeRow { entity, ver, kind, subject, at_ms })
}

fn member_out(row: store::MemberRow) -> wire::MemberRow {
    let store::MemberRow { chat: _, user, role, joined_ver, joined_seq, left_ver, read_seq } = row;
    wire::MemberRow { user, role, joined_ver, joined_seq, left_ver, read_seq }
}

fn member_in(chat: u64, row: wire::MemberRow) -> store::MemberRow {
    let wire::MemberRow { user, role, joined_ver, joined_seq, left_ver, read_seq } = row;
    store::MemberRow { chat, user, role, joined_ver, joined_seq, left_ver, read_seq }
}

fn list_out(row: store::ListRow) -> wire::ListedChat {
    let store::ListRow { user: _, chat, kind, pinned, muted, hidden_seq, gone, fact_ver, list_ver } =
        row;
    wire::ListedChat { chat, kind, pinned, muted, hidden_seq, gone, fact_ver, list_ver }
}

fn list_in(user: u64, row: wire::ListedChat) -> store::ListRow {
    let wire::ListedChat { chat, kind, pinned, muted, hidden_seq, gone, fact_ver, list_ver } = row;
    store::ListRow { user, chat, kind, pinned, muted, hidden_seq, gone, fact_ver, list_ver }
}

fn chat_out(row: store::ChatRow) -> wire::ChatRow {
    let store::ChatRow {
        chat: _,
        kind,
        title,
        history,
        creator,
        client_chat_id,
        created_at_ms,
        settings_ver,
        trimmed_seq,
        trimmed_ver,
        ended,
    } = row;
    wire::ChatRow {
        kind,
        title,
        history,
        creator,
        client_chat_id: client_chat_id.to_vec(),
        created_at_ms,
        settings_ver,
        trimmed_seq,
        trimmed_ver,
        ended,
    }
}

fn chat_in(chat: u64, row: wire::ChatRow) -> Result<store::ChatRow, Refusal> {
    let wire::ChatRow {
        kind,
        title,
        history,
        creator,
        client_chat_id,
        created_at_ms,
        settings_ver,
        trimmed_seq,
        trimmed_ver,
        ended,
    } = row;
    Ok(store::ChatRow {
        chat,
        kind,
        title,
        history,
        creator,
        client_chat_id: sixteen(&client_chat_id, "a client id")?,
        created_at_ms,
        settings_ver,
        trimmed_seq,
        trimmed_ver,
        ended,
    })
}

fn user_out(row: store::UserRow) -> wire::UserRow {
    let store::UserRow {
        user: _,
        name,
        display_name,
        about,
        password_hash,
        created_at_ms,
        trimmed_ver,
    } = row;
    wire::UserRow { name, display_name, about, password_hash, created_at_ms, trimmed_ver }
}

fn user_in(user: u64, row: wire::UserRow) -> store::UserRow {
    let wire::UserRow { name, display_name, about, password_hash, created_at_ms, trimmed_ver } =
        row;
    store::UserRow { user, name, display_name, about, password_hash, created_at_ms, trimmed_ver }
}

fn session_out(row: store::SessionRow) -> wire::SessionRow {
    let store::SessionRow {
        user: _,
        session,
        device,
        generation,
        nonce,
        previous_nonce,
        created_at_ms,
        used_at_ms,
    } = row;
    wire::SessionRow {
        session,
        device,
        generation,
        nonce: nonce.to_vec(),
        previous_nonce: previous_nonce.to_vec(),
        created_at_ms,
        used_at_ms,
    }
}

fn session_in(user: u64, row: wire::SessionRow) -> Result<store::SessionRow, Refusal> {
    let wire::SessionRow {
        session,
        device,
        generation,
        nonce,
        previous_nonce,
        created_at_ms,
        used_at_ms,
    } = row;
    Ok(store::SessionRow {
        user,
        session,
        device,
        generation,
        nonce: sixteen(&nonce, "a nonce")?,
        previous_nonce: sixteen(&previous_nonce, "a nonce")?,
        created_at_ms,
        used_at_ms,
    })
}
