//! Transactions that write into slots that are on their way.

use crate::store::merge::{Keys, Standing, merge};
use crate::store::slot::all_emptied;
use crate::store::sqlite::commit::write_rows;
use crate::store::sqlite::control::{begin, count, must_be_writer, put_slot};
use crate::store::sqlite::read;
use crate::store::sqlite::rows::{self, bits, bound};
use crate::store::transfer::{StepVerdict, judge_steps};
use crate::store::*;
use rusqlite::{Connection, OptionalExtension, Transaction};
use shardline_domain::slot::Slot;

impl From<rusqlite::Error> for TransferError {
    fn from(error: rusqlite::Error) -> TransferError {
        TransferError::Store(error.into())
    }
}

fn slot_row(db: &Transaction<'_>, slot: u16) -> Result<Option<SlotRow>, StoreError> {
    let sql = "SELECT slot, state, epoch, move_id, attempt, leader_term FROM slots WHERE slot = ?";
    Ok(db.prepare_cached(sql)?.query_row([slot], rows::slot).optional()?)
}

pub(super) fn import(
    db: &mut Connection,
    me: Writer,
    lanes: &[u16],
    imports: &[Import],
) -> Result<(), TransferError> {
    let transaction = begin(db)?;
    for lane in lanes {
        must_be_writer(&transaction, *lane, me)?;
    }
    let mut known = Vec::new();
    for import in imports {
        let stands = slot_row(&transaction, import.fence.slot)?;
        if !import.fence.may_import(stands) {
            return Err(TransferError::Refused { stands });
        }
        known.extend(read::progress(&transaction, import.fence.slot)?);
    }
    let next = match judge_steps(imports, &known) {
        StepVerdict::Apply(next) => next,
        StepVerdict::DoneBefore => return Ok(()),
        StepVerdict::OutOfOrder { stands } => return Err(TransferError::OutOfOrder { stands }),
    };
    for next in next {
        transaction.prepare_cached(include_str!("put_progress.sql"))?.execute((
            next.fence.slot,
            bits(next.fence.move_id),
            next.fence.attempt,
            bits(next.step),
            bits(next.entity),
            next.continuation,
            bits(next.rows),
            bits(next.bytes),
        ))?;
    }
    let parts = imports.iter().flat_map(|import| &import.parts);
    let cursors: Vec<CursorRow> =
        imports.iter().flat_map(|import| import.cursors.iter().copied()).collect();
    let standing = standing(&transaction, &Keys::of(parts.clone()))?;
    let writes = merge(parts, &cursors, &standing);
    write_rows(&transaction, &writes).map_err(not_importable)?;
    count(&transaction, lanes.first().copied().unwrap_or(0))?;
    Ok(transaction.commit()?)
}

fn not_importable(error: CommitError) -> StoreError {
    match error {
        CommitError::Duplicate => {
            StoreError::Corrupt("an imported client id stands at another seq".to_owned())
        }
        error => StoreError::Unavailable(error.to_string()),
    }
}

fn standing(db: &Transaction<'_>, keys: &Keys) -> Result<Standing, StoreError> {
    let mut standing = Standing::default();
    for entity in &keys.heads {
        let head = read::head(db, *entity)?;
        standing.heads.extend(head.map(|head| (*entity, head)));
    }
    let mut changed =
        db.prepare_cached("SELECT changed_ver FROM messages WHERE chat = ? AND seq = ?")?;
    for (chat, seqs) in &keys.messages {
        for seq in seqs {
            let ver: Option<i64> =
                changed.query_row((bits(*chat), bits(*seq)), |row| row.get(0)).optional()?;
            standing.messages.extend(ver.map(|ver| ((*chat, *seq), ver.cast_unsigned())));
        }
    }
    for (chat, users) in &keys.members {
        for user in users {
            let row = read::member(db, *chat, *user)?;
            standing.members.extend(row.map(|row| ((*chat, *user), row)));
        }
    }
    let mut listed = db.prepare_cached("SELECT list_ver FROM lists WHERE user = ? AND chat = ?")?;
    for (user, chats) in &keys.list {
        for chat in chats {
            let ver: Option<i64> =
                listed.query_row((bits(*user), bits(*chat)), |row| row.get(0)).optional()?;
            standing.list.extend(ver.map(|ver| ((*user, *chat), ver.cast_unsigned())));
        }
    }
    for user in &keys.users {
        let sessions = read::sessions(db, *user)?.into_iter().map(|row| row.session).collect();
        standing.sessions.insert(*user, sessions);
    }
    Ok(standing)
}

/// Heads first; what is left of the limit goes on to the next table.
const PURGES: [&str; 10] = [
    "DELETE FROM heads WHERE entity IN
        (SELECT entity FROM heads WHERE entity BETWEEN ? AND ? LIMIT ?)",
    "DELETE FROM outbox WHERE (chat, ver, user) IN
        (SELECT chat, ver, user FROM outbox WHERE chat BETWEEN ? AND ? LIMIT ?)",
    "DELETE FROM messages WHERE (chat, seq) IN
        (SELECT chat, seq FROM messages WHERE chat BETWEEN ? AND ? LIMIT ?)",
    "DELETE FROM changes WHERE (entity, ver) IN
        (SELECT entity, ver FROM changes WHERE entity BETWEEN ? AND ? LIMIT ?)",
    "DELETE FROM members WHERE (chat, user) IN
        (SELECT chat, user FROM members WHERE chat BETWEEN ? AND ? LIMIT ?)",
    "DELETE FROM chats WHERE chat IN (SELECT chat FROM chats WHERE chat BETWEEN ? AND ? LIMIT ?)",
    "DELETE FROM lists WHERE (user, chat) IN
        (SELECT user, chat FROM lists WHERE user BETWEEN ? AND ? LIMIT ?)",
    "DELETE FROM sessions WHERE (user, session) IN
        (SELECT user, session FROM sessions WHERE user BETWEEN ? AND ? LIMIT ?)",
    "DELETE FROM users WHERE user IN (SELECT user FROM users WHERE user BETWEEN ? AND ? LIMIT ?)",
    "DELETE FROM names WHERE entity IN
        (SELECT entity FROM names WHERE entity BETWEEN ? AND ? LIMIT ?)",
];

pub(super) fn purge(
    db: &mut Connection,
    me: Writer,
    lane: u16,
    purges: &[Purge],
    limit: u64,
) -> Result<Option<Vec<SlotRow>>, TransferError> {
    let transaction = begin(db)?;
    must_be_writer(&transaction, lane, me)?;
    let mut stand = Vec::with_capacity(purges.len());
    for purge in purges {
        stand.extend(slot_row(&transaction, purge.fence.slot)?);
    }
    let emptied =
        all_emptied(purges, &stand).map_err(|stands| TransferError::Refused { stands })?;
    let mut left = limit.max(1);
    let mut changed = false;
    for (row, _) in emptied.iter().filter(|(_, done)| !done) {
        let Some(slot) = Slot::new(row.slot.into()) else { continue };
        let ids = slot.ids();
        for sql in PURGES {
            let values = (bits(*ids.start()), bits(*ids.end()), bound(left));
            let deleted = transaction.prepare_cached(sql)?.execute(values)?;
            left = left.saturating_sub(u64::try_from(deleted).unwrap_or(left));
            if left == 0 {
                transaction.commit()?;
                return Ok(None);
            }
        }
        transaction.execute("DELETE FROM imports WHERE slot = ?", [row.slot])?;
        put_slot(&transaction, row)?;
        changed = true;
    }
    if changed {
        count(&transaction, lane)?;
        transaction.commit()?;
    }
    Ok(Some(emptied.into_iter().map(|(row, _)| row).collect()))
}
