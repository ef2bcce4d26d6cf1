//! Rows to and from columns, in the order of the statements.

use crate::store::*;
use mysql_async::prelude::FromValue;
use mysql_async::{Row, Value};

/// Takes a row's columns one after another.
pub(super) struct Columns {
    row: Row,
    next: usize,
}

impl Columns {
    pub(super) fn of(row: Row) -> Columns {
        Columns { row, next: 0 }
    }

    pub(super) fn take<T: FromValue>(&mut self) -> Result<T, StoreError> {
        let column = self.next;
        self.next += 1;
        match self.row.take_opt(column) {
            Some(Ok(value)) => Ok(value),
            _ => Err(StoreError::Corrupt(format!(
                "column {} of a row cannot be read",
                self.row.columns_ref().get(column).map_or("?".into(), |column| column.name_str())
            ))),
        }
    }

    fn id16(&mut self) -> Result<[u8; 16], StoreError> {
        let bytes: Vec<u8> = self.take()?;
        bytes.try_into().map_err(|_| StoreError::Corrupt("an id has not 16 bytes".to_owned()))
    }

    /// What is not one of ours makes the row unreadable.
    fn known<T>(&mut self, known: impl Fn(u8) -> Option<T>) -> Result<T, StoreError> {
        let number: u8 = self.take()?;
        known(number).ok_or_else(|| StoreError::Corrupt(format!("{number} is not a kind we know")))
    }
}

pub(super) fn head(row: Row) -> Result<HeadRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(HeadRow {
        entity: columns.take()?,
        seq: columns.take()?,
        ver: columns.take()?,
        log: columns.take()?,
        activity_ms: columns.take()?,
    })
}

pub(super) fn put_head(change: &HeadChange, values: &mut Vec<Value>) {
    let HeadRow { entity, seq, ver, log, activity_ms } = change.head;
    values.extend([
        entity.into(),
        seq.into(),
        ver.into(),
        log.into(),
        activity_ms.into(),
        change.expected_ver.into(),
    ]);
}

pub(super) fn message(row: Row) -> Result<MessageRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(MessageRow {
        chat: columns.take()?,
        seq: columns.take()?,
        ver: columns.take()?,
        changed_ver: columns.take()?,
        sender: columns.take()?,
        sender_name: columns.take()?,
        client_msg_id: columns.id16()?,
        body_hash: columns.id16()?,
        text: columns.take()?,
        reply_to: columns.take()?,
        sent_at_ms: columns.take()?,
        edited_at_ms: columns.take()?,
        deleted: columns.take()?,
    })
}

pub(super) fn put_message(row: &MessageRow, values: &mut Vec<Value>) {
    values.extend([
        row.chat.into(),
        row.seq.into(),
        row.ver.into(),
        row.changed_ver.into(),
        row.sender.into(),
        row.sender_name.as_str().into(),
        row.client_msg_id.as_slice().into(),
        row.body_hash.as_slice().into(),
        row.text.as_str().into(),
        row.reply_to.into(),
        row.sent_at_ms.into(),
        row.edited_at_ms.into(),
        row.deleted.into(),
    ]);
}

pub(super) fn changed_message(row: &MessageRow) -> Vec<Value> {
    vec![
        row.changed_ver.into(),
        row.sender_name.as_str().into(),
        row.text.as_str().into(),
        row.reply_to.into(),
        row.edited_at_ms.into(),
        row.deleted.into(),
        row.chat.into(),
        row.seq.into(),
    ]
}

pub(super) fn chat(row: Row) -> Result<ChatRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(ChatRow {
        chat: columns.take()?,
        kind: columns.take()?,
        title: columns.take()?,
        history: columns.take()?,
        creator: columns.take()?,
        client_chat_id: columns.id16()?,
        created_at_ms: columns.take()?,
        settings_ver: columns.take()?,
        trimmed_seq: columns.take()?,
        trimmed_ver: columns.take()?,
        ended: columns.take()?,
    })
}

pub(super) fn put_chat(row: &ChatRow, values: &mut Vec<Value>) {
    values.extend([
        row.chat.into(),
        row.kind.as_str().into(),
        row.title.as_str().into(),
        row.history.as_str().into(),
        row.creator.into(),
        row.client_chat_id.as_slice().into(),
        row.created_at_ms.into(),
        row.settings_ver.into(),
        row.trimmed_seq.into(),
        row.trimmed_ver.into(),
        row.ended.into(),
    ]);
}

pub(super) fn member(row: Row) -> Result<MemberRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(MemberRow {
        chat: columns.take()?,
        user: columns.take()?,
        role: columns.take()?,
        joined_ver: columns.take()?,
        joined_seq: columns.take()?,
        left_ver: columns.take()?,
        read_seq: columns.take()?,
    })
}

pub(super) fn put_member(row: &MemberRow, values: &mut Vec<Value>) {
    values.extend([
        row.chat.into(),
        row.user.into(),
        row.role.as_str().into(),
        row.joined_ver.into(),
        row.joined_seq.into(),
        row.left_ver.into(),
        row.read_seq.into(),
    ]);
}

pub(super) fn change(row: Row) -> Result<ChangeRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(ChangeRow {
        entity: columns.take()?,
        ver: columns.take()?,
        kind: columns.known(ChangeKind::from_number)?,
        subject: columns.take()?,
        at_ms: columns.take()?,
    })
}

pub(super) fn put_change(row: &ChangeRow, values: &mut Vec<Value>) {
    values.extend([
        row.entity.into(),
        row.ver.into(),
        (row.kind as u8).into(),
        row.subject.into(),
        row.at_ms.into(),
    ]);
}

pub(super) fn user(row: Row) -> Result<UserRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(UserRow {
        user: columns.take()?,
        name: columns.take()?,
        display_name: columns.take()?,
        about: columns.take()?,
        password_hash: columns.take()?,
        created_at_ms: columns.take()?,
        trimmed_ver: columns.take()?,
    })
}

pub(super) fn put_user(row: &UserRow, values: &mut Vec<Value>) {
    values.extend([
        row.user.into(),
        row.name.as_str().into(),
        row.display_name.as_str().into(),
        row.about.as_str().into(),
        row.password_hash.as_str().into(),
        row.created_at_ms.into(),
        row.trimmed_ver.into(),
    ]);
}

pub(super) fn session(row: Row) -> Result<SessionRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(SessionRow {
        user: columns.take()?,
        session: columns.take()?,
        device: columns.take()?,
        generation: columns.take()?,
        nonce: columns.id16()?,
        previous_nonce: columns.id16()?,
        created_at_ms: columns.take()?,
        used_at_ms: columns.take()?,
    })
}

pub(super) fn put_session(row: &SessionRow, values: &mut Vec<Value>) {
    values.extend([
        row.user.into(),
        row.session.into(),
        row.device.as_str().into(),
        row.generation.into(),
        row.nonce.as_slice().into(),
        row.previous_nonce.as_slice().into(),
        row.created_at_ms.into(),
        row.used_at_ms.into(),
    ]);
}

pub(super) fn list_row(row: Row) -> Result<ListRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(ListRow {
        user: columns.take()?,
        chat: columns.take()?,
        kind: columns.take()?,
        pinned: columns.take()?,
        muted: columns.take()?,
        hidden_seq: columns.take()?,
        gone: columns.take()?,
        fact_ver: columns.take()?,
        list_ver: columns.take()?,
    })
}

pub(super) fn put_list_row(row: &ListRow, values: &mut Vec<Value>) {
    values.extend([
        row.user.into(),
        row.chat.into(),
        row.kind.as_str().into(),
        row.pinned.into(),
        row.muted.into(),
        row.hidden_seq.into(),
        row.gone.into(),
        row.fact_ver.into(),
        row.list_ver.into(),
    ]);
}

pub(super) fn name(row: Row) -> Result<NameRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(NameRow { entity: columns.take()?, name: columns.take()?, user: columns.take()? })
}

pub(super) fn put_name(row: &NameRow, values: &mut Vec<Value>) {
    values.extend([row.entity.into(), row.name.as_str().into(), row.user.into()]);
}

pub(super) fn journal(row: Row) -> Result<JournalRow, StoreError> {
    let mut columns = Columns::of(row);
    let (position, nonce) = (columns.take()?, columns.take()?);
    let blob: Vec<u8> = columns.take()?;
    let entries = entries::decode(&blob)
        .ok_or_else(|| StoreError::Corrupt(format!("journal row {position} is not in our form")))?;
    Ok(JournalRow { position, nonce, entries })
}

pub(super) fn outbox(row: Row) -> Result<OutboxRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(OutboxRow {
        chat: columns.take()?,
        ver: columns.take()?,
        user: columns.take()?,
        joined: columns.take()?,
        kind: columns.take()?,
        created_at_ms: columns.take()?,
    })
}

pub(super) fn put_outbox(row: &OutboxRow, values: &mut Vec<Value>) {
    values.extend([
        row.chat.into(),
        row.ver.into(),
        row.user.into(),
        row.joined.into(),
        row.kind.as_str().into(),
        row.created_at_ms.into(),
    ]);
}

pub(super) fn slot(row: Row) -> Result<SlotRow, StoreError> {
    let mut columns = Columns::of(row);
    Ok(SlotRow {
        slot: columns.take()?,
        state: columns.known(SlotState::from_number)?,
        epoch: columns.take()?,
        move_id: columns.take()?,
        attempt: columns.take()?,
        leader_term: columns.take()?,
    })
}

pub(super) fn put_slot(row: &SlotRow, values: &mut Vec<Value>) {
    values.extend([
        row.slot.into(),
        (row.state as u8).into(),
        row.epoch.into(),
        row.move_id.into(),
        row.attempt.into(),
        row.leader_term.into(),
    ]);
}

pub(super) fn progress(row: Row) -> Result<ProgressRow, StoreError> {
    let mut columns = Columns::of(row);
    let (slot, move_id, attempt) = (columns.take()?, columns.take()?, columns.take()?);
    Ok(ProgressRow {
        fence: MoveFence { slot, move_id, attempt },
        step: columns.take()?,
        entity: columns.take()?,
        continuation: columns.take()?,
        rows: columns.take()?,
        bytes: columns.take()?,
    })
}

pub(super) fn put_progress(row: &ProgressRow, values: &mut Vec<Value>) {
    values.extend([
        row.fence.move_id.into(),
        row.fence.attempt.into(),
        row.step.into(),
        row.entity.into(),
        row.continuation.as_slice().into(),
        row.rows.into(),
        row.bytes.into(),
        row.fence.slot.into(),
    ]);
}

pub(super) fn positions(row: Row) -> Result<LanePositions, StoreError> {
    let mut columns = Columns::of(row);
    Ok(LanePositions {
        lane: columns.take()?,
        committed: columns.take()?,
        relayed: columns.take()?,
        covered: columns.take()?,
    })
}
