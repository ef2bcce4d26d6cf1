//! Chats that sessions have open: from when on they get events, and where this node's interest in
//! them is registered.

use super::Hub;
use super::chat::Held;
use crate::routers::Place;
use crate::session::Session;
use shardline_daemon::clock;
use std::sync::Arc;

/// What `out_of_place` found.
#[derive(Default, Debug)]
pub(crate) struct OutOfPlace {
    pub(crate) interest: Vec<(u64, Place)>,
    pub(crate) heads: Vec<(u64, Place)>,
    pub(crate) users: Vec<(u64, Place)>,
}

impl Hub {
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
        let mut delivered = Vec::new();
        self.deliver(here, &out, &mut delivered);
        self.remembered.put(clock::now_ms(), delivered);
        let (held, events) = here.finish_open(session, joined_ver, to_ver);
        session.queue.push(reply(held));
        for event in events {
            session.queue.push(event.shared.bytes(session.queue.encoding()));
        }
        self.wish_repair(chat, here);
    }

    /// The session has not, or no longer, the chat open. True if the node's interest should be withdrawn.
    pub(crate) fn cancel_open(&self, session: &Arc<Session>, chat: u64) -> bool {
        session.opened.lock().remove(&chat);
        self.close(session, chat)
    }

    pub(super) fn close(&self, session: &Arc<Session>, chat: u64) -> bool {
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
}
