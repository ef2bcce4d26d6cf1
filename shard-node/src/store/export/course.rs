//! One entity read stage by stage, as far as a page has room.

use super::{Place, Room, Stage, first_place};
use crate::store::*;
use std::collections::BTreeSet;

/// Change rows whose messages are read at once: as many of the largest as fill a page.
const SUBJECTS_AT_ONCE: usize = 64;

/// One entity's way through its stages.
pub(super) struct Course<'a> {
    pub(super) store: &'a dyn Store,
    /// As it was after the head of the first place, or later.
    pub(super) row: &'a EntityRow,
    pub(super) since: u64,
    pub(super) place: Place,
    pub(super) part: EntityPart,
}

impl Course<'_> {
    /// Reads on until everything is there, or the room is full.
    pub(super) async fn fill(&mut self, room: &mut Room) -> Result<(), StoreError> {
        while self.part.closing.is_none() && !room.is_full() {
            self.step(room).await?;
        }
        Ok(())
    }

    /// Reads once, and sets the place behind what was read.
    async fn step(&mut self, room: &mut Room) -> Result<(), StoreError> {
        let entity = self.place.head.entity;
        let limit = room.limit();
        self.place.stage = match self.place.stage {
            Stage::Messages(after) => self.messages(after, room).await?,
            Stage::Changes(after) => self.changes(after, room).await?,
            Stage::Members(after) => {
                let rows = self.store.members(entity, after, limit).await?;
                let more = at_limit(&rows, limit).map(|row| Stage::Members(row.user));
                room.take(rows.len(), 0);
                self.part.members.extend(rows);
                more.unwrap_or(self.first_outbox())
            }
            Stage::Outbox(ver, user) => {
                let after = (entity, ver, user);
                let rows = self.store.outbox_in(entity..=entity, after, limit).await?;
                let more = at_limit(&rows, limit).map(|row| Stage::Outbox(row.ver, row.user));
                room.take(rows.len(), 0);
                self.part.outbox.extend(rows);
                more.unwrap_or(Stage::Closing)
            }
            Stage::List(after) => {
                let mut rows = self.store.list(entity, after, limit).await?;
                let more = at_limit(&rows, limit).map(|row| Stage::List(row.chat));
                room.take(rows.len(), 0);
                rows.retain(|row| self.place.whole || self.since < row.list_ver);
                self.part.list.extend(rows);
                more.unwrap_or(Stage::Closing)
            }
            Stage::Closing => return self.close(room).await,
        };
        Ok(())
    }

    async fn messages(&mut self, after: u64, room: &mut Room) -> Result<Stage, StoreError> {
        let head = self.place.head;
        let range = MessageRange {
            chat: head.entity,
            after,
            before: head.seq.saturating_add(1),
            newest: false,
            limit: room.limit(),
            bytes: room.bytes,
        };
        let mut rows = self.store.messages(range).await?;
        let last = rows.last().map_or(head.seq, |row| row.seq);
        room.take(rows.len(), rows.iter().map(|row| row.text.len()).sum());
        rows.retain(|row| self.place.whole || self.since < row.changed_ver);
        self.part.messages.extend(rows);
        let floor = if self.place.whole { self.row.trimmed_ver() } else { self.since };
        Ok(if last < head.seq { Stage::Messages(last) } else { Stage::Changes(floor) })
    }

    /// Change rows, and in a difference what they are about, as it is now.
    async fn changes(&mut self, after: u64, room: &mut Room) -> Result<Stage, StoreError> {
        let (head, limit) = (self.place.head, room.limit());
        let mut rows = self.store.changes(head.entity, after, limit).await?;
        let more = at_limit(&rows, limit).map(|row| row.ver).filter(|ver| *ver < head.ver);
        room.take(rows.len(), 0);
        // The others come with a later head.
        rows.retain(|row| row.ver <= head.ver);
        let difference_of_chat = matches!(self.row, EntityRow::Chat(_)) && !self.place.whole;
        if difference_of_chat {
            for part in rows.chunks(SUBJECTS_AT_ONCE) {
                self.about(part, room).await?;
                self.part.changes.extend_from_slice(part);
                if let Some(last) = part.last().filter(|_| room.is_full()) {
                    return Ok(Stage::Changes(last.ver));
                }
            }
        } else {
            self.part.changes.extend(rows);
        }
        Ok(match (more, self.row) {
            (Some(ver), _) => Stage::Changes(ver),
            (None, EntityRow::User(_)) => Stage::List(0),
            (None, _) if self.place.whole => Stage::Members(0),
            (None, _) => self.first_outbox(),
        })
    }

    /// The messages and members that these changes are about.
    async fn about(&mut self, changes: &[ChangeRow], room: &mut Room) -> Result<(), StoreError> {
        let chat = self.place.head.entity;
        let (seqs, users) = subjects(changes);
        let sent: BTreeSet<u64> = self.part.messages.iter().map(|row| row.seq).collect();
        let seqs: Vec<u64> = seqs.difference(&sent).copied().collect();
        if !seqs.is_empty() {
            let messages = self.store.messages_at(chat, &seqs).await?;
            room.take(messages.len(), messages.iter().map(|row| row.text.len()).sum());
            self.part.messages.extend(messages);
        }
        let users: Vec<u64> = users.into_iter().collect();
        if !users.is_empty() {
            let members = self.store.members_named(chat, &users).await?;
            room.take(members.len(), 0);
            self.part.members.extend(members);
        }
        Ok(())
    }

    /// Rows at or below `since` came with it; those that are gone were delivered.
    fn first_outbox(&self) -> Stage {
        Stage::Outbox(if self.place.whole { 0 } else { self.since }, u64::MAX)
    }

    /// The entity's row is read after the changes: had they been trimmed above `since` meanwhile, some
    /// might be missing, and all begins again.
    async fn close(&mut self, room: &mut Room) -> Result<(), StoreError> {
        let head = self.place.head;
        let rows = self.store.entity_rows(&[head.entity]).await?;
        let Some(row) = rows.into_iter().next() else {
            return Err(StoreError::Unavailable("an entity was deleted meanwhile".to_owned()));
        };
        if !self.place.whole && self.since < row.trimmed_ver() {
            let head = self.store.heads(&[head.entity]).await?.first().copied().unwrap_or(head);
            self.place = first_place(head, &row, 0);
            return Ok(());
        }
        let sessions = match row {
            EntityRow::User(_) => self.store.sessions(head.entity).await?,
            _ => Vec::new(),
        };
        room.take(2 + sessions.len(), 0);
        self.part.closing = Some(Closing { head, row, sessions });
        Ok(())
    }
}

/// The last row, if there may be more.
fn at_limit<T>(rows: &[T], limit: u64) -> Option<&T> {
    rows.last().filter(|_| limit <= rows.len() as u64)
}

/// Which messages and which members these changes are about.
pub(in crate::store) fn subjects(changes: &[ChangeRow]) -> (BTreeSet<u64>, BTreeSet<u64>) {
    let (mut seqs, mut users) = (BTreeSet::new(), BTreeSet::new());
    for row in changes {
        match row.kind {
            ChangeKind::Edit | ChangeKind::Delete => seqs.insert(row.subject),
            ChangeKind::Member => users.insert(row.subject),
            ChangeKind::Chat | ChangeKind::List | ChangeKind::Profile | ChangeKind::Session => {
                false
            }
        };
    }
    (seqs, users)
}
