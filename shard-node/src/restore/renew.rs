//! Makes a database servable whose loss was accepted: lanes go on past what was reported, and every
//! chat gets a new log, a bounded number with each commit. Nothing is served meanwhile.

use super::{Known, RENEWING_LANE, Verdict, judge, renewed_before};
use crate::config::Config;
use crate::serving::StartError;
use crate::store::{
    ChatRow, CommitError, EntityRow, HeadChange, HeadRow, JournalEntry, JournalRow, LanePositions,
    Store, StoreError, UserRow, WriteSet, Writer,
};
use crate::write::chat::new_log;
use std::collections::HashMap;

/// Entities of one commit.
const ENTITIES_AT_ONCE: u64 = 256;
/// A new log's vers begin this far above what the copy knows: past every ver that the lost history can
/// have given out, so that what other shards remember of it (when a user joined) is older than
/// whatever comes now.
const VERS_LOST_MAX: u64 = 1 << 32;
/// Ids end here.
const ID_MAX: u64 = u64::MAX >> 1;

/// Refuses a database that is an earlier copy, or renews what an accepted loss asks for; does nothing to
/// a complete one. To renew it is taken over for `writer`, with all the lanes there were.
pub(crate) async fn settle(
    store: &dyn Store,
    config: &Config,
    writer: Writer,
    known: &Known<'_>,
) -> Result<(), StartError> {
    let (verdict, found) = look(store, config, known).await?;
    let (first, jumps, tally) = match verdict {
        Verdict::Complete => return Ok(()),
        Verdict::Quarantined(loss) => return Err(StartError::Restored(loss)),
        Verdict::Renew { first, jumps, tally } => (first, jumps, tally),
    };
    tracing::warn!(shard = config.shard, first, ?jumps, "a loss was accepted: chats get new logs");
    let lanes = jumps.iter().map(|(lane, _)| lane + 1).max().unwrap_or(1);
    store.take_over(writer, lanes.max(config.lanes)).await?;

    let lacks = |lane| jumps.iter().find(|(lacking, _)| *lacking == lane).map(|(_, to)| *to);
    let committed = found.iter().find(|row| row.lane == RENEWING_LANE);
    let next = committed.map_or(0, |row| row.committed) + 1;
    let mut position = lacks(RENEWING_LANE).unwrap_or(next);
    // The mark first: once no lane lacks anything, only it says that this is not done.
    commit(store, RENEWING_LANE, only_journal(position, renewed_before(first, known.terms.1)))
        .await?;
    for (lane, to) in jumps.iter().filter(|(lane, _)| *lane != RENEWING_LANE) {
        commit(store, *lane, only_journal(*to, Vec::new())).await?;
    }
    if let Some(tally) = tally {
        store.raise_tally(tally).await?;
    }
    let mut first = first;
    loop {
        let heads = store.heads_in(&[first..=ID_MAX], ENTITIES_AT_ONCE).await?;
        let Some(last) = heads.last() else { break };
        first = last.entity + 1;
        position += 1;
        let mut writes = renewed(store, heads).await?;
        writes.journal = only_journal(position, renewed_before(first, known.terms.1)).journal;
        commit(store, RENEWING_LANE, writes).await?;
    }
    commit(store, RENEWING_LANE, only_journal(position + 1, Vec::new())).await?;
    tracing::info!(shard = config.shard, "every chat has its new log");
    Ok(())
}

async fn look(
    store: &dyn Store,
    config: &Config,
    known: &Known<'_>,
) -> Result<(Verdict, Vec<LanePositions>), StoreError> {
    let found = store.lane_positions().await?;
    let committed = found.iter().find(|row| row.lane == RENEWING_LANE).map(|row| row.committed);
    let before = committed.unwrap_or(0).saturating_sub(1);
    let last = store.journal(RENEWING_LANE, before, 1).await?.pop();
    let verdict = judge(config.shard, &found, known, &config.accept_loss, last.as_ref());
    Ok((verdict, found))
}

/// New logs, and vers that nobody was ever given. Older change rows say nothing in them.
async fn renewed(store: &dyn Store, heads: Vec<HeadRow>) -> Result<WriteSet, StoreError> {
    let entities: Vec<u64> = heads.iter().map(|head| head.entity).collect();
    let rows = store.entity_rows(&entities).await?;
    let rows: HashMap<u64, EntityRow> = rows.into_iter().map(|row| (row.entity(), row)).collect();
    let mut writes = WriteSet::default();
    for head in heads {
        let ver = head.ver + VERS_LOST_MAX;
        match rows.get(&head.entity) {
            Some(EntityRow::Chat(row)) => {
                writes.chats.push(ChatRow { trimmed_ver: ver, ..row.clone() });
            }
            Some(EntityRow::User(row)) => {
                writes.users.push(UserRow { trimmed_ver: ver, ..row.clone() });
            }
            // A name changes never.
            Some(EntityRow::Name(_)) | None => continue,
        }
        let head_then = HeadRow { ver, log: new_log(), ..head };
        writes.heads.push(HeadChange { expected_ver: head.ver, head: head_then });
    }
    Ok(writes)
}

fn only_journal(position: u64, entries: Vec<JournalEntry>) -> WriteSet {
    // Within what a signed column holds.
    let nonce = rand::random::<u64>() >> 1;
    WriteSet { journal: JournalRow { position, nonce, entries }, ..WriteSet::default() }
}

/// What fails is begun again by the next start, which takes over first.
async fn commit(store: &dyn Store, lane: u16, writes: WriteSet) -> Result<(), StoreError> {
    let not_stored = |reason: String| StoreError::Unavailable(reason);
    match store.commit(lane, &writes).await {
        Ok(()) => Ok(()),
        Err(CommitError::Fenced { term }) => Err(StoreError::Fenced { term }),
        Err(CommitError::Unknown(reason)) => {
            let JournalRow { position, nonce, .. } = writes.journal;
            let stored = store.settle(lane, position, nonce).await?;
            if stored { Ok(()) } else { Err(not_stored(reason)) }
        }
        Err(error) => Err(not_stored(error.to_string())),
    }
}
