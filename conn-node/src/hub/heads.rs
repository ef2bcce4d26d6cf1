//! What was read from the store: heads, and what repairs found; and what sessions are told of heads.

use super::published::{Published, UserNews};
use super::user::Member;
use super::{Hub, Repair};
use crate::session::Session;
use shardline_daemon::clock;
use shardline_domain::follow::{Ask, Verdict};
use shardline_wire::client;
use shardline_wire::internal::{ChangesPage, HeadView};
use std::sync::Arc;

/// What one session is told of one chat's head.
pub(crate) struct Told {
    pub(crate) chat: u64,
    pub(crate) head: HeadView,
    pub(crate) read_seq: Option<u64>,
}

impl Hub {
    /// Heads read from the store: what is behind them is repaired, what was unknown starts there.
    pub(crate) fn on_heads(&self, heads: &[HeadView]) {
        let mut delivered = Vec::new();
        for head in heads {
            let mut chats = self.chat_part(head.entity);
            let Some(here) = chats.get_mut(&head.entity) else { continue };
            let mut due = Vec::new();
            let verdict = if here.follow.position().is_none() || here.is_unheard() {
                here.follow.start_at(head.log, head.ver, &mut due)
            } else {
                here.follow.on_head(head.log, head.ver)
            };
            let has_moved = here.take_head(*head);
            if has_moved {
                here.moved_at = self.now();
            }
            here.head_at = self.now();
            self.settle(head.entity, here, verdict, &due, &mut delivered);
            // One that finds no room is told with the next head.
            if here.must_tell && here.follow.position().is_some() {
                here.must_tell = self.repairs.try_send(Repair::Heads(head.entity)).is_err();
            }
        }
        self.remembered.put(clock::now_ms(), delivered);
    }

    /// As last read.
    pub(crate) fn head(&self, chat: u64) -> Option<HeadView> {
        self.chat_part(chat).get(&chat)?.head
    }

    /// The sessions that have the chat open.
    pub(crate) fn openers(&self, chat: u64) -> Vec<Arc<Session>> {
        let chats = self.chat_part(chat);
        let openers = chats.get(&chat).map(|here| here.openers.as_slice()).unwrap_or_default();
        openers.iter().map(|opener| opener.session.clone()).collect()
    }

    /// What to ask for a wished repair; None if it repaired itself.
    pub(crate) fn ask_chat(&self, chat: u64) -> Option<Ask> {
        let mut chats = self.chat_part(chat);
        let here = chats.get_mut(&chat)?;
        here.is_repair_wished = false;
        here.follow.ask()
    }

    /// The answer to an ask; true if more is missing.
    pub(crate) fn on_changes(&self, chat: u64, number: u64, page: ChangesPage) -> bool {
        let mut chats = self.chat_part(chat);
        let Some(here) = chats.get_mut(&chat) else { return false };
        let mut due = Vec::new();
        let verdict = if page.resync {
            here.follow.on_resync(number)
        } else {
            let events = page.events.into_iter();
            let events = events.map(|event| (event.ver, Arc::new(Published::from(event))));
            here.follow.on_changes(number, page.log, page.to_ver, events, &mut due)
        };
        let mut delivered = Vec::new();
        self.deliver(here, &due, &mut delivered);
        self.remembered.put(clock::now_ms(), delivered);
        here.must_tell |= verdict == Verdict::Resync;
        here.follow.is_behind()
    }

    pub(crate) fn ask_failed(&self, chat: u64, number: u64) {
        if let Some(here) = self.chat_part(chat).get_mut(&chat) {
            here.follow.on_failed(number);
        }
    }

    pub(crate) fn ask_user(&self, user: u64) -> Option<Ask> {
        let mut users = self.user_part(user);
        let here = users.get_mut(&user)?;
        here.is_repair_wished = false;
        here.follow.ask()
    }

    pub(crate) fn ask_user_failed(&self, user: u64, number: u64) {
        if let Some(here) = self.user_part(user).get_mut(&user) {
            here.follow.on_failed(number);
        }
    }

    /// The user's own things as they are at `list_ver`, for an ask or for a comparison (number None).
    pub(crate) fn on_user_changes(
        &self,
        user: u64,
        number: Option<u64>,
        list_ver: u64,
        news: Vec<(u64, Arc<UserNews>)>,
    ) {
        let mut due = Vec::new();
        let mut users = self.user_part(user);
        let Some(here) = users.get_mut(&user) else { return };
        let number = number.or_else(|| {
            here.follow.on_head(0, list_ver);
            here.follow.ask().map(Ask::number)
        });
        if let Some(number) = number {
            here.follow.on_changes(number, 0, list_ver, news, &mut due);
        }
        let added = self.tell_user(here, &due);
        drop(users);
        for chat in added {
            self.count_followers(chat, 1);
        }
        self.apply_later(user, &due);
    }

    /// The chats that sessions of these users have open.
    pub(crate) fn open_of_part(&self, part: usize) -> Vec<(Arc<Session>, Vec<u64>)> {
        let sessions: Vec<_> = {
            let users = self.users[part].lock();
            users.values().flat_map(|user| user.sessions.iter().cloned()).collect()
        };
        let opened = sessions.into_iter().filter(|session| session.is_live()).map(|session| {
            let chats: Vec<u64> = session.opened.lock().iter().copied().collect();
            (session, chats)
        });
        opened.filter(|(_, chats)| !chats.is_empty()).collect()
    }

    /// Users of one part, with the chats they follow.
    pub(crate) fn followed_of_part(&self, part: usize) -> Vec<(u64, Vec<u64>)> {
        let users = self.users[part].lock();
        users.iter().map(|(user, here)| (*user, here.chats.keys().copied().collect())).collect()
    }

    /// Which of these heads are older than `since` or known to be passed.
    pub(crate) fn stale_heads(&self, chats: impl IntoIterator<Item = u64>, since: u64) -> Vec<u64> {
        let is_stale = |chat: &u64| {
            self.chat_part(*chat).get(chat).is_some_and(|here| here.is_head_stale(since))
        };
        chats.into_iter().filter(is_stale).collect()
    }

    /// What to tell a user of these chats: those whose head moved at `since` or later.
    pub(crate) fn told(&self, user: u64, chats: &[u64], since: u64) -> Vec<Told> {
        let heads = chats.iter().filter_map(|chat| {
            let chats = self.chat_part(*chat);
            let here = chats.get(chat).filter(|here| since <= here.moved_at)?;
            Some((*chat, here.head?))
        });
        let heads: Vec<_> = heads.collect();
        let users = self.user_part(user);
        let here = users.get(&user);
        let told = heads.into_iter().map(|(chat, head)| {
            let member = here.and_then(|here| here.chats.get(&chat));
            Told { chat, head, read_seq: member.and_then(|member: &Member| member.read_seq) }
        });
        told.collect()
    }

    /// The chats of a user who is here.
    pub(crate) fn followed(&self, user: u64) -> Vec<u64> {
        let users = self.user_part(user);
        users.get(&user).map(|here| here.chats.keys().copied().collect()).unwrap_or_default()
    }

    /// The user's live sessions.
    pub(crate) fn sessions_of(&self, user: u64) -> Vec<Arc<Session>> {
        let users = self.user_part(user);
        let sessions = users.get(&user).map(|here| here.sessions.as_slice()).unwrap_or_default();
        sessions.iter().filter(|session| session.is_live()).cloned().collect()
    }
}

pub(crate) fn head_frame(head: &HeadView, read_seq: u64) -> client::Head {
    client::Head {
        chat: head.entity,
        head_seq: head.seq,
        head_ver: head.ver,
        read_seq,
        log: head.log.to_string(),
    }
}
