//! Sessions that ended while their access tokens may still be good. Known from SESSION_ENDED; a
//! forgotten one is harmless after `TOKEN_LIFE`, as no new token is issued for it.

use parking_lot::Mutex;
use shardline_domain::limits::TOKEN_LIFE;
use std::collections::{HashSet, VecDeque};

/// Sessions remembered: more revocations than a fleet sees in a quarter of an hour.
const REMEMBERED_MAX: usize = 100_000;

#[derive(Default)]
struct Remembered {
    sessions: HashSet<u64>,
    /// (until when, session), the oldest first.
    until: VecDeque<(i64, u64)>,
}

/// A bounded set; past its bound the oldest is forgotten first.
#[derive(Default)]
pub(crate) struct Revoked(Mutex<Remembered>);

impl Revoked {
    pub(crate) fn new() -> Revoked {
        Revoked::default()
    }

    pub(crate) fn add(&self, session: u64, now_ms: i64) {
        let life_ms = i64::try_from(TOKEN_LIFE.as_millis()).expect("a token lives minutes");
        let mut remembered = self.0.lock();
        while let Some((until, oldest)) = remembered.until.front().copied() {
            if now_ms < until && remembered.until.len() < REMEMBERED_MAX {
                break;
            }
            remembered.until.pop_front();
            remembered.sessions.remove(&oldest);
        }
        if remembered.sessions.insert(session) {
            remembered.until.push_back((now_ms + life_ms, session));
        }
    }

    pub(crate) fn contains(&self, session: u64) -> bool {
        self.0.lock().sessions.contains(&session)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_remembered_as_long_as_its_tokens_live() {
        let revoked = Revoked::new();
        revoked.add(1, 0);
        revoked.add(1, 5);
        revoked.add(2, 899_999);
        assert!(revoked.contains(1) && revoked.contains(2) && !revoked.contains(3));
        revoked.add(3, 900_000);
        assert!(!revoked.contains(1) && revoked.contains(2) && revoked.contains(3));
    }

    #[test]
    fn it_never_grows_past_its_bound() {
        let revoked = Revoked::new();
        for session in 0..=REMEMBERED_MAX as u64 {
            revoked.add(session, 0);
        }
        assert!(!revoked.contains(0));
        assert!(revoked.contains(1) && revoked.contains(REMEMBERED_MAX as u64));
        assert_eq!(revoked.0.lock().until.len(), REMEMBERED_MAX);
    }
}
