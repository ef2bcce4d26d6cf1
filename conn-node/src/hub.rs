//! Who is here, and what they follow: sessions by user, chats by what was already delivered of them.
//! News goes in here and comes out in the sessions' queues; nothing here waits.
//!
//! Locks, in this order: one chat's part, one user's part, a session's own.

pub(crate) mod chat;
pub(crate) mod heads;
mod news;
mod opens;
pub(crate) mod published;
pub(crate) mod remembered;
pub(crate) mod user;

use crate::session::Session;
use chat::ChatHere;
use parking_lot::{Mutex, MutexGuard};
use remembered::Remembered;
use shardline_daemon::clock;
use shardline_wire::internal::ListRow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc;
use tokio::time::Instant;
use user::UserHere;

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
    /// Nothing is missing: who has the chat open is told its head.
    Heads(u64),
}

pub(crate) struct Hub {
    users: Vec<Mutex<HashMap<u64, UserHere>>>,
    chats: Vec<Mutex<HashMap<u64, ChatHere>>>,
    repairs: mpsc::Sender<Repair>,
    started: Instant,
    connections: AtomicU64,
    /// What went into sessions' queues.
    pub(crate) remembered: Remembered,
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
            remembered: Remembered::new(clock::now_ms()),
        };
        (hub, wished)
    }

    fn user_part(&self, user: u64) -> MutexGuard<'_, HashMap<u64, UserHere>> {
        self.users[part_of(user, USER_PARTS)].lock()
    }

    fn chat_part(&self, chat: u64) -> MutexGuard<'_, HashMap<u64, ChatHere>> {
        self.chats[part_of(chat, CHAT_PARTS)].lock()
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
    pub(crate) fn note_read(&self, user: u64, chat: u64, seq: u64) {
        if let Some(here) = self.user_part(user).get_mut(&user)
            && let Some(member) = here.chats.get_mut(&chat)
        {
            member.read_seq = Some(member.read_seq.map_or(seq, |known| known.max(seq)));
        }
    }

    /// How far this node knows the user to have read; None if it does not know.
    pub(crate) fn known_read(&self, user: u64, chat: u64) -> Option<u64> {
        self.user_part(user).get(&user)?.chats.get(&chat)?.read_seq
    }

    /// What this node has delivered of the user's own list; 0 if nothing.
    pub(crate) fn list_ver(&self, user: u64) -> u64 {
        let users = self.user_part(user);
        users.get(&user).and_then(|here| here.follow.position()).map_or(0, |(_, ver)| ver)
    }
}

/// Ids are random in all their bits.
fn part_of(id: u64, parts: usize) -> usize {
    usize::try_from(id % parts as u64).expect("a remainder is below its divisor")
}

#[cfg(test)]
mod tests;
