//! Delays between attempts: doubling, bounded, jittered so that many who failed together do not
//! come back together.

use std::time::Duration;

#[derive(Clone, Debug)]
pub struct Backoff {
    first: Duration,
    max: Duration,
    /// The longest the next delay may be.
    ceiling: Duration,
}

impl Backoff {
    pub fn new(first: Duration, max: Duration) -> Backoff {
        let first = first.min(max);
        Backoff { first, max, ceiling: first }
    }

    /// How long to wait before the next attempt: between half of the ceiling and all of it. Each
    /// call doubles the ceiling, up to `max`.
    #[expect(clippy::should_implement_trait, reason = "a delay, not an element; it never ends")]
    pub fn next(&mut self) -> Duration {
        self.step(rand::random_range(0.0..=1.0))
    }

    /// The attempt worked: the next failure waits as shortly as the first.
    pub fn reset(&mut self) {
        self.ceiling = self.first;
    }

    fn step(&mut self, roll: f64) -> Duration {
        let delay = self.ceiling.mul_f64(0.5 + roll / 2.0);
        self.ceiling = self.ceiling.saturating_mul(2).min(self.max);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(rolls: &[f64], expected_ms: &[u64]) {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_millis(350));
        let delays: Vec<_> = rolls.iter().map(|roll| backoff.step(*roll)).collect();
        let expected: Vec<_> = expected_ms.iter().map(|ms| Duration::from_millis(*ms)).collect();
        assert_eq!(delays, expected);
    }

    #[test]
    fn delays_double_up_to_the_longest() {
        check(&[1.0; 5], &[100, 200, 350, 350, 350]);
    }

    #[test]
    fn jitter_takes_away_at_most_half() {
        check(&[0.0, 0.0, 0.0, 0.0], &[50, 100, 175, 175]);
    }

    #[test]
    fn after_a_reset_it_starts_again() {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_secs(1));
        for _ in 0..20 {
            assert!(backoff.next() <= Duration::from_secs(1));
        }
        backoff.reset();
        assert!(backoff.next() <= Duration::from_millis(10));
    }
}
