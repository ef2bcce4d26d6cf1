//! Reads of rows that move with a slot.

use super::*;
use std::ops::RangeInclusive;

pub(in crate::store::sqlite) fn heads_in(
    db: &Connection,
    ids: &[RangeInclusive<u64>],
    limit: u64,
) -> Result<Vec<HeadRow>, StoreError> {
    let sql = select!(heads, "WHERE entity >= ? AND entity <= ? ORDER BY entity LIMIT ?");
    let mut found = Vec::new();
    for ids in ids {
        let left = limit - found.len() as u64;
        if left == 0 {
            break;
        }
        let values = (bound(*ids.start()), bound(*ids.end()), bound(left));
        found.extend(all(db, sql, values, rows::head)?);
    }
    Ok(found)
}

pub(in crate::store::sqlite) fn entity_rows(
    db: &Connection,
    entities: &[u64],
) -> Result<Vec<EntityRow>, StoreError> {
    let mut found = Vec::with_capacity(entities.len());
    for key in entities.iter().map(|entity| [bits(*entity)]) {
        let chat = one(db, select!(chats, "WHERE chat = ?"), key, rows::chat)?;
        found.extend(chat.map(EntityRow::Chat));
        let user = one(db, select!(users, "WHERE user = ?"), key, rows::user)?;
        found.extend(user.map(EntityRow::User));
        let name = "SELECT entity, name, user FROM names WHERE entity = ?";
        found.extend(one(db, name, key, rows::name)?.map(EntityRow::Name));
    }
    Ok(found)
}

pub(in crate::store::sqlite) fn messages_at(
    db: &Connection,
    chat: u64,
    seqs: &[u64],
) -> Result<Vec<MessageRow>, StoreError> {
    let found = seqs.iter().map(|seq| message(db, chat, *seq));
    Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

pub(in crate::store::sqlite) fn members_named(
    db: &Connection,
    chat: u64,
    users: &[u64],
) -> Result<Vec<MemberRow>, StoreError> {
    let found = users.iter().map(|user| member(db, chat, *user));
    Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

pub(in crate::store::sqlite) fn sessions(
    db: &Connection,
    user: u64,
) -> Result<Vec<SessionRow>, StoreError> {
    all(db, include_str!("../user_sessions.sql"), [bits(user)], rows::session)
}

pub(in crate::store::sqlite) fn list(
    db: &Connection,
    user: u64,
    after: u64,
    limit: u64,
) -> Result<Vec<ListRow>, StoreError> {
    all(db, include_str!("../list.sql"), (bits(user), bound(after), bound(limit)), rows::list_row)
}

pub(in crate::store::sqlite) fn outbox_in(
    db: &Connection,
    chats: RangeInclusive<u64>,
    after: (u64, u64, u64),
    limit: u64,
) -> Result<Vec<OutboxRow>, StoreError> {
    let first = bound(*chats.start().max(&after.0));
    let (chat, ver, user) = (bound(after.0), bound(after.1), bound(after.2));
    let values = [first, bound(*chats.end()), chat, chat, ver, ver, user, bound(limit)];
    all(db, include_str!("../outbox_in.sql"), values, rows::outbox)
}

pub(in crate::store::sqlite) fn progress(
    db: &Connection,
    slot: u16,
) -> Result<Option<ProgressRow>, StoreError> {
    one(db, include_str!("../progress.sql"), [slot], rows::progress)
}
