//! What a lane stores at once, in one IMMEDIATE transaction: fence, heads by compare-and-set, rows.

use crate::store::sqlite::control::{begin, must_be_writer};
use crate::store::sqlite::rows::bits;
use crate::store::*;
use rusqlite::{Connection, Params, Transaction, ffi};

impl From<rusqlite::Error> for CommitError {
    fn from(error: rusqlite::Error) -> CommitError {
        CommitError::NotStored(error.to_string())
    }
}

/// Anything that fails before COMMIT drops the transaction, which rolls it back.
pub(super) fn commit(
    db: &mut Connection,
    me: Writer,
    lane: u16,
    writes: &WriteSet,
) -> Result<(), CommitError> {
    let transaction = begin(db)?;
    must_be_writer(&transaction, lane, me).map_err(|error| match error {
        StoreError::Fenced { term } => CommitError::Fenced { term },
        error => CommitError::NotStored(error.to_string()),
    })?;
    write_rows(&transaction, writes)?;
    journal(&transaction, lane, &writes.journal)?;
    transaction.commit().map_err(|error| CommitError::Unknown(error.to_string()))
}

/// All but the journal row.
pub(super) fn write_rows(db: &Transaction<'_>, writes: &WriteSet) -> Result<(), CommitError> {
    heads(db, &writes.heads)?;
    removed_users(db, &writes.removed_users)?;
    messages(db, writes)?;
    chat_rows(db, writes)?;
    Ok(user_rows(db, writes)?)
}

/// Is the journal row of that commit there? A transaction that writes waits for those of other
/// processes, so nothing of ours can still be on its way.
pub(super) fn settle(
    db: &mut Connection,
    me: Writer,
    lane: u16,
    position: u64,
    nonce: u64,
) -> Result<bool, StoreError> {
    let transaction = begin(db)?;
    must_be_writer(&transaction, lane, me)?;
    let stored: Option<i64> =
        transaction
            .query_row(include_str!("settle.sql"), (lane, bits(position)), |row| row.get(0))?;
    let passed: bool = transaction.query_row(
        "SELECT ? <= MIN(relayed, covered) FROM positions WHERE lane = ?",
        (bits(position), lane),
        |row| row.get(0),
    )?;
    // A row that went out and was deleted can only have been this one: a lane is serial.
    Ok(stored.map_or(passed, |stored| stored == bits(nonce)))
}

fn execute(db: &Transaction<'_>, sql: &str, values: impl Params) -> rusqlite::Result<usize> {
    db.prepare_cached(sql)?.execute(values)
}

/// A row that is there already, where memory says that it is not.
fn stale_if_there(error: rusqlite::Error) -> CommitError {
    match unique_violation(&error) {
        Some(_) => CommitError::Stale,
        None => error.into(),
    }
}

/// The columns of the key that would be doubled.
fn unique_violation(error: &rusqlite::Error) -> Option<&str> {
    let rusqlite::Error::SqliteFailure(failure, Some(message)) = error else { return None };
    let doubled = [ffi::SQLITE_CONSTRAINT_UNIQUE, ffi::SQLITE_CONSTRAINT_PRIMARYKEY];
    doubled.contains(&failure.extended_code).then_some(message.as_str())
}

fn heads(db: &Transaction<'_>, heads: &[HeadChange]) -> Result<(), CommitError> {
    for HeadChange { expected_ver, head } in heads {
        let HeadRow { entity, seq, ver, log, activity_ms } = *head;
        let new = (bits(entity), bits(seq), bits(ver), bits(log), activity_ms);
        if *expected_ver == 0 {
            execute(db, include_str!("insert_head.sql"), new).map_err(stale_if_there)?;
            continue;
        }
        let mut update = db.prepare_cached(include_str!("update_head.sql"))?;
        let expected = bits(*expected_ver);
        if update.execute((new.0, new.1, new.2, new.3, new.4, expected))? != 1 {
            return Err(CommitError::Stale);
        }
    }
    Ok(())
}

/// The head first: it is what is compared.
fn removed_users(db: &Transaction<'_>, users: &[(u64, u64)]) -> Result<(), CommitError> {
    for (user, ver) in users {
        let key = (bits(*user), bits(*ver));
        if execute(db, "DELETE FROM heads WHERE entity = ? AND ver = ?", key)? != 1 {
            return Err(CommitError::Stale);
        }
        for sql in [
            "DELETE FROM changes WHERE entity = ?",
            "DELETE FROM users WHERE user = ?",
            "DELETE FROM lists WHERE user = ?",
            "DELETE FROM sessions WHERE user = ?",
        ] {
            execute(db, sql, [bits(*user)])?;
        }
    }
    Ok(())
}

fn messages(db: &Transaction<'_>, writes: &WriteSet) -> Result<(), CommitError> {
    let mut insert = db.prepare_cached(include_str!("insert_message.sql"))?;
    for row in &writes.messages {
        insert
            .execute((
                bits(row.chat),
                bits(row.seq),
                bits(row.ver),
                bits(row.changed_ver),
                bits(row.sender),
                &row.sender_name,
                row.client_msg_id,
                row.body_hash,
                &row.text,
                row.reply_to.map(bits),
                row.sent_at_ms,
                row.edited_at_ms,
                row.deleted,
            ))
            .map_err(|error| match unique_violation(&error) {
                Some(columns) if columns.contains("client_msg_id") => CommitError::Duplicate,
                Some(_) => CommitError::Stale,
                None => error.into(),
            })?;
    }
    for row in &writes.changed_messages {
        let changed = (
            bits(row.chat),
            bits(row.seq),
            bits(row.changed_ver),
            &row.sender_name,
            &row.text,
            row.reply_to.map(bits),
            row.edited_at_ms,
            row.deleted,
        );
        if execute(db, include_str!("update_message.sql"), changed)? != 1 {
            return Err(CommitError::Stale);
        }
    }
    Ok(())
}

fn chat_rows(db: &Transaction<'_>, writes: &WriteSet) -> rusqlite::Result<()> {
    for row in &writes.chats {
        let values = (
            bits(row.chat),
            &row.kind,
            &row.title,
            &row.history,
            bits(row.creator),
            row.client_chat_id,
            row.created_at_ms,
            bits(row.settings_ver),
            bits(row.trimmed_seq),
            bits(row.trimmed_ver),
            row.ended,
        );
        execute(db, include_str!("put_chat.sql"), values)?;
    }
    for row in &writes.members {
        let values = (
            bits(row.chat),
            bits(row.user),
            &row.role,
            bits(row.joined_ver),
            bits(row.joined_seq),
            row.left_ver.map(bits),
            bits(row.read_seq),
        );
        execute(db, include_str!("put_member.sql"), values)?;
    }
    for row in &writes.changes {
        let values =
            (bits(row.entity), bits(row.ver), row.kind as u8, bits(row.subject), row.at_ms);
        execute(db, include_str!("put_change.sql"), values)?;
    }
    for (entity, up_to) in &writes.trimmed_changes {
        let key = (bits(*entity), bits(*up_to));
        execute(db, "DELETE FROM changes WHERE entity = ? AND ver <= ?", key)?;
    }
    for row in &writes.outbox {
        let key = (bits(row.chat), bits(row.ver), bits(row.user));
        let values = (key.0, key.1, key.2, row.joined, &row.kind, row.created_at_ms);
        execute(db, include_str!("put_outbox.sql"), values)?;
    }
    for (chat, ver, user) in &writes.delivered {
        let key = (bits(*chat), bits(*ver), bits(*user));
        execute(db, "DELETE FROM outbox WHERE chat = ? AND ver = ? AND user = ?", key)?;
    }
    for row in &writes.cursors {
        let values = (bits(row.chat), bits(row.user), bits(row.seq));
        execute(db, include_str!("merge_cursor.sql"), values)?;
    }
    Ok(())
}

fn user_rows(db: &Transaction<'_>, writes: &WriteSet) -> rusqlite::Result<()> {
    for row in &writes.users {
        let values = (
            bits(row.user),
            &row.name,
            &row.display_name,
            &row.about,
            &row.password_hash,
            row.created_at_ms,
            bits(row.trimmed_ver),
        );
        execute(db, include_str!("put_user.sql"), values)?;
    }
    for row in &writes.sessions {
        let values = (
            bits(row.user),
            bits(row.session),
            &row.device,
            bits(row.generation),
            row.nonce,
            row.previous_nonce,
            row.created_at_ms,
            row.used_at_ms,
        );
        execute(db, include_str!("put_session.sql"), values)?;
    }
    for (user, session) in &writes.ended_sessions {
        let key = (bits(*user), bits(*session));
        execute(db, "DELETE FROM sessions WHERE user = ? AND session = ?", key)?;
    }
    for row in &writes.list {
        let values = (
            bits(row.user),
            bits(row.chat),
            &row.kind,
            row.pinned,
            row.muted,
            bits(row.hidden_seq),
            row.gone,
            bits(row.fact_ver),
            bits(row.list_ver),
        );
        execute(db, include_str!("put_list_row.sql"), values)?;
    }
    for row in &writes.names {
        let values = (bits(row.entity), &row.name, bits(row.user));
        execute(db, include_str!("put_name.sql"), values)?;
    }
    Ok(())
}

fn journal(db: &Transaction<'_>, lane: u16, row: &JournalRow) -> Result<(), CommitError> {
    let values = (lane, bits(row.position), bits(row.nonce), entries::encode(&row.entries));
    execute(db, "INSERT INTO journal (lane, position, nonce, entries) VALUES (?, ?, ?, ?)", values)
        .map_err(stale_if_there)?;
    Ok(())
}
