//! A lane's last commits, for whoever asks how a message went. Kept by commit: its journal entries are
//! moved in when nobody else needs them, so a message costs nothing here.

use crate::store::JournalEntry;
use parking_lot::Mutex;
use std::collections::VecDeque;

/// Seconds of full load, and days of little.
const COMMITS_MAX: usize = 1_024;
/// Of all commits together: half a MiB.
const ENTRIES_MAX: usize = 16_384;

#[derive(Default)]
pub(crate) struct Remembered {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    /// By position.
    commits: VecDeque<Commit>,
    entries: usize,
}

/// Times are wall clocks, for people.
pub(crate) struct Commit {
    pub(crate) position: u64,
    /// When the first of its calls was queued.
    pub(crate) queued_ms: i64,
    pub(crate) committed_ms: i64,
    /// By entity.
    pub(crate) entries: Vec<JournalEntry>,
    pub(crate) relayed_ms: Option<i64>,
}

/// The commit that some change was in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Seen {
    pub(crate) position: u64,
    pub(crate) queued_ms: i64,
    pub(crate) committed_ms: i64,
    pub(crate) relayed_ms: Option<i64>,
    pub(crate) entities: usize,
}

impl Remembered {
    /// From the lane, in order; forgets the oldest.
    pub(crate) fn committed(&self, commit: Commit) {
        let mut inner = self.inner.lock();
        inner.entries += commit.entries.len();
        inner.commits.push_back(commit);
        while COMMITS_MAX < inner.commits.len() || ENTRIES_MAX < inner.entries {
            let Some(forgotten) = inner.commits.pop_front() else { return };
            inner.entries -= forgotten.entries.len();
        }
    }

    /// All of the commit is on the bus. The first time counts.
    pub(crate) fn relayed(&self, position: u64, now_ms: i64) {
        let mut inner = self.inner.lock();
        if let Ok(index) = inner.commits.binary_search_by_key(&position, |commit| commit.position) {
            inner.commits[index].relayed_ms.get_or_insert(now_ms);
        }
    }

    /// The commit that gave the entity this ver.
    pub(crate) fn find(&self, entity: u64, ver: u64) -> Option<Seen> {
        let inner = self.inner.lock();
        let commit = inner.commits.iter().rev().find(|commit| {
            let found = commit.entries.binary_search_by_key(&entity, |entry| entry.entity);
            found.is_ok_and(|index| covers(&commit.entries[index], entity, ver))
        })?;
        Some(Seen {
            position: commit.position,
            queued_ms: commit.queued_ms,
            committed_ms: commit.committed_ms,
            relayed_ms: commit.relayed_ms,
            entities: commit.entries.len(),
        })
    }
}

/// Whether the entry is of the commit that gave the entity this ver.
pub(crate) fn covers(entry: &JournalEntry, entity: u64, ver: u64) -> bool {
    entry.entity == entity && entry.first_ver <= ver && ver <= entry.last_ver
}

#[cfg(test)]
mod tests {
    use super::*;

    fn commit(position: u64, entities: &[u64]) -> Commit {
        let entry = |entity: &u64| JournalEntry {
            entity: *entity,
            first_ver: 10 * position,
            last_ver: 10 * position + 9,
        };
        let entries = entities.iter().map(entry).collect();
        let committed_ms = i64::try_from(position).expect("small");
        Commit { position, queued_ms: committed_ms - 1, committed_ms, entries, relayed_ms: None }
    }

    fn check(remembered: &Remembered, entity: u64, ver: u64, expected: Option<u64>) {
        let found = remembered.find(entity, ver).map(|seen| seen.position);
        assert_eq!(found, expected, "{entity} {ver}");
    }

    #[test]
    fn a_change_is_found_in_its_commit() {
        let remembered = Remembered::default();
        remembered.committed(commit(1, &[3, 5]));
        remembered.committed(commit(2, &[5, 9]));
        check(&remembered, 5, 10, Some(1));
        check(&remembered, 5, 29, Some(2));
        check(&remembered, 3, 20, None);
        check(&remembered, 4, 10, None);
        check(&remembered, 5, 30, None);
    }

    #[test]
    fn the_first_time_on_the_bus_counts() {
        let remembered = Remembered::default();
        remembered.committed(commit(7, &[3]));
        remembered.relayed(6, 50);
        assert_eq!(remembered.find(3, 70).and_then(|seen| seen.relayed_ms), None);
        remembered.relayed(7, 60);
        remembered.relayed(7, 90);
        let seen = remembered.find(3, 70).expect("remembered");
        assert_eq!((seen.queued_ms, seen.committed_ms, seen.relayed_ms), (6, 7, Some(60)));
        assert_eq!(seen.entities, 1);
    }

    #[test]
    fn the_oldest_are_forgotten_by_number_and_by_size() {
        let remembered = Remembered::default();
        for position in 1..=COMMITS_MAX as u64 + 1 {
            remembered.committed(commit(position, &[3]));
        }
        check(&remembered, 3, 10, None);
        check(&remembered, 3, 20, Some(2));
        let wide: Vec<u64> = (1..=ENTRIES_MAX as u64).collect();
        remembered.committed(commit(COMMITS_MAX as u64 + 2, &wide));
        check(&remembered, 3, 20, None);
        check(&remembered, 3, 10 * (COMMITS_MAX as u64 + 2), Some(COMMITS_MAX as u64 + 2));
    }
}
