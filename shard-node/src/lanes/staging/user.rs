//! Changes of a user in a batch; the caller has looked it up. Each is an event to that user alone.

use super::{Known, Staging, trim_to};
use crate::entity::{Entity, User};
use crate::events::{self, Own, Stamp};
use crate::refusals;
use crate::store::{ChangeKind, ListRow, SessionRow, UserRow};
use shardline_wire::internal::Event;
use std::sync::Arc;

impl Staging {
    pub(crate) fn create_user(&mut self, user: User) {
        let id = user.head.entity;
        self.entity_mut(id).known = Known::Entity(Entity::User(user));
        self.users.insert(id);
        self.change_user(id, ChangeKind::Profile, 0, |user, ver, stamp| {
            events::user_event(user, ver, Own::Profile, stamp)
        });
    }

    pub(crate) fn change_profile(&mut self, id: u64, change: impl FnOnce(&mut UserRow)) {
        change(Arc::make_mut(&mut self.user_mut(id).row));
        self.users.insert(id);
        self.change_user(id, ChangeKind::Profile, 0, |user, ver, stamp| {
            events::user_event(user, ver, Own::Profile, stamp)
        });
    }

    /// A session that begins or was renewed.
    pub(crate) fn put_session(&mut self, row: SessionRow) {
        let (id, session) = (row.user, row.session);
        self.user_mut(id).put_session(row.clone());
        self.sessions.insert((id, session), Some(row));
        self.change_user(id, ChangeKind::Session, session, |user, ver, stamp| {
            events::user_event(user, ver, Own::Session, stamp)
        });
    }

    /// `reason`: revoked or replaced.
    pub(crate) fn end_session(&mut self, id: u64, session: u64, reason: &'static str) {
        self.user_mut(id).remove_session(session);
        self.sessions.insert((id, session), None);
        self.change_user(id, ChangeKind::Session, session, |user, ver, stamp| {
            events::user_event(user, ver, Own::SessionEnded { session, reason }, stamp)
        });
    }

    /// A row of the chat list, but for its list_ver.
    pub(crate) fn put_list_row(&mut self, mut row: ListRow) {
        let id = row.user;
        row.list_ver = self.user_mut(id).head.ver + 1;
        self.user_mut(id).put_list_row(row.clone());
        self.list.insert((id, row.chat), row.clone());
        self.change_user(id, ChangeKind::List, row.chat, |user, ver, stamp| {
            events::user_event(user, ver, Own::List(&row), stamp)
        });
    }

    /// With all rows. False: this batch has changed the user, or removed it; another one may.
    pub(crate) fn remove_user(&mut self, id: u64) -> bool {
        let staged = self.entity_mut(id);
        if staged.is_changed() || !matches!(staged.known, Known::Entity(_)) {
            return false;
        }
        let ver = staged.before;
        // What comes behind in this batch comes again.
        staged.known = Known::Failed(refusals::overloaded());
        self.rows.removed_users.push((id, ver));
        true
    }

    fn change_user(
        &mut self,
        id: u64,
        kind: ChangeKind,
        subject: u64,
        event: impl FnOnce(&User, u64, Stamp) -> Event,
    ) {
        let stamp = self.stamp(id);
        let user = self.user_mut(id);
        user.head.ver += 1;
        let ver = user.head.ver;
        if let Some(to) = trim_to(ver, user.row.trimmed_ver) {
            Arc::make_mut(&mut user.row).trimmed_ver = to;
            self.users.insert(id);
            self.trimmed.insert(id, to);
        }
        let event = event(self.user_mut(id), ver, stamp);
        self.events.push(event);
        self.change_row(id, ver, kind, subject);
    }

    fn user_mut(&mut self, id: u64) -> &mut User {
        match &mut self.entity_mut(id).known {
            Known::Entity(Entity::User(user)) => user,
            _ => unreachable!("a user's change is of a user that was looked up"),
        }
    }
}
