//! One pair's account of every message: acknowledged or not, delivered how often.

use serde::Serialize;

/// By message number.
#[derive(Default, Debug)]
pub struct Ledger {
    entries: Vec<Entry>,
}

#[derive(Clone, Copy, Default, Debug)]
struct Entry {
    acked: bool,
    delivered: u8,
}

#[derive(Clone, Copy, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Balance {
    pub acked: u64,
    /// Delivered at least once.
    pub delivered: u64,
    /// Acknowledged and not delivered.
    pub missing: u64,
    /// Delivered more than once.
    pub doubled: u64,
    /// Delivered although its sender never heard that it was stored; no fault.
    pub unacked: u64,
}

impl Ledger {
    pub fn acked(&mut self, number: u32) {
        self.entry(number).acked = true;
    }

    /// Whether it is the first time.
    pub fn delivered(&mut self, number: u32) -> bool {
        let entry = self.entry(number);
        entry.delivered = entry.delivered.saturating_add(1);
        entry.delivered == 1
    }

    pub fn is_delivered(&self, number: u32) -> bool {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        self.entries.get(index).is_some_and(|entry| 0 < entry.delivered)
    }

    pub fn balance(&self) -> Balance {
        let mut balance = Balance::default();
        for entry in &self.entries {
            balance.acked += u64::from(entry.acked);
            balance.delivered += u64::from(0 < entry.delivered);
            balance.missing += u64::from(entry.acked && entry.delivered == 0);
            balance.doubled += u64::from(1 < entry.delivered);
            balance.unacked += u64::from(!entry.acked && 0 < entry.delivered);
        }
        balance
    }

    fn entry(&mut self, number: u32) -> &mut Entry {
        let index = usize::try_from(number).unwrap_or(usize::MAX);
        if self.entries.len() <= index {
            self.entries.resize(index + 1, Entry::default());
        }
        &mut self.entries[index]
    }
}

impl std::ops::Add for Balance {
    type Output = Balance;

    fn add(self, other: Balance) -> Balance {
        Balance {
            acked: self.acked + other.acked,
            delivered: self.delivered + other.delivered,
            missing: self.missing + other.missing,
            doubled: self.doubled + other.doubled,
            unacked: self.unacked + other.unacked,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_message_is_counted_for_what_became_of_it() {
        let mut ledger = Ledger::default();
        for number in [0, 1, 5] {
            ledger.acked(number);
        }
        assert!(ledger.delivered(1));
        assert!(!ledger.delivered(1));
        assert!(ledger.delivered(0) && ledger.delivered(3));
        assert!(ledger.is_delivered(3) && !ledger.is_delivered(5) && !ledger.is_delivered(99));
        let expected = Balance { acked: 3, delivered: 3, missing: 1, doubled: 1, unacked: 1 };
        assert_eq!(ledger.balance(), expected);
    }
}
