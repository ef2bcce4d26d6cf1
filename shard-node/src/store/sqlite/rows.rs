//! Rows to and from columns. SQLite's integers are signed: numbers that use all 64 bits (log, nonce,
//! incarnation) are kept by their bits; ids, seqs and vers stay below 2^63 and so keep their order.

use crate::store::*;
use rusqlite::Row;
use rusqlite::types::Type;

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> StoreError {
        use rusqlite::Error::{
            FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType,
        };
        match error {
            FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) => {
                StoreError::Corrupt(error.to_string())
            }
            error => StoreError::Unavailable(error.to_string()),
        }
    }
}

/// As the database keeps an unsigned number.
pub(super) fn bits(number: u64) -> i64 {
    number.cast_signed()
}

/// A bound of a comparison or a limit: nothing is above the highest signed number.
pub(super) fn bound(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a row's columns one after another.
pub(super) struct Columns<'a> {
    row: &'a Row<'a>,
    next: usize,
}

impl<'a> Columns<'a> {
    pub(super) fn of(row: &'a Row<'a>) -> Self {
        Columns { row, next: 0 }
    }

    pub(super) fn take<T: rusqlite::types::FromSql>(&mut self) -> rusqlite::Result<T> {
        self.next += 1;
        self.row.get(self.next - 1)
    }

    pub(super) fn unsigned(&mut self) -> rusqlite::Result<u64> {
        Ok(self.take::<i64>()?.cast_unsigned())
    }

    fn unsigned_or_none(&mut self) -> rusqlite::Result<Option<u64>> {
        Ok(self.take::<Option<i64>>()?.map(i64::cast_unsigned))
    }

    /// What is not one of ours makes the row unreadable.
    fn known<T>(&mut self, known: impl Fn(u8) -> Option<T>) -> rusqlite::Result<T> {
        let number: u8 = self.take()?;
        known(number).ok_or_else(|| self.unreadable(format!("{number} is not a kind we know")))
    }

    fn unreadable(&self, why: String) -> rusqlite::Error {
        rusqlite::Error::FromSqlConversionFailure(self.next - 1, Type::Null, why.into())
    }
}

pub(super) fn head(row: &Row<'_>) -> rusqlite::Result<HeadRow> {
    let mut columns = Columns::of(row);
    Ok(HeadRow {
        entity: columns.unsigned()?,
        seq: columns.unsigned()?,
        ver: columns.unsigned()?,
        log: columns.unsigned()?,
        activity_ms: columns.take()?,
    })
}

pub(super) fn message(row: &Row<'_>) -> rusqlite::Result<MessageRow> {
    let mut columns = Columns::of(row);
    Ok(MessageRow {
        chat: columns.unsigned()?,
        seq: columns.unsigned()?,
        ver: columns.unsigned()?,
        changed_ver: columns.unsigned()?,
        sender: columns.unsigned()?,
        sender_name: columns.take()?,
        client_msg_id: columns.take()?,
        body_hash: columns.take()?,
        text: columns.take()?,
        reply_to: columns.unsigned_or_none()?,
        sent_at_ms: columns.take()?,
        edited_at_ms: columns.take()?,
        deleted: columns.take()?,
    })
}

pub(super) fn chat(row: &Row<'_>) -> rusqlite::Result<ChatRow> {
    let mut columns = Columns::of(row);
    Ok(ChatRow {
        chat: columns.unsigned()?,
        kind: columns.take()?,
        title: columns.take()?,
        history: columns.take()?,
        creator: columns.unsigned()?,
        client_chat_id: columns.take()?,
        created_at_ms: columns.take()?,
        settings_ver: columns.unsigned()?,
        trimmed_seq: columns.unsigned()?,
        trimmed_ver: columns.unsigned()?,
        ended: columns.take()?,
    })
}

pub(super) fn member(row: &Row<'_>) -> rusqlite::Result<MemberRow> {
    let mut columns = Columns::of(row);
    Ok(MemberRow {
        chat: columns.unsigned()?,
        user: columns.unsigned()?,
        role: columns.take()?,
        joined_ver: columns.unsigned()?,
        joined_seq: columns.unsigned()?,
        left_ver: columns.unsigned_or_none()?,
        read_seq: columns.unsigned()?,
    })
}

pub(super) fn change(row: &Row<'_>) -> rusqlite::Result<ChangeRow> {
    let mut columns = Columns::of(row);
    Ok(ChangeRow {
        entity: columns.unsigned()?,
        ver: columns.unsigned()?,
        kind: columns.known(ChangeKind::from_number)?,
        subject: columns.unsigned()?,
        at_ms: columns.take()?,
    })
}

pub(super) fn user(row: &Row<'_>) -> rusqlite::Result<UserRow> {
    let mut columns = Columns::of(row);
    Ok(UserRow {
        user: columns.unsigned()?,
        name: columns.take()?,
        display_name: columns.take()?,
        about: columns.take()?,
        password_hash: columns.take()?,
        created_at_ms: columns.take()?,
        trimmed_ver: columns.unsigned()?,
    })
}

pub(super) fn session(row: &Row<'_>) -> rusqlite::Result<SessionRow> {
    let mut columns = Columns::of(row);
    Ok(SessionRow {
        user: columns.unsigned()?,
        session: columns.unsigned()?,
        device: columns.take()?,
        generation: columns.unsigned()?,
        nonce: columns.take()?,
        previous_nonce: columns.take()?,
        created_at_ms: columns.take()?,
        used_at_ms: columns.take()?,
    })
}

pub(super) fn list_row(row: &Row<'_>) -> rusqlite::Result<ListRow> {
    let mut columns = Columns::of(row);
    Ok(ListRow {
        user: columns.unsigned()?,
        chat: columns.unsigned()?,
        kind: columns.take()?,
        pinned: columns.take()?,
        muted: columns.take()?,
        hidden_seq: columns.unsigned()?,
        gone: columns.take()?,
        fact_ver: columns.unsigned()?,
        list_ver: columns.unsigned()?,
    })
}

pub(super) fn name(row: &Row<'_>) -> rusqlite::Result<NameRow> {
    let mut columns = Columns::of(row);
    Ok(NameRow { entity: columns.unsigned()?, name: columns.take()?, user: columns.unsigned()? })
}

pub(super) fn journal(row: &Row<'_>) -> rusqlite::Result<JournalRow> {
    let mut columns = Columns::of(row);
    let (position, nonce) = (columns.unsigned()?, columns.unsigned()?);
    let blob: Vec<u8> = columns.take()?;
    let entries = entries::decode(&blob)
        .ok_or_else(|| columns.unreadable(format!("journal row {position} is not in our form")))?;
    Ok(JournalRow { position, nonce, entries })
}

pub(super) fn outbox(row: &Row<'_>) -> rusqlite::Result<OutboxRow> {
    let mut columns = Columns::of(row);
    Ok(OutboxRow {
        chat: columns.unsigned()?,
        ver: columns.unsigned()?,
        user: columns.unsigned()?,
        joined: columns.take()?,
        kind: columns.take()?,
        created_at_ms: columns.take()?,
    })
}

pub(super) fn slot(row: &Row<'_>) -> rusqlite::Result<SlotRow> {
    let mut columns = Columns::of(row);
    Ok(SlotRow {
        slot: columns.take()?,
        state: columns.known(SlotState::from_number)?,
        epoch: columns.unsigned()?,
        move_id: columns.unsigned()?,
        attempt: columns.take()?,
        leader_term: columns.unsigned()?,
    })
}

pub(super) fn progress(row: &Row<'_>) -> rusqlite::Result<ProgressRow> {
    let mut columns = Columns::of(row);
    let slot = columns.take()?;
    let (move_id, attempt) = (columns.unsigned()?, columns.take()?);
    Ok(ProgressRow {
        fence: MoveFence { slot, move_id, attempt },
        step: columns.unsigned()?,
        entity: columns.unsigned()?,
        continuation: columns.take()?,
        rows: columns.unsigned()?,
        bytes: columns.unsigned()?,
    })
}
