//! Senders' cursors after a restart: what the journal says was sent past the covered position.

use crate::gate::Gate;
use crate::memory::Memory;
use crate::store::{JournalEntry, LanePositions, MessageRange, StoreError};
use parking_lot::RwLock;
use shardline_domain::id::EntityId;
use shardline_domain::limits::{PAGE_BYTES_MAX, PAGE_MESSAGES_MAX};
use shardline_domain::slot::Slot;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Journal rows read at once.
const JOURNAL_ROWS: u64 = 256;

/// Sending is reading: what was sent past the covered position is noted again.
/// In slots that take no writes they were stored when the slot was frozen.
pub(crate) async fn rebuild_senders(
    memory: &Arc<Memory>,
    at: LanePositions,
    gate: &RwLock<Gate>,
) -> Result<(), StoreError> {
    let mut after = at.covered;
    while after < at.committed {
        let rows = memory.store.journal(at.lane, after, JOURNAL_ROWS).await?;
        let Some(last) = rows.last().map(|row| row.position) else { break };
        let mut firsts: BTreeMap<u64, u64> = BTreeMap::new();
        let is_ours = |entry: &&JournalEntry| {
            EntityId::new(entry.entity).is_ok_and(|id| gate.read().is_open(Slot::of(id)))
        };
        for entry in rows.iter().flat_map(|row| &row.entries).filter(is_ours) {
            let first = firsts.entry(entry.entity).or_insert(entry.first_ver);
            *first = entry.first_ver.min(*first);
        }
        for (entity, first_ver) in firsts {
            note_senders(memory, entity, first_ver).await?;
        }
        after = last;
    }
    Ok(())
}

async fn note_senders(memory: &Arc<Memory>, entity: u64, first_ver: u64) -> Result<(), StoreError> {
    let Some(chat) = memory.chat(entity).await? else { return Ok(()) };
    let head = chat.head;
    let mut after = head.seq.saturating_sub(head.ver.saturating_sub(first_ver - 1));
    while after < head.seq {
        let range = MessageRange {
            chat: entity,
            after,
            before: head.seq + 1,
            newest: false,
            limit: PAGE_MESSAGES_MAX,
            bytes: PAGE_BYTES_MAX,
        };
        let rows = memory.store.messages(range).await?;
        let Some(last) = rows.last().map(|row| row.seq) else { break };
        for row in rows.iter().filter(|row| first_ver <= row.ver) {
            memory.senders.note(entity, row.sender, row.seq);
            chat.read.merge(row.sender, row.seq);
        }
        after = last;
    }
    Ok(())
}
