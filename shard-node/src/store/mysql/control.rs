//! Who may write, which slots are owned, what became of a commit, how far the journal went out.

use crate::store::mysql::session::{Connector, LaneLock, Session, must_be};
use crate::store::mysql::write::put;
use crate::store::mysql::{read, rows};
use crate::store::slot::judge_all;
use crate::store::*;
use mysql_async::prelude::Queryable;

/// Journal rows deleted in one transaction; delete_journal.sql says it too.
const DELETED_AT_ONCE: u64 = 1_000;

/// Locks all lane rows exclusively, in order; then nothing of any lane runs.
const ALL_LANES: &str = "SELECT term, incarnation FROM lanes ORDER BY lane FOR UPDATE";

/// First the old writer's sessions end (a transaction of a process that hangs would hold its lane row
/// for hours), then the lane rows decide: whoever gets them all, with no higher term in any. Returns the
/// server on which that was.
pub(super) async fn take_over(
    connector: &Connector,
    writer: Writer,
    lanes: u16,
) -> Result<String, StoreError> {
    let others = connector
        .on_own_session(async |session| {
            let highest: Option<Option<u64>> = session.first("SELECT MAX(term) FROM lanes").await?;
            must_not_be_above(writer.term, highest.flatten())?;
            connector.foreign_sessions(session).await
        })
        .await?;
    connector.end(&others).await?;
    connector
        .on_own_session(async |session| {
            make_lanes(session, lanes).await?;
            session.conn.query_drop("BEGIN").await?;
            let stands: Vec<(u64, u64)> = session.conn.query(ALL_LANES).await?;
            must_not_be_above(writer.term, stands.iter().map(|(term, _)| *term).max())?;
            let new = vec![writer.term.into(), writer.incarnation.into()];
            session.write("UPDATE lanes SET term = ?, incarnation = ?", 1, new).await?;
            session.conn.query_drop("COMMIT").await?;
            Ok(session.server.clone())
        })
        .await
}

fn must_not_be_above(own: u64, highest: Option<u64>) -> Result<(), StoreError> {
    match highest {
        Some(term) if own < term => Err(StoreError::Fenced { term }),
        _ => Ok(()),
    }
}

/// Makes the rows that are missing, with term 0.
async fn make_lanes(session: &mut Session, lanes: u16) -> Result<(), StoreError> {
    let present: Vec<u16> = session.conn.query("SELECT lane FROM positions").await?;
    let missing: Vec<u16> = (0..lanes).filter(|lane| !present.contains(lane)).collect();
    let lane_of = |lane: &u16, values: &mut Vec<mysql_async::Value>| values.push((*lane).into());
    // positions last: its row says that the lane has both.
    for template in [
        "INSERT IGNORE INTO lanes (lane, term, incarnation) VALUES [[(?, 0, 0)]]",
        "INSERT IGNORE INTO positions (lane, relayed, covered) VALUES [[(?, 0, 0)]]",
    ] {
        put(session, template, &missing, lane_of).await?;
    }
    let counted: Vec<u16> = session.conn.query("SELECT lane FROM tallies").await?;
    let missing: Vec<u16> = (0..lanes).filter(|lane| !counted.contains(lane)).collect();
    let sql = "INSERT IGNORE INTO tallies (lane, tally) VALUES [[(?, 0)]]";
    put(session, sql, &missing, lane_of).await?;
    Ok(())
}

/// One more transaction that the journal does not show. The last statement before its COMMIT: whoever
/// else counts on this lane waits for that.
pub(super) async fn count(session: &mut Session, lane: u16) -> Result<(), StoreError> {
    let sql = "UPDATE tallies SET tally = tally + 1 WHERE lane = ?";
    session.write(sql, 1, vec![lane.into()]).await?;
    Ok(())
}

const TALLY: &str = "SELECT CAST(COALESCE(SUM(tally), 0) AS UNSIGNED) FROM tallies";

pub(super) async fn tally(session: &mut Session) -> Result<u64, StoreError> {
    Ok(session.first(TALLY).await?.unwrap_or(0))
}

pub(super) async fn found(session: &mut Session) -> Result<Found, StoreError> {
    let sql = "SELECT term, incarnation FROM lanes ORDER BY lane LIMIT 1";
    let writer: Option<(u64, u64)> = session.first(sql).await?;
    let writer = writer.map(|(term, incarnation)| Writer { term, incarnation });
    let origin: Option<(String, u64)> = session.first("SELECT server, term FROM origin").await?;
    let origin = origin.map(|(server, term)| Origin { server, term });
    let tally = tally(session).await?;
    Ok(Found { writer, server: session.server.clone(), origin, tally })
}

pub(super) async fn keep_origin(session: &mut Session, me: Writer) -> Result<(), StoreError> {
    must_be(session.begin_with_lane(0, LaneLock::Shared).await?, me)?;
    let sql = "REPLACE INTO origin (id, server, term) VALUES (0, ?, ?)";
    let server = session.server.clone();
    session.write(sql, 1, vec![server.into(), me.term.into()]).await?;
    Ok(session.conn.query_drop("COMMIT").await?)
}

pub(super) async fn raise_tally(
    session: &mut Session,
    me: Writer,
    to: u64,
) -> Result<(), StoreError> {
    must_be(session.begin_with_lane(0, LaneLock::Exclusive).await?, me)?;
    let missing = to.saturating_sub(tally(session).await?);
    let sql = "UPDATE tallies SET tally = tally + ? WHERE lane = 0";
    session.write(sql, 1, vec![missing.into()]).await?;
    Ok(session.conn.query_drop("COMMIT").await?)
}

/// Holds the rows of these lanes (of all, if none is named), then decides on what stands: nobody else
/// changes a slot's row without its lane's.
pub(super) async fn put_slots(
    session: &mut Session,
    me: Writer,
    lanes: &[u16],
    changes: &[SlotChange],
) -> Result<SlotsPut, StoreError> {
    for stands in hold_lanes(session, lanes, LaneLock::Exclusive).await? {
        must_be(stands, me)?;
    }
    let slots: Vec<u16> = changes.iter().map(|change| change.to.slot).collect();
    let stands = read::slots_named(session, &slots).await?;
    let put = match judge_all(changes, &stands) {
        Ok(rows) => {
            put(session, include_str!("put_slots.sql"), &rows, rows::put_slot).await?;
            count(session, lanes.iter().min().copied().unwrap_or(0)).await?;
            SlotsPut::Done
        }
        Err(in_the_way) => in_the_way,
    };
    session.conn.query_drop("COMMIT").await?;
    Ok(put)
}

/// Begins a transaction that holds lane rows (none named: all of them, exclusively), in order, and says
/// who stands in each.
pub(super) async fn hold_lanes(
    session: &mut Session,
    lanes: &[u16],
    lock: LaneLock,
) -> Result<Vec<Option<Writer>>, StoreError> {
    let mut lanes = lanes.to_vec();
    lanes.sort_unstable();
    lanes.dedup();
    let Some((first, rest)) = lanes.split_first() else {
        session.conn.query_drop("BEGIN").await?;
        let all: Vec<(u64, u64)> = session.conn.query(ALL_LANES).await?;
        let writer = |(term, incarnation)| Some(Writer { term, incarnation });
        return Ok(if all.is_empty() { vec![None] } else { all.into_iter().map(writer).collect() });
    };
    let mut stands = vec![session.begin_with_lane(*first, lock).await?];
    for lane in rest {
        // By its key: a condition on several might wait for rows of others.
        let sql = lock.of_lane(*lane);
        let found: Option<(u64, u64)> = session.first(&sql).await?;
        stands.push(found.map(|(term, incarnation)| Writer { term, incarnation }));
    }
    Ok(stands)
}

/// Is the journal row with this position and nonce there? The session that wrote it is gone; if its
/// transaction is not, both its lane row and its journal row are locked, and this waits.
pub(super) async fn find_commit(
    session: &mut Session,
    me: Writer,
    lane: u16,
    position: u64,
    nonce: u64,
) -> Result<bool, StoreError> {
    must_be(session.begin_with_lane(lane, LaneLock::Exclusive).await?, me)?;
    let sql = "SELECT nonce FROM journal WHERE lane = ? AND position = ? FOR UPDATE";
    let found = session.rows(sql, 1, vec![lane.into(), position.into()]).await?;
    let stored: Option<u64> = match found.into_iter().next() {
        Some(row) => Some(rows::Columns::of(row).take()?),
        None => None,
    };
    let sql = "SELECT LEAST(relayed, covered) FROM positions WHERE lane = ?";
    let passed = session.rows(sql, 1, vec![lane.into()]).await?;
    let passed: u64 = match passed.into_iter().next() {
        Some(row) => rows::Columns::of(row).take()?,
        None => 0,
    };
    session.conn.query_drop("ROLLBACK").await?;
    // A row that went out and was deleted can only have been this one: a lane is serial.
    Ok(stored.map_or(position <= passed, |stored| stored == nonce))
}

/// True if there is more to delete.
pub(super) async fn advance(
    session: &mut Session,
    me: Writer,
    lane: u16,
    relayed: u64,
    covered: u64,
) -> Result<bool, StoreError> {
    must_be(session.begin_with_lane(lane, LaneLock::Shared).await?, me)?;
    let positions = session.rows(include_str!("lane_positions.sql"), 1, Vec::new()).await?;
    let positions = positions.into_iter().map(rows::positions).collect::<Result<Vec<_>, _>>()?;
    let Some(stands) = positions.into_iter().find(|row| row.lane == lane) else {
        return Err(StoreError::Corrupt(format!("lane {lane} has no positions")));
    };
    let committed = stands.committed;
    if committed < relayed.max(covered) {
        return Err(StoreError::Corrupt(format!(
            "lane {lane} has committed {committed}, it cannot have relayed {relayed} or covered {covered}"
        )));
    }
    let values = vec![relayed.into(), covered.into(), lane.into()];
    session.write(include_str!("advance.sql"), 1, values).await?;
    let passed = relayed.max(stands.relayed).min(covered.max(stands.covered));
    let values = vec![lane.into(), passed.into()];
    let deleted = session.write(include_str!("delete_journal.sql"), 1, values).await?;
    session.conn.query_drop("COMMIT").await?;
    Ok(DELETED_AT_ONCE <= deleted)
}
