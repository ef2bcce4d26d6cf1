//! How fast sessions are let in. Each costs reads on several shards, so when all clients of a node that
//! died come at once, they are let in at a set rate: the first at once, the next after a short wait in
//! line, and the rest is told when to come again, one after another. Pure: time comes in.

use std::num::NonZeroU32;
use std::time::Duration;
use tokio::time::Instant;

/// Longest wait in line: beyond it, a client is better told when to come again than kept on the line.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Nobody is told to stay away for longer: other nodes may have taken many of those before by then.
const AWAY_MAX: Duration = Duration::from_secs(60);

/// A turn in line, or when to ask again.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    At(Instant),
    Away(Duration),
}

/// GCRA (the leaky bucket as a meter, ITU-T I.371), with a line before it and a line away from it.
pub(crate) struct Admission {
    /// Between two who are let in.
    interval: Duration,
    /// By how much one may come before its turn: a second's worth at once.
    tolerance: Duration,
    /// The turn of the next one.
    next: Instant,
    /// When the next one who is sent away may come: behind all of those in line and away.
    next_away: Instant,
}

impl Admission {
    pub(crate) fn new(a_second: NonZeroU32, now: Instant) -> Admission {
        let tolerance = Duration::from_secs(1);
        Admission { interval: tolerance / a_second.get(), tolerance, next: now, next_away: now }
    }

    /// A turn is taken with the answer, whether it is used or not.
    pub(crate) fn ask(&mut self, now: Instant) -> Turn {
        let next = self.next.max(now);
        let at = next.checked_sub(self.tolerance).unwrap_or(now).max(now);
        let wait = at - now;
        if wait <= WAIT_MAX {
            self.next = next + self.interval;
            return Turn::At(at);
        }
        self.next_away = self.next_away.max(at) + self.interval;
        if AWAY_MAX < self.next_away - now {
            // Turns are given out once more, so that those beyond the most are spread, too.
            self.next_away = at + self.interval;
        }
        Turn::Away(self.next_away - now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: NonZeroU32 = NonZeroU32::new(10).expect("not zero");

    fn ask(admission: &mut Admission, start: Instant, at_ms: u64) -> i64 {
        let now = start + Duration::from_millis(at_ms);
        match admission.ask(now) {
            Turn::At(at) => i64::try_from((at - start).as_millis()).expect("small"),
            Turn::Away(away) => -i64::try_from(away.as_millis()).expect("small"),
        }
    }

    #[test]
    fn a_seconds_worth_goes_at_once_then_a_line_forms_then_they_are_sent_away_in_turn() {
        let start = Instant::now();
        let mut admission = Admission::new(TEN, start);
        let all: Vec<i64> = (0..40).map(|_| ask(&mut admission, start, 0)).collect();
        assert!(all[..11].iter().all(|at| *at == 0), "{all:?}");
        assert_eq!(all[11..21], (1..=10).map(|n| 100 * n).collect::<Vec<_>>());
        assert_eq!(all[21..], (1..=19).map(|n| -1_100 - 100 * n).collect::<Vec<_>>());
    }

    #[test]
    fn whoever_comes_when_told_is_let_in() {
        let start = Instant::now();
        let mut admission = Admission::new(TEN, start);
        let away: Vec<i64> = (0..200).map(|_| ask(&mut admission, start, 0)).collect();
        let mut told: Vec<u64> =
            away.into_iter().filter(|at| *at < 0).map(i64::unsigned_abs).collect();
        told.sort_unstable();
        assert!(150 < told.len());
        for at_ms in told {
            let turn = ask(&mut admission, start, at_ms);
            assert!(0 <= turn, "sent away again at {at_ms}");
        }
    }

    #[test]
    fn the_rate_holds_whatever_comes_and_nobody_is_sent_away_for_long() {
        let start = Instant::now();
        let mut admission = Admission::new(TEN, start);
        let mut turns = Vec::new();
        for at_ms in (0..30_000).step_by(5) {
            match ask(&mut admission, start, at_ms) {
                turn if 0 <= turn => turns.push(turn),
                away => assert!(-60_000 <= away, "{away}"),
            }
        }
        for second in 2..30 {
            let of = |at: &&i64| (second * 1_000..(second + 1) * 1_000).contains(*at);
            let count = turns.iter().filter(of).count();
            assert!((9..=11).contains(&count), "{count} in second {second}");
        }
        // A pause brings a second's worth back, not more.
        let at_ms = 90_000;
        let at_once = (0..40).filter(|_| ask(&mut admission, start, at_ms) == 90_000).count();
        assert_eq!(at_once, 11);
    }
}
