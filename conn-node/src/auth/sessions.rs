//! Sessions that this node saw to be alive a moment ago. The end of a session is told to all nodes at
//! once, but a node that was not there, or not reached, must not believe a token for its whole life.

use lru::LruCache;
use parking_lot::Mutex;
use std::num::NonZeroUsize;
use std::time::Duration;
use tokio::time::Instant;

/// A session that ended unheard works at most this long.
const BELIEVED_TIME: Duration = Duration::from_secs(10);
const SESSIONS_MAX: NonZeroUsize = NonZeroUsize::new(50_000).expect("not zero");

pub(crate) struct SeenSessions(Mutex<LruCache<u64, Instant>>);

impl SeenSessions {
    pub(crate) fn new() -> SeenSessions {
        SeenSessions(Mutex::new(LruCache::new(SESSIONS_MAX)))
    }

    /// Its shard just said that it is alive, or does not answer: then there is nothing better.
    pub(crate) fn put(&self, session: u64, now: Instant) {
        self.0.lock().put(session, now);
    }

    pub(crate) fn is_fresh(&self, session: u64, now: Instant) -> bool {
        self.0.lock().get(&session).is_some_and(|seen| now < *seen + BELIEVED_TIME)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_session_is_believed_for_a_short_time() {
        let (seen, now) = (SeenSessions::new(), Instant::now());
        assert!(!seen.is_fresh(1, now));
        seen.put(1, now);
        assert!(seen.is_fresh(1, now + BELIEVED_TIME - Duration::from_millis(1)));
        assert!(!seen.is_fresh(1, now + BELIEVED_TIME));
    }
}
