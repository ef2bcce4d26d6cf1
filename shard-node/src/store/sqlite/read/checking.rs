//! Reads of a check: which ids have rows where, and counted messages.

use super::*;
use shardline_domain::check::history::Span;
use shardline_domain::check::tables::Table;

pub(in crate::store::sqlite) fn next_ids(
    db: &Connection,
    after: u64,
) -> Result<[Option<u64>; Table::ALL.len()], StoreError> {
    let mut next = [None; Table::ALL.len()];
    let found = all(db, include_str!("../next_ids.sql"), [bound(after)], |row| {
        let mut columns = rows::Columns::of(row);
        Ok((columns.unsigned()?, columns.unsigned()?))
    })?;
    for (table, id) in found {
        if let Some(next) = usize::try_from(table).ok().and_then(|table| next.get_mut(table)) {
            *next = Some(id);
        }
    }
    Ok(next)
}

pub(in crate::store::sqlite) fn span(
    db: &Connection,
    chat: u64,
    after: u64,
    to: u64,
) -> Result<Span, StoreError> {
    let values = (bits(chat), bound(after), bound(to));
    let found = one(db, include_str!("../span.sql"), values, |row| {
        let mut columns = rows::Columns::of(row);
        Ok(Span {
            count: columns.unsigned()?,
            first_seq: columns.unsigned()?,
            last_seq: columns.unsigned()?,
            last_ver: columns.unsigned()?,
        })
    })?;
    Ok(found.unwrap_or_default())
}
