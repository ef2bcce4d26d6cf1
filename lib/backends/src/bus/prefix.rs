//! Which offset of a partition may be committed: records finish in any order, but only an unbroken
//! run of finished ones from the beginning may be skipped by whoever reads next.

use std::collections::VecDeque;

/// The records of one partition that were handed out, in order, and which of them are finished.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Prefix {
    /// Strictly growing offsets. The first one is never finished: finished ones leave at once.
    open: VecDeque<(u64, bool)>,
}

impl Prefix {
    /// A record is handed out. An offset not above the last one means that the log began again:
    /// what was handed out before is of no interest any more.
    pub fn handed_out(&mut self, offset: u64) {
        if self.open.back().is_some_and(|(last, _)| offset <= *last) {
            self.open.clear();
        }
        self.open.push_back((offset, false));
    }

    /// A record is finished. The result is the offset to read from next time, if that moved on.
    /// One that is not open (finished before, or of an earlier log) changes nothing.
    pub fn finished(&mut self, offset: u64) -> Option<u64> {
        let index = self.open.binary_search_by_key(&offset, |(open, _)| *open).ok()?;
        self.open[index].1 = true;
        let mut next = None;
        while let Some((offset, true)) = self.open.front() {
            next = Some(offset + 1);
            self.open.pop_front();
        }
        next
    }

    /// How many are handed out and hold the prefix back.
    pub fn open(&self) -> usize {
        self.open.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn handed_out(offsets: &[u64]) -> Prefix {
        let mut prefix = Prefix::default();
        for offset in offsets {
            prefix.handed_out(*offset);
        }
        prefix
    }

    #[test]
    fn only_an_unbroken_run_is_committed() {
        let mut prefix = handed_out(&[10, 11, 12, 13]);
        assert_eq!(prefix.finished(12), None);
        assert_eq!(prefix.finished(11), None);
        assert_eq!(prefix.finished(10), Some(13));
        assert_eq!(prefix.finished(10), None);
        assert_eq!(prefix.finished(13), Some(14));
        assert_eq!(prefix.open(), 0);
    }

    #[test]
    fn offsets_that_never_were_records_do_not_hold_it_back() {
        let mut prefix = handed_out(&[5, 9]);
        assert_eq!(prefix.finished(5), Some(6));
        assert_eq!(prefix.finished(7), None);
        assert_eq!(prefix.finished(9), Some(10));
    }

    #[test]
    fn a_log_that_began_again_is_followed() {
        let mut prefix = handed_out(&[100, 101, 0, 1]);
        assert_eq!(prefix.finished(100), None);
        assert_eq!(prefix.finished(0), Some(1));
    }

    proptest! {
        /// Against the plain statement of the rule: after each step, everything below the committed
        /// offset is finished, and the first record at or above it is not.
        #[test]
        fn the_prefix_is_exact_in_any_order(
            gaps in prop::collection::vec(1_u64..4, 1..60),
            keys in prop::collection::vec(any::<u32>(), 60),
        ) {
            let offsets: Vec<u64> = gaps
                .iter()
                .scan(0, |at, gap| { *at += gap; Some(*at) })
                .collect();
            let mut order: Vec<usize> = (0..offsets.len()).collect();
            order.sort_by_key(|index| keys[*index]);

            let mut prefix = handed_out(&offsets);
            let mut done = vec![false; offsets.len()];
            let mut committed = 0;
            for index in order {
                done[index] = true;
                if let Some(next) = prefix.finished(offsets[index]) {
                    prop_assert!(committed < next);
                    committed = next;
                }
                for (offset, done) in offsets.iter().zip(&done) {
                    prop_assert!(*done || committed <= *offset);
                }
                let first_open = offsets.iter().zip(&done).find(|(_, done)| !**done);
                if let Some((first_open, _)) = first_open {
                    let below = offsets.iter().filter(|offset| *offset < first_open);
                    prop_assert!(below.clone().all(|offset| *offset < committed));
                }
            }
            prop_assert_eq!(committed, offsets.last().expect("at least one") + 1);
        }
    }
}
