//! Reads of a check: which ids have rows where, and counted messages.

use super::*;
use shardline_domain::check::history::Span;
use shardline_domain::check::tables::Table;

pub(in crate::store::mysql) async fn next_ids(
    session: &mut Session,
    after: u64,
) -> Result<[Option<u64>; Table::ALL.len()], StoreError> {
    let values = vec![Value::UInt(after); Table::ALL.len()];
    let found = all(session, include_str!("../next_ids.sql"), values, |row| {
        let mut columns = Columns::of(row);
        Ok((columns.take::<u64>()?, columns.take::<u64>()?))
    });
    let mut next = [None; Table::ALL.len()];
    for (table, id) in found.await? {
        if let Some(next) = usize::try_from(table).ok().and_then(|table| next.get_mut(table)) {
            *next = Some(id);
        }
    }
    Ok(next)
}

pub(in crate::store::mysql) async fn span(
    session: &mut Session,
    chat: u64,
    after: u64,
    to: u64,
) -> Result<Span, StoreError> {
    let values = vec![chat.into(), after.into(), to.into()];
    let found = one(session, include_str!("../span.sql"), values, |row| {
        let mut columns = Columns::of(row);
        Ok(Span {
            count: columns.take()?,
            first_seq: columns.take()?,
            last_seq: columns.take()?,
            last_ver: columns.take()?,
        })
    });
    Ok(found.await?.unwrap_or_default())
}
