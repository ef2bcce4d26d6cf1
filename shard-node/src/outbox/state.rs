//! Which facts wait, fly, failed, or wait for their deletion. Pure: times are given.

use super::key;
use crate::store::OutboxRow;
use crate::write::FactKey;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::RangeInclusive;
use std::time::Duration;

/// Facts in memory; beyond, they stay in the database until there is room.
const KNOWN_MAX: usize = 8_192;
/// Ranges to be read; past this everything is read again.
const SCANS_MAX: usize = 20_000;
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
    /// Where the database may hold rows that are not known here.
    scans: VecDeque<Scan>,
}

/// Rows of these chats, above a key, are still to be read.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Scan {
    pub(super) chats: RangeInclusive<u64>,
    pub(super) after: FactKey,
}

impl Scan {
    fn of(chats: RangeInclusive<u64>) -> Scan {
        Scan { chats, after: (0, 0, 0) }
    }
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
            scans: VecDeque::from([Scan::of(0..=u64::MAX >> 1)]),
        }
    }

    /// A row that is in the database. Without room it is left there.
    pub(super) fn add(&mut self, row: OutboxRow) {
        if KNOWN_MAX <= self.known.len() {
            self.look_into(row.chat..=row.chat);
            return;
        }
        let fact = key(&row);
        self.known.entry(fact).or_insert_with(|| {
            self.ready.push_back(fact);
            Fact { row, delay: RETRY_FIRST }
        });
    }

    /// Rows that a scan found, of slots that are ours; `read_to`: it goes on there, if not at its end.
    pub(super) fn add_read(&mut self, rows: Vec<OutboxRow>, read_to: Option<Scan>) {
        rows.into_iter().for_each(|row| self.add(row));
        if let Some(scan) = read_to {
            self.scans.push_front(scan);
        }
    }

    /// What is to be read next, once there is room for half of what fits.
    pub(super) fn next_scan(&mut self) -> Option<Scan> {
        if KNOWN_MAX / 2 < self.known.len() { None } else { self.scans.pop_front() }
    }

    /// It could not be read.
    pub(super) fn scan_again(&mut self, scan: Scan) {
        self.scans.push_front(scan);
    }

    /// Rows of these chats may have come.
    pub(super) fn look_into(&mut self, chats: RangeInclusive<u64>) {
        let covered = |scan: &Scan| {
            scan.after < (*chats.start(), 0, 0)
                && scan.chats.contains(chats.start())
                && scan.chats.contains(chats.end())
        };
        if self.scans.iter().any(covered) {
            return;
        }
        self.scans.push_back(Scan::of(chats));
        if SCANS_MAX < self.scans.len() {
            self.scans = VecDeque::from([Scan::of(0..=u64::MAX >> 1)]);
        }
    }

    /// Rows of these chats are not ours to deliver any more, nor to delete.
    pub(super) fn leave(&mut self, chats: &RangeInclusive<u64>) {
        self.known.retain(|(chat, _, _), _| !chats.contains(chat));
        self.applied.retain(|(chat, _, _)| !chats.contains(chat));
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
        // Those that were left meanwhile are passed over.
        while let Some(fact) = self.ready.pop_front() {
            if let Some(known) = self.known.get(&fact) {
                return Some(known.row.clone());
            }
        }
        None
    }

    pub(super) fn settle(&mut self, fact: FactKey, settled: Settled, now: Duration) {
        match (settled, self.known.get_mut(&fact)) {
            (Settled::Applied, Some(_)) => self.applied.push(fact),
            (Settled::Failed, Some(known)) => {
                self.delayed.insert((now + known.delay, fact), ());
                known.delay = (known.delay * 2).min(RETRY_MAX);
            }
            // Left meanwhile: whoever has the row now delivers it again.
            (_, None) => {}
        }
    }

    pub(super) fn take_applied(&mut self) -> Vec<FactKey> {
        std::mem::take(&mut self.applied)
    }

    pub(super) fn delete_later(&mut self, keys: Vec<FactKey>) {
        let known = keys.into_iter().filter(|fact| self.known.contains_key(fact));
        self.applied.extend(known.collect::<Vec<_>>());
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
        !self.delayed.is_empty() || !self.applied.is_empty() || !self.scans.is_empty()
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
        facts.add_read(vec![row(1), row(2)], None);
        assert_eq!(started(&mut facts, NOW), Some(1));
        assert_eq!(started(&mut facts, NOW), Some(2));
        assert_eq!(started(&mut facts, NOW), None);
        facts.settle((1, 1, 3), Settled::Applied, NOW);
        facts.add_read(vec![row(1)], None);
        assert_eq!(started(&mut facts, NOW), None);
        assert_eq!(facts.take_applied(), [(1, 1, 3)]);
        facts.deleted(&[(1, 1, 3)]);
        assert_eq!(facts.len(), 1);
    }

    #[test]
    fn what_fails_comes_again_later_and_later() {
        let mut facts = Facts::new();
        facts.add_read(vec![row(1)], None);
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
        assert!(facts.next_scan().is_some());
        assert_eq!(facts.next_scan(), None);
        for ver in 0..=KNOWN_MAX as u64 {
            facts.add(row(ver));
        }
        assert_eq!(facts.len(), KNOWN_MAX);
        assert_eq!(facts.next_scan(), None);
        let keys: Vec<FactKey> = (0..KNOWN_MAX as u64 / 2).map(|ver| (1, ver, 3)).collect();
        facts.deleted(&keys);
        assert_eq!(facts.next_scan(), Some(Scan::of(1..=1)));
    }

    #[test]
    fn facts_of_a_slot_that_went_are_neither_delivered_nor_deleted() {
        let mut facts = Facts::new();
        let other = OutboxRow { chat: 9, ..row(4) };
        facts.add_read(vec![row(1), row(2), row(3), other], None);
        assert_eq!(started(&mut facts, NOW), Some(1));
        assert_eq!(started(&mut facts, NOW), Some(2));
        facts.settle((1, 1, 3), Settled::Applied, NOW);
        facts.leave(&(0..=5));
        // This one's answer came late.
        facts.settle((1, 2, 3), Settled::Applied, NOW);
        facts.delete_later(vec![(1, 1, 3)]);
        assert!(facts.take_applied().is_empty());
        assert_eq!(started(&mut facts, NOW), Some(4));
        assert_eq!(started(&mut facts, NOW), None);
        facts.next_scan();
        facts.look_into(0..=5);
        assert_eq!(facts.next_scan(), Some(Scan::of(0..=5)));
    }
}
