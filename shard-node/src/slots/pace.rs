//! Writers of a slot that is slowed down: their calls wait in order and go on a few at a time, so that
//! the difference which a move has to carry over can shrink. Bounded; pure, times are given.

use shardline_domain::slot::Slot;
use std::collections::{HashMap, VecDeque};
use std::time::Duration;

/// Writes a slot gets through while it is slowed: one each so long.
const WRITE_EVERY: Duration = Duration::from_millis(10);
/// Calls of one slot that wait.
const WAITING_MAX: usize = 1_000;
/// Whoever asked for it has to ask again before this.
pub(crate) const SLOW_TIME_MAX: Duration = Duration::from_secs(5);

pub(super) struct Pace<T> {
    slots: HashMap<Slot, Slowed<T>>,
}

struct Slowed<T> {
    until: Duration,
    next_at: Duration,
    waiting: VecDeque<T>,
}

impl<T> Pace<T> {
    pub(super) fn new() -> Pace<T> {
        Pace { slots: HashMap::new() }
    }

    pub(super) fn slow(&mut self, slot: Slot, now: Duration) {
        let fresh = || Slowed { until: now, next_at: now, waiting: VecDeque::new() };
        self.slots.entry(slot).or_insert_with(fresh).until = now + SLOW_TIME_MAX;
    }

    /// What waits goes on at the next look, and nobody waits from then on.
    pub(super) fn release(&mut self, slot: Slot) {
        if let Some(slowed) = self.slots.get_mut(&slot) {
            slowed.until = Duration::ZERO;
        }
    }

    pub(super) fn is_slowed(&self, slot: Slot) -> bool {
        self.slots.contains_key(&slot)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Gives it back if there is no room, or nothing to wait for.
    pub(super) fn wait(&mut self, slot: Slot, one: T) -> Result<(), T> {
        match self.slots.get_mut(&slot) {
            Some(slowed) if slowed.waiting.len() < WAITING_MAX => {
                slowed.waiting.push_back(one);
                Ok(())
            }
            _ => Err(one),
        }
    }

    /// Those that may go on now, in order. A slot whose time is over is let go once nobody waits.
    pub(super) fn due(&mut self, now: Duration) -> Vec<(Slot, T)> {
        let mut due = Vec::new();
        self.slots.retain(|slot, slowed| {
            if slowed.until <= now {
                due.extend(slowed.waiting.drain(..).map(|one| (*slot, one)));
                return false;
            }
            while slowed.next_at <= now {
                let Some(one) = slowed.waiting.pop_front() else {
                    slowed.next_at = now;
                    break;
                };
                due.push((*slot, one));
                slowed.next_at += WRITE_EVERY;
            }
            true
        });
        due
    }

    pub(super) fn drain(&mut self) -> Vec<T> {
        self.slots.drain().flat_map(|(_, slowed)| slowed.waiting).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(50);

    fn slot() -> Slot {
        Slot::new(7).expect("a slot")
    }

    fn due(pace: &mut Pace<u32>, now: Duration) -> Vec<u32> {
        pace.due(now).into_iter().map(|(_, one)| one).collect()
    }

    #[test]
    fn a_slowed_slot_lets_one_write_through_at_a_time_and_then_all() {
        let mut pace: Pace<u32> = Pace::new();
        assert_eq!(pace.wait(slot(), 1), Err(1));
        pace.slow(slot(), NOW);
        for one in 1..=9 {
            assert_eq!(pace.wait(slot(), one), Ok(()));
        }
        assert_eq!(due(&mut pace, NOW), [1]);
        assert!(due(&mut pace, NOW).is_empty());
        assert_eq!(due(&mut pace, NOW + WRITE_EVERY * 2), [2, 3]);
        pace.release(slot());
        assert_eq!(due(&mut pace, NOW + WRITE_EVERY * 2), [4, 5, 6, 7, 8, 9]);
        assert!(!pace.is_slowed(slot()));
    }

    #[test]
    fn slowing_ends_by_itself_and_room_is_bounded() {
        let mut pace: Pace<u32> = Pace::new();
        pace.slow(slot(), NOW);
        let refused = (0..).find(|one| pace.wait(slot(), *one).is_err());
        assert_eq!(refused, Some(u32::try_from(WAITING_MAX).expect("small")));
        assert_eq!(due(&mut pace, NOW + SLOW_TIME_MAX).len(), WAITING_MAX);
        assert!(pace.is_empty());
    }
}
