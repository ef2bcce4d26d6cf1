//! How many messages a member has not read: computed wherever it is shown, stored nowhere.

/// Up to where nothing counts as unread, each for its own reason.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Floors {
    /// The head when the member joined.
    pub joined_seq: u64,
    /// Hidden by this member, for this member.
    pub hidden_seq: u64,
    /// No longer kept for anybody.
    pub trimmed_seq: u64,
    /// The member's read cursor.
    pub read_seq: u64,
}

impl Floors {
    pub fn highest(self) -> u64 {
        self.joined_seq.max(self.hidden_seq).max(self.trimmed_seq).max(self.read_seq)
    }
}

/// `max(0, head_seq - highest floor)`. A floor above the head (the head read was older) counts as the
/// head.
pub fn unread(head_seq: u64, floors: Floors) -> u64 {
    head_seq.saturating_sub(floors.highest())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn floors() -> impl Strategy<Value = Floors> {
        (0..40u64, 0..40u64, 0..40u64, 0..40u64).prop_map(
            |(joined_seq, hidden_seq, trimmed_seq, read_seq)| Floors {
                joined_seq,
                hidden_seq,
                trimmed_seq,
                read_seq,
            },
        )
    }

    proptest! {
        #[test]
        fn it_is_the_number_of_messages_above_every_floor(head in 0..40u64, floors in floors()) {
            let counted = (1..=head)
                .filter(|seq| {
                    floors.joined_seq < *seq
                        && floors.hidden_seq < *seq
                        && floors.trimmed_seq < *seq
                        && floors.read_seq < *seq
                })
                .count() as u64;
            prop_assert_eq!(unread(head, floors), counted);
        }

        #[test]
        fn one_more_message_adds_one_or_lies_below_a_floor(head in 0..40u64, floors in floors()) {
            let more = unread(head + 1, floors) - unread(head, floors);
            prop_assert_eq!(more, u64::from(floors.highest() <= head));
        }

        #[test]
        fn reading_further_never_adds(head in 0..40u64, floors in floors(), seq in 0..40u64) {
            let further = Floors { read_seq: floors.read_seq.max(seq), ..floors };
            prop_assert!(unread(head, further) <= unread(head, floors));
        }
    }

    #[test]
    fn the_largest_numbers_do_not_overflow() {
        let floors = Floors { read_seq: u64::MAX, ..Floors::default() };
        assert_eq!(unread(0, floors), 0);
        assert_eq!(unread(u64::MAX, Floors::default()), u64::MAX);
    }
}
