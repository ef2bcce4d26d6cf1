//! How one message went, as far as its shard knows: what is stored of it, what memory remembers of its
//! commit, and whether that is on the bus. For operators: no body, and nobody has to be a member.

use super::Serving;
use crate::entity::Chat;
use crate::lanes::lane_of;
use crate::lanes::remembered::covers;
use crate::refusals;
use crate::store::StoreError;
use shardline_domain::id::EntityId;
use shardline_domain::slot::Slot;
use shardline_wire::internal::{CommitSeen, ExplainMessage, MessageExplained, RelayState};
use shardline_wire::refusal::{Code, Refusal};
use std::sync::atomic::Ordering;

/// Readers that are named.
const READERS_NAMED_MAX: usize = 10;
/// Journal rows that are looked through for a commit that waits for the bus, and how many at once.
const JOURNAL_ROWS_MAX: u64 = 4_096;
const JOURNAL_ROWS: u64 = 256;

impl Serving {
    /// Its slot was checked.
    pub(super) async fn explain(
        &self,
        chat: u64,
        asked: &ExplainMessage,
    ) -> Result<MessageExplained, Refusal> {
        self.fence.ensure().await?;
        let known = self.reader.memory(chat).chat(chat).await.map_err(|e| refusals::store(&e))?;
        let known = known.ok_or_else(|| not_there(format!("there is no chat {chat}")))?;
        let seq = asked.seq;
        if known.head.seq < seq || seq == 0 {
            let newest = known.head.seq;
            return Err(not_there(format!(
                "chat {chat} has no message {seq}, its newest is {newest}"
            )));
        }
        let row = self.reader.store.message(chat, seq).await;
        let row = row.map_err(|error| refusals::store(&error))?;
        let row = row.ok_or_else(|| not_there(format!("message {seq} of {chat} was trimmed")))?;

        let slot = EntityId::new(chat).map(Slot::of).map_err(|_| refusals::no_chat())?;
        let slot_row = self.slots.row(slot);
        let lane = lane_of(chat, self.relays.len());
        let (queue, relayed) = &self.relays[lane];
        let relayed = relayed.load(Ordering::Acquire);
        let seen = self.remembered[lane].find(chat, row.ver);
        let position = match seen {
            Some(seen) => Waiting::At(seen.position),
            None => {
                let found = self.waiting(lane, relayed, chat, row.ver).await;
                found.map_err(|error| refusals::store(&error))?
            }
        };
        let relay = match position {
            Waiting::At(position) if position <= relayed => RelayState::OnTheBus,
            Waiting::At(_) => RelayState::Waits,
            Waiting::Unknown => RelayState::Unspecified,
            Waiting::No if slot_row.move_id != 0 => RelayState::PerhapsElsewhere,
            // Rows go from the journal when they are on the bus.
            Waiting::No => RelayState::OnTheBus,
        };
        let (read_count, read_by) = readers(&known, seq);
        Ok(MessageExplained {
            chat,
            seq,
            ver: row.ver,
            changed_ver: row.changed_ver,
            sender: row.sender,
            sent_at_ms: row.sent_at_ms,
            edited_at_ms: row.edited_at_ms,
            deleted: row.deleted,
            head_seq: known.head.seq,
            head_ver: known.head.ver,
            log: known.head.log,
            slot: slot.get().into(),
            shard: self.me.shard,
            epoch: slot_row.epoch,
            lane: u32::try_from(lane).unwrap_or(u32::MAX),
            node: self.me.node.clone(),
            durability: self.reader.store.durability().await.unwrap_or_default(),
            committed: queue.committed(),
            relayed,
            relay: relay.into(),
            position: position.known(),
            commit: seen.map(|seen| CommitSeen {
                queued_ms: seen.queued_ms,
                committed_ms: seen.committed_ms,
                relayed_ms: seen.relayed_ms,
                entities: u32::try_from(seen.entities).unwrap_or(u32::MAX),
            }),
            members: known.members.len() as u64,
            read_count,
            read_by,
        })
    }

    /// Looks for the commit among those that are not on the bus.
    async fn waiting(
        &self,
        lane: usize,
        relayed: u64,
        chat: u64,
        ver: u64,
    ) -> Result<Waiting, StoreError> {
        let lane = u16::try_from(lane).unwrap_or(u16::MAX);
        let mut after = relayed;
        while after < relayed + JOURNAL_ROWS_MAX {
            let rows = self.reader.store.journal(lane, after, JOURNAL_ROWS).await?;
            let is_in = |row: &&crate::store::JournalRow| {
                row.entries.iter().any(|entry| covers(entry, chat, ver))
            };
            if let Some(row) = rows.iter().find(is_in) {
                return Ok(Waiting::At(row.position));
            }
            match rows.last() {
                Some(last) if JOURNAL_ROWS <= rows.len() as u64 => after = last.position,
                _ => return Ok(Waiting::No),
            }
        }
        Ok(Waiting::Unknown)
    }
}

#[derive(Clone, Copy)]
enum Waiting {
    At(u64),
    /// It is not among the commits that wait for the bus.
    No,
    Unknown,
}

impl Waiting {
    fn known(self) -> Option<u64> {
        match self {
            Waiting::At(position) => Some(position),
            Waiting::No | Waiting::Unknown => None,
        }
    }
}

/// How many members have read it, and some of them.
fn readers(chat: &Chat, seq: u64) -> (u64, Vec<u64>) {
    let mut readers =
        chat.members.iter().filter(|member| seq <= chat.read_seq(member)).map(|member| member.user);
    let named: Vec<u64> = readers.by_ref().take(READERS_NAMED_MAX).collect();
    let count = named.len() as u64 + readers.count() as u64;
    (count, named)
}

fn not_there(message: String) -> Refusal {
    Refusal::new(Code::NotFound, message)
}
