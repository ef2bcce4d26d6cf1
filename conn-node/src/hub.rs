//! Who is here, and what they follow: sessions by user, chats by what was already delivered of them.
//! News goes in here and comes out in the sessions' queues; nothing here waits.
//!
//! Locks, in this order: one chat's part, one user's part, a session's own.

pub(crate) mod chat;
pub(crate) mod published;
pub(crate) mod user;

use crate::routers::Place;
use crate::session::Session;
use chat::{ChatHere, Held};
use parking_lot::{Mutex, MutexGuard};
use published::{Published, UserNews};
use shardline_domain::follow::{Ask, Verdict};
use shardline_wire::client::{self, server_frame::Frame};
use shardline_wire::codes::Close;
use shardline_wire::internal::{Event, EventKind, HeadView, ListRow, SessionEnded, Signal};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, error};
use user::{Member, UserHere};

/// Users are looked at in turns (see `beacon`): a number that both kinds of turns divide.
pub(crate) const USER_PARTS: usize = 300;
const CHAT_PARTS: usize = 256;
/// Repairs that wait; one that does not fit is found again by the beacon.
const REPAIRS_WAITING_MAX: usize = 16_384;

/// What is to be asked of the store.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) enum Repair {
    Chat(u64),
    User(u64),
}

pub struct Hub {
    users: Vec<Mutex<HashMap<u64, UserHere>>>,
    chats: Vec<Mutex<HashMap<u64, ChatHere>>>,
    repairs: mpsc::Sender<Repair>,
    started: Instant,
    connections: AtomicU64,
}

/// What one session is told of one chat's head.
pub(crate) struct Told {
    pub(crate) chat: u64,
    pub(crate) head: HeadView,
    pub(crate) read_seq: Option<u64>,
}

impl Hub {
    /// A hub, and where the repairs it wishes come out.
    pub(crate) fn new() -> (Hub, mpsc::Receiver<Repair>) {
        let (repairs, wished) = mpsc::channel(REPAIRS_WAITING_MAX);
        let hub = Hub {
            users: (0..USER_PARTS).map(|_| Mutex::default()).collect(),
            chats: (0..CHAT_PARTS).map(|_| Mutex::default()).collect(),
            repairs,
            started: Instant::now(),
            connections: AtomicU64::new(0),
        };
        (hub, wished)
    }

    fn user_part(&self, user: u64) -> MutexGuard<'_, HashMap<u64, UserHere>> {
        self.users[(user % USER_PARTS as u64) as usize].lock()
    }

    fn chat_part(&self, chat: u64) -> MutexGuard<'_, HashMap<u64, ChatHere>> {
        self.chats[(chat % CHAT_PARTS as u64) as usize].lock()
    }

    /// Milliseconds since this hub was made, from 1: what "since the last time" is counted in.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX).saturating_add(1)
    }

    // ---- Sessions ----

    /// A number that no other connection of this run has.
    pub(crate) fn next_connection(&self) -> u64 {
        self.connections.fetch_add(1, Ordering::Relaxed)
    }

    /// From now on the session is found by events; it gets them once it is live.
    pub(crate) fn enter(&self, session: &Arc<Session>) {
        self.user_part(session.user)
            .entry(session.user)
            .or_default()
            .sessions
            .push(session.clone());
    }

    /// Takes the session out; gives the open chats whose last session on this node it was.
    pub(crate) fn leave(&self, session: &Arc<Session>) -> Vec<u64> {
        let opened: Vec<u64> = session.opened.lock().drain().collect();
        let closed = opened.into_iter().filter(|chat| self.close(session, *chat)).collect();
        let mut users = self.user_part(session.user);
        let Some(user) = users.get_mut(&session.user) else { return closed };
        user.sessions.retain(|other| !Arc::ptr_eq(other, session));
        if !user.sessions.is_empty() {
            return closed;
        }
        let gone = users.remove(&session.user);
        drop(users);
        for chat in gone.into_iter().flat_map(|user| user.chats.into_keys()) {
            self.count_followers(chat, -1);
        }
        closed
    }

    /// All sessions of this node, for presence and for draining.
    pub(crate) fn sessions(&self) -> Vec<Arc<Session>> {
        let parts = self.users.iter().map(|part| {
            let users = part.lock();
            users.values().flat_map(|user| user.sessions.iter().cloned()).collect::<Vec<_>>()
        });
        parts.flatten().collect()
    }

    // ---- What a user follows ----

    /// Takes a list read after the session was announced; gives the chats whose heads this node has
    /// not compared yet.
    pub(crate) fn take_list(&self, user: u64, list_ver: u64, rows: &[ListRow]) -> Vec<u64> {
        let mut news = Vec::new();
        let mut added = Vec::new();
        let mut removed = Vec::new();
        if let Some(here) = self.user_part(user).get_mut(&user) {
            let is_newer = here.follow.position().is_none_or(|(_, ver)| ver <= list_ver);
            if is_newer {
                for row in rows {
                    if row.gone && here.chats.remove(&row.chat).is_some() {
                        removed.push(row.chat);
                    } else if !row.gone && here.follow_chat(row.chat) {
                        added.push(row.chat);
                    }
                }
            }
            here.follow.start_at(0, list_ver, &mut news);
            added.extend(self.tell_user(here, &news));
        }
        for chat in &added {
            self.count_followers(*chat, 1);
        }
        for chat in removed {
            self.count_followers(chat, -1);
        }
        self.apply_later(user, &news);
        let of_rows = rows.iter().filter(|row| !row.gone).map(|row| row.chat);
        of_rows.filter(|chat| self.is_unchecked(*chat)).collect()
    }

    fn is_unchecked(&self, chat: u64) -> bool {
        self.chat_part(chat).get(&chat).is_some_and(|here| here.checked.is_none())
    }

    fn count_followers(&self, chat: u64, change: i64) {
        let mut chats = self.chat_part(chat);
        let here = chats.entry(chat).or_default();
        here.followers += change;
        if here.is_unused() {
            chats.remove(&chat);
        }
    }

    /// A read cursor of a user who is here, from wherever it became known. Only ever grows.
    pub fn note_read(&self, user: u64, chat: u64, seq: u64) {
        if let Some(here) = self.user_part(user).get_mut(&user)
            && let Some(member) = here.chats.get_mut(&chat)
        {
            member.read_seq = Some(member.read_seq.map_or(seq, |known| known.max(seq)));
        }
    }

    /// How far this node knows the user to have read; None if it does not know.
    pub fn known_read(&self, user: u64, chat: u64) -> Option<u64> {
        self.user_part(user).get(&user)?.chats.get(&chat)?.read_seq
    }

    /// What this node has delivered of the user's own list; 0 if nothing.
    pub(crate) fn list_ver(&self, user: u64) -> u64 {
        let users = self.user_part(user);
        users.get(&user).and_then(|here| here.follow.position()).map_or(0, |(_, ver)| ver)
    }

    // ---- Open chats ----

    /// Events of the chat are kept for the session from now on, until `opened` or `cancel_open`. If it
    /// is already open nothing needs to be kept: events go on. Gives what this node has delivered of
    /// the chat, as (log, ver).
    pub(crate) fn begin_open(&self, session: &Arc<Session>, chat: u64) -> Option<(u64, u64)> {
        session.opened.lock().insert(chat);
        let mut chats = self.chat_part(chat);
        let here = chats.entry(chat).or_default();
        here.begin_open(session);
        here.follow.position()
    }

    /// The read that `open` answers with is here: `reply` goes out, then what was kept and is newer.
    /// If not all could be kept, `reply` must tell the client to read on.
    pub(crate) fn opened(
        &self,
        session: &Arc<Session>,
        chat: u64,
        joined_ver: u64,
        (log, to_ver): (u64, u64),
        members: u64,
        reply: impl FnOnce(Held) -> bytes::Bytes,
    ) {
        let mut chats = self.chat_part(chat);
        let here = chats.entry(chat).or_default();
        here.members = Some(members);
        let mut out = Vec::new();
        if here.follow.position().is_none() || here.is_only_for(session) {
            here.follow.start_at(log, to_ver, &mut out);
        } else {
            here.follow.on_head(log, to_ver);
        }
        // Opened meanwhile counts as held: out of order it cannot come, as the chat is locked.
        self.deliver(here, &out);
        let (held, events) = here.finish_open(session, joined_ver, to_ver);
        session.queue.push(reply(held));
        for event in events {
            session.queue.push(event.shared.bytes(session.queue.encoding()));
        }
        self.wish_repair(chat, here);
    }

    /// How many members a chat had when it was last opened here.
    pub(crate) fn members_of_open(&self, chat: u64) -> Option<u64> {
        self.chat_part(chat).get(&chat)?.members
    }

    /// The session has not, or no longer, the chat open. True if the node's interest should be withdrawn.
    pub(crate) fn cancel_open(&self, session: &Arc<Session>, chat: u64) -> bool {
        session.opened.lock().remove(&chat);
        self.close(session, chat)
    }

    fn close(&self, session: &Arc<Session>, chat: u64) -> bool {
        let mut chats = self.chat_part(chat);
        let Some(here) = chats.get_mut(&chat) else { return false };
        here.close(session);
        let was_last = here.openers.is_empty() && here.claimed.is_some();
        if here.is_unused() && !was_last {
            chats.remove(&chat);
        }
        was_last
    }

    /// About to register interest there, to be withdrawn even if its answer never comes. True if it
    /// stands there already.
    pub(crate) fn claim(&self, chat: u64, place: Place) -> bool {
        let mut chats = self.chat_part(chat);
        let Some(here) = chats.get_mut(&chat) else { return false };
        here.claimed = Some(place);
        here.registered == Some(place)
    }

    /// Interest was registered there; remembered while the chat is open.
    pub(crate) fn set_registered(&self, chat: u64, place: Place) {
        if let Some(here) = self.chat_part(chat).get_mut(&chat)
            && here.claimed == Some(place)
        {
            here.registered = Some(place);
        }
    }

    /// Withdraws the node's interest unless somebody opened the chat again. `withdraw` is called under
    /// the chat's lock, so that its order among registrations is that of the decisions.
    pub(crate) fn withdraw(&self, chat: u64, withdraw: impl FnOnce(Place)) {
        let mut chats = self.chat_part(chat);
        let Some(here) = chats.get_mut(&chat) else { return };
        if !here.openers.is_empty() {
            return;
        }
        here.registered = None;
        if let Some(place) = here.claimed.take() {
            withdraw(place);
        }
        if here.is_unused() {
            chats.remove(&chat);
        }
    }

    /// Open chats whose interest is not registered where it should be, and followed chats and users
    /// whose heads were not compared since that stream began.
    pub(crate) fn out_of_place(&self, place_of: impl Fn(u64) -> Option<Place>) -> OutOfPlace {
        let mut found = OutOfPlace::default();
        for part in &self.chats {
            for (chat, here) in part.lock().iter() {
                let Some(place) = place_of(*chat) else { continue };
                if !here.openers.is_empty() && here.registered != Some(place) {
                    found.interest.push((*chat, place));
                }
                if here.checked != Some(place) {
                    found.heads.push((*chat, place));
                }
            }
        }
        for part in &self.users {
            for (user, here) in part.lock().iter() {
                let Some(place) = place_of(*user) else { continue };
                if here.checked != Some(place) && here.follow.position().is_some() {
                    found.users.push((*user, place));
                }
            }
        }
        found
    }

    pub(crate) fn set_checked(&self, chat: u64, place: Place) {
        if let Some(here) = self.chat_part(chat).get_mut(&chat) {
            here.checked = Some(place);
        }
    }

    pub(crate) fn set_user_checked(&self, user: u64, place: Place) {
        if let Some(here) = self.user_part(user).get_mut(&user) {
            here.checked = Some(place);
        }
    }

    // ---- News ----

    /// One event from a router, in whatever order they come. The sessions it ended, if any.
    pub(crate) fn on_event(&self, event: Event) -> Option<u64> {
        match event.kind() {
            EventKind::Chat => {
                self.on_chat_event(event);
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

    fn on_chat_event(&self, event: Event) {
        let (chat, log, ver) = (event.entity, event.log, event.ver);
        let mut chats = self.chat_part(chat);
        if !chats.contains_key(&chat) && !self.is_for_someone_here(&event) {
            return;
        }
        let here = chats.entry(chat).or_insert_with(|| ChatHere::from(log, ver.saturating_sub(1)));
        let mut out = Vec::new();
        let verdict = here.follow.on_event(log, ver, Arc::new(Published::from(event)), &mut out);
        self.settle(chat, here, verdict, &out);
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
    fn settle(&self, chat: u64, here: &mut ChatHere, verdict: Verdict, due: &[Arc<Published>]) {
        self.deliver(here, due);
        if verdict == Verdict::Resync {
            here.must_tell = true;
        }
        self.wish_repair(chat, here);
    }

    fn wish_repair(&self, chat: u64, here: &mut ChatHere) {
        if here.follow.is_behind() && !here.is_repair_wished {
            here.is_repair_wished = self.repairs.try_send(Repair::Chat(chat)).is_ok();
        }
    }

    fn deliver(&self, here: &mut ChatHere, due: &[Arc<Published>]) {
        if due.is_empty() {
            return;
        }
        here.moved_at = self.now();
        let mut count = 0;
        for event in due {
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
        }
        metrics::counter!(crate::metrics::EVENTS_OUT).increment(count);
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
    fn tell_user(&self, here: &mut UserHere, due: &[Arc<UserNews>]) -> Vec<u64> {
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
    fn apply_later(&self, user: u64, due: &[Arc<UserNews>]) {
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
        let shared = crate::session::outgoing::Shared::frame(Frame::Signal(inner));
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

    // ---- Heads and repairs ----

    /// Heads read from the store: what is behind them is repaired, what was unknown starts there.
    pub(crate) fn on_heads(&self, heads: &[HeadView]) {
        for head in heads {
            let mut chats = self.chat_part(head.entity);
            let Some(here) = chats.get_mut(&head.entity) else { continue };
            let mut due = Vec::new();
            let verdict = if here.follow.position().is_none() {
                here.follow.start_at(head.log, head.ver, &mut due)
            } else {
                here.follow.on_head(head.log, head.ver)
            };
            let has_moved = here.take_head(head.clone());
            if has_moved {
                here.moved_at = self.now();
            }
            here.head_at = self.now();
            self.settle(head.entity, here, verdict, &due);
            if here.must_tell && here.follow.position().is_some() {
                here.must_tell = false;
                self.tell_openers(head.entity, here);
            }
        }
    }

    /// Tells those who have the chat open where it is: they see that they hold something else.
    fn tell_openers(&self, chat: u64, here: &ChatHere) {
        let Some(head) = &here.head else { return };
        for opener in &here.openers {
            let session = &opener.session;
            let (read_seq, list_ver) = {
                let users = self.user_part(session.user);
                let user = users.get(&session.user);
                let read_seq =
                    user.and_then(|user| user.chats.get(&chat)).and_then(|member| member.read_seq);
                let list_ver =
                    user.and_then(|user| user.follow.position()).map_or(0, |(_, ver)| ver);
                (read_seq.unwrap_or(0), list_ver)
            };
            let frame = client::Heads { chats: vec![head_frame(head, read_seq)], list_ver };
            session.push_frame(Frame::Heads(frame));
        }
    }

    /// What to ask for a wished repair; None if it repaired itself.
    pub(crate) fn ask_chat(&self, chat: u64) -> Option<Ask> {
        let mut chats = self.chat_part(chat);
        let here = chats.get_mut(&chat)?;
        here.is_repair_wished = false;
        here.follow.ask()
    }

    /// The answer to an ask; true if more is missing.
    pub(crate) fn on_changes(
        &self,
        chat: u64,
        number: u64,
        page: shardline_wire::internal::ChangesPage,
    ) -> bool {
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
        self.deliver(here, &due);
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

    // ---- Beacon ----

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
            Some((*chat, here.head.clone()?))
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

/// What `out_of_place` found.
#[derive(Default, Debug)]
pub(crate) struct OutOfPlace {
    pub(crate) interest: Vec<(u64, Place)>,
    pub(crate) heads: Vec<(u64, Place)>,
    pub(crate) users: Vec<(u64, Place)>,
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

#[cfg(test)]
mod tests;
