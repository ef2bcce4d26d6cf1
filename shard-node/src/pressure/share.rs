//! Which share of the time copying takes: halved while it is felt, and a little more again each time it is
//! not (additive increase, multiplicative decrease: Chiu and Jain, 1989). Pure; times are given.

use std::time::Duration;

/// Parts of the time. At most half of it, and never nothing: a copy that is slowed does end.
const WHOLE: u32 = 64;
const MOST: u32 = 32;
const LEAST: u32 = 4;
/// What changes with one step; what a step did shows in about that time.
const MORE: u32 = 2;
const STEP_EVERY: Duration = Duration::from_millis(500);
/// The longest rest after one page.
const REST_MAX: Duration = Duration::from_secs(1);

pub(super) struct Share {
    parts: u32,
    /// Not before this.
    next_at: Duration,
}

impl Default for Share {
    fn default() -> Share {
        Share { parts: MOST, next_at: Duration::ZERO }
    }
}

impl Share {
    pub(super) fn adapt(&mut self, felt: bool, now: Duration) {
        if now < self.next_at {
            return;
        }
        self.next_at = now + STEP_EVERY;
        self.parts = if felt { self.parts / 2 } else { self.parts + MORE }.clamp(LEAST, MOST);
    }

    pub(super) fn is_least(&self) -> bool {
        self.parts == LEAST
    }

    pub(super) fn fraction(&self) -> f64 {
        f64::from(self.parts) / f64::from(WHOLE)
    }

    pub(super) fn rest_after(&self, took: Duration) -> Duration {
        (took * (WHOLE - self.parts) / self.parts).min(REST_MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_halved_at_once_and_grows_back_in_steps() {
        let mut share = Share::default();
        let milli = Duration::from_millis(1);
        assert_eq!(share.rest_after(milli * 10), milli * 10);
        share.adapt(true, Duration::ZERO);
        // Too early to see what that did.
        share.adapt(true, milli * 499);
        assert_eq!(share.rest_after(milli * 10), milli * 30);
        share.adapt(true, milli * 500);
        share.adapt(true, milli * 1_000);
        share.adapt(true, milli * 1_500);
        assert!(share.is_least());
        assert_eq!(share.rest_after(milli * 10), milli * 150);
        assert_eq!(share.rest_after(milli * 90), REST_MAX);
        for step in 0..14 {
            share.adapt(false, milli * (2_000 + 500 * step));
        }
        assert_eq!(share.rest_after(milli * 10), milli * 10);
    }
}
