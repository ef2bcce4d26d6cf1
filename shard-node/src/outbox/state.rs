//! Which facts wait, fly, failed, or wait for their deletion. Pure: times are given.

use super::key;
use crate::store::OutboxRow;
use crate::write::FactKey;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// Facts in memory; beyond, they stay in the database until there is room.
const KNOWN_MAX: usize = 8_192;
const RETRY_FIRST: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(5);

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Settled {
    /// Durably, or never to be.
    Applied,
    Failed,
}

pub(super) struct Facts {
    /// Every fact in memory, until its row is deleted.
    known: HashMap<FactKey, Fact>,
    ready: VecDeque<FactKey>,
    /// Failed ones, by when they are tried again.
    delayed: BTreeMap<(Duration, FactKey), ()>,
    /// Applied; to be deleted.
    applied: Vec<FactKey>,
    /// The database may hold rows that are not known here.
    more: bool,
}

struct Fact {
    row: OutboxRow,
    delay: Duration,
}

impl Facts {
    pub(super) fn new() -> Facts {
        Facts {
            known: HashMap::new(),
            ready: VecDeque::new(),
            delayed: BTreeMap::new(),
            applied: Vec::new(),
            more: true,
        }
    }

    /// A row that is in the database. Without room it is left there.
    pub(super) fn add(&mut self, row: OutboxRow) {
        if KNOWN_MAX <= self.known.len() {
            self.more = true;
            return;
        }
        let fact = key(&row);
        self.known.entry(fact).or_insert_with(|| {
            self.ready.push_back(fact);
            Fact { row, delay: RETRY_FIRST }
        });
    }

    /// `all`: there are no further rows. Whether something was new.
    pub(super) fn add_read(&mut self, rows: Vec<OutboxRow>, all: bool) -> bool {
        self.more = !all;
        let before = self.known.len();
        rows.into_iter().for_each(|row| self.add(row));
        before < self.known.len()
    }

    /// Whether the database is to be read: it has more, and there is room for half of it.
    pub(super) fn wants_more(&self) -> bool {
        self.more && self.known.len() <= KNOWN_MAX / 2
    }

    /// The next fact to deliver.
    pub(super) fn start(&mut self, now: Duration) -> Option<OutboxRow> {
        while let Some((&(due, fact), ())) = self.delayed.first_key_value() {
            if now < due {
                break;
            }
            self.delayed.pop_first();
            self.ready.push_back(fact);
        }
        let fact = self.ready.pop_front()?;
        self.known.get(&fact).map(|fact| fact.row.clone())
    }

    pub(super) fn settle(&mut self, fact: FactKey, settled: Settled, now: Duration) {
        match (settled, self.known.get_mut(&fact)) {
            (Settled::Applied, _) => self.applied.push(fact),
            (Settled::Failed, Some(known)) => {
                self.delayed.insert((now + known.delay, fact), ());
                known.delay = (known.delay * 2).min(RETRY_MAX);
            }
            (Settled::Failed, None) => {}
        }
    }

    pub(super) fn take_applied(&mut self) -> Vec<FactKey> {
        std::mem::take(&mut self.applied)
    }

    pub(super) fn delete_later(&mut self, keys: Vec<FactKey>) {
        self.applied.extend(keys);
    }

    pub(super) fn deleted(&mut self, keys: &[FactKey]) {
        for fact in keys {
            self.known.remove(fact);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.known.len()
    }

    /// Something happens by itself before long.
    pub(super) fn has_work(&self) -> bool {
        !self.delayed.is_empty() || !self.applied.is_empty() || self.wants_more()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(9);

    fn row(ver: u64) -> OutboxRow {
        OutboxRow { chat: 1, ver, user: 3, joined: true, kind: String::new(), created_at_ms: 0 }
    }

    fn started(facts: &mut Facts, now: Duration) -> Option<u64> {
        facts.start(now).map(|row| row.ver)
    }

    #[test]
    fn a_fact_is_delivered_once_though_it_is_read_again() {
        let mut facts = Facts::new();
        facts.add(row(1));
        facts.add_read(vec![row(1), row(2)], true);
        assert_eq!(started(&mut facts, NOW), Some(1));
        assert_eq!(started(&mut facts, NOW), Some(2));
        assert_eq!(started(&mut facts, NOW), None);
        facts.settle((1, 1, 3), Settled::Applied, NOW);
        assert!(!facts.add_read(vec![row(1)], true));
        assert_eq!(started(&mut facts, NOW), None);
        assert_eq!(facts.take_applied(), [(1, 1, 3)]);
        facts.deleted(&[(1, 1, 3)]);
        assert_eq!(facts.len(), 1);
    }

    #[test]
    fn what_fails_comes_again_later_and_later() {
        let mut facts = Facts::new();
        facts.add_read(vec![row(1)], true);
        let mut now = NOW;
        for delay in [RETRY_FIRST, RETRY_FIRST * 2, RETRY_FIRST * 4] {
            assert_eq!(started(&mut facts, now), Some(1));
            facts.settle((1, 1, 3), Settled::Failed, now);
            assert_eq!(started(&mut facts, now + delay - Duration::from_millis(1)), None);
            now += delay;
        }
        assert!(facts.has_work());
    }

    #[test]
    fn what_has_no_room_is_read_again() {
        let mut facts = Facts::new();
        facts.add_read(Vec::new(), true);
        assert!(!facts.wants_more());
        for ver in 0..=KNOWN_MAX as u64 {
            facts.add(row(ver));
        }
        assert_eq!(facts.len(), KNOWN_MAX);
        assert!(!facts.wants_more());
        let keys: Vec<FactKey> = (0..KNOWN_MAX as u64 / 2).map(|ver| (1, ver, 3)).collect();
        facts.deleted(&keys);
        assert!(facts.wants_more());
    }
}
