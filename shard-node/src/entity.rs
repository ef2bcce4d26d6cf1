//! What memory holds of an entity. One writer makes it exact: it is loaded once, and from then on
//! changes only with a commit. Clones are cheap: the large parts are shared until somebody writes.

use crate::store::{ChatRow, ChatState, HeadRow, ListRow, MemberRow, MessageRow, NameRow};
use crate::store::{SessionRow, StoreError, UserRow, UserState};
use parking_lot::Mutex;
use shardline_domain::chat::{History, Kind, Role};
use shardline_domain::limits::DIRECT_PUSH_MEMBERS_MAX;
use std::collections::HashMap;
use std::sync::Arc;

#[derive(Clone)]
pub(crate) enum Entity {
    Chat(Chat),
    User(User),
    Name(Name),
}

#[derive(Clone)]
pub(crate) struct Chat {
    pub(crate) head: HeadRow,
    pub(crate) kind: Kind,
    pub(crate) history: History,
    pub(crate) row: Arc<ChatRow>,
    pub(crate) members: Arc<Members>,
    /// Cursors that moved since the members were loaded. Not part of what a commit compares.
    pub(crate) read: Arc<ReadMarks>,
    /// The message at head.seq, once it was seen.
    pub(crate) last: Option<Arc<MessageRow>>,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Member {
    pub(crate) user: u64,
    pub(crate) role: Role,
    pub(crate) joined_ver: u64,
    pub(crate) joined_seq: u64,
    /// As loaded; `Chat::read_seq` knows better.
    pub(crate) read_seq: u64,
}

/// Present members by user id.
#[derive(Clone, Default)]
pub(crate) struct Members {
    rows: Vec<Member>,
}

#[derive(Default)]
pub(crate) struct ReadMarks(Mutex<HashMap<u64, u64>>);

#[derive(Clone)]
pub(crate) struct User {
    pub(crate) head: HeadRow,
    pub(crate) row: Arc<UserRow>,
    pub(crate) sessions: Arc<Vec<SessionRow>>,
    /// With tombstones, by chat id.
    pub(crate) list: Arc<Vec<ListRow>>,
}

#[derive(Clone)]
pub(crate) struct Name {
    pub(crate) head: HeadRow,
    pub(crate) row: Arc<NameRow>,
}

impl Entity {
    pub(crate) fn head(&self) -> HeadRow {
        match self {
            Entity::Chat(chat) => chat.head,
            Entity::User(user) => user.head,
            Entity::Name(name) => name.head,
        }
    }

    /// About how many bytes it takes.
    pub(crate) fn weight(&self) -> usize {
        match self {
            Entity::Chat(chat) => {
                // A member, and a cursor that moved.
                640 + chat.members.len() * 72
                    + chat.last.as_ref().map_or(0, |message| message.text.len() + 256)
            }
            Entity::User(user) => 768 + user.sessions.len() * 200 + user.list.len() * 112,
            Entity::Name(_) => 256,
        }
    }
}

impl Chat {
    pub(crate) fn from_state(state: ChatState) -> Result<Chat, StoreError> {
        let ChatState { head, chat: row, members } = state;
        let (kind, history) = parse_settings(&row)?;
        let members = members.iter().map(Member::from_row).collect::<Result<Vec<_>, _>>()?;
        Ok(Chat {
            head,
            kind,
            history,
            row: Arc::new(row),
            members: Arc::new(Members::new(members)),
            read: Arc::default(),
            last: None,
        })
    }

    /// After `row` changed. What is in the row came from here, so it can be read.
    pub(crate) fn apply_settings(&mut self) {
        if let Some(history) = History::from_name(&self.row.history) {
            self.history = history;
        }
    }

    /// How far a present member has read.
    pub(crate) fn read_seq(&self, member: &Member) -> u64 {
        self.read.get(member.user).max(member.read_seq)
    }

    /// Whom an event of this moment goes to; None: too many, nodes say what they follow.
    pub(crate) fn receivers(&self) -> Option<Vec<u64>> {
        let few = self.members.len() <= DIRECT_PUSH_MEMBERS_MAX;
        few.then(|| self.members.iter().map(|member| member.user).collect())
    }

    /// The other one of a direct chat; 0 of other chats.
    pub(crate) fn peer_of(&self, user: u64) -> u64 {
        if self.kind != Kind::Direct {
            return 0;
        }
        self.members.iter().map(|member| member.user).find(|other| *other != user).unwrap_or(0)
    }
}

fn parse_settings(row: &ChatRow) -> Result<(Kind, History), StoreError> {
    let kind = Kind::from_name(&row.kind);
    let history = History::from_name(&row.history);
    kind.zip(history).ok_or_else(|| {
        StoreError::Corrupt(format!("chat {} has kind {:?}", row.chat, (&row.kind, &row.history)))
    })
}

impl Member {
    pub(crate) fn from_row(row: &MemberRow) -> Result<Member, StoreError> {
        let role = Role::from_name(&row.role).ok_or_else(|| {
            StoreError::Corrupt(format!("a member of chat {} has role {:?}", row.chat, row.role))
        })?;
        Ok(Member {
            user: row.user,
            role,
            joined_ver: row.joined_ver,
            joined_seq: row.joined_seq,
            read_seq: row.read_seq,
        })
    }

    pub(crate) fn to_row(self, chat: u64, left_ver: Option<u64>) -> MemberRow {
        MemberRow {
            chat,
            user: self.user,
            role: self.role.name().to_owned(),
            joined_ver: self.joined_ver,
            joined_seq: self.joined_seq,
            left_ver,
            read_seq: self.read_seq,
        }
    }
}

impl Members {
    pub(crate) fn new(mut rows: Vec<Member>) -> Members {
        rows.sort_unstable_by_key(|member| member.user);
        Members { rows }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Member> {
        self.rows.iter()
    }

    pub(crate) fn get(&self, user: u64) -> Option<&Member> {
        self.find(user).ok().map(|at| &self.rows[at])
    }

    pub(crate) fn put(&mut self, member: Member) {
        match self.find(member.user) {
            Ok(at) => self.rows[at] = member,
            Err(at) => self.rows.insert(at, member),
        }
    }

    pub(crate) fn remove(&mut self, user: u64) {
        if let Ok(at) = self.find(user) {
            self.rows.remove(at);
        }
    }

    fn find(&self, user: u64) -> Result<usize, usize> {
        self.rows.binary_search_by_key(&user, |member| member.user)
    }
}

impl ReadMarks {
    fn get(&self, user: u64) -> u64 {
        self.0.lock().get(&user).copied().unwrap_or(0)
    }

    pub(crate) fn merge(&self, user: u64, seq: u64) {
        let mut marks = self.0.lock();
        let mark = marks.entry(user).or_insert(0);
        *mark = seq.max(*mark);
    }
}

impl User {
    pub(crate) fn from_state(state: UserState) -> User {
        let UserState { head, user, sessions, mut list } = state;
        list.sort_unstable_by_key(|row| row.chat);
        User { head, row: Arc::new(user), sessions: Arc::new(sessions), list: Arc::new(list) }
    }

    pub(crate) fn session(&self, session: u64) -> Option<&SessionRow> {
        self.sessions.iter().find(|row| row.session == session)
    }

    pub(crate) fn list_row(&self, chat: u64) -> Option<&ListRow> {
        let at = self.list.binary_search_by_key(&chat, |row| row.chat);
        at.ok().map(|at| &self.list[at])
    }

    pub(crate) fn put_list_row(&mut self, row: ListRow) {
        let list = Arc::make_mut(&mut self.list);
        match list.binary_search_by_key(&row.chat, |known| known.chat) {
            Ok(at) => list[at] = row,
            Err(at) => list.insert(at, row),
        }
    }

    pub(crate) fn put_session(&mut self, row: SessionRow) {
        let sessions = Arc::make_mut(&mut self.sessions);
        match sessions.iter_mut().find(|known| known.session == row.session) {
            Some(known) => *known = row,
            None => sessions.push(row),
        }
    }

    pub(crate) fn remove_session(&mut self, session: u64) {
        Arc::make_mut(&mut self.sessions).retain(|row| row.session != session);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(user: u64) -> Member {
        Member { user, role: Role::Member, joined_ver: user, joined_seq: 0, read_seq: 0 }
    }

    #[test]
    fn members_stay_in_order_and_single() {
        let mut members = Members::new(vec![member(5), member(2)]);
        members.put(member(3));
        members.put(Member { role: Role::Muted, ..member(5) });
        members.remove(2);
        members.remove(9);
        assert_eq!(members.iter().map(|one| one.user).collect::<Vec<_>>(), [3, 5]);
        assert_eq!(members.get(5).map(|one| one.role), Some(Role::Muted));
        assert_eq!(members.get(2), None);
    }

    #[test]
    fn a_read_mark_only_grows() {
        let marks = ReadMarks::default();
        marks.merge(1, 7);
        marks.merge(1, 3);
        assert_eq!((marks.get(1), marks.get(2)), (7, 0));
    }
}
