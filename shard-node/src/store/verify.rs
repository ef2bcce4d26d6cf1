//! Reading entities back to compare them with their copies on another shard.

use crate::store::digest::Hashing;
use crate::store::export::{before_news, subjects};
use crate::store::*;
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::{BTreeSet, HashMap};

/// Rows read at once.
const ROWS: u64 = 1_000;

/// Entities read at the same time.
const READ_AT_ONCE: usize = 4;

/// What each of these entities' rows come to, in the order asked; None: there is no such entity.
/// `since`: only what changed above it (0: everything), as far as change rows still tell, else
/// everything. Rows that change while they are read may be hashed as they were or as they are: then the
/// two sides differ, and are compared again. In a slot that nobody writes to, the answer is exact.
pub async fn digests(
    store: &dyn Store,
    wanted: &[Wanted],
) -> Result<Vec<Option<EntityDigest>>, StoreError> {
    let entities: Vec<u64> = wanted.iter().map(|wanted| wanted.entity).collect();
    let heads = store.heads(&entities).await?;
    let heads: HashMap<u64, HeadRow> = heads.into_iter().map(|row| (row.entity, row)).collect();
    let rows = store.entity_rows(&entities).await?;
    let rows: HashMap<u64, EntityRow> = rows.into_iter().map(|row| (row.entity(), row)).collect();
    let read = |wanted: &Wanted| {
        let (head, row) = (heads.get(&wanted.entity).copied(), rows.get(&wanted.entity));
        digest(store, head, row, wanted.since)
    };
    let reads: Vec<_> = wanted.iter().map(read).collect();
    stream::iter(reads).buffered(READ_AT_ONCE).try_collect().await
}

async fn digest(
    store: &dyn Store,
    head: Option<HeadRow>,
    row: Option<&EntityRow>,
    since: u64,
) -> Result<Option<EntityDigest>, StoreError> {
    let (Some(head), Some(row)) = (head, row) else { return Ok(None) };
    let (entity, floor) = (head.entity, row.trimmed_ver());
    let since = if since < floor { 0 } else { since };
    let mut hashing = Hashing::begin(head, row, since);
    match row {
        EntityRow::Chat(_) => chat(store, head, since, floor, &mut hashing).await?,
        EntityRow::User(_) => {
            changes(store, entity, since.max(floor), &mut hashing).await?;
            list(store, entity, since, &mut hashing).await?;
            for row in store.sessions(entity).await? {
                hashing.session(&row);
            }
        }
        EntityRow::Name(_) => {}
    }
    Ok(Some(hashing.end()))
}

async fn chat(
    store: &dyn Store,
    head: HeadRow,
    since: u64,
    floor: u64,
    hashing: &mut Hashing,
) -> Result<(), StoreError> {
    let first = if since == 0 { 0 } else { before_news(head, since) };
    let mut after = first;
    loop {
        let range = MessageRange {
            chat: head.entity,
            after,
            before: u64::MAX,
            newest: false,
            limit: ROWS,
            bytes: TRANSFER_BYTES_MAX,
        };
        let rows = store.messages(range).await?;
        for row in rows.iter().filter(|row| since < row.changed_ver) {
            hashing.message(row);
        }
        let bytes: usize = rows.iter().map(|row| row.text.len()).sum();
        match rows.last() {
            Some(last) if is_full(&rows) || TRANSFER_BYTES_MAX <= bytes => after = last.seq,
            _ => break,
        }
    }
    let (seqs, users) = changes(store, head.entity, since.max(floor), hashing).await?;
    if since == 0 {
        return all_members(store, head.entity, hashing).await;
    }
    // Older messages that changed; they are few, for so are change rows.
    let seqs: Vec<u64> = seqs.into_iter().filter(|seq| *seq <= first).collect();
    for part in seqs.chunks(200) {
        let mut rows = store.messages_at(head.entity, part).await?;
        rows.sort_unstable_by_key(|row| row.seq);
        rows.iter().for_each(|row| hashing.message(row));
    }
    let users: Vec<u64> = users.into_iter().collect();
    for part in users.chunks(1_000) {
        let mut rows = store.members_named(head.entity, part).await?;
        rows.sort_unstable_by_key(|row| row.user);
        rows.iter().for_each(|row| hashing.member(row));
    }
    Ok(())
}

/// Returns which messages and members they are about.
async fn changes(
    store: &dyn Store,
    entity: u64,
    mut after: u64,
    hashing: &mut Hashing,
) -> Result<(BTreeSet<u64>, BTreeSet<u64>), StoreError> {
    let mut about = (BTreeSet::new(), BTreeSet::new());
    loop {
        let rows = store.changes(entity, after, ROWS).await?;
        rows.iter().for_each(|row| hashing.change(row));
        let (seqs, users) = subjects(&rows);
        about.0.extend(seqs);
        about.1.extend(users);
        match rows.last() {
            Some(last) if is_full(&rows) => after = last.ver,
            _ => return Ok(about),
        }
    }
}

async fn all_members(
    store: &dyn Store,
    chat: u64,
    hashing: &mut Hashing,
) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let rows = store.members(chat, after, ROWS).await?;
        rows.iter().for_each(|row| hashing.member(row));
        match rows.last() {
            Some(last) if is_full(&rows) => after = last.user,
            _ => return Ok(()),
        }
    }
}

async fn list(
    store: &dyn Store,
    user: u64,
    since: u64,
    hashing: &mut Hashing,
) -> Result<(), StoreError> {
    let mut after = 0;
    loop {
        let rows = store.list(user, after, ROWS).await?;
        rows.iter().filter(|row| since < row.list_ver).for_each(|row| hashing.list_row(row));
        match rows.last() {
            Some(last) if is_full(&rows) => after = last.chat,
            _ => return Ok(()),
        }
    }
}

/// There may be more behind them.
fn is_full<T>(rows: &[T]) -> bool {
    ROWS <= rows.len() as u64
}

/// Facts that the source has still to deliver and the copy does not hold: must be none before the flip.
/// Rows the copy has beyond are delivered once more, which changes nothing.
pub fn missing_facts(source: &[OutboxRow], copy: &[OutboxRow]) -> Vec<OutboxRow> {
    let key = |row: &OutboxRow| (row.chat, row.ver, row.user);
    let there: BTreeSet<_> = copy.iter().map(key).collect();
    source.iter().filter(|row| !there.contains(&key(row))).cloned().collect()
}
