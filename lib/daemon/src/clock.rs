//! The only wall clock and the only stopwatch. Nothing is ordered by either: they give times people
//! read, ages and durations.

use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::time::Instant;

/// Milliseconds since 1970; before that, 0. May jump either way.
pub fn now_ms() -> i64 {
    #[expect(clippy::disallowed_methods, reason = "the one place that asks the wall clock")]
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since_1970.as_millis()).unwrap_or(i64::MAX)
}

/// Measures a duration; follows tokio's clock, so that it stands still where a test pauses time.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    started: Instant,
}

impl Stopwatch {
    pub fn start() -> Stopwatch {
        Stopwatch { started: Instant::now() }
    }

    pub fn elapsed(self) -> Duration {
        self.started.elapsed()
    }

    /// For a histogram of seconds.
    pub fn seconds(self) -> f64 {
        self.elapsed().as_secs_f64()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wall_clock_is_in_milliseconds() {
        let year_2020 = 1_577_836_800_000;
        let year_2200 = 7_258_118_400_000;
        assert!((year_2020..year_2200).contains(&now_ms()));
    }
}
