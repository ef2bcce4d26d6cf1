//! One batch on its way: entities as they will be once it is committed, the rows that make them so,
//! and the events that tell of it. Nothing here is seen by anyone before the commit.
//!
//! Each change takes the entity's next ver, and has one change row (a new message is its own) and one
//! event.

mod chat;
mod user;

use crate::entity::{Chat, Entity, Name, User};
use crate::events::Stamp;
use crate::refusals;
use crate::store::{
    ChangeKind, ChangeRow, CursorRow, HeadChange, JournalEntry, JournalRow, ListRow, MemberRow,
    MessageKey, MessageRow, SessionRow, WriteSet,
};
use shardline_domain::append::First;
use shardline_domain::limits::CHANGES_KEPT_MAX;
use shardline_wire::internal::Event;
use shardline_wire::refusal::Refusal;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Change rows are trimmed this many vers late, so that not every change deletes one.
const TRIM_STEP: u64 = 1_000;

/// What is known of an entity that a batch is about.
pub(crate) enum Known {
    Entity(Entity),
    /// There is nothing with this id.
    Absent,
    /// Something of another kind has this id.
    Occupied,
    /// It could not be loaded.
    Failed(Refusal),
}

struct Staged {
    known: Known,
    /// The head's ver in the database; 0 if the entity is not there yet.
    before: u64,
    epoch: u64,
}

pub(crate) struct Staging {
    at_ms: i64,
    entities: HashMap<u64, Staged>,
    rows: WriteSet,
    changed_messages: BTreeMap<(u64, u64), MessageRow>,
    chats: BTreeSet<u64>,
    members: BTreeMap<(u64, u64), MemberRow>,
    users: BTreeSet<u64>,
    /// None: ended.
    sessions: BTreeMap<(u64, u64), Option<SessionRow>>,
    list: BTreeMap<(u64, u64), ListRow>,
    cursors: BTreeMap<(u64, u64), u64>,
    trimmed: BTreeMap<u64, u64>,
    events: Vec<Event>,
    sent: HashMap<MessageKey, First>,
}

/// A batch as it goes to the store, and what it makes of memory once it is there.
pub(crate) struct Sealed {
    pub(crate) writes: WriteSet,
    pub(crate) events: Vec<Event>,
    pub(crate) entities: Vec<(u64, Entity)>,
    pub(crate) sent: HashMap<MessageKey, First>,
}

impl Staging {
    pub(crate) fn new(at_ms: i64) -> Staging {
        Staging {
            at_ms,
            entities: HashMap::new(),
            rows: WriteSet::default(),
            changed_messages: BTreeMap::new(),
            chats: BTreeSet::new(),
            members: BTreeMap::new(),
            users: BTreeSet::new(),
            sessions: BTreeMap::new(),
            list: BTreeMap::new(),
            cursors: BTreeMap::new(),
            trimmed: BTreeMap::new(),
            events: Vec::new(),
            sent: HashMap::new(),
        }
    }

    /// The batch's one time.
    pub(crate) fn at_ms(&self) -> i64 {
        self.at_ms
    }

    pub(crate) fn put_known(&mut self, id: u64, epoch: u64, known: Known) {
        let before = match &known {
            Known::Entity(entity) => entity.head().ver,
            _ => 0,
        };
        self.entities.insert(id, Staged { known, before, epoch });
    }

    // ---- As they are now ----

    pub(crate) fn chat(&self, id: u64) -> Result<&Chat, Refusal> {
        match self.known(id)? {
            Some(Entity::Chat(chat)) => Ok(chat),
            _ => Err(refusals::no_chat()),
        }
    }

    /// None: the id is free. A clash: it is not a chat's.
    pub(crate) fn find_chat(&self, id: u64) -> Result<Option<&Chat>, Refusal> {
        match self.known(id)? {
            Some(Entity::Chat(chat)) => Ok(Some(chat)),
            Some(_) => Err(refusals::id_clash()),
            None => Ok(None),
        }
    }

    pub(crate) fn user(&self, id: u64) -> Result<&User, Refusal> {
        match self.known(id)? {
            Some(Entity::User(user)) => Ok(user),
            _ => Err(refusals::no_user()),
        }
    }

    pub(crate) fn find_user(&self, id: u64) -> Result<Option<&User>, Refusal> {
        match self.known(id)? {
            Some(Entity::User(user)) => Ok(Some(user)),
            Some(_) => Err(refusals::id_clash()),
            None => Ok(None),
        }
    }

    pub(crate) fn find_name(&self, id: u64) -> Result<Option<&Name>, Refusal> {
        match self.known(id)? {
            Some(Entity::Name(name)) => Ok(Some(name)),
            Some(_) => Err(refusals::id_clash()),
            None => Ok(None),
        }
    }

    fn known(&self, id: u64) -> Result<Option<&Entity>, Refusal> {
        match self.entities.get(&id).map(|staged| &staged.known) {
            Some(Known::Entity(entity)) => Ok(Some(entity)),
            Some(Known::Absent) => Ok(None),
            Some(Known::Occupied) => Err(refusals::id_clash()),
            Some(Known::Failed(refusal)) => Err(refusal.clone()),
            None => Err(Refusal::internal("the batch did not load what it needs")),
        }
    }

    /// The first answer to a send of this batch.
    pub(crate) fn sent(&self, key: &MessageKey) -> Option<First> {
        self.sent.get(key).copied()
    }

    /// A message as this batch changes it.
    pub(crate) fn changed_message(&self, chat: u64, seq: u64) -> Option<&MessageRow> {
        self.changed_messages.get(&(chat, seq))
    }

    // ---- The rest ----

    pub(crate) fn create_name(&mut self, name: Name) {
        self.rows.names.push((*name.row).clone());
        let id = name.head.entity;
        self.entity_mut(id).known = Known::Entity(Entity::Name(name));
    }

    /// A cursor that moves; it takes no ver.
    pub(crate) fn put_cursor(&mut self, chat: u64, user: u64, seq: u64) {
        let cursor = self.cursors.entry((chat, user)).or_insert(0);
        *cursor = seq.max(*cursor);
    }

    pub(crate) fn cursor(&self, chat: u64, user: u64) -> u64 {
        self.cursors.get(&(chat, user)).copied().unwrap_or(0)
    }

    pub(crate) fn delivered(&mut self, keys: &[(u64, u64, u64)]) {
        self.rows.delivered.extend_from_slice(keys);
    }

    /// Nothing to commit.
    pub(crate) fn is_empty(&self) -> bool {
        self.cursors.is_empty()
            && self.rows.delivered.is_empty()
            && self.rows.outbox.is_empty()
            && self.rows.removed_users.is_empty()
            && !self.entities.values().any(Staged::is_changed)
    }

    /// The transaction. `senders`: cursors that go with it, of any chats.
    pub(crate) fn seal(self, position: u64, nonce: u64, senders: &[CursorRow]) -> Sealed {
        let Staging { mut rows, entities, cursors, .. } = self;
        let mut changed: Vec<(u64, u64, Entity)> = entities
            .into_iter()
            .filter(|(_, staged)| staged.is_changed())
            .filter_map(|(id, staged)| match staged.known {
                Known::Entity(entity) => Some((id, staged.before, entity)),
                _ => None,
            })
            .collect();
        changed.sort_unstable_by_key(|(id, _, _)| *id);

        let mut entries = Vec::with_capacity(changed.len());
        for (id, before, entity) in &changed {
            let head = entity.head();
            rows.heads.push(HeadChange { expected_ver: *before, head });
            entries.push(JournalEntry { entity: *id, first_ver: before + 1, last_ver: head.ver });
            match entity {
                Entity::Chat(chat) if self.chats.contains(id) => {
                    rows.chats.push((*chat.row).clone())
                }
                Entity::User(user) if self.users.contains(id) => {
                    rows.users.push((*user.row).clone())
                }
                _ => {}
            }
        }
        rows.journal = JournalRow { position, nonce, entries };
        rows.changed_messages = self.changed_messages.into_values().collect();
        rows.members = self.members.into_values().collect();
        rows.list = self.list.into_values().collect();
        for (key, session) in self.sessions {
            match session {
                Some(row) => rows.sessions.push(row),
                None => rows.ended_sessions.push(key),
            }
        }
        rows.trimmed_changes = self.trimmed.into_iter().collect();
        rows.cursors = merged_cursors(cursors, senders);
        let entities = changed.into_iter().map(|(id, _, entity)| (id, entity)).collect();
        Sealed { writes: rows, events: self.events, entities, sent: self.sent }
    }

    fn change_row(&mut self, entity: u64, ver: u64, kind: ChangeKind, subject: u64) {
        self.rows.changes.push(ChangeRow { entity, ver, kind, subject, at_ms: self.at_ms });
    }

    fn stamp(&self, id: u64) -> Stamp {
        let epoch = self.entities.get(&id).map_or(0, |staged| staged.epoch);
        Stamp { epoch, at_ms: self.at_ms }
    }

    fn entity_mut(&mut self, id: u64) -> &mut Staged {
        self.entities.get_mut(&id).expect("a change is of an entity that was looked up")
    }
}

impl Staged {
    fn is_changed(&self) -> bool {
        matches!(&self.known, Known::Entity(entity) if entity.head().ver != self.before)
    }
}

/// Up to which ver change rows go, if it is time.
fn trim_to(ver: u64, trimmed_ver: u64) -> Option<u64> {
    let kept = ver.saturating_sub(trimmed_ver);
    (CHANGES_KEPT_MAX + TRIM_STEP <= kept).then(|| ver - CHANGES_KEPT_MAX)
}

fn merged_cursors(mut cursors: BTreeMap<(u64, u64), u64>, senders: &[CursorRow]) -> Vec<CursorRow> {
    for row in senders {
        let cursor = cursors.entry((row.chat, row.user)).or_insert(0);
        *cursor = row.seq.max(*cursor);
    }
    cursors.into_iter().map(|((chat, user), seq)| CursorRow { chat, user, seq }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn change_rows_are_trimmed_in_steps() {
        assert_eq!(trim_to(CHANGES_KEPT_MAX, 0), None);
        let full = CHANGES_KEPT_MAX + TRIM_STEP;
        assert_eq!(trim_to(full, 0), Some(TRIM_STEP));
        assert_eq!(trim_to(full + 1, TRIM_STEP), None);
    }

    #[test]
    fn a_cursor_is_written_once_at_its_highest() {
        let cursors = BTreeMap::from([((1, 2), 5), ((1, 3), 9)]);
        let row = |user, seq| CursorRow { chat: 1, user, seq };
        assert_eq!(merged_cursors(cursors, &[row(2, 7), row(3, 1)]), [row(2, 7), row(3, 9)]);
    }
}
