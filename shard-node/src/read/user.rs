//! A user's account, sessions and list, and names.

use super::Reader;
use crate::entity::User;
use crate::events;
use crate::refusals;
use crate::write::session::view;
use shardline_wire::internal::{
    CheckSession, Credentials, GetList, GetUsers, ListPage, ListRow, LookupName, NameView,
    NamesPage, SearchNames, SessionView, UsersPage,
};
use shardline_wire::refusal::{Code, Refusal};

/// Names in one answer.
const NAMES_MAX: u64 = 200;

/// Names looked through for a page of ours, at most.
const NAMES_READ_MAX: u64 = 10_000;

impl Reader {
    pub(super) async fn users(&self, get: &GetUsers) -> Result<UsersPage, Refusal> {
        let ids: Vec<u64> = get.entities.iter().map(|one| one.entity).collect();
        let rows = self.store.profiles(&ids).await.map_err(|error| refusals::store(&error))?;
        Ok(UsersPage { users: rows.iter().map(events::user).collect() })
    }

    pub(super) async fn credentials(&self, id: u64) -> Result<Credentials, Refusal> {
        let user = self.known_user(id).await?;
        Ok(Credentials {
            password_hash: user.row.password_hash.clone(),
            user: Some(events::user(&user.row)),
        })
    }

    pub(super) async fn check_session(
        &self,
        id: u64,
        check: &CheckSession,
    ) -> Result<SessionView, Refusal> {
        let user = self.user(id).await?.ok_or_else(refusals::session_ended)?;
        let session = user.session(check.session).ok_or_else(refusals::session_ended)?;
        Ok(view(&user, Some(session)))
    }

    /// The whole list or one chat's row of it, or what changed since; tombstones only in the latter.
    /// Since a ver of before a restore nothing can be said.
    pub(super) async fn list(&self, id: u64, get: &GetList) -> Result<ListPage, Refusal> {
        let user = self.known_user(id).await?;
        let told = user.row.trimmed_ver..=user.head.ver;
        let since = get.since_list_ver.filter(|since| told.contains(since));
        let asked = match get.chat {
            Some(chat) => user.list_row(chat).map_or(&[][..], std::slice::from_ref),
            None => user.list.as_slice(),
        };
        let rows = asked
            .iter()
            .filter(|row| match since {
                Some(since) => since < row.list_ver,
                None => !row.gone,
            })
            .map(|row| ListRow {
                chat: row.chat,
                kind: row.kind.clone(),
                pinned: row.pinned,
                muted: row.muted,
                hidden_seq: row.hidden_seq,
                gone: row.gone,
                list_ver: row.list_ver,
                fact_ver: row.fact_ver,
            })
            .collect();
        Ok(ListPage {
            rows,
            list_ver: user.head.ver,
            resumed: since.is_some(),
            user: Some(events::user(&user.row)),
        })
    }

    pub(super) async fn lookup_name(
        &self,
        id: u64,
        lookup: &LookupName,
    ) -> Result<NameView, Refusal> {
        let name = self.memory(id).name(id).await.map_err(|error| refusals::store(&error))?;
        let Some(name) = name else {
            // An id that is not free: the name, if it was claimed, is at the next.
            let head = self.memory(id).head(id).await.map_err(|error| refusals::store(&error))?;
            return Err(match head {
                Some(_) => refusals::id_clash(),
                None => Refusal::new(Code::NotFound, "there is no such name"),
            });
        };
        if name.row.name != lookup.name {
            return Err(refusals::id_clash());
        }
        Ok(NameView { name: name.row.name.clone(), user: name.row.user })
    }

    /// Of this shard's slots only.
    pub(super) async fn search_names(&self, search: &SearchNames) -> Result<NamesPage, Refusal> {
        let limit = search.limit.clamp(1, NAMES_MAX);
        let wanted = usize::try_from(limit).unwrap_or(usize::MAX);
        // Names of slots that come or went stand between ours.
        let mut asked = limit;
        loop {
            let rows = self.store.names_with_prefix(&search.prefix, asked).await;
            let rows = rows.map_err(|error| refusals::store(&error))?;
            let all = (rows.len() as u64) < asked || NAMES_READ_MAX <= asked;
            let ours = rows.into_iter().filter(|row| self.owns(row.entity));
            let names: Vec<NameView> =
                ours.take(wanted).map(|row| NameView { name: row.name, user: row.user }).collect();
            if all || wanted <= names.len() {
                return Ok(NamesPage { names });
            }
            asked = (asked * 8).min(NAMES_READ_MAX);
        }
    }

    async fn known_user(&self, id: u64) -> Result<User, Refusal> {
        self.user(id).await?.ok_or_else(refusals::no_user)
    }
}
