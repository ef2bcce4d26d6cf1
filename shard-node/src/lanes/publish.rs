//! What was committed becomes what memory says and what the bus gets.

use super::Lane;
use super::remembered::Commit;
use super::staging::Sealed;
use crate::entity::{Chat, Entity};
use crate::metrics::number;
use crate::relay::queue::Committed;
use crate::relay::records::records;
use crate::store::{CursorRow, MessageRow, OutboxRow};
use shardline_daemon::clock;
use std::collections::HashMap;
use std::sync::Arc;

impl Lane {
    /// After the commit and before its answers. Returns the facts to deliver.
    pub(super) fn publish(&mut self, sealed: Sealed, senders: &[CursorRow]) -> Vec<OutboxRow> {
        let Sealed { writes, events, mut entities, sent } = sealed;
        self.position = writes.journal.position;
        self.metrics
            .batch_calls
            .record(number((writes.messages.len() + writes.changes.len()) as u64));
        self.metrics.messages.increment(writes.messages.len() as u64);
        for (key, first) in sent {
            self.recent.put(key, first);
        }

        self.publish_messages(writes.messages, &mut entities);
        for (id, entity) in entities {
            self.memory.cache.publish(id, entity);
        }
        self.memory.cache.forget(writes.removed_users.iter().map(|(user, _)| *user));
        for row in &writes.cursors {
            if let Some(Entity::Chat(chat)) = self.memory.cache.get(row.chat) {
                chat.read.merge(row.user, row.seq);
            }
        }
        self.tracker.note(&writes.heads, &writes.cursors, self.fence.now());
        self.memory.senders.wrote(senders, self.position);
        self.outbox.deleted(&writes.delivered);
        // Before the relay can say that it is on the bus.
        self.remembered.committed(Commit {
            position: self.position,
            queued_ms: self.queued_ms,
            committed_ms: clock::now_ms(),
            entries: writes.journal.entries,
            relayed_ms: None,
        });
        let records = records(events, self.partitions);
        self.relay.push(Committed { position: self.position, records });
        writes.outbox
    }

    /// Before their chats' heads show them.
    fn publish_messages(&self, stored: Vec<MessageRow>, entities: &mut [(u64, Entity)]) {
        let mut chats: HashMap<u64, &mut Chat> = entities
            .iter_mut()
            .filter_map(|(id, entity)| match entity {
                Entity::Chat(chat) => Some((*id, chat)),
                _ => None,
            })
            .collect();
        let mut births = Vec::with_capacity(stored.len());
        for row in stored {
            self.memory.senders.note(row.chat, row.sender, row.seq);
            let Some(chat) = chats.get_mut(&row.chat) else { continue };
            chat.read.merge(row.sender, row.seq);
            let row = Arc::new(row);
            if chat.last.is_none() && row.seq == chat.head.seq {
                chat.last = Some(Arc::clone(&row));
            }
            births.push((chat.head.log, row));
        }
        self.memory.births.put(births);
    }
}
