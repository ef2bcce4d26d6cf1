//! Read cursors: taken now, shown at once, durable within seconds. What this node took stays in its
//! memory until the chat's shard has it, whatever happens to the cache in between.

use crate::calls::{answered, call_of_several};
use crate::chats::change;
use crate::node::Node;
use lru::LruCache;
use parking_lot::Mutex;
use shardline_backends::cursors::Mark;
use shardline_domain::id::{ChatId, UserId};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{CursorMark, MergeCursors};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::HashMap;
use std::num::NonZeroUsize;
use tracing::debug;

/// Cursors kept until flushed; beyond, a read is written to the chat's shard before it is answered.
const TAKEN_MAX: usize = 100_000;
/// Members of whom it is remembered how far the others know that they read.
const SHOWN_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");

type Key = (UserId, ChatId);

/// What this node knows of cursors.
pub(crate) struct CursorsHere {
    taken: Mutex<HashMap<Key, u64>>,
    /// The cursor that the others were last told from here, or found at the shard.
    shown: Mutex<LruCache<Key, u64>>,
}

/// What the chat's shard said of a member.
#[derive(Clone, Copy)]
struct Checked {
    head_seq: u64,
    read_seq: u64,
    members: u64,
}

/// A cursor that was taken.
pub(crate) struct Taken {
    pub(crate) read_seq: u64,
    /// Whether others may not have heard of it.
    pub(crate) is_news: bool,
    /// Of the chat.
    pub(crate) members: u64,
}

impl Default for CursorsHere {
    fn default() -> CursorsHere {
        CursorsHere {
            taken: Mutex::new(HashMap::new()),
            shown: Mutex::new(LruCache::new(SHOWN_MAX)),
        }
    }
}

impl CursorsHere {
    pub(crate) fn new() -> CursorsHere {
        CursorsHere::default()
    }

    /// Keeps a mark until [`forget`](Self::forget); false if too many are kept already.
    fn keep(&self, mark: Mark) -> bool {
        let mut taken = self.taken.lock();
        let key = (mark.user, mark.chat);
        if TAKEN_MAX <= taken.len() && !taken.contains_key(&key) {
            return false;
        }
        let seq = taken.entry(key).or_insert(0);
        *seq = mark.seq.max(*seq);
        true
    }

    /// Up to this many of what is kept.
    pub(crate) fn kept(&self, limit: usize) -> Vec<Mark> {
        let taken = self.taken.lock();
        taken.iter().take(limit).map(|(&(user, chat), &seq)| Mark { chat, user, seq }).collect()
    }

    /// The shard has this value: no longer to be kept, unless it has grown.
    pub(crate) fn forget(&self, mark: Mark) {
        let mut taken = self.taken.lock();
        let key = (mark.user, mark.chat);
        if taken.get(&key).is_some_and(|seq| *seq <= mark.seq) {
            taken.remove(&key);
        }
    }

    /// The others find this much at the shard.
    fn note_stored(&self, key: Key, read_seq: u64) {
        let mut shown = self.shown.lock();
        let known = shown.get(&key).copied().unwrap_or(0);
        shown.put(key, read_seq.max(known));
    }

    /// True once for each growth of a cursor.
    fn is_news(&self, key: Key, read_seq: u64) -> bool {
        let mut shown = self.shown.lock();
        let Some(known) = shown.get_mut(&key) else { return true };
        let is_news = *known < read_seq;
        *known = read_seq.max(*known);
        is_news
    }
}

/// The user has read up to `seq`; the cursor that is known afterwards. Beyond the head counts as the
/// head; lower than what is known changes nothing.
///
/// # Errors
/// Those of the chat's shard for who is not a member. If neither the cache nor the shard takes it,
/// the shard's.
pub(crate) async fn read(
    node: &Node,
    user: UserId,
    chat: ChatId,
    seq: u64,
) -> Result<Taken, Refusal> {
    let checked = check(node, user, chat).await?;
    let read_seq = take(node, user, chat, seq, checked).await?;
    let is_news = node.cursors_here.is_news((user, chat), read_seq);
    Ok(Taken { read_seq, is_news, members: checked.members })
}

async fn take(
    node: &Node,
    user: UserId,
    chat: ChatId,
    seq: u64,
    checked: Checked,
) -> Result<u64, Refusal> {
    let mark = Mark { chat, user, seq: seq.min(checked.head_seq) };
    match node.cursors.merge(&[mark]).await {
        Ok(held) => {
            let held = held.first().copied().unwrap_or(mark.seq);
            // Also one that another node merged: then two keep it until it is flushed.
            let mark = Mark { seq: held, ..mark };
            let is_stored = held <= checked.read_seq;
            if is_stored || node.cursors_here.keep(mark) {
                return Ok(held.max(checked.read_seq));
            }
        }
        Err(error) => debug!(%error, "a cursor goes to its shard directly"),
    }
    let stored = store(node, &[mark]).await?;
    let stored =
        stored.first().ok_or_else(|| Refusal::try_again("the chat does not answer", 500))?;
    Ok(stored.seq.max(checked.read_seq))
}

/// Membership, head and stored cursor, as of now: one's own sends raise it at the shard, and whoever was
/// shown that must not be told less.
async fn check(node: &Node, user: UserId, chat: ChatId) -> Result<Checked, Refusal> {
    let view = change::view(node, user, chat, 0).await?;
    if view.joined_ver == 0 {
        return Err(Refusal::new(Code::NotMember, "not a member of this chat"));
    }
    let (head_seq, members) = view.item.map_or((0, 0), |item| (item.head_seq, item.members_count));
    node.cursors_here.note_stored((user, chat), view.read_seq);
    Ok(Checked { head_seq, read_seq: view.read_seq, members })
}

/// Merges marks at their chats' shards; the values now stored, of those whose shard answered.
pub(crate) async fn store(node: &Node, marks: &[Mark]) -> Result<Vec<CursorMark>, Refusal> {
    let marks = marks.iter().map(|mark| CursorMark {
        chat: mark.chat.get(),
        epoch: 0,
        user: mark.user.get(),
        seq: mark.seq,
    });
    let op = Op::MergeCursors(MergeCursors { marks: marks.collect() });
    Ok(answered!(call_of_several(node, op).await, CursorsMerged)?.marks)
}

/// The user's cursors in these chats that may not be stored yet: in the cache, or kept here.
pub(crate) async fn known(node: &Node, user: UserId, chats: &[u64]) -> HashMap<u64, u64> {
    let chats: Vec<ChatId> = chats.iter().filter_map(|chat| ChatId::new(*chat).ok()).collect();
    if chats.is_empty() {
        return HashMap::new();
    }
    let cached = match node.cursors.get(user, &chats).await {
        Ok(cached) => cached,
        Err(error) => {
            debug!(%error, "cursors that are not stored yet are shown from this node only");
            Vec::new()
        }
    };
    let taken = node.cursors_here.taken.lock();
    let of = |(at, chat): (usize, &ChatId)| {
        let cached = cached.get(at).copied().flatten();
        let kept = taken.get(&(user, *chat)).copied();
        cached.max(kept).map(|seq| (chat.get(), seq))
    };
    chats.iter().enumerate().filter_map(of).collect()
}

/// These users' cursors in one chat that may not be stored yet: in the cache, or kept here.
pub(crate) async fn known_of_chat(node: &Node, chat: ChatId, users: &[u64]) -> HashMap<u64, u64> {
    let users: Vec<UserId> = users.iter().filter_map(|user| UserId::new(*user).ok()).collect();
    if users.is_empty() {
        return HashMap::new();
    }
    let cached = match node.cursors.of_chat(chat, &users).await {
        Ok(cached) => cached,
        Err(error) => {
            debug!(%error, "cursors that are not stored yet are shown from this node only");
            Vec::new()
        }
    };
    let taken = node.cursors_here.taken.lock();
    let of = |(at, user): (usize, &UserId)| {
        let cached = cached.get(at).copied().flatten();
        let kept = taken.get(&(*user, chat)).copied();
        cached.max(kept).map(|seq| (user.get(), seq))
    };
    users.iter().enumerate().filter_map(of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mark(user: u64, seq: u64) -> Mark {
        let chat = ChatId::new(1).expect("in range");
        Mark { chat, user: UserId::new(user).expect("in range"), seq }
    }

    #[test]
    fn what_grew_since_it_was_flushed_is_kept() {
        let here = CursorsHere::new();
        assert!(here.keep(mark(1, 5)));
        assert!(here.keep(mark(1, 9)) && here.keep(mark(1, 7)));
        here.forget(mark(1, 5));
        assert_eq!(here.kept(10), [mark(1, 9)]);
        here.forget(mark(1, 9));
        assert_eq!(here.kept(10), []);
    }

    #[test]
    fn beyond_the_bound_only_known_ones_are_kept() {
        let here = CursorsHere::new();
        for user in 1..=TAKEN_MAX as u64 {
            assert!(here.keep(mark(user, 1)));
        }
        assert!(!here.keep(mark(TAKEN_MAX as u64 + 1, 1)));
        assert!(here.keep(mark(7, 2)));
    }

    #[test]
    fn each_growth_is_news_once() {
        let here = CursorsHere::new();
        let key = (mark(1, 1).user, mark(1, 1).chat);
        here.note_stored(key, 2);
        assert!(!here.is_news(key, 2), "the shard had it");
        assert!(here.is_news(key, 5) && !here.is_news(key, 5) && !here.is_news(key, 4));
        // Looked at again before it was flushed.
        here.note_stored(key, 2);
        assert!(!here.is_news(key, 5) && here.is_news(key, 6));
    }
}
