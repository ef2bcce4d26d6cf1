//! One step of filling slots: what comes from their source, in one transaction.

use crate::store::merge::{Keys, Standing, merge};
use crate::store::mysql::control::{count, hold_lanes};
use crate::store::mysql::dialect::runs;
use crate::store::mysql::moving::refuse;
use crate::store::mysql::rows;
use crate::store::mysql::session::{LaneLock, Session, must_be};
use crate::store::mysql::{read, write};
use crate::store::transfer::{StepVerdict, judge_steps};
use crate::store::*;
use mysql_async::prelude::Queryable;
use mysql_async::{Row, Value};

/// Rows that one statement locks.
const LOCKED_MAX: usize = 64;

pub(super) async fn import(
    session: &mut Session,
    me: Writer,
    lanes: &[u16],
    imports: &[Import],
) -> Result<Result<(), TransferError>, StoreError> {
    for stands in hold_lanes(session, lanes, LaneLock::Shared).await? {
        must_be(stands, me)?;
    }
    let slots: Vec<u16> = imports.iter().map(|import| import.fence.slot).collect();
    let stand = locked(session, include_str!("share_slots.sql"), &slots, rows::slot).await?;
    for import in imports {
        let stands = stand.iter().find(|row| row.slot == import.fence.slot).copied();
        if !import.fence.may_import(stands) {
            return refuse(session, TransferError::Refused { stands }).await;
        }
    }
    let known = locked(session, include_str!("lock_progress.sql"), &slots, rows::progress).await?;
    let next = match judge_steps(imports, &known) {
        StepVerdict::Apply(next) => next,
        StepVerdict::DoneBefore => {
            session.conn.query_drop("ROLLBACK").await?;
            return Ok(Ok(()));
        }
        StepVerdict::OutOfOrder { stands } => {
            return refuse(session, TransferError::OutOfOrder { stands }).await;
        }
    };
    // First of all rows: another step of one of these slots waits here, and then fails.
    let (old, new): (Vec<_>, Vec<_>) = next
        .into_iter()
        .partition(|row| known.iter().any(|known| known.fence.slot == row.fence.slot));
    write::put(session, include_str!("insert_progress.sql"), &new, rows::put_progress).await?;
    write::put(session, include_str!("update_progress.sql"), &old, rows::put_progress).await?;
    let parts = imports.iter().flat_map(|import| &import.parts);
    let cursors: Vec<CursorRow> =
        imports.iter().flat_map(|import| import.cursors.iter().copied()).collect();
    let standing = standing(session, &Keys::of(parts.clone())).await?;
    let writes = merge(parts, &cursors, &standing);
    write::write_rows(session, &writes).await.map_err(not_importable)?;
    // Last: others count there, too.
    count(session, lanes.first().copied().unwrap_or(0)).await?;
    session.conn.query_drop("COMMIT").await?;
    Ok(Ok(()))
}

/// Rows of slots, locked one by one in this order: a condition on several might wait for rows of others.
pub(super) async fn locked<T>(
    session: &mut Session,
    template: &'static str,
    slots: &[u16],
    row: impl Fn(Row) -> Result<T, StoreError>,
) -> Result<Vec<T>, StoreError> {
    let mut found = Vec::with_capacity(slots.len());
    for run in runs(slots.len(), LOCKED_MAX) {
        let slots = &slots[run];
        let values = slots.iter().map(|slot| Value::from(*slot)).collect();
        for stored in session.rows(template, slots.len(), values).await? {
            found.push(row(stored)?);
        }
    }
    Ok(found)
}

fn not_importable(error: CommitError) -> StoreError {
    match error {
        CommitError::Duplicate => {
            StoreError::Corrupt("an imported client id stands at another seq".to_owned())
        }
        error => StoreError::Unavailable(error.to_string()),
    }
}

/// Plain reads: only steps of these slots write these rows, and they run one after another.
async fn standing(session: &mut Session, keys: &Keys) -> Result<Standing, StoreError> {
    let mut standing = Standing::default();
    let heads: Vec<u64> = keys.heads.iter().copied().collect();
    let heads = read::heads_within(session, &heads).await?;
    standing.heads = heads.into_iter().map(|head| (head.entity, head)).collect();
    standing.messages = read::changed_vers(session, &keys.messages).await?.into_iter().collect();
    let members = read::members_at(session, &keys.members).await?;
    standing.members = members.into_iter().map(|row| ((row.chat, row.user), row)).collect();
    standing.list = read::list_vers(session, &keys.list).await?.into_iter().collect();
    for user in &keys.users {
        let sessions = read::sessions(session, *user).await?;
        let sessions = sessions.into_iter().map(|row| row.session).collect();
        standing.sessions.insert(*user, sessions);
    }
    Ok(standing)
}
