//! A chat that somebody on this node follows or has open.

use super::published::{Membership, Published};
use crate::routers::Place;
use crate::session::Session;
use crate::session::outgoing::Shared;
use shardline_domain::follow::Follow;
use shardline_domain::limits::DIRECT_PUSH_MEMBERS_MAX;
use shardline_wire::internal::HeadView;
use std::sync::Arc;

/// Events kept for one session while its `open` is in flight; beyond, it reads on from the reply.
const HELD_PER_OPEN_MAX: usize = 256;

pub(crate) struct ChatHere {
    /// What was delivered of it on this node, to whomever it concerned.
    pub(crate) follow: Follow<Arc<Published>>,
    /// Users here with the chat on their list. Additions and removals may be counted in either order.
    pub(crate) followers: i64,
    pub(crate) openers: Vec<Opener>,
    /// When it was last opened here.
    pub(crate) members: Option<u64>,
    /// As its last event said: only those who have it open get its events, and nodes without any are
    /// not told.
    pub(crate) is_wide: bool,
    /// The stream on which this node's interest was last submitted.
    pub(crate) claimed: Option<Place>,
    /// The stream on which the owning router acknowledged it.
    pub(crate) registered: Option<Place>,
    /// The stream since whose begin the head was compared with the store.
    pub(crate) checked: Option<Place>,
    /// As last read, and when; and when it last moved (in the hub's time).
    pub(crate) head: Option<HeadView>,
    pub(crate) head_at: u64,
    pub(crate) moved_at: u64,
    pub(crate) is_repair_wished: bool,
    /// Events were skipped: those who have it open are told the head as soon as it is known.
    pub(crate) must_tell: bool,
}

/// A session that has the chat open.
pub(crate) struct Opener {
    pub(crate) session: Arc<Session>,
    state: OpenState,
}

enum OpenState {
    /// Its membership and position are being read. What comes is kept, except that of many the newest
    /// are dropped (`is_over`).
    Opening { held: Vec<Arc<Published>>, is_over: bool },
    /// It sees events with from_ver <= ver < left_ver: since it is a member, and not what it read.
    Open { from_ver: u64, left_ver: Option<u64> },
}

/// Whether all that came during an `open` was kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Held {
    All,
    NotAll,
}

impl Default for ChatHere {
    fn default() -> Self {
        ChatHere {
            follow: Follow::unknown(),
            followers: 0,
            openers: Vec::new(),
            members: None,
            is_wide: false,
            claimed: None,
            registered: None,
            checked: None,
            head: None,
            head_at: 0,
            moved_at: 0,
            is_repair_wished: false,
            must_tell: false,
        }
    }
}

impl ChatHere {
    pub(crate) fn from(log: u64, ver: u64) -> ChatHere {
        ChatHere { follow: Follow::from(log, ver), ..ChatHere::default() }
    }

    pub(crate) fn is_unused(&self) -> bool {
        self.followers == 0 && self.openers.is_empty() && self.claimed.is_none()
    }

    pub(crate) fn begin_open(&mut self, session: &Arc<Session>) {
        if self.opener(session).is_none() {
            let state = OpenState::Opening { held: Vec::new(), is_over: false };
            self.openers.push(Opener { session: session.clone(), state });
        }
    }

    /// What was kept for the session above `to_ver`, of what it may see. One that had the chat open
    /// already missed nothing.
    pub(crate) fn finish_open(
        &mut self,
        session: &Arc<Session>,
        joined_ver: u64,
        to_ver: u64,
    ) -> (Held, Vec<Arc<Published>>) {
        let Some(opener) = self.opener(session) else { return (Held::All, Vec::new()) };
        // What it has just read is not pushed to it as well.
        let from_ver = joined_ver.max(to_ver + 1);
        let now_open = OpenState::Open { from_ver, left_ver: None };
        match std::mem::replace(&mut opener.state, now_open) {
            open @ OpenState::Open { .. } => {
                opener.state = open;
                (Held::All, Vec::new())
            }
            OpenState::Opening { held, is_over } => {
                let mut events = Vec::new();
                for event in held.into_iter().filter(|event| to_ver < event.ver) {
                    if let Some(membership) = &event.membership {
                        opener.on_membership(membership);
                    }
                    if opener.wants(event.ver) {
                        events.push(event);
                    }
                }
                (if is_over { Held::NotAll } else { Held::All }, events)
            }
        }
    }

    /// Whether nobody here is told what happens in it: what was missed need not be repaired.
    pub(crate) fn is_unheard(&self) -> bool {
        self.is_wide && self.openers.is_empty()
    }

    /// Whether nobody else waits for its events: it is large, and nobody else has it open.
    pub(crate) fn is_only_for(&self, session: &Arc<Session>) -> bool {
        let is_large = self.is_wide
            || self.members.is_some_and(|count| (DIRECT_PUSH_MEMBERS_MAX as u64) < count);
        is_large && self.openers.iter().all(|opener| Arc::ptr_eq(&opener.session, session))
    }

    pub(crate) fn close(&mut self, session: &Arc<Session>) {
        self.openers.retain(|opener| !Arc::ptr_eq(&opener.session, session));
    }

    fn opener(&mut self, session: &Arc<Session>) -> Option<&mut Opener> {
        self.openers.iter_mut().find(|opener| Arc::ptr_eq(&opener.session, session))
    }

    pub(crate) fn on_membership(&mut self, membership: &Membership) {
        for opener in &mut self.openers {
            opener.on_membership(membership);
        }
    }

    /// An event of a large chat: to each session that has it open and may see it. How many got it.
    pub(crate) fn deliver_to_openers(&mut self, event: &Arc<Published>) -> u64 {
        let mut count = 0;
        for opener in &mut self.openers {
            let is_wanted = opener.wants(event.ver);
            match &mut opener.state {
                OpenState::Opening { held, .. } if held.len() < HELD_PER_OPEN_MAX => {
                    held.push(event.clone());
                }
                OpenState::Opening { is_over, .. } => *is_over = true,
                OpenState::Open { .. } if is_wanted => {
                    let queue = &opener.session.queue;
                    queue.push(event.shared.bytes(queue.encoding()));
                    count += 1;
                }
                OpenState::Open { .. } => {}
            }
        }
        count
    }

    /// Whether `deliver_to_openers` gives it an event of this ver.
    pub(crate) fn reaches(&self, session: &Arc<Session>, ver: u64) -> bool {
        let is_its = |opener: &&Opener| Arc::ptr_eq(&opener.session, session);
        self.openers.iter().find(is_its).is_some_and(|opener| match &opener.state {
            OpenState::Opening { .. } => true,
            OpenState::Open { .. } => opener.wants(ver),
        })
    }

    pub(crate) fn push_to_openers(&self, frame: &Shared) {
        for opener in &self.openers {
            if let OpenState::Open { left_ver: None, .. } = opener.state {
                let queue = &opener.session.queue;
                queue.push(frame.bytes(queue.encoding()));
            }
        }
    }

    /// Takes a head read from the store; true if it is another than before.
    pub(crate) fn take_head(&mut self, head: HeadView) -> bool {
        let is_older =
            self.head.as_ref().is_some_and(|known| known.log == head.log && head.ver < known.ver);
        if is_older {
            return false;
        }
        let has_moved = self.head.as_ref().is_none_or(|known| {
            (known.log, known.ver, known.seq) != (head.log, head.ver, head.seq)
        });
        self.head = Some(head);
        has_moved
    }

    /// Whether the head was read before `since`, or events have passed it.
    pub(crate) fn is_head_stale(&self, since: u64) -> bool {
        let delivered = self.follow.position().map_or(0, |(_, ver)| ver);
        self.head_at < since || self.head.as_ref().is_none_or(|head| head.ver < delivered)
    }
}

impl Opener {
    fn wants(&self, ver: u64) -> bool {
        match self.state {
            OpenState::Opening { .. } => false,
            OpenState::Open { from_ver, left_ver } => {
                from_ver <= ver && left_ver.is_none_or(|left_ver| ver < left_ver)
            }
        }
    }

    fn on_membership(&mut self, membership: &Membership) {
        if self.session.user == membership.user
            && let OpenState::Open { from_ver, left_ver } = &mut self.state
        {
            *from_ver = membership.joined_ver.max(*from_ver);
            *left_ver = membership.left_ver;
        }
    }
}
