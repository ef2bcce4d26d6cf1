//! Reads of rows that move with a slot.

use super::*;
use crate::store::mysql::dialect::runs;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;

/// Ranges that one statement looks into.
const RANGES_MAX: usize = 64;

pub(in crate::store::mysql) async fn heads_in(
    session: &mut Session,
    ids: &[RangeInclusive<u64>],
    limit: u64,
) -> Result<Vec<HeadRow>, StoreError> {
    let sql = select!(heads, "WHERE [[? <= entity AND entity <= ?| OR ]] ORDER BY entity LIMIT ?");
    let mut found = Vec::new();
    for run in runs(ids.len(), RANGES_MAX) {
        let ranges = &ids[run];
        let bounds = ranges.iter().flat_map(|ids| [*ids.start(), *ids.end()]);
        let left = limit - found.len() as u64;
        let values = bounds.chain([left]).map(Value::from).collect();
        for row in session.rows(sql, ranges.len(), values).await? {
            found.push(rows::head(row)?);
        }
        if limit <= found.len() as u64 {
            break;
        }
    }
    Ok(found)
}

pub(in crate::store::mysql) async fn entity_rows(
    session: &mut Session,
    entities: &[u64],
) -> Result<Vec<EntityRow>, StoreError> {
    let key = |entity: &u64| vec![(*entity).into()];
    // Each is one of these three, most are chats.
    let sql = select!(chats, "WHERE chat IN ([[?]])");
    let chats = listed(session, sql, entities, key, |row| Ok(EntityRow::Chat(rows::chat(row)?)));
    let mut found = chats.await?;
    if found.len() == entities.len() {
        return Ok(found);
    }
    let sql = select!(users, "WHERE user IN ([[?]])");
    let users = listed(session, sql, entities, key, |row| Ok(EntityRow::User(rows::user(row)?)));
    found.extend(users.await?);
    if found.len() == entities.len() {
        return Ok(found);
    }
    let sql = "SELECT entity, name, user FROM names WHERE entity IN ([[?]])";
    let names = listed(session, sql, entities, key, |row| Ok(EntityRow::Name(rows::name(row)?)));
    found.extend(names.await?);
    Ok(found)
}

/// As `heads`, but never in a snapshot of its own: for use within a transaction.
pub(in crate::store::mysql) async fn heads_within(
    session: &mut Session,
    entities: &[u64],
) -> Result<Vec<HeadRow>, StoreError> {
    let mut found = Vec::with_capacity(entities.len());
    for part in entities.chunks(KEYS_MAX) {
        found.extend(heads(session, part).await?);
    }
    Ok(found)
}

/// Rows of one chat or user by the rest of their key. The statement names the chat or user first.
async fn of_one<T>(
    session: &mut Session,
    template: &'static str,
    of: u64,
    keys: &[u64],
    row: FromRow<T>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::with_capacity(keys.len());
    for part in keys.chunks(KEYS_MAX) {
        let count = padded(part.len());
        let padding = part.iter().skip(part.len() - 1).cycle().take(count - part.len());
        let keys = part.iter().chain(padding).map(|key| Value::UInt(*key));
        let values = std::iter::once(Value::UInt(of)).chain(keys).collect();
        for stored in session.rows(template, count, values).await? {
            found.push(row(stored)?);
        }
    }
    Ok(found)
}

pub(in crate::store::mysql) async fn messages_at(
    session: &mut Session,
    chat: u64,
    seqs: &[u64],
) -> Result<Vec<MessageRow>, StoreError> {
    let sql = select!(messages, "WHERE chat = ? AND seq IN ([[?]])");
    of_one(session, sql, chat, seqs, rows::message).await
}

pub(in crate::store::mysql) async fn members_named(
    session: &mut Session,
    chat: u64,
    users: &[u64],
) -> Result<Vec<MemberRow>, StoreError> {
    let sql = select!(members, "WHERE chat = ? AND user IN ([[?]])");
    of_one(session, sql, chat, users, rows::member).await
}

pub(in crate::store::mysql) async fn sessions(
    session: &mut Session,
    user: u64,
) -> Result<Vec<SessionRow>, StoreError> {
    all(session, include_str!("../user_sessions.sql"), vec![user.into()], rows::session).await
}

pub(in crate::store::mysql) async fn list(
    session: &mut Session,
    user: u64,
    after: u64,
    limit: u64,
) -> Result<Vec<ListRow>, StoreError> {
    let values = vec![user.into(), after.into(), limit.into()];
    all(session, include_str!("../list.sql"), values, rows::list_row).await
}

pub(in crate::store::mysql) async fn outbox_in(
    session: &mut Session,
    chats: RangeInclusive<u64>,
    after: (u64, u64, u64),
    limit: u64,
) -> Result<Vec<OutboxRow>, StoreError> {
    // Row comparison does not use the key's range: the chat's own part does.
    let first = *chats.start().max(&after.0);
    let (chat, ver, user) = after;
    let values = [first, *chats.end(), chat, chat, ver, ver, user, limit];
    let values = values.map(Value::UInt).to_vec();
    all(session, include_str!("../outbox_in.sql"), values, rows::outbox).await
}

pub(in crate::store::mysql) async fn progress(
    session: &mut Session,
    slot: u16,
) -> Result<Option<ProgressRow>, StoreError> {
    one(session, include_str!("../progress.sql"), vec![slot.into()], rows::progress).await
}

/// Rows by keys of two numbers, of those that exist: a number, and others that go with it.
type Pairs = BTreeMap<u64, BTreeSet<u64>>;

/// Keys of one statement whose condition names each of them.
const PAIRS_MAX: usize = 64;

async fn by_pairs<T>(
    session: &mut Session,
    template: &'static str,
    keys: &Pairs,
    row: FromRow<T>,
) -> Result<Vec<T>, StoreError> {
    let pairs = keys.iter().flat_map(|(of, keys)| keys.iter().map(|key| (*of, *key)));
    let pairs: Vec<(u64, u64)> = pairs.collect();
    let mut found = Vec::with_capacity(pairs.len());
    for part in pairs.chunks(PAIRS_MAX) {
        let count = padded(part.len());
        let padding = part.iter().skip(part.len() - 1).cycle().take(count - part.len());
        let values = part.iter().chain(padding).flat_map(|(of, key)| [*of, *key]);
        let values = values.map(Value::UInt).collect();
        for stored in session.rows(template, count, values).await? {
            found.push(row(stored)?);
        }
    }
    Ok(found)
}

/// A key of two numbers, and a ver.
fn pair_ver(row: Row) -> Result<((u64, u64), u64), StoreError> {
    let mut columns = rows::Columns::of(row);
    Ok(((columns.take()?, columns.take()?), columns.take()?))
}

/// Of messages by (chat, seq): their changed_ver.
pub(in crate::store::mysql) async fn changed_vers(
    session: &mut Session,
    keys: &Pairs,
) -> Result<Vec<((u64, u64), u64)>, StoreError> {
    let sql = "SELECT chat, seq, changed_ver FROM messages WHERE [[(chat = ? AND seq = ?)| OR ]]";
    by_pairs(session, sql, keys, pair_ver).await
}

/// Members by (chat, user).
pub(in crate::store::mysql) async fn members_at(
    session: &mut Session,
    keys: &Pairs,
) -> Result<Vec<MemberRow>, StoreError> {
    let sql = select!(members, "WHERE [[(chat = ? AND user = ?)| OR ]]");
    by_pairs(session, sql, keys, rows::member).await
}

/// Of list rows by (user, chat): their list_ver.
pub(in crate::store::mysql) async fn list_vers(
    session: &mut Session,
    keys: &Pairs,
) -> Result<Vec<((u64, u64), u64)>, StoreError> {
    let sql = "SELECT user, chat, list_ver FROM lists WHERE [[(user = ? AND chat = ?)| OR ]]";
    by_pairs(session, sql, keys, pair_ver).await
}
