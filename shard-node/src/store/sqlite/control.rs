//! Who may write, which slots are owned, and how far the journal went out.

use crate::store::slot::judge_all;
use crate::store::sqlite::rows::{self, bits};
use crate::store::*;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use std::path::Path;

/// Journal rows deleted in one transaction.
const DELETED_AT_ONCE: u64 = 1_000;

/// A transaction that holds the database's one write lock from its first statement on.
pub(super) fn begin(db: &mut Connection) -> rusqlite::Result<Transaction<'_>> {
    db.transaction_with_behavior(TransactionBehavior::Immediate)
}

/// The fence. A lane without a row has no writer.
pub(super) fn must_be_writer(
    db: &Transaction<'_>,
    lane: u16,
    me: Writer,
) -> Result<(), StoreError> {
    let stands = db
        .prepare_cached("SELECT term, incarnation FROM lanes WHERE lane = ?")?
        .query_row([lane], writer_of)
        .optional()?;
    if stands == Some(me) {
        return Ok(());
    }
    Err(StoreError::Fenced { term: stands.map_or(0, |stands| stands.term) })
}

fn writer_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Writer> {
    let mut columns = rows::Columns::of(row);
    Ok(Writer { term: columns.unsigned()?, incarnation: columns.unsigned()? })
}

pub(super) fn take_over(db: &mut Connection, writer: Writer, lanes: u16) -> Result<(), StoreError> {
    let transaction = begin(db)?;
    let highest: i64 =
        transaction.query_row("SELECT COALESCE(MAX(term), 0) FROM lanes", [], |row| row.get(0))?;
    if bits(writer.term) < highest {
        return Err(StoreError::Fenced { term: highest.cast_unsigned() });
    }
    for lane in 0..lanes {
        transaction.execute("INSERT OR IGNORE INTO lanes VALUES (?, 0, 0)", [lane])?;
        transaction.execute("INSERT OR IGNORE INTO positions VALUES (?, 0, 0)", [lane])?;
        transaction.execute("INSERT OR IGNORE INTO tallies VALUES (?, 0)", [lane])?;
    }
    transaction.execute(
        "UPDATE lanes SET term = ?, incarnation = ?",
        (bits(writer.term), bits(writer.incarnation)),
    )?;
    Ok(transaction.commit()?)
}

/// The file's own identity: a copy is another file.
pub(super) fn identity(path: &Path) -> String {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        if let Ok(file) = std::fs::metadata(path) {
            return format!("file {}:{}", file.dev(), file.ino());
        }
    }
    std::fs::canonicalize(path).map(|path| path.display().to_string()).unwrap_or_default()
}

pub(super) fn found(db: &mut Connection, server: String) -> Result<Found, StoreError> {
    // One moment.
    let transaction = db.transaction()?;
    let origin = transaction
        .query_row("SELECT server, term FROM origin", [], |row| {
            let term = row.get::<_, i64>(1)?.cast_unsigned();
            Ok(Origin { server: row.get(0)?, term })
        })
        .optional()?;
    let (writer, tally) = (writer(&transaction)?, tally(&transaction)?);
    Ok(Found { writer, server, origin, tally })
}

pub(super) fn keep_origin(db: &mut Connection, me: Writer, server: &str) -> Result<(), StoreError> {
    let transaction = begin(db)?;
    must_be_writer(&transaction, 0, me)?;
    let sql = "INSERT OR REPLACE INTO origin (id, server, term) VALUES (0, ?, ?)";
    transaction.execute(sql, (server, bits(me.term)))?;
    Ok(transaction.commit()?)
}

pub(super) fn tally(db: &Connection) -> Result<u64, StoreError> {
    let sql = "SELECT COALESCE(SUM(tally), 0) FROM tallies";
    Ok(db.query_row(sql, [], |row| row.get::<_, i64>(0))?.cast_unsigned())
}

/// One more transaction that the journal does not show.
pub(super) fn count(db: &Transaction<'_>, lane: u16) -> rusqlite::Result<()> {
    db.prepare_cached("UPDATE tallies SET tally = tally + 1 WHERE lane = ?")?
        .execute([lane])
        .map(|_| ())
}

pub(super) fn raise_tally(db: &mut Connection, me: Writer, to: u64) -> Result<(), StoreError> {
    let transaction = begin(db)?;
    must_be_writer(&transaction, 0, me)?;
    let missing = to.saturating_sub(tally(&transaction)?);
    transaction.execute("UPDATE tallies SET tally = tally + ? WHERE lane = 0", [bits(missing)])?;
    Ok(transaction.commit()?)
}

pub(super) fn writer(db: &Connection) -> Result<Option<Writer>, StoreError> {
    let sql = "SELECT term, incarnation FROM lanes ORDER BY lane LIMIT 1";
    Ok(db.prepare_cached(sql)?.query_row([], writer_of).optional()?)
}

pub(super) fn slots(db: &Connection) -> Result<Vec<SlotRow>, StoreError> {
    let sql = "SELECT slot, state, epoch, move_id, attempt, leader_term FROM slots ORDER BY slot";
    let mut slots = db.prepare_cached(sql)?;
    let slots = slots.query_map([], rows::slot)?;
    Ok(slots.collect::<Result<_, _>>()?)
}

/// Whatever lanes the slots belong to: here one transaction runs at a time.
pub(super) fn put_slots(
    db: &mut Connection,
    me: Writer,
    changes: &[SlotChange],
) -> Result<SlotsPut, StoreError> {
    let transaction = begin(db)?;
    must_be_writer(&transaction, 0, me)?;
    let rows = match judge_all(changes, &slots(&transaction)?) {
        Ok(rows) => rows,
        Err(in_the_way) => return Ok(in_the_way),
    };
    for row in &rows {
        put_slot(&transaction, row)?;
    }
    count(&transaction, 0)?;
    transaction.commit()?;
    Ok(SlotsPut::Done)
}

pub(super) fn put_slot(db: &Transaction<'_>, row: &SlotRow) -> rusqlite::Result<()> {
    let SlotRow { slot, state, epoch, move_id, attempt, leader_term } = *row;
    let values = (slot, state as u8, bits(epoch), bits(move_id), attempt, bits(leader_term));
    db.prepare_cached(include_str!("put_slot.sql"))?.execute(values).map(|_| ())
}

pub(super) fn lane_positions(db: &Connection) -> Result<Vec<LanePositions>, StoreError> {
    let mut positions = db.prepare_cached(include_str!("lane_positions.sql"))?;
    let positions = positions.query_map([], |row| {
        let mut columns = rows::Columns::of(row);
        Ok(LanePositions {
            lane: columns.take()?,
            committed: columns.unsigned()?,
            relayed: columns.unsigned()?,
            covered: columns.unsigned()?,
        })
    })?;
    Ok(positions.collect::<Result<_, _>>()?)
}

/// True if there is more to delete.
pub(super) fn advance(
    db: &mut Connection,
    me: Writer,
    lane: u16,
    relayed: u64,
    covered: u64,
) -> Result<bool, StoreError> {
    let transaction = begin(db)?;
    must_be_writer(&transaction, lane, me)?;
    let mut positions = lane_positions(&transaction)?;
    positions.retain(|row| row.lane == lane);
    let committed = positions.first().map_or(0, |row| row.committed);
    if committed < relayed.max(covered) {
        return Err(StoreError::Corrupt(format!(
            "lane {lane} has committed {committed}, it cannot have relayed {relayed} or covered {covered}"
        )));
    }
    transaction.prepare_cached(include_str!("advance.sql"))?.execute((
        lane,
        bits(relayed),
        bits(covered),
    ))?;
    let deleted = transaction
        .prepare_cached(include_str!("delete_journal.sql"))?
        .execute((lane, bits(DELETED_AT_ONCE)))?;
    transaction.commit()?;
    Ok(bits(DELETED_AT_ONCE) <= i64::try_from(deleted).unwrap_or(i64::MAX))
}
