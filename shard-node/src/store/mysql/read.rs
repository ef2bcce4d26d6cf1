//! Reads. One statement sees one state; several that belong together share a snapshot.

use crate::store::latest::LatestSearch;
use crate::store::mysql::dialect::padded;
use crate::store::mysql::rows::{self, Columns};
use crate::store::mysql::session::Session;
use crate::store::*;
use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};

/// Keys named by one statement.
const KEYS_MAX: usize = 512;

mod checking;
mod moving;

pub(super) use checking::*;
pub(super) use moving::*;

type FromRow<T> = fn(Row) -> Result<T, StoreError>;

async fn all<T>(
    session: &mut Session,
    sql: &'static str,
    values: Vec<Value>,
    row: FromRow<T>,
) -> Result<Vec<T>, StoreError> {
    session.rows(sql, 1, values).await?.into_iter().map(row).collect()
}

async fn one<T>(
    session: &mut Session,
    sql: &'static str,
    values: Vec<Value>,
    row: FromRow<T>,
) -> Result<Option<T>, StoreError> {
    session.rows(sql, 1, values).await?.into_iter().next().map(row).transpose()
}

/// The rows of a list of keys, in one state however long it is. The last key is repeated up to the
/// next power of two, so that few statements are ever prepared.
async fn listed<K, T>(
    session: &mut Session,
    template: &'static str,
    keys: &[K],
    values: impl Fn(&K) -> Vec<Value>,
    row: FromRow<T>,
) -> Result<Vec<T>, StoreError> {
    let several = KEYS_MAX < keys.len();
    if several {
        begin_snapshot(session).await?;
    }
    let mut found = Vec::with_capacity(keys.len());
    for part in keys.chunks(KEYS_MAX) {
        let count = padded(part.len());
        let padding = part.iter().skip(part.len() - 1).cycle().take(count - part.len());
        let values = part.iter().chain(padding).flat_map(&values).collect();
        for stored in session.rows(template, count, values).await? {
            found.push(row(stored)?);
        }
    }
    if several {
        end_snapshot(session).await?;
    }
    Ok(found)
}

async fn begin_snapshot(session: &mut Session) -> Result<(), StoreError> {
    let sql = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ; \
               START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY";
    Ok(session.conn.query_drop(sql).await?)
}

async fn end_snapshot(session: &mut Session) -> Result<(), StoreError> {
    Ok(session.conn.query_drop("COMMIT").await?)
}

pub(super) async fn writer(session: &mut Session) -> Result<Option<Writer>, StoreError> {
    let sql = "SELECT term, incarnation FROM lanes ORDER BY lane LIMIT 1";
    let stands: Option<(u64, u64)> = session.first(sql).await?;
    // Term 0 was made, not taken.
    let taken = stands.filter(|(term, _)| *term != 0);
    Ok(taken.map(|(term, incarnation)| Writer { term, incarnation }))
}

pub(super) async fn slots(session: &mut Session) -> Result<Vec<SlotRow>, StoreError> {
    let sql = "SELECT slot, state, epoch, move_id, attempt, leader_term FROM slots ORDER BY slot";
    all(session, sql, Vec::new(), rows::slot).await
}

/// All rows where many are named. Never in a snapshot of its own: it is asked within a transaction.
pub(super) async fn slots_named(
    session: &mut Session,
    named: &[u16],
) -> Result<Vec<SlotRow>, StoreError> {
    if KEYS_MAX < named.len() {
        return slots(session).await;
    }
    let sql = "SELECT slot, state, epoch, move_id, attempt, leader_term FROM slots \
               WHERE slot IN ([[?]])";
    listed(session, sql, named, |slot| vec![(*slot).into()], rows::slot).await
}

pub(super) async fn heads(
    session: &mut Session,
    entities: &[u64],
) -> Result<Vec<HeadRow>, StoreError> {
    let sql = select!(heads, "WHERE entity IN ([[?]]) ORDER BY entity");
    listed(session, sql, entities, |entity| vec![(*entity).into()], rows::head).await
}

pub(super) async fn chat(
    session: &mut Session,
    chat: u64,
) -> Result<Option<ChatState>, StoreError> {
    begin_snapshot(session).await?;
    let key = || vec![chat.into()];
    let head = one(session, select!(heads, "WHERE entity = ?"), key(), rows::head).await?;
    let chat = one(session, select!(chats, "WHERE chat = ?"), key(), rows::chat).await?;
    let present = select!(members, "WHERE chat = ? AND left_ver IS NULL ORDER BY user");
    let members = match (&head, &chat) {
        (Some(_), Some(_)) => all(session, present, key(), rows::member).await?,
        _ => Vec::new(),
    };
    end_snapshot(session).await?;
    let (Some(head), Some(chat)) = (head, chat) else { return Ok(None) };
    Ok(Some(ChatState { head, chat, members }))
}

pub(super) async fn user(
    session: &mut Session,
    user: u64,
) -> Result<Option<UserState>, StoreError> {
    begin_snapshot(session).await?;
    let key = || vec![user.into()];
    let head = one(session, select!(heads, "WHERE entity = ?"), key(), rows::head).await?;
    let user = one(session, select!(users, "WHERE user = ?"), key(), rows::user).await?;
    let sessions = all(session, include_str!("user_sessions.sql"), key(), rows::session).await?;
    let list = all(session, include_str!("user_list.sql"), key(), rows::list_row).await?;
    end_snapshot(session).await?;
    let (Some(head), Some(user)) = (head, user) else { return Ok(None) };
    Ok(Some(UserState { head, user, sessions, list }))
}

pub(super) async fn profiles(
    session: &mut Session,
    users: &[u64],
) -> Result<Vec<UserRow>, StoreError> {
    let sql = select!(users, "WHERE user IN ([[?]]) ORDER BY user");
    listed(session, sql, users, |user| vec![(*user).into()], rows::user).await
}

pub(super) async fn name(
    session: &mut Session,
    entity: u64,
) -> Result<Option<NameRow>, StoreError> {
    let sql = "SELECT entity, name, user FROM names WHERE entity = ?";
    one(session, sql, vec![entity.into()], rows::name).await
}

pub(super) async fn names_with_prefix(
    session: &mut Session,
    prefix: &str,
    limit: u64,
) -> Result<Vec<NameRow>, StoreError> {
    let values = vec![prefix.into(), prefix.into(), limit.into()];
    all(session, include_str!("names_with_prefix.sql"), values, rows::name).await
}

pub(super) async fn message(
    session: &mut Session,
    chat: u64,
    seq: u64,
) -> Result<Option<MessageRow>, StoreError> {
    let sql = select!(messages, "WHERE chat = ? AND seq = ?");
    one(session, sql, vec![chat.into(), seq.into()], rows::message).await
}

pub(super) async fn messages(
    session: &mut Session,
    range: MessageRange,
) -> Result<Vec<MessageRow>, StoreError> {
    let sql = if range.newest {
        select!(messages, "WHERE chat = ? AND ? < seq AND seq < ? ORDER BY seq DESC LIMIT ?")
    } else {
        select!(messages, "WHERE chat = ? AND ? < seq AND seq < ? ORDER BY seq LIMIT ?")
    };
    let MessageRange { chat, after, before, limit, .. } = range;
    let values = vec![chat.into(), after.into(), before.into(), limit.into()];
    let mut messages = Vec::new();
    let mut bytes = 0;
    for stored in session.rows(sql, 1, values).await? {
        let message = rows::message(stored)?;
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

pub(super) async fn find_messages(
    session: &mut Session,
    keys: &[MessageKey],
) -> Result<Vec<MessageRow>, StoreError> {
    let sql = select!(
        messages,
        "WHERE [[(chat = ? AND sender = ? AND client_msg_id = CAST(? AS BINARY(16)))| OR ]]"
    );
    let values =
        |key: &MessageKey| vec![key.chat.into(), key.sender.into(), key.client_msg_id[..].into()];
    listed(session, sql, keys, values, rows::message).await
}

pub(super) async fn changes(
    session: &mut Session,
    entity: u64,
    after: u64,
    limit: u64,
) -> Result<Vec<ChangeRow>, StoreError> {
    let values = vec![entity.into(), after.into(), limit.into()];
    all(session, include_str!("changes.sql"), values, rows::change).await
}

pub(super) async fn members(
    session: &mut Session,
    chat: u64,
    after: u64,
    limit: u64,
) -> Result<Vec<MemberRow>, StoreError> {
    let sql = select!(members, "WHERE chat = ? AND ? < user ORDER BY user LIMIT ?");
    all(session, sql, vec![chat.into(), after.into(), limit.into()], rows::member).await
}

pub(super) async fn member(
    session: &mut Session,
    chat: u64,
    user: u64,
) -> Result<Option<MemberRow>, StoreError> {
    let sql = select!(members, "WHERE chat = ? AND user = ?");
    one(session, sql, vec![chat.into(), user.into()], rows::member).await
}

/// Zero if there is no such chat.
pub(super) async fn activity_as_of(
    session: &mut Session,
    chat: u64,
    as_of_ms: i64,
) -> Result<i64, StoreError> {
    begin_snapshot(session).await?;
    let mut search = LatestSearch::new(as_of_ms);
    while let Some(probe) = search.probe() {
        let values = vec![chat.into(), probe.into()];
        let nearest = one(session, include_str!("message_time.sql"), values, |row| {
            let mut columns = Columns::of(row);
            Ok((columns.take()?, columns.take()?))
        });
        search.tell(probe, nearest.await?);
    }
    let sql = "SELECT created_at_ms FROM chats WHERE chat = ?";
    let time = match search.time() {
        Some(time) => Some(time),
        None => one(session, sql, vec![chat.into()], |row| Columns::of(row).take()).await?,
    };
    end_snapshot(session).await?;
    Ok(time.unwrap_or(0))
}

pub(super) async fn journal(
    session: &mut Session,
    lane: u16,
    after: u64,
    limit: u64,
) -> Result<Vec<JournalRow>, StoreError> {
    let values = vec![lane.into(), after.into(), limit.into()];
    all(session, include_str!("journal.sql"), values, rows::journal).await
}

pub(super) async fn lane_positions(
    session: &mut Session,
) -> Result<Vec<LanePositions>, StoreError> {
    all(session, include_str!("lane_positions.sql"), Vec::new(), rows::positions).await
}

pub(super) async fn outbox(
    session: &mut Session,
    limit: u64,
) -> Result<Vec<OutboxRow>, StoreError> {
    all(session, include_str!("outbox.sql"), vec![limit.into()], rows::outbox).await
}

/// In the words of the server's own settings where they are not the strictest.
pub(super) async fn durability(session: &mut Session) -> Result<String, StoreError> {
    let sql = "SELECT @@innodb_flush_log_at_trx_commit, @@log_bin, @@sync_binlog";
    let (flush, binlog, sync): (u64, u64, u64) = session.first(sql).await?.unwrap_or_default();
    let status: Vec<(String, String)> =
        session.conn.query("SHOW GLOBAL STATUS LIKE 'Rpl_semi_sync_%_status'").await?;
    let replicas = status
        .iter()
        .any(|(name, value)| value == "ON" && (name.contains("master") || name.contains("source")));
    Ok(describe_durability(flush, binlog != 0, sync, replicas))
}

fn describe_durability(flush: u64, binlog: bool, sync: u64, replicas: bool) -> String {
    let disk = if flush != 1 {
        format!("committed, flushed later (innodb_flush_log_at_trx_commit = {flush})")
    } else if binlog && sync != 1 {
        format!("committed and flushed, its binlog later (sync_binlog = {sync})")
    } else {
        "committed and flushed on one primary".to_owned()
    };
    if replicas { disk + ", and received by a replica" } else { disk }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durability_says_what_is_weaker_than_flushed() {
        assert_eq!(describe_durability(1, true, 1, false), "committed and flushed on one primary");
        assert!(describe_durability(2, true, 1, false).contains("= 2"));
        assert!(describe_durability(1, true, 0, false).contains("sync_binlog = 0"));
        assert!(describe_durability(1, false, 0, true).ends_with("a replica"));
    }
}
