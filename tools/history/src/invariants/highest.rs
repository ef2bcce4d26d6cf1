//! The highest number that had been told before something was asked.

use crate::history::At;

#[derive(Default, Debug)]
pub(super) struct Highest {
    /// By time, each recording alone: two clocks cannot be compared.
    told: Vec<Told>,
}

#[derive(Clone, Copy, Debug)]
struct Told {
    at: At,
    /// When the highest so far was told, and what it is.
    highest: (At, u64),
}

impl Highest {
    pub(super) fn of(told: impl Iterator<Item = (At, u64)>) -> Highest {
        let told = told.map(|(at, number)| Told { at, highest: (at, number) });
        let mut told: Vec<Told> = told.collect();
        told.sort_unstable_by_key(|one| one.at);
        let mut so_far: Option<(At, u64)> = None;
        for one in &mut told {
            let before = so_far.filter(|(at, _)| at.recording == one.at.recording);
            if let Some(before) = before.filter(|(_, number)| one.highest.1 <= *number) {
                one.highest = before;
            }
            so_far = Some(one.highest);
        }
        Highest { told }
    }

    /// And when it was told first.
    pub(super) fn before(&self, asked: At) -> Option<(At, u64)> {
        let index = self.told.partition_point(|one| one.at < asked);
        let last = index.checked_sub(1).and_then(|index| self.told.get(index))?;
        (last.at.recording == asked.recording).then_some(last.highest)
    }
}
