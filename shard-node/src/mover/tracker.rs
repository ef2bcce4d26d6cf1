//! What changed in slots that move, since the side that copies last asked: entities and cursors.
//! Only a cache. Whoever finds it empty compares everything.

use crate::store::{CursorRow, HeadChange};
use parking_lot::Mutex;
use shardline_domain::id::EntityId;
use shardline_domain::placement::transfer::{Attempt, MoveId};
use shardline_domain::slot::Slot;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

/// Entities and cursors remembered per move; past this all of it is forgotten.
const REMEMBERED_MAX: usize = 200_000;
/// Whoever does not ask for so long is not copying any more.
const ASKED_TIME_MAX: Duration = Duration::from_secs(60);

pub(crate) struct Tracker {
    /// Random, of this term: marks of another say nothing here.
    process: u64,
    /// Whether anything is tracked, so that commits pass without a lock while nothing moves.
    is_used: AtomicBool,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    mark: u64,
    moves: HashMap<(MoveId, Attempt), Tracked>,
}

struct Tracked {
    slots: HashSet<Slot>,
    /// Nothing from before this mark is known.
    begun: u64,
    asked_at: Duration,
    entities: HashMap<u64, u64>,
    /// (chat, user) -> (seq, mark)
    cursors: HashMap<(u64, u64), (u64, u64)>,
}

/// What changed up to `mark`.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Changed {
    pub(crate) process: u64,
    pub(crate) mark: u64,
    pub(crate) forgotten: bool,
    pub(crate) entities: Vec<u64>,
    pub(crate) cursors: Vec<CursorRow>,
}

impl Tracker {
    pub(crate) fn new(process: u64) -> Tracker {
        Tracker { process, is_used: AtomicBool::new(false), inner: Mutex::default() }
    }

    /// Random, of this term.
    pub(crate) fn process(&self) -> u64 {
        self.process
    }

    /// From a lane, after its commit and before its answers.
    pub(crate) fn note(&self, heads: &[HeadChange], cursors: &[CursorRow], now: Duration) {
        if !self.is_used.load(Ordering::Acquire) {
            return;
        }
        let slot = |entity| EntityId::new(entity).map(Slot::of);
        let mut inner = self.inner.lock();
        inner.mark += 1;
        let mark = inner.mark;
        inner.moves.retain(|_, tracked| {
            let small = tracked.entities.len() + tracked.cursors.len() < REMEMBERED_MAX;
            small && now.saturating_sub(tracked.asked_at) < ASKED_TIME_MAX
        });
        for tracked in inner.moves.values_mut() {
            let moves = |entity| slot(entity).is_ok_and(|slot| tracked.slots.contains(&slot));
            for change in heads.iter().filter(|change| moves(change.head.entity)) {
                tracked.entities.insert(change.head.entity, mark);
            }
            for row in cursors.iter().filter(|row| moves(row.chat)) {
                let known = tracked.cursors.entry((row.chat, row.user)).or_insert((0, 0));
                *known = (row.seq.max(known.0), mark);
            }
        }
        self.is_used.store(!inner.moves.is_empty(), Ordering::Release);
    }

    /// What changed since `mark` of an earlier answer of this process; everything up to that mark has
    /// been stored by the asker, and is forgotten. The first question begins the remembering.
    pub(crate) fn changed(
        &self,
        key: (MoveId, Attempt),
        slots: &[Slot],
        (process, mark): (u64, u64),
        now: Duration,
    ) -> Changed {
        let mut inner = self.inner.lock();
        self.is_used.store(true, Ordering::Release);
        inner.mark += 1;
        let next = inner.mark;
        let fresh = || Tracked {
            slots: slots.iter().copied().collect(),
            begun: next,
            asked_at: now,
            entities: HashMap::new(),
            cursors: HashMap::new(),
        };
        let tracked = inner.moves.entry(key).or_insert_with(fresh);
        let forgotten = process != self.process || mark < tracked.begun;
        if forgotten {
            *tracked = fresh();
        }
        tracked.asked_at = now;
        tracked.entities.retain(|_, at| mark < *at);
        tracked.cursors.retain(|_, (_, at)| mark < *at);
        let cursor =
            |(&(chat, user), &(seq, _)): (&(u64, u64), &(u64, u64))| CursorRow { chat, user, seq };
        Changed {
            process: self.process,
            mark: next,
            forgotten,
            entities: tracked.entities.keys().copied().collect(),
            cursors: tracked.cursors.iter().map(cursor).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::HeadRow;

    const NOW: Duration = Duration::from_secs(9);
    const KEY: (MoveId, Attempt) = (MoveId(3), Attempt(1));

    fn head(entity: u64) -> HeadChange {
        HeadChange { expected_ver: 1, head: HeadRow { entity, ..HeadRow::default() } }
    }

    fn cursor(chat: u64, seq: u64) -> CursorRow {
        CursorRow { chat, user: 1, seq }
    }

    fn changed(tracker: &Tracker, from: (u64, u64), now: Duration) -> Changed {
        let slots = [Slot::new(0).expect("a slot")];
        tracker.changed(KEY, &slots, from, now)
    }

    #[test]
    fn what_changes_after_the_first_question_is_told_until_it_is_stored() {
        let tracker = Tracker::new(77);
        tracker.note(&[head(5)], &[], NOW);
        let first = changed(&tracker, (0, 0), NOW);
        assert!(first.forgotten && first.entities.is_empty());
        let other_slot = 1 << 60;
        tracker.note(&[head(6), head(other_slot)], &[cursor(6, 4), cursor(other_slot, 4)], NOW);
        tracker.note(&[], &[cursor(6, 3)], NOW);
        let second = changed(&tracker, (77, first.mark), NOW);
        assert!(!second.forgotten);
        assert_eq!(
            (second.entities.clone(), second.cursors.clone()),
            (vec![6], vec![cursor(6, 4)])
        );
        // The answer was lost: the same again.
        let again = changed(&tracker, (77, first.mark), NOW);
        assert_eq!((again.entities, again.cursors), (second.entities, second.cursors));
        tracker.note(&[head(7)], &[], NOW);
        let third = changed(&tracker, (77, again.mark), NOW);
        assert_eq!((third.entities, third.cursors.len()), (vec![7], 0));
    }

    #[test]
    fn another_process_or_a_long_silence_knows_nothing() {
        let tracker = Tracker::new(77);
        let first = changed(&tracker, (0, 0), NOW);
        assert!(changed(&tracker, (76, first.mark), NOW).forgotten);
        let next = changed(&tracker, (0, 0), NOW);
        tracker.note(&[head(5)], &[], NOW + ASKED_TIME_MAX);
        assert!(changed(&tracker, (77, next.mark), NOW + ASKED_TIME_MAX).forgotten);
    }

    #[test]
    fn too_much_is_forgotten_rather_than_kept() {
        let tracker = Tracker::new(77);
        let first = changed(&tracker, (0, 0), NOW);
        let many: Vec<_> = (1..=REMEMBERED_MAX as u64).map(head).collect();
        tracker.note(&many, &[], NOW);
        tracker.note(&[head(1)], &[], NOW);
        assert!(changed(&tracker, (77, first.mark), NOW).forgotten);
    }
}
