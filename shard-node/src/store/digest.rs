//! What is compared when a slot has moved: counts, positions, and a hash over an entity's rows as they
//! are now. Pure; the same bytes for the same rows, whatever database they were read from.
//!
//! Rows are hashed in the order of their keys, each with a mark of its kind, numbers in 8 bytes, texts
//! behind their length, an absent number unlike any present one: so no two different lists of rows are
//! hashed from the same bytes. Outbox rows are left out (a target may hold more), cursors have a hash
//! of their own (they move without a ver until the slot is frozen).

use crate::store::*;
use sha2::{Digest as _, Sha256};

/// Of one entity. Equal on both sides: the rows are.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EntityDigest {
    pub entity: u64,
    /// What was hashed: all that changed above it; 0: all there is.
    pub since: u64,
    pub ver: u64,
    pub seq: u64,
    /// Change rows are kept above this ver.
    pub trimmed_ver: u64,
    /// Of messages that were hashed: how many, the first seq, the last.
    pub messages: u64,
    pub first_seq: u64,
    pub last_seq: u64,
    pub rows: [u8; 32],
    /// Over (user, read_seq) of the members that were hashed.
    pub cursors: [u8; 32],
}

/// Takes an entity's rows, kind after kind in the order of the methods, each kind by key.
pub(super) struct Hashing {
    digest: EntityDigest,
    rows: Sha256,
    cursors: Sha256,
}

impl Hashing {
    pub(super) fn begin(head: HeadRow, row: &EntityRow, since: u64) -> Hashing {
        let HeadRow { entity, seq, ver, log, activity_ms } = head;
        let digest = EntityDigest {
            entity,
            since,
            ver,
            seq,
            trimmed_ver: row.trimmed_ver(),
            messages: 0,
            first_seq: 0,
            last_seq: 0,
            rows: [0; 32],
            cursors: [0; 32],
        };
        let mut hashing = Hashing { digest, rows: Sha256::new(), cursors: Sha256::new() };
        let rows = &mut hashing.rows;
        kind(rows, b'h');
        numbers(rows, &[entity, seq, ver, log, activity_ms.cast_unsigned(), since]);
        match row {
            EntityRow::Chat(row) => chat(rows, row),
            EntityRow::User(row) => user(rows, row),
            EntityRow::Name(NameRow { entity, name, user }) => {
                kind(rows, b'n');
                numbers(rows, &[*entity, *user]);
                text(rows, name);
            }
        }
        hashing
    }

    pub(super) fn message(&mut self, row: &MessageRow) {
        let MessageRow {
            chat,
            seq,
            ver,
            changed_ver,
            sender,
            sender_name,
            client_msg_id,
            body_hash,
            text: body,
            reply_to,
            sent_at_ms,
            edited_at_ms,
            deleted,
        } = row;
        let digest = &mut self.digest;
        digest.messages += 1;
        if digest.first_seq == 0 {
            digest.first_seq = *seq;
        }
        digest.last_seq = *seq;
        let rows = &mut self.rows;
        kind(rows, b'm');
        numbers(rows, &[*chat, *seq, *ver, *changed_ver, *sender, sent_at_ms.cast_unsigned()]);
        text(rows, sender_name);
        rows.update(client_msg_id);
        rows.update(body_hash);
        text(rows, body);
        optional(rows, *reply_to);
        optional(rows, edited_at_ms.map(i64::cast_unsigned));
        flag(rows, *deleted);
    }

    pub(super) fn change(&mut self, row: &ChangeRow) {
        let ChangeRow { entity, ver, kind: what, subject, at_ms } = *row;
        kind(&mut self.rows, b'c');
        let what = u64::from(what as u8);
        numbers(&mut self.rows, &[entity, ver, what, subject, at_ms.cast_unsigned()]);
    }

    pub(super) fn member(&mut self, row: &MemberRow) {
        let MemberRow { chat, user, role, joined_ver, joined_seq, left_ver, read_seq } = row;
        kind(&mut self.rows, b'p');
        numbers(&mut self.rows, &[*chat, *user, *joined_ver, *joined_seq]);
        text(&mut self.rows, role);
        optional(&mut self.rows, *left_ver);
        numbers(&mut self.cursors, &[*user, *read_seq]);
    }

    pub(super) fn list_row(&mut self, row: &ListRow) {
        let ListRow { user, chat, kind: what, pinned, muted, hidden_seq, gone, fact_ver, list_ver } =
            row;
        let rows = &mut self.rows;
        kind(rows, b'l');
        numbers(rows, &[*user, *chat, *hidden_seq, *fact_ver, *list_ver]);
        text(rows, what);
        for is in [pinned, muted, gone] {
            flag(rows, *is);
        }
    }

    pub(super) fn session(&mut self, row: &SessionRow) {
        let SessionRow {
            user,
            session,
            device,
            generation,
            nonce,
            previous_nonce,
            created_at_ms,
            used_at_ms,
        } = row;
        let rows = &mut self.rows;
        kind(rows, b's');
        let times = [created_at_ms.cast_unsigned(), used_at_ms.cast_unsigned()];
        numbers(rows, &[*user, *session, *generation, times[0], times[1]]);
        text(rows, device);
        rows.update(nonce);
        rows.update(previous_nonce);
    }

    pub(super) fn end(self) -> EntityDigest {
        let (rows, cursors) = (self.rows.finalize().into(), self.cursors.finalize().into());
        EntityDigest { rows, cursors, ..self.digest }
    }
}

fn chat(rows: &mut Sha256, row: &ChatRow) {
    let ChatRow {
        chat,
        kind: what,
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
    kind(rows, b'r');
    let created = created_at_ms.cast_unsigned();
    numbers(rows, &[*chat, *creator, created, *settings_ver, *trimmed_seq, *trimmed_ver]);
    for value in [what, title, history] {
        text(rows, value);
    }
    rows.update(client_chat_id);
    flag(rows, *ended);
}

fn user(rows: &mut Sha256, row: &UserRow) {
    let UserRow { user, name, display_name, about, password_hash, created_at_ms, trimmed_ver } =
        row;
    kind(rows, b'u');
    numbers(rows, &[*user, created_at_ms.cast_unsigned(), *trimmed_ver]);
    for value in [name, display_name, about, password_hash] {
        text(rows, value);
    }
}

fn kind(hash: &mut Sha256, mark: u8) {
    hash.update([mark]);
}

fn numbers(hash: &mut Sha256, numbers: &[u64]) {
    for number in numbers {
        hash.update(number.to_be_bytes());
    }
}

fn text(hash: &mut Sha256, text: &str) {
    numbers(hash, &[text.len() as u64]);
    hash.update(text);
}

fn optional(hash: &mut Sha256, number: Option<u64>) {
    flag(hash, number.is_some());
    numbers(hash, &[number.unwrap_or(0)]);
}

fn flag(hash: &mut Sha256, is: bool) {
    hash.update([u8::from(is)]);
}

#[cfg(test)]
mod tests;
