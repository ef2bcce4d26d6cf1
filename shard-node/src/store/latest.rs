//! Finds a chat's last message accepted at or before a time, without an index on time: times never go
//! down along seq, so a few probes by key are enough. Pure: the store does the probes.

/// A probe is a seq; its answer is the nearest message at or below that seq, as (seq, time).
#[derive(Debug)]
pub(super) struct LatestSearch {
    as_of_ms: i64,
    /// Everything above is later than `as_of_ms`.
    high: u64,
    /// A seq, and the time of the nearest message at or below it, which is early enough.
    low: Option<(u64, i64)>,
    step: u64,
}

impl LatestSearch {
    pub(super) fn new(as_of_ms: i64) -> Self {
        Self { as_of_ms, high: i64::MAX as u64, low: None, step: 0 }
    }

    /// Where to look next; None when the search has ended.
    pub(super) fn probe(&self) -> Option<u64> {
        match self.low {
            Some((low, _)) if self.high <= low => None,
            // Between what is early enough and what is not: halve, upwards.
            Some((low, _)) => Some(low + (self.high - low).div_ceil(2)),
            None if self.high == 0 => None,
            // Most questions are about the last few messages: look back by 0, 1, 2, 4…
            None => Some(self.high.saturating_sub(self.step).max(1)),
        }
    }

    pub(super) fn tell(&mut self, probed: u64, nearest: Option<(u64, i64)>) {
        match nearest {
            Some((_, time)) if time <= self.as_of_ms => self.low = Some((probed, time)),
            Some((seq, _)) => {
                self.high = seq - 1;
                self.step = (self.step * 2).max(1);
            }
            None => self.high = 0,
        }
    }

    pub(super) fn time(&self) -> Option<i64> {
        self.low.map(|(_, time)| time)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(messages: &[(u64, i64)], as_of_ms: i64) -> (Option<i64>, usize) {
        let mut search = LatestSearch::new(as_of_ms);
        let mut probes = 0;
        while let Some(probe) = search.probe() {
            probes += 1;
            assert!(probes <= 200, "no end for {as_of_ms}");
            search.tell(probe, messages.iter().rev().find(|(seq, _)| *seq <= probe).copied());
        }
        (search.time(), probes)
    }

    #[test]
    fn the_last_message_at_or_before_the_time_is_found() {
        let dense: Vec<_> = (1..=1000).map(|seq| (seq, (seq as i64 / 3) * 10)).collect();
        let with_holes: Vec<_> = dense.iter().filter(|(seq, _)| seq % 7 < 3).copied().collect();
        for messages in [&dense, &with_holes, &Vec::new(), &vec![(900, 40)]] {
            for as_of_ms in [-1, 0, 9, 10, 11, 40, 1000, 3320, 3329, 3330, 3331, i64::MAX] {
                let expected = messages.iter().rev().find(|(_, time)| *time <= as_of_ms);
                assert_eq!(search(messages, as_of_ms).0, expected.map(|(_, time)| *time));
            }
        }
    }

    #[test]
    fn the_usual_question_takes_a_few_probes() {
        let messages: Vec<_> = (1..=100_000).map(|seq| (seq, seq as i64)).collect();
        assert_eq!(search(&messages, 100_000), (Some(100_000), 1));
        assert!(search(&messages, 99_990).1 <= 10);
        assert!(search(&messages, 5).1 <= 40);
    }
}
