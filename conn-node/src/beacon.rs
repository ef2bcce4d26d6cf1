//! The backstop: tells sessions the heads of their chats, and finds what was never pushed. Open chats
//! often, all others of a user within a minute; spread evenly, so that no second is busier.

use crate::announce::{self, read_heads};
use crate::cursors;
use crate::hub::heads::{Told, head_frame};
use crate::hub::{Repair, USER_PARTS};
use crate::node::Node;
use shardline_daemon::sabotage::is_planted;
use shardline_domain::id::{ChatId, UserId};
use shardline_wire::call::Answer;
use shardline_wire::client::{self, server_frame::Frame};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{Call, EntityRef, GetItems};
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval};

/// Turns of one round: each looks at the users of some parts. Both divide `USER_PARTS`.
const OPEN_TURNS: usize = 10;
const LIST_TURNS: usize = 50;
/// A chat that nobody has open is looked at once in this time, so that it is told within a minute.
const LIST_EVERY_MAX: Duration = Duration::from_secs(45);
/// And this many times more rarely than open ones, where those are told often.
const LIST_EVERY_ROUNDS: u32 = 6;
const READ_TIME_MAX: Duration = Duration::from_secs(3);
/// Heads in one frame.
const HEADS_AT_ONCE: usize = 500;

/// The task for open chats.
pub(crate) async fn keep_open(node: Arc<Node>) {
    let every = node.config.heads_every;
    let mut turns = Turns::new(every, OPEN_TURNS);
    while let Some(parts) = turns.next(&node).await {
        for part in parts {
            tell_open(&node, part, every).await;
        }
    }
}

/// The task for the whole lists.
pub(crate) async fn keep_lists(node: Arc<Node>) {
    let every = (node.config.heads_every * LIST_EVERY_ROUNDS).min(LIST_EVERY_MAX);
    let mut turns = Turns::new(every, LIST_TURNS);
    while let Some(parts) = turns.next(&node).await {
        for part in parts {
            tell_lists(&node, part, every).await;
        }
    }
}

/// The parts of all users, some at each tick, so that each comes once in a round.
struct Turns {
    ticks: Interval,
    count: usize,
    number: usize,
}

impl Turns {
    fn new(every: Duration, count: usize) -> Turns {
        let mut ticks = interval(every / u32::try_from(count).unwrap_or(1));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Turns { ticks, count, number: 0 }
    }

    /// None when the node stops.
    async fn next(&mut self, node: &Node) -> Option<impl Iterator<Item = usize> + use<>> {
        if is_planted("no-beacon") {
            std::future::pending::<()>().await;
        }
        let stop = node.lifecycle.token();
        tokio::select! {
            () = stop.cancelled() => return None,
            _ = self.ticks.tick() => {}
        }
        self.number = (self.number + 1) % self.count;
        Some((self.number..USER_PARTS).step_by(self.count))
    }
}

async fn tell_open(node: &Node, part: usize, every: Duration) {
    let sessions = node.hub.open_of_part(part);
    if sessions.is_empty() {
        return;
    }
    let chats: HashSet<u64> =
        sessions.iter().flat_map(|(_, chats)| chats.iter().copied()).collect();
    refresh(node, chats.into_iter().collect(), every / 2).await;
    for (session, chats) in sessions {
        let told = node.hub.told(session.user, &chats, 0);
        let heads = with_cursors(node, session.user, told).await;
        tell(node, &[session], heads);
    }
}

async fn tell_lists(node: &Node, part: usize, every: Duration) {
    let users = node.hub.followed_of_part(part);
    if users.is_empty() {
        return;
    }
    let now = node.hub.now();
    let chats: HashSet<u64> = users.iter().flat_map(|(_, chats)| chats.iter().copied()).collect();
    refresh(node, chats.into_iter().collect(), every / 2).await;
    for (user, chats) in users {
        // Its own list has no beacon of its own: read what is new.
        node.hub.wish(Repair::User(user));
        let sessions = node.hub.sessions_of(user);
        let told_at =
            |session: &Arc<crate::session::Session>| session.told_at.load(Ordering::Relaxed);
        let Some(since) = sessions.iter().map(told_at).min() else { continue };
        let told = node.hub.told(user, &chats, since);
        if !told.is_empty() {
            let heads = with_cursors(node, user, told).await;
            tell(node, &sessions, heads);
        }
        sessions.iter().for_each(|session| session.told_at.store(now, Ordering::Relaxed));
    }
}

/// Reads the heads that are older than `age`, or passed by events.
async fn refresh(node: &Node, chats: Vec<u64>, age: Duration) {
    let age = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    let since = node.hub.now().saturating_sub(age);
    let stale = node.hub.stale_heads(chats, since);
    if !stale.is_empty() {
        let heads = read_heads(node, &stale, READ_TIME_MAX).await;
        node.hub.on_heads(&heads);
    }
}

fn tell(node: &Node, sessions: &[Arc<crate::session::Session>], heads: Vec<client::Head>) {
    let Some(first) = sessions.first() else { return };
    let list_ver = node.hub.list_ver(first.user);
    for heads in heads.chunks(HEADS_AT_ONCE) {
        let frame = client::Heads { chats: heads.to_vec(), list_ver };
        for session in sessions {
            session.push_frame(Frame::Heads(frame.clone()));
        }
    }
}

/// Adds the user's read cursors: what this node knows, what the others left in Redis, and for chats
/// of which neither knows, what their shards have.
async fn with_cursors(node: &Node, user: u64, told: Vec<Told>) -> Vec<client::Head> {
    let unknown: Vec<u64> =
        told.iter().filter(|told| told.read_seq.is_none()).map(|told| told.chat).collect();
    let stored = read_cursors(node, user, &unknown).await;
    let Ok(id) = UserId::new(user) else { return Vec::new() };
    let chats: Vec<u64> = told.iter().map(|told| told.chat).collect();
    let cached = cursors::known(node, id, &chats).await;
    let heads = told.into_iter().filter_map(|told| {
        let known = node.hub.known_read(user, told.chat).max(stored.get(&told.chat).copied());
        // Without any knowledge nothing is said: a cursor that seems to fall helps nobody.
        let read_seq = known.max(cached.get(&told.chat).copied())?.min(told.head.seq);
        node.hub.note_read(user, told.chat, read_seq);
        Some(head_frame(&told.head, read_seq))
    });
    heads.collect()
}

/// As the chats' shards have them, of those that answer; also noted for chats on the user's list.
async fn read_cursors(node: &Node, user: u64, chats: &[u64]) -> HashMap<u64, u64> {
    let mut stored = HashMap::new();
    for chats in chats.chunks(announce::CHATS_AT_ONCE) {
        let entities = chats.iter().map(|chat| EntityRef { entity: *chat, epoch: 0 }).collect();
        let op = GetItems { user, entities, order_only: false, as_of_ms: None };
        let call = Call { entity: 0, epoch: 0, op: Some(Op::GetItems(op)) };
        let answer = node.routers.call_until(call, Instant::now() + READ_TIME_MAX).await;
        let Ok(Answer::Items(page)) = answer else { continue };
        for view in page.items {
            if let Some(item) = view.item {
                node.hub.note_read(user, item.chat, view.read_seq);
                stored.insert(item.chat, view.read_seq);
            }
        }
    }
    stored
}

/// Tells those who have the chat open where it is: they see that they hold something else.
pub(crate) async fn tell_openers(node: &Node, chat: u64) {
    let (Some(head), Ok(id)) = (node.hub.head(chat), ChatId::new(chat)) else { return };
    let sessions = node.hub.openers(chat);
    let users: HashSet<u64> = sessions.iter().map(|session| session.user).collect();
    let users: Vec<u64> = users.into_iter().collect();
    let cached = cursors::known_of_chat(node, id, &users).await;
    for session in sessions {
        let mut known = node.hub.known_read(session.user, chat);
        if known.is_none() {
            known = read_cursors(node, session.user, &[chat]).await.remove(&chat);
        }
        let read_seq = known.max(cached.get(&session.user).copied()).unwrap_or(0);
        tell(node, &[session], vec![head_frame(&head, read_seq.min(head.seq))]);
    }
}
