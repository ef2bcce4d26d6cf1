//! Old events become heads: they are not delivered one by one, but once a run of them is over every
//! conn-node is told to compare heads. Pure.

use shardline_wire::internal::{Event, EventKind};
use std::time::Duration;
use tokio::time::Instant;

/// Whoever waited longer for an event has already asked, or will with the next heads beacon.
const AGE_MAX_MS: i64 = 60_000;
/// In a long backlog conn-nodes compare heads this often, not only at its end.
const SAY_EVERY: Duration = Duration::from_secs(5);

/// The end of a session has no head that would show it: it is delivered at any age.
pub(super) fn is_old(event: &Event, now_ms: i64) -> bool {
    let age_ms = now_ms.saturating_sub(event.committed_at_ms);
    AGE_MAX_MS < age_ms && event.kind() != EventKind::SessionEnded
}

/// Whether conn-nodes are owed a `Behind`, and since when.
#[derive(Default)]
pub(super) struct Backlog {
    owed_since: Option<Instant>,
}

impl Backlog {
    pub(super) fn is_owed(&self) -> bool {
        self.owed_since.is_some()
    }

    /// Takes what the next records brought (nothing: the bus is quiet) and says whether `Behind` is
    /// due now.
    pub(super) fn is_over(&mut self, skipped: usize, fresh: usize, now: Instant) -> bool {
        if 0 < skipped {
            self.owed_since.get_or_insert(now);
        }
        let Some(since) = self.owed_since else { return false };
        let goes_on = 0 < skipped && fresh == 0;
        if goes_on && now < since + SAY_EVERY {
            return false;
        }
        self.owed_since = None;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_is_old_after_a_minute() {
        let event = |committed_at_ms| Event { committed_at_ms, ..Event::default() };
        assert!(!is_old(&event(1_000), 61_000));
        assert!(is_old(&event(999), 61_000));
        assert!(!is_old(&event(90_000), 61_000), "the clocks differ");
        let ended = Event { kind: EventKind::SessionEnded.into(), ..event(1) };
        assert!(!is_old(&ended, 61_000_000));
    }

    #[test]
    fn behind_is_said_at_the_end_of_a_backlog() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        assert!(!backlog.is_over(0, 5, now));
        assert!(!backlog.is_over(5, 0, now));
        assert!(!backlog.is_over(5, 0, now));
        assert!(backlog.is_over(3, 2, now), "fresh ones came");
        assert!(!backlog.is_over(0, 2, now), "it was said");
        assert!(!backlog.is_over(5, 0, now));
        assert!(backlog.is_over(0, 0, now), "the bus is quiet");
    }

    #[test]
    fn behind_is_said_now_and_then_in_a_long_backlog() {
        let (mut backlog, now) = (Backlog::default(), Instant::now());
        assert!(!backlog.is_over(5, 0, now));
        assert!(backlog.is_over(5, 0, now + SAY_EVERY));
        assert!(!backlog.is_over(5, 0, now + SAY_EVERY));
    }
}
