//! Read cursors: a seq that only grows, merged by maximum, so that it may be written twice, late and
//! in any order.

/// The cursor after `given` was read in a chat whose head is `head_seq`: beyond the head is the head,
/// lower than what is known changes nothing. What is known is never lowered, even if it lies above the
/// head (which was then read too early).
pub fn merge(known: u64, given: u64, head_seq: u64) -> u64 {
    known.max(given.min(head_seq))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn all(known: u64, given: &[u64], head: u64) -> u64 {
        given.iter().fold(known, |known, given| merge(known, *given, head))
    }

    proptest! {
        #[test]
        fn the_order_of_merging_does_not_matter(
            known in 0..50u64, a in 0..60u64, b in 0..60u64, head in 0..50u64
        ) {
            prop_assert_eq!(all(known, &[a, b], head), all(known, &[b, a], head));
        }

        #[test]
        fn merging_in_parts_is_merging_at_once(
            known in 0..50u64, a in 0..60u64, b in 0..60u64, head in 0..50u64
        ) {
            let together = merge(a.min(head), b, head);
            prop_assert_eq!(merge(known, together, head), all(known, &[a, b], head));
        }

        #[test]
        fn merging_again_changes_nothing(known in 0..50u64, a in 0..60u64, head in 0..50u64) {
            prop_assert_eq!(all(known, &[a, a], head), merge(known, a, head));
        }

        #[test]
        fn it_never_goes_back_and_never_beyond_the_head(
            known in 0..50u64, a in 0..60u64, head in 0..50u64
        ) {
            let merged = merge(known, a, head);
            prop_assert!(known <= merged && merged <= known.max(head));
        }

        #[test]
        fn an_older_head_only_delays(known in 0..50u64, a in 0..60u64, head in 0..50u64, more in 0..9u64) {
            let early = merge(known, a, head);
            prop_assert_eq!(merge(early, a, head + more), merge(known, a, head + more));
        }
    }
}
