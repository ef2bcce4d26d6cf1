//! How far a replica is behind: for how long it has owed what its primary had when it was asked. Needs no
//! clock but this one. Pure; times are given.

use std::time::Duration;

#[derive(Default)]
pub(super) struct Lag {
    /// Since when something is owed.
    asked_at: Option<Duration>,
    /// How long it took the last time.
    last: Duration,
}

impl Lag {
    /// It owes what its primary has now, or still what it owes already.
    pub(super) fn ask(&mut self, now: Duration) {
        self.asked_at.get_or_insert(now);
    }

    pub(super) fn answer(&mut self, now: Duration) -> Duration {
        if let Some(asked_at) = self.asked_at.take() {
            self.last = now.saturating_sub(asked_at);
        }
        self.last
    }

    pub(super) fn at(&self, now: Duration) -> Duration {
        let owed_for = self.asked_at.map(|at| now.saturating_sub(at));
        owed_for.map_or(self.last, |owed_for| owed_for.max(self.last))
    }
}
