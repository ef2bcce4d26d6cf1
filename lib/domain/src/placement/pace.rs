//! How fast moves copy: assumed at first, then measured by those that ended.

use super::batches::Load;
use crate::limits::{PACE_FACTOR_MAX, PACE_MOVES_MAX, PACE_MOVES_MIN};
use std::time::Duration;

// Measured on small machines, with room: a plan that promises less than it keeps is no plan.
const ROWS_PER_SECOND: u64 = 20_000;
const BYTES_PER_SECOND: u64 = 8 * 1024 * 1024;
/// A copy that would take less, or took less, says more about its steps than about its rows.
const COPY_TIME_MIN: Duration = Duration::from_millis(200);
/// The assumption counts as so many measurements.
const ASSUMED_WEIGHT: usize = 2;
const THOUSAND: u64 = 1_000;

/// What a move that ended copied, and how long that took.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Copied {
    pub rows: u64,
    pub bytes: u64,
    pub took: Duration,
}

/// Rows and bytes that one move copies in a second: whichever of both takes longer counts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pace {
    pub rows_per_second: u64,
    pub bytes_per_second: u64,
    /// How many moves it was measured by; 0: it is assumed.
    pub moves: usize,
}

impl Pace {
    pub const ASSUMED: Pace =
        Pace { rows_per_second: ROWS_PER_SECOND, bytes_per_second: BYTES_PER_SECOND, moves: 0 };

    /// By the latest moves, of which at most `PACE_MOVES_MAX` are looked at, the first ones. It is the
    /// assumed pace times how much faster (or slower) the middle one of them was, within
    /// `PACE_FACTOR_MAX`; a few that went another way change nothing. Moves that copied next to nothing
    /// do not count, and fewer than `PACE_MOVES_MIN` that do leave the assumption.
    pub fn of(latest: &[Copied]) -> Pace {
        let mut ratios: Vec<u64> = latest.iter().filter_map(ratio).take(PACE_MOVES_MAX).collect();
        let moves = ratios.len();
        if moves < PACE_MOVES_MIN {
            return Pace::ASSUMED;
        }
        ratios.extend([THOUSAND; ASSUMED_WEIGHT]);
        ratios.sort_unstable();
        // Of an even number the slower one: better late than promised.
        let middle = ratios[(ratios.len() - 1) / 2];
        let of = |assumed: u64| (assumed.saturating_mul(middle) / THOUSAND).max(1);
        Pace { rows_per_second: of(ROWS_PER_SECOND), bytes_per_second: of(BYTES_PER_SECOND), moves }
    }

    /// How long copying takes, at most at `limit` bytes a second (0: no limit).
    pub fn takes(&self, load: &Load, limit: u64) -> Duration {
        let pace = match limit {
            0 => self.bytes_per_second,
            limit => limit.min(self.bytes_per_second),
        };
        let millis = |amount: u64, pace: u64| {
            Duration::from_millis(amount.saturating_mul(THOUSAND) / pace.max(1))
        };
        millis(load.bytes, pace).max(millis(load.rows, self.rows_per_second))
    }
}

/// How much faster than assumed it was, in thousandths.
fn ratio(copied: &Copied) -> Option<u64> {
    let load = Load { entities: 0, rows: copied.rows, bytes: copied.bytes };
    let assumed = Pace::ASSUMED.takes(&load, 0);
    if assumed < COPY_TIME_MIN || copied.took < COPY_TIME_MIN / 10 {
        return None;
    }
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let ratio = millis(assumed).saturating_mul(THOUSAND) / millis(copied.took).max(1);
    Some(ratio.clamp(THOUSAND / PACE_FACTOR_MAX, THOUSAND * PACE_FACTOR_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn copied(rows: u64, millis: u64) -> Copied {
        Copied { rows, bytes: 0, took: Duration::from_millis(millis) }
    }

    /// At a hundredth of the assumed pace, times `percent`.
    fn at(percent: u64) -> Copied {
        copied(ROWS_PER_SECOND * 10, 10_000 * 100 / percent)
    }

    #[test]
    fn it_is_assumed_until_enough_was_measured() {
        assert_eq!(Pace::of(&[]), Pace::ASSUMED);
        assert_eq!(Pace::of(&[at(300); PACE_MOVES_MIN - 1]), Pace::ASSUMED);
        let measured = Pace::of(&[at(200); 8]);
        assert_eq!((measured.rows_per_second, measured.moves), (ROWS_PER_SECOND * 2, 8));
        assert_eq!(measured.bytes_per_second, BYTES_PER_SECOND * 2);
    }

    #[test]
    fn moves_that_copied_next_to_nothing_do_not_count() {
        let tiny = copied(50, 900);
        assert_eq!(Pace::of(&[tiny; 60]), Pace::ASSUMED);
        let mut moves = vec![tiny; 60];
        moves.extend([at(50); 6]);
        assert_eq!(Pace::of(&moves), Pace::of(&[at(50); 6]));
    }

    #[test]
    fn the_slower_of_rows_and_bytes_counts_and_a_limit_is_kept() {
        let load = |rows, bytes| Load { entities: 1, rows, bytes };
        let takes = |rows, bytes, limit| Pace::ASSUMED.takes(&load(rows, bytes), limit).as_secs();
        assert_eq!(takes(ROWS_PER_SECOND * 7, BYTES_PER_SECOND, 0), 7);
        assert_eq!(takes(ROWS_PER_SECOND, BYTES_PER_SECOND * 7, 0), 7);
        assert_eq!(takes(ROWS_PER_SECOND, BYTES_PER_SECOND * 7, BYTES_PER_SECOND / 2), 14);
        assert_eq!(takes(u64::MAX, u64::MAX, 1), u64::MAX / 1000);
    }

    fn any_copied() -> impl Strategy<Value = Copied> {
        (any::<u64>(), any::<u64>(), any::<u64>()).prop_map(|(rows, bytes, millis)| Copied {
            rows,
            bytes,
            took: Duration::from_millis(millis),
        })
    }

    proptest! {
        #[test]
        fn it_stays_within_bounds(moves in prop::collection::vec(any_copied(), 0..200)) {
            let pace = Pace::of(&moves);
            prop_assert!(ROWS_PER_SECOND / PACE_FACTOR_MAX <= pace.rows_per_second);
            prop_assert!(pace.rows_per_second <= ROWS_PER_SECOND * PACE_FACTOR_MAX);
            prop_assert!(BYTES_PER_SECOND / PACE_FACTOR_MAX <= pace.bytes_per_second);
            prop_assert!(pace.bytes_per_second <= BYTES_PER_SECOND * PACE_FACTOR_MAX);
            prop_assert!(pace.moves <= PACE_MOVES_MAX);
        }

        #[test]
        fn a_few_that_went_another_way_change_little(
            outliers in prop::collection::vec(any_copied(), 0..6),
            percent in 50..200_u64,
        ) {
            let mut moves = outliers;
            moves.extend([at(percent); 12]);
            let pace = Pace::of(&moves).rows_per_second;
            let (slow, fast) = (percent.min(100), percent.max(100));
            prop_assert!(ROWS_PER_SECOND * slow / 100 <= pace + pace / 100);
            prop_assert!(pace <= ROWS_PER_SECOND * fast / 100 * 101 / 100);
        }

        #[test]
        fn faster_moves_never_promise_less(
            percents in prop::collection::vec(10..1000_u64, 3..40),
        ) {
            let moves: Vec<Copied> = percents.iter().map(|percent| at(*percent)).collect();
            let faster: Vec<Copied> = percents.iter().map(|percent| at(percent * 2)).collect();
            prop_assert!(Pace::of(&moves).rows_per_second <= Pace::of(&faster).rows_per_second);
        }
    }
}
