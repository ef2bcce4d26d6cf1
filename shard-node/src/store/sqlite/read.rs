//! Reads. One statement sees one state; where several belong together they share a transaction.

use crate::store::latest::LatestSearch;
use crate::store::sqlite::rows::{self, bits, bound};
use crate::store::*;
use rusqlite::{Connection, OptionalExtension, Params, Row};

mod checking;
mod moving;

pub(super) use checking::*;
pub(super) use moving::*;

fn one<T>(
    db: &Connection,
    sql: &str,
    values: impl Params,
    row: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StoreError> {
    Ok(db.prepare_cached(sql)?.query_row(values, row).optional()?)
}

fn all<T>(
    db: &Connection,
    sql: &str,
    values: impl Params,
    row: fn(&Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    Ok(db.prepare_cached(sql)?.query_map(values, row)?.collect::<Result<_, _>>()?)
}

pub(super) fn heads(db: &mut Connection, entities: &[u64]) -> Result<Vec<HeadRow>, StoreError> {
    let db = db.transaction()?;
    let mut heads = Vec::with_capacity(entities.len());
    for entity in entities {
        heads.extend(head(&db, *entity)?);
    }
    Ok(heads)
}

pub(super) fn head(db: &Connection, entity: u64) -> Result<Option<HeadRow>, StoreError> {
    one(db, select!(heads, "WHERE entity = ?"), [bits(entity)], rows::head)
}

pub(super) fn chat(db: &mut Connection, chat: u64) -> Result<Option<ChatState>, StoreError> {
    let db = db.transaction()?;
    let key = [bits(chat)];
    let head = one(&db, select!(heads, "WHERE entity = ?"), key, rows::head)?;
    let chat = one(&db, select!(chats, "WHERE chat = ?"), key, rows::chat)?;
    let (Some(head), Some(chat)) = (head, chat) else { return Ok(None) };
    let present = select!(members, "WHERE chat = ? AND left_ver IS NULL ORDER BY user");
    Ok(Some(ChatState { head, chat, members: all(&db, present, key, rows::member)? }))
}

pub(super) fn user(db: &mut Connection, user: u64) -> Result<Option<UserState>, StoreError> {
    let db = db.transaction()?;
    let key = [bits(user)];
    let head = one(&db, select!(heads, "WHERE entity = ?"), key, rows::head)?;
    let user = one(&db, select!(users, "WHERE user = ?"), key, rows::user)?;
    let (Some(head), Some(user)) = (head, user) else { return Ok(None) };
    let sessions = all(&db, include_str!("user_sessions.sql"), key, rows::session)?;
    let list = all(&db, include_str!("user_list.sql"), key, rows::list_row)?;
    Ok(Some(UserState { head, user, sessions, list }))
}

pub(super) fn profiles(db: &mut Connection, users: &[u64]) -> Result<Vec<UserRow>, StoreError> {
    let db = db.transaction()?;
    let mut profiles = Vec::with_capacity(users.len());
    for user in users {
        profiles.extend(one(&db, select!(users, "WHERE user = ?"), [bits(*user)], rows::user)?);
    }
    Ok(profiles)
}

pub(super) fn name(db: &Connection, entity: u64) -> Result<Option<NameRow>, StoreError> {
    one(db, "SELECT entity, name, user FROM names WHERE entity = ?", [bits(entity)], rows::name)
}

pub(super) fn names_with_prefix(
    db: &Connection,
    prefix: &str,
    limit: u64,
) -> Result<Vec<NameRow>, StoreError> {
    // Nothing that begins with the prefix is above the prefix with the highest character.
    let end = format!("{prefix}{}", char::MAX);
    all(db, include_str!("names_with_prefix.sql"), (prefix, end, bound(limit)), rows::name)
}

pub(super) fn message(
    db: &Connection,
    chat: u64,
    seq: u64,
) -> Result<Option<MessageRow>, StoreError> {
    let sql = select!(messages, "WHERE chat = ? AND seq = ?");
    one(db, sql, (bits(chat), bound(seq)), rows::message)
}

pub(super) fn messages(
    db: &Connection,
    range: MessageRange,
) -> Result<Vec<MessageRow>, StoreError> {
    let sql = if range.newest {
        select!(messages, "WHERE chat = ? AND seq > ? AND seq < ? ORDER BY seq DESC LIMIT ?")
    } else {
        select!(messages, "WHERE chat = ? AND seq > ? AND seq < ? ORDER BY seq LIMIT ?")
    };
    let mut statement = db.prepare_cached(sql)?;
    let bounds = (bits(range.chat), bound(range.after), bound(range.before), bound(range.limit));
    let mut messages = Vec::new();
    let mut bytes = 0;
    for message in statement.query_map(bounds, rows::message)? {
        let message = message?;
        bytes += message.text.len();
        messages.push(message);
        if range.bytes <= bytes {
            break;
        }
    }
    if range.newest {
        messages.reverse();
    }
    Ok(messages)
}

pub(super) fn find_messages(
    db: &mut Connection,
    keys: &[MessageKey],
) -> Result<Vec<MessageRow>, StoreError> {
    let db = db.transaction()?;
    let mut messages = Vec::new();
    for key in keys {
        let sql = select!(messages, "WHERE chat = ? AND sender = ? AND client_msg_id = ?");
        let key = (bits(key.chat), bits(key.sender), key.client_msg_id);
        messages.extend(one(&db, sql, key, rows::message)?);
    }
    Ok(messages)
}

pub(super) fn changes(
    db: &Connection,
    entity: u64,
    after: u64,
    limit: u64,
) -> Result<Vec<ChangeRow>, StoreError> {
    let values = (bits(entity), bound(after), bound(limit));
    all(db, include_str!("changes.sql"), values, rows::change)
}

pub(super) fn members(
    db: &Connection,
    chat: u64,
    after: u64,
    limit: u64,
) -> Result<Vec<MemberRow>, StoreError> {
    let sql = select!(members, "WHERE chat = ? AND user > ? ORDER BY user LIMIT ?");
    all(db, sql, (bits(chat), bound(after), bound(limit)), rows::member)
}

pub(super) fn member(
    db: &Connection,
    chat: u64,
    user: u64,
) -> Result<Option<MemberRow>, StoreError> {
    let sql = select!(members, "WHERE chat = ? AND user = ?");
    one(db, sql, (bits(chat), bound(user)), rows::member)
}

/// Zero if there is no such chat.
pub(super) fn activity_as_of(
    db: &mut Connection,
    chat: u64,
    as_of_ms: i64,
) -> Result<i64, StoreError> {
    let db = db.transaction()?;
    let mut search = LatestSearch::new(as_of_ms);
    while let Some(probe) = search.probe() {
        let nearest =
            one(&db, include_str!("message_time.sql"), (bits(chat), bits(probe)), |row| {
                let mut columns = rows::Columns::of(row);
                Ok((columns.unsigned()?, columns.take()?))
            })?;
        search.tell(probe, nearest);
    }
    if let Some(time) = search.time() {
        return Ok(time);
    }
    let created = "SELECT created_at_ms FROM chats WHERE chat = ?";
    Ok(one(&db, created, [bits(chat)], |row| row.get(0))?.unwrap_or(0))
}

pub(super) fn journal(
    db: &Connection,
    lane: u16,
    after: u64,
    limit: u64,
) -> Result<Vec<JournalRow>, StoreError> {
    all(db, include_str!("journal.sql"), (lane, bound(after), bound(limit)), rows::journal)
}

pub(super) fn outbox(db: &Connection, limit: u64) -> Result<Vec<OutboxRow>, StoreError> {
    all(db, include_str!("outbox.sql"), [bound(limit)], rows::outbox)
}
