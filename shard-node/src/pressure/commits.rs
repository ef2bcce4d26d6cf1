//! What commits take now, and what they usually take. Both are means in which older commits count for less
//! and less (exponential decay; see Cormode, Shkapenyuk, Srivastava, Xu, "Forward Decay", ICDE 2009). Pure;
//! times are given.

use std::time::Duration;

/// After which a commit counts half.
const RECENT_HALF: Duration = Duration::from_secs(1);
const USUAL_HALF: Duration = Duration::from_secs(60);
/// Commits, as they count by then, without which a mean says nothing.
const RECENT_MIN: f64 = 3.0;
const USUAL_MIN: f64 = 20.0;
/// For which a copy that read or wrote may still be felt.
const DISTURBED_FOR: Duration = Duration::from_secs(1);
/// Slow: half more than usual, and by more than what chance does to short times.
const SLOWER_MIN: Duration = Duration::from_millis(2);

/// Means of a shard's commits; None: there were too few.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(crate) struct CommitTimes {
    pub(crate) recent: Option<Duration>,
    pub(crate) usual: Option<Duration>,
}

impl CommitTimes {
    /// Clearly longer than usual.
    pub(super) fn are_slow(self) -> bool {
        let (Some(recent), Some(usual)) = (self.recent, self.usual) else { return false };
        usual + (usual / 2).max(SLOWER_MIN) < recent
    }
}

pub(super) struct Commits {
    recent: Mean,
    /// Of those that no copy disturbed.
    usual: Mean,
    disturbed_at: Option<Duration>,
}

impl Default for Commits {
    fn default() -> Commits {
        Commits { recent: Mean::new(RECENT_HALF), usual: Mean::new(USUAL_HALF), disturbed_at: None }
    }
}

impl Commits {
    pub(super) fn take(&mut self, took: Duration, now: Duration) {
        self.recent.take(took, now);
        if self.disturbed_at.is_none_or(|at| at + DISTURBED_FOR < now) {
            self.usual.take(took, now);
        }
    }

    pub(super) fn disturb(&mut self, now: Duration) {
        self.disturbed_at = Some(now);
    }

    pub(super) fn times(&self, now: Duration) -> CommitTimes {
        // What was usual stays so while nothing teaches otherwise.
        let usual = self.usual.at(self.usual.since, USUAL_MIN);
        CommitTimes { recent: self.recent.at(now, RECENT_MIN), usual }
    }
}

/// How long the commit takes that somebody meets who comes at any moment: each counts for as long as it
/// took, and less the longer ago it was.
struct Mean {
    half: Duration,
    /// Of the times, of their squares, and of the commits, in seconds as of `since`.
    times: f64,
    squares: f64,
    count: f64,
    since: Duration,
}

impl Mean {
    fn new(half: Duration) -> Mean {
        Mean { half, times: 0.0, squares: 0.0, count: 0.0, since: Duration::ZERO }
    }

    fn take(&mut self, took: Duration, now: Duration) {
        let kept = self.kept(now);
        // Nothing takes no time; without it, nothing would count.
        let took = took.max(Duration::from_micros(1)).as_secs_f64();
        self.times = self.times * kept + took;
        self.squares = self.squares * kept + took * took;
        self.count = self.count * kept + 1.0;
        self.since = self.since.max(now);
    }

    /// None if fewer than `min` count by now.
    fn at(&self, now: Duration, min: f64) -> Option<Duration> {
        let enough = min <= self.count * self.kept(now);
        enough.then(|| Duration::from_secs_f64(self.squares / self.times))
    }

    fn kept(&self, now: Duration) -> f64 {
        let age = now.saturating_sub(self.since).as_secs_f64();
        (-age / self.half.as_secs_f64()).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mean_follows_what_is_recent_and_forgets() {
        let milli = Duration::from_millis(1);
        let mut mean = Mean::new(Duration::from_secs(1));
        for _ in 0..100 {
            mean.take(milli * 4, Duration::from_secs(1));
        }
        for _ in 0..100 {
            mean.take(milli * 10, Duration::from_secs(2));
        }
        // (50 x 4 x 4 + 100 x 10 x 10) / (50 x 4 + 100 x 10)
        let at = |seconds| mean.at(Duration::from_secs(seconds), 3.0);
        assert_eq!(at(2).map(|mean| mean.as_micros()), Some(9_000));
        assert_eq!(at(7).map(|mean| mean.as_micros()), Some(9_000));
        assert_eq!(at(9), None);
    }

    #[test]
    fn few_long_ones_count_as_much_as_many_short_ones_in_the_same_time() {
        let milli = Duration::from_millis(1);
        let mut mean = Mean::new(Duration::from_secs(1));
        for _ in 0..1_000 {
            mean.take(milli, milli);
        }
        for _ in 0..20 {
            mean.take(milli * 50, milli);
        }
        assert_eq!(mean.at(milli, 3.0).map(|mean| mean.as_micros()), Some(25_500));
    }

    #[test]
    fn short_times_may_vary_more() {
        let times = |usual, recent| CommitTimes {
            recent: Some(Duration::from_micros(recent)),
            usual: Some(Duration::from_micros(usual)),
        };
        assert!(!times(500, 2_400).are_slow());
        assert!(times(500, 2_600).are_slow());
        assert!(!times(20_000, 29_000).are_slow());
        assert!(times(20_000, 31_000).are_slow());
    }
}
