//! How fast a copy may go: so many bytes a second, smoothed over a short while. Pure; times are given.

use std::time::Duration;

/// Bytes that may be ahead of their time: a page or two.
const AHEAD_MAX: Duration = Duration::from_millis(500);

pub(super) struct Throttle {
    /// When everything that was taken so far is paid for.
    paid_at: Duration,
}

impl Throttle {
    pub(super) fn new() -> Throttle {
        Throttle { paid_at: Duration::ZERO }
    }

    /// `bytes` were taken; for how long to wait before more are.
    pub(super) fn take(&mut self, bytes: u64, per_second: Option<u64>, now: Duration) -> Duration {
        let Some(rate) = per_second else { return Duration::ZERO };
        let millis = bytes.saturating_mul(1_000) / rate.max(1);
        self.paid_at = self.paid_at.max(now) + Duration::from_millis(millis);
        self.paid_at.saturating_sub(now + AHEAD_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_the_rate_has_to_wait() {
        let mut throttle = Throttle::new();
        let now = Duration::from_secs(5);
        assert_eq!(throttle.take(1_000_000, None, now), Duration::ZERO);
        assert_eq!(throttle.take(500, Some(1_000), now), Duration::ZERO);
        assert_eq!(throttle.take(2_000, Some(1_000), now), Duration::from_secs(2));
        // Time passed: it is paid for.
        let later = now + Duration::from_secs(9);
        assert_eq!(throttle.take(500, Some(1_000), later), Duration::ZERO);
    }
}
