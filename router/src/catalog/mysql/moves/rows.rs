//! Rows of moves, read and written within a transaction.

use crate::catalog::moves::{
    MOVE_COLUMNS, MoveColumns, MoveRow, NewMove, cut, millis, move_row, moving_slots, no_move,
};
use crate::catalog::mysql::session::{Failure, Tx};
use crate::catalog::mysql::{ROWS_PER_INSERT, counter, now_ms, set_counter};
use crate::catalog::operations::first_epoch;
use crate::catalog::rows::slot_row;
use mysql_async::prelude::{FromValue, Queryable};
use mysql_async::{Params, Row, Value};
use shardline_domain::placement::transfer::{
    Arrow, Entry, Move, MoveId, MovingSlot, Phase, Proof, Terms,
};
use shardline_domain::slot::{Epoch, Slot};
use std::collections::{BTreeMap, BTreeSet};

/// A move of a catalog that was lost, in the phase in which it goes on, holding its slots.
pub(in crate::catalog::mysql) async fn put_rebuilt(
    tx: &mut Tx,
    left: &Move,
    now: i64,
) -> Result<(), Failure> {
    let first = |moving: &MovingSlot| MovingSlot {
        epoch: Epoch(first_epoch(left.attempt, moving.epoch)),
        ..*moving
    };
    let kept = Move { slots: left.slots.iter().map(first).collect(), ..left.clone() };
    insert(tx, &kept, None, now).await?;
    let aborted = left.aborted.map(|reason| reason as u8);
    tx.exec_drop("UPDATE moves SET aborted = ? WHERE move = ?", (aborted, left.id.0)).await?;
    for part in left.slots.chunks(ROWS_PER_INSERT) {
        let rows = vec!["(?, ?)"; part.len()].join(", ");
        let values =
            part.iter().flat_map(|moving| [Value::from(moving.slot.get()), left.id.0.into()]);
        let sql = format!("INSERT INTO holds (slot, move) VALUES {rows}");
        tx.exec_drop(sql, Params::Positional(values.collect())).await?;
    }
    note(tx, left, None, 0, "found when the catalog was rebuilt", now).await
}

pub(super) fn columns(mut row: Row) -> Result<MoveColumns, Failure> {
    let row = &mut row;
    let mut counts = [0; 5];
    for (index, count) in (16..).zip(&mut counts) {
        *count = take(row, index)?;
    }
    Ok(MoveColumns {
        id: take(row, 0)?,
        kind: take(row, 1)?,
        source: take(row, 2)?,
        target: take(row, 3)?,
        phase: take(row, 4)?,
        attempt: take(row, 5)?,
        wish: take(row, 6)?,
        aborted: take(row, 7)?,
        slots: take(row, 8)?,
        window_ms: take(row, 9)?,
        rebalance: take(row, 10)?,
        reversed_by: take(row, 11)?,
        created_ms: take(row, 12)?,
        phase_ms: take(row, 13)?,
        blocked: take(row, 14)?,
        note: take(row, 15)?,
        counts,
        pause_ms: take(row, 21)?,
    })
}

pub(super) fn take<T: FromValue>(row: &mut Row, index: usize) -> Result<T, Failure> {
    let value = row.take_opt(index).and_then(Result::ok);
    value.ok_or_else(|| Failure::corrupt("a move's row has other columns"))
}

/// `lock`: what follows the statement that reads the move's row.
pub(super) async fn find(
    db: &mut impl Queryable,
    id: MoveId,
    lock: &str,
) -> Result<Option<(MoveRow, Vec<MovingSlot>)>, Failure> {
    let sql = format!("SELECT {MOVE_COLUMNS} FROM moves WHERE move = ? {lock}");
    let Some(row) = db.exec_first::<Row, _, _>(sql, (id.0,)).await? else { return Ok(None) };
    let row = move_row(columns(row)?, now_ms(db).await?)?;
    let sql = "SELECT slot, epoch FROM move_slots WHERE move = ? ORDER BY slot";
    let slots: Vec<(u32, u64)> = db.exec(sql, (id.0,)).await?;
    let slots = moving_slots(slots, row.attempt)?;
    Ok(Some((row, slots)))
}

/// Locked until the transaction ends.
pub(super) async fn present(tx: &mut Tx, id: MoveId) -> Result<Move, Failure> {
    let (row, slots) = find(tx, id, "FOR UPDATE").await?.ok_or_else(|| no_move(id))?;
    Ok(row.present(slots))
}

/// The move's slots and who holds them, locked in that order.
pub(super) async fn entries(tx: &mut Tx, id: MoveId) -> Result<Vec<(Slot, Entry)>, Failure> {
    let sql = "SELECT s.slot, s.shard, s.epoch FROM move_slots m \
        STRAIGHT_JOIN slots s ON s.slot = m.slot WHERE m.move = ? ORDER BY m.slot FOR UPDATE";
    let rows: Vec<(u32, u32, u64)> = tx.exec(sql, (id.0,)).await?;
    let sql = "SELECT h.slot, h.move FROM move_slots m \
        STRAIGHT_JOIN holds h ON h.slot = m.slot WHERE m.move = ? FOR UPDATE";
    let holds: Vec<(u32, u64)> = tx.exec(sql, (id.0,)).await?;
    with_holds(rows, holds)
}

pub(super) fn with_holds(
    rows: Vec<(u32, u32, u64)>,
    holds: Vec<(u32, u64)>,
) -> Result<Vec<(Slot, Entry)>, Failure> {
    let holds: BTreeMap<u32, u64> = holds.into_iter().collect();
    let entry = |columns| {
        let row = slot_row(columns)?;
        let held_by = holds.get(&row.slot.get().into()).copied().map(MoveId);
        Ok((row.slot, Entry { owner: row.shard, epoch: row.epoch, held_by }))
    };
    rows.into_iter().map(entry).collect()
}

/// Of both shards, locked: no other writer is let in meanwhile.
pub(super) async fn newest_writers(tx: &mut Tx, id: MoveId) -> Result<Terms, Failure> {
    // These never change.
    let sql = "SELECT source, target FROM moves WHERE move = ?";
    let shards: Option<(u32, u32)> = tx.exec_first(sql, (id.0,)).await?;
    let (source, target) = shards.ok_or_else(|| no_move(id))?;
    let sql = "SELECT shard, writer_term FROM shards WHERE shard IN (?, ?) ORDER BY shard \
        LOCK IN SHARE MODE";
    let terms: BTreeMap<u32, u64> =
        tx.exec::<(u32, u64), _, _>(sql, (source, target)).await?.into_iter().collect();
    let of = |shard| terms.get(&shard).copied().unwrap_or(0);
    Ok(Terms { source: of(source), target: of(target) })
}

pub(super) async fn keep_tallies(
    tx: &mut Tx,
    flipped: &Move,
    arrow: &Arrow,
) -> Result<(), Failure> {
    let Some(Proof { source, target }) = arrow.proof else { return Ok(()) };
    let mut marks = [(flipped.source, source), (flipped.target, target)];
    marks.sort_unstable();
    for (shard, mark) in marks {
        let sql = "INSERT INTO marks (shard, term, tally) VALUES (?, ?, ?) ON DUPLICATE KEY UPDATE \
            term = GREATEST(term, VALUES(term)), tally = GREATEST(tally, VALUES(tally))";
        tx.exec_drop(sql, (shard.0, mark.term, mark.tally)).await?;
    }
    Ok(())
}

/// Every slot that the moves want, locked.
pub(super) async fn wanted(
    tx: &mut Tx,
    moves: &[NewMove],
) -> Result<BTreeMap<Slot, Entry>, Failure> {
    let slots: BTreeSet<u16> =
        moves.iter().flat_map(|new| &new.slots).map(|moving| moving.slot.get()).collect();
    let slots: Vec<Value> = slots.into_iter().map(Value::from).collect();
    let mut entries = BTreeMap::new();
    for part in slots.chunks(ROWS_PER_INSERT) {
        let marks = vec!["?"; part.len()].join(", ");
        let sql = format!(
            "SELECT slot, shard, epoch FROM slots WHERE slot IN ({marks}) ORDER BY slot FOR UPDATE"
        );
        let rows = tx.exec(sql, Params::Positional(part.to_vec())).await?;
        let sql = format!("SELECT slot, move FROM holds WHERE slot IN ({marks}) FOR UPDATE");
        let holds = tx.exec(sql, Params::Positional(part.to_vec())).await?;
        entries.extend(with_holds(rows, holds)?);
    }
    Ok(entries)
}

pub(super) async fn next_id(tx: &mut Tx) -> Result<MoveId, Failure> {
    let id = counter(tx, "moves").await? + 1;
    set_counter(tx, "moves", id).await?;
    Ok(MoveId(id))
}

pub(super) async fn insert(
    tx: &mut Tx,
    new: &Move,
    rebalance: Option<u64>,
    now: i64,
) -> Result<(), Failure> {
    let sql = format!(
        "INSERT INTO moves ({MOVE_COLUMNS}) VALUES \
        (?, ?, ?, ?, ?, ?, ?, NULL, ?, ?, ?, NULL, ?, ?, '', '', 0, 0, 0, 0, 0, NULL)"
    );
    let values: Vec<Value> = vec![
        new.id.0.into(),
        (new.kind as u8).into(),
        new.source.0.into(),
        new.target.0.into(),
        (new.phase as u8).into(),
        new.attempt.0.into(),
        (new.wish as u8).into(),
        new.slots.len().into(),
        millis(new.window).into(),
        rebalance.into(),
        now.into(),
        now.into(),
    ];
    tx.exec_drop(sql, Params::Positional(values)).await?;
    for part in new.slots.chunks(ROWS_PER_INSERT) {
        let rows = vec!["(?, ?, ?)"; part.len()].join(", ");
        let sql = format!("INSERT INTO move_slots (move, slot, epoch) VALUES {rows}");
        let values = part.iter().flat_map(|moving| {
            [Value::from(new.id.0), moving.slot.get().into(), moving.epoch.0.into()]
        });
        tx.exec_drop(sql, Params::Positional(values.collect())).await?;
    }
    Ok(())
}

/// The journal's row of a step that led to `next`, whose row is locked.
pub(super) async fn note(
    tx: &mut Tx,
    next: &Move,
    from: Option<Phase>,
    term: u64,
    detail: &str,
    now: i64,
) -> Result<(), Failure> {
    let sql = "SELECT CAST(COALESCE(MAX(n), 0) + 1 AS UNSIGNED) FROM move_log WHERE move = ?";
    let number: Option<u32> = tx.exec_first(sql, (next.id.0,)).await?;
    let sql = "INSERT INTO move_log (move, n, at_ms, from_phase, to_phase, attempt, term, detail) \
        VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
    let from = from.map(|phase| phase as u8);
    let (id, to, attempt) = (next.id.0, next.phase as u8, next.attempt.0);
    let values = (id, number.unwrap_or(1), now, from, to, attempt, term, cut(detail));
    Ok(tx.exec_drop(sql, values).await?)
}
