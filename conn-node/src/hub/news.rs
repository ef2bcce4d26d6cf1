//! What happened, in whatever order routers say it: to whom it goes, and what it changes here.

use super::chat::ChatHere;
use super::published::{Published, UserNews};
use super::remembered::Delivered;
use super::user::UserHere;
use super::{Hub, Repair};
use crate::session::outgoing::Shared;
use shardline_daemon::clock;
use shardline_domain::follow::Verdict;
use shardline_wire::client::server_frame::Frame;
use shardline_wire::codes::Close;
use shardline_wire::internal::{Event, EventKind, SessionEnded, Signal};
use std::sync::Arc;
use tracing::{debug, error};

impl Hub {
    /// Events from a router, in whatever order they come. The sessions they ended.
    pub(crate) fn on_events(&self, events: impl IntoIterator<Item = Event>) -> Vec<u64> {
        let mut delivered = Vec::new();
        let ended = events.into_iter().filter_map(|event| self.on_event(event, &mut delivered));
        let ended = ended.collect();
        self.remembered.put(clock::now_ms(), delivered);
        ended
    }

    fn on_event(&self, event: Event, delivered: &mut Vec<Delivered>) -> Option<u64> {
        match event.kind() {
            EventKind::Chat => {
                self.on_chat_event(event, delivered);
                None
            }
            EventKind::List => {
                self.on_user_event(event);
                None
            }
            EventKind::SessionEnded => self.on_session_ended(event),
            EventKind::Unspecified => {
                debug!(entity = event.entity, "an event of a kind not known here");
                None
            }
        }
    }

    fn on_chat_event(&self, event: Event, delivered: &mut Vec<Delivered>) {
        let (chat, log, ver) = (event.entity, event.log, event.ver);
        let mut chats = self.chat_part(chat);
        if !chats.contains_key(&chat) && !self.is_for_someone_here(&event) {
            return;
        }
        let here = chats.entry(chat).or_insert_with(|| ChatHere::from(log, ver.saturating_sub(1)));
        let mut out = Vec::new();
        here.is_wide = event.wide;
        if here.is_unheard() {
            // It is here for its subject alone; what lies before it concerns nobody.
            here.follow.start_at(log, ver.saturating_sub(1), &mut out);
        }
        let verdict = here.follow.on_event(log, ver, Arc::new(Published::from(event)), &mut out);
        self.settle(chat, here, verdict, &out, delivered);
        if here.is_unused() {
            chats.remove(&chat);
        }
    }

    fn is_for_someone_here(&self, event: &Event) -> bool {
        let subject = (event.subject != 0).then_some(event.subject);
        let mut receivers = event.receivers.iter().copied().chain(subject);
        receivers.any(|user| self.user_part(user).contains_key(&user))
    }

    /// Delivers what is due and wishes for what is missing.
    pub(super) fn settle(
        &self,
        chat: u64,
        here: &mut ChatHere,
        verdict: Verdict,
        due: &[Arc<Published>],
        delivered: &mut Vec<Delivered>,
    ) {
        self.deliver(here, due, delivered);
        if verdict == Verdict::Resync {
            here.must_tell = true;
        }
        self.wish_repair(chat, here);
    }

    pub(super) fn wish_repair(&self, chat: u64, here: &mut ChatHere) {
        if here.follow.is_behind() && !here.is_repair_wished {
            here.is_repair_wished = self.repairs.try_send(Repair::Chat(chat)).is_ok();
        }
    }

    /// `delivered`: what it did, to be remembered.
    pub(super) fn deliver(
        &self,
        here: &mut ChatHere,
        due: &[Arc<Published>],
        delivered: &mut Vec<Delivered>,
    ) {
        if due.is_empty() {
            return;
        }
        here.moved_at = self.now();
        let mut all = 0;
        for event in due {
            let mut count = 0;
            if let Some(membership) = &event.membership {
                here.on_membership(membership);
            }
            if event.is_wide {
                count += here.deliver_to_openers(event);
            }
            let subject = event.membership.map(|membership| membership.user);
            let leaving = event.membership.and_then(|m| m.left_ver.map(|_| m.user));
            let subject = subject.filter(|user| !event.receivers.contains(user));
            for user in event.receivers.iter().copied().chain(subject) {
                let mut users = self.user_part(user);
                let Some(member) = users.get_mut(&user) else { continue };
                // A chat that is not on the list yet: the list's own news may come later.
                if !event.is_wide && leaving != Some(user) && member.follow_chat(event.chat) {
                    here.followers += 1;
                }
                for session in &member.sessions {
                    let has_it = event.is_wide && here.reaches(session, event.ver);
                    if !has_it && session.is_live() {
                        session.queue.push(event.shared.bytes(session.queue.encoding()));
                        count += 1;
                    }
                }
            }
            all += count;
            let sessions = u32::try_from(count).unwrap_or(u32::MAX);
            delivered.push(Delivered { chat: event.chat, ver: event.ver, sessions });
        }
        metrics::counter!(crate::metrics::EVENTS_OUT).increment(all);
    }

    fn on_user_event(&self, event: Event) {
        let (user, ver) = (event.entity, event.ver);
        let news = match UserNews::read(&event.payload) {
            Ok(news) => Arc::new(news),
            Err(reason) => return error!(%reason, "news of a user cannot be read"),
        };
        self.on_user_news(user, ver, news);
    }

    fn on_user_news(&self, user: u64, ver: u64, news: Arc<UserNews>) {
        let mut due = Vec::new();
        let mut users = self.user_part(user);
        let Some(here) = users.get_mut(&user) else { return };
        here.follow.on_event(0, ver, news, &mut due);
        let added = self.tell_user(here, &due);
        self.wish_user_repair(user, here);
        drop(users);
        for chat in added {
            self.count_followers(chat, 1);
        }
        self.apply_later(user, &due);
    }

    /// Asks for a look at the store, if there is room for it.
    pub(crate) fn wish(&self, repair: Repair) -> bool {
        self.repairs.try_send(repair).is_ok()
    }

    fn wish_user_repair(&self, user: u64, here: &mut UserHere) {
        let is_started = here.follow.position().is_some();
        if is_started && here.follow.is_behind() && !here.is_repair_wished {
            here.is_repair_wished = self.repairs.try_send(Repair::User(user)).is_ok();
        }
    }

    /// Puts news of a user's own things into its sessions' queues; gives chats to be followed newly.
    pub(super) fn tell_user(&self, here: &mut UserHere, due: &[Arc<UserNews>]) -> Vec<u64> {
        let mut added = Vec::new();
        for news in due {
            added.extend(news.added.filter(|chat| here.follow_chat(*chat)));
            if let Some(name) = &news.name {
                here.sessions.iter().for_each(|session| session.set_name(name));
            }
            let Some(shared) = &news.shared else { continue };
            for session in here.sessions.iter().filter(|session| session.is_live()) {
                session.queue.push(shared.bytes(session.queue.encoding()));
            }
        }
        added
    }

    /// The part of a user's news that concerns chats, which must not be locked under a user.
    pub(super) fn apply_later(&self, user: u64, due: &[Arc<UserNews>]) {
        for news in due {
            if let Some(chat) = news.added {
                // Its head is not known yet: asking for it starts the following.
                let mut chats = self.chat_part(chat);
                if let Some(here) = chats.get_mut(&chat) {
                    self.wish_repair(chat, here);
                }
            }
            if let Some(chat) = news.gone {
                let removed =
                    self.user_part(user).get_mut(&user).and_then(|here| here.chats.remove(&chat));
                if removed.is_some() {
                    self.count_followers(chat, -1);
                }
            }
        }
    }

    fn on_session_ended(&self, event: Event) -> Option<u64> {
        let ended: SessionEnded = match prost::Message::decode(event.payload) {
            Ok(ended) => ended,
            Err(reason) => {
                error!(%reason, "the end of a session cannot be read");
                return None;
            }
        };
        let close =
            if ended.reason == "replaced" { Close::Replaced } else { Close::SessionRevoked };
        let sessions: Vec<_> = {
            let users = self.user_part(event.entity);
            let here = users.get(&event.entity);
            here.map(|here| here.sessions.clone()).unwrap_or_default()
        };
        for session in sessions.iter().filter(|session| session.session == ended.session) {
            session.queue.close(close, 0);
        }
        self.on_user_news(event.entity, event.ver, Arc::new(UserNews::silent()));
        Some(ended.session)
    }

    /// A signal for users, or for those who have the chat open. May be lost.
    pub(crate) fn on_signal(&self, signal: Signal) {
        let Some(inner) = signal.signal else { return };
        if let (Some(user), Some(chat), Some(seq)) = (inner.user, inner.chat, inner.seq)
            && inner.kind == "read"
        {
            self.note_read(user, chat, seq);
        }
        let shared = Shared::frame(Frame::Signal(inner));
        if signal.users.is_empty() {
            if let Some(here) = self.chat_part(signal.chat).get(&signal.chat) {
                here.push_to_openers(&shared);
            }
            return;
        }
        for user in signal.users {
            let users = self.user_part(user);
            let sessions =
                users.get(&user).map(|here| here.sessions.as_slice()).unwrap_or_default();
            for session in sessions.iter().filter(|session| session.is_live()) {
                session.queue.push(shared.bytes(session.queue.encoding()));
            }
        }
    }
}
