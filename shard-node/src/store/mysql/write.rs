//! All statements of one commit between fence and COMMIT: heads, messages, the rarer rows, journal.

use crate::store::mysql::dialect::runs;
use crate::store::mysql::failure::{describe, doubled_key};
use crate::store::mysql::rows;
use crate::store::mysql::session::Session;
use crate::store::*;
use mysql_async::{Error, Value};
use std::collections::BTreeMap;

/// Rows of one statement: as many as a commit has sends.
const ROWS_MAX: usize = 256;
/// Rows of one statement whose condition names each of them.
const CONDITIONS_MAX: usize = 64;

pub(super) async fn write(
    session: &mut Session,
    lane: u16,
    writes: &WriteSet,
) -> Result<(), CommitError> {
    write_rows(session, writes).await?;
    let JournalRow { position, nonce, entries } = &writes.journal;
    let journal =
        vec![lane.into(), (*position).into(), (*nonce).into(), entries::encode(entries).into()];
    let inserted = session.write(include_str!("insert_journal.sql"), 1, journal).await;
    inserted.map_err(stale_if_there).map(|_| ())
}

/// All but the journal row.
pub(super) async fn write_rows(
    session: &mut Session,
    writes: &WriteSet,
) -> Result<(), CommitError> {
    change_heads(session, &writes.heads).await?;
    remove_users(session, &writes.removed_users).await?;
    let key = |error: Error| match doubled_key(&error) {
        Some("dedupe") => CommitError::Duplicate,
        Some(_) => CommitError::Stale,
        None => error.into(),
    };
    put(session, include_str!("insert_messages.sql"), &writes.messages, rows::put_message)
        .await
        .map_err(key)?;
    for row in &writes.changed_messages {
        let values = rows::changed_message(row);
        if session.write(include_str!("update_message.sql"), 1, values).await? != 1 {
            return Err(CommitError::Stale);
        }
    }
    chat_rows(session, writes).await?;
    Ok(user_rows(session, writes).await?)
}

/// Compare-and-set of all heads, in the order of their ids. A row whose ver is as expected is updated
/// and counts twice; one that is not stays as it is and counts nothing, and one that does not exist
/// is inserted and counts once: so two for each row is the proof for all of them.
async fn change_heads(session: &mut Session, heads: &[HeadChange]) -> Result<(), CommitError> {
    let mut heads: Vec<&HeadChange> = heads.iter().collect();
    heads.sort_by_key(|change| change.head.entity);
    let (new, known): (Vec<_>, Vec<_>) =
        heads.into_iter().partition(|change| change.expected_ver == 0);
    for run in runs(known.len(), ROWS_MAX) {
        let known = &known[run];
        let values = flat(known, put_head);
        let changed = session.write(include_str!("change_heads.sql"), known.len(), values).await?;
        if Ok(changed) != u64::try_from(2 * known.len()) {
            return Err(CommitError::Stale);
        }
    }
    let inserted = put(session, include_str!("insert_heads.sql"), &new, put_head).await;
    inserted.map_err(stale_if_there)
}

fn put_head(change: &&HeadChange, values: &mut Vec<Value>) {
    rows::put_head(change, values);
}

/// A row that is there already, where memory says that it is not.
fn stale_if_there(error: Error) -> CommitError {
    match doubled_key(&error) {
        Some(_) => CommitError::Stale,
        None => CommitError::NotStored(describe(&error)),
    }
}

/// The head first: it is what is compared.
async fn remove_users(session: &mut Session, users: &[(u64, u64)]) -> Result<(), CommitError> {
    for (user, ver) in users {
        let key = vec![(*user).into(), (*ver).into()];
        if session.write("DELETE FROM heads WHERE entity = ? AND ver = ?", 1, key).await? != 1 {
            return Err(CommitError::Stale);
        }
        for sql in [
            "DELETE FROM changes WHERE entity = ?",
            "DELETE FROM users WHERE user = ?",
            "DELETE FROM lists WHERE user = ?",
            "DELETE FROM sessions WHERE user = ?",
        ] {
            session.write(sql, 1, vec![(*user).into()]).await?;
        }
    }
    Ok(())
}

async fn chat_rows(session: &mut Session, writes: &WriteSet) -> Result<(), Error> {
    put(session, include_str!("put_chats.sql"), &writes.chats, rows::put_chat).await?;
    put(session, include_str!("put_members.sql"), &writes.members, rows::put_member).await?;
    put(session, include_str!("put_changes.sql"), &writes.changes, rows::put_change).await?;
    for (entity, up_to) in &writes.trimmed_changes {
        let values = vec![(*entity).into(), (*up_to).into()];
        session.write("DELETE FROM changes WHERE entity = ? AND ver <= ?", 1, values).await?;
    }
    put(session, include_str!("put_outbox.sql"), &writes.outbox, rows::put_outbox).await?;
    for run in runs(writes.delivered.len(), CONDITIONS_MAX) {
        let delivered = &writes.delivered[run];
        let values = flat(delivered, |(chat, ver, user), values| {
            values.extend([chat, ver, user].map(|number| Value::UInt(*number)));
        });
        session.write(include_str!("delete_outbox.sql"), delivered.len(), values).await?;
    }
    merge_cursors(session, &writes.cursors).await
}

/// Of each member the highest: one statement changes a row once.
async fn merge_cursors(session: &mut Session, cursors: &[CursorRow]) -> Result<(), Error> {
    let mut highest = BTreeMap::new();
    for CursorRow { chat, user, seq } in cursors {
        let stands = highest.entry((*chat, *user)).or_insert(*seq);
        *stands = (*stands).max(*seq);
    }
    let highest: Vec<_> = highest.into_iter().collect();
    for run in runs(highest.len(), CONDITIONS_MAX) {
        let cursors = &highest[run];
        let values = flat(cursors, |((chat, user), seq), values| {
            values.extend([chat, user, seq].map(|number| Value::UInt(*number)));
        });
        session.write(include_str!("merge_cursors.sql"), cursors.len(), values).await?;
    }
    Ok(())
}

async fn user_rows(session: &mut Session, writes: &WriteSet) -> Result<(), Error> {
    put(session, include_str!("put_users.sql"), &writes.users, rows::put_user).await?;
    put(session, include_str!("put_sessions.sql"), &writes.sessions, rows::put_session).await?;
    for run in runs(writes.ended_sessions.len(), CONDITIONS_MAX) {
        let ended = &writes.ended_sessions[run];
        let values = flat(ended, |(user, ended), values| {
            values.extend([user, ended].map(|number| Value::UInt(*number)));
        });
        session.write(include_str!("delete_sessions.sql"), ended.len(), values).await?;
    }
    put(session, include_str!("put_list_rows.sql"), &writes.list, rows::put_list_row).await?;
    put(session, include_str!("put_names.sql"), &writes.names, rows::put_name).await
}

/// Writes rows by a statement for many.
pub(super) async fn put<R>(
    session: &mut Session,
    template: &'static str,
    list: &[R],
    columns: impl Fn(&R, &mut Vec<Value>),
) -> Result<(), Error> {
    for run in runs(list.len(), ROWS_MAX) {
        let part = &list[run];
        session.write(template, part.len(), flat(part, &columns)).await?;
    }
    Ok(())
}

fn flat<R>(list: &[R], columns: impl Fn(&R, &mut Vec<Value>)) -> Vec<Value> {
    let mut values = Vec::with_capacity(list.len() * 13);
    for row in list {
        columns(row, &mut values);
    }
    values
}
