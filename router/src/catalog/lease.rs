//! When a lease passes on: the one rule for the coordinator and for writers of shards, whatever
//! database keeps the row. Times are the database's.

use std::time::Duration;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Lease {
    /// 0: never granted.
    pub(super) term: u64,
    pub(super) holder: String,
    pub(super) until_ms: i64,
}

impl Lease {
    pub(super) fn is_alive(&self, now_ms: i64) -> bool {
        now_ms < self.until_ms
    }

    /// For who keeps its term as long as it is not interrupted; None: another one holds it.
    pub(super) fn lead(&self, holder: &str, now_ms: i64, lasts: Duration) -> Option<Lease> {
        let alive = self.is_alive(now_ms);
        let mine = self.holder == holder;
        match (alive, mine) {
            (true, false) => None,
            (true, true) => Some(self.of(self.term, holder, now_ms, lasts)),
            (false, _) => Some(self.of(self.term + 1, holder, now_ms, lasts)),
        }
    }

    /// For who begins: a new term even for the same holder; None: another one holds it.
    pub(super) fn acquire(&self, holder: &str, now_ms: i64, lasts: Duration) -> Option<Lease> {
        if self.is_alive(now_ms) && self.holder != holder {
            return None;
        }
        Some(self.of(self.term + 1, holder, now_ms, lasts))
    }

    /// For who goes on; None: the term is no longer the newest, or not this holder's.
    pub(super) fn renew(
        &self,
        term: u64,
        holder: &str,
        now_ms: i64,
        lasts: Duration,
    ) -> Option<Lease> {
        let current = self.term == term && self.holder == holder;
        current.then(|| self.of(term, holder, now_ms, lasts))
    }

    fn of(&self, term: u64, holder: &str, now_ms: i64, lasts: Duration) -> Lease {
        let until_ms = until_ms(now_ms, lasts);
        Lease { term, holder: holder.to_owned(), until_ms }
    }
}

/// A router's id, as the list has it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Held {
    pub(super) address: String,
    pub(super) until_ms: i64,
    /// None: by a router of an earlier version, which does not say.
    pub(super) boot: Option<u64>,
}

impl Held {
    /// Whether the run `boot` must not have the id: another one has it and was heard from in its time.
    pub(super) fn is_held_from(&self, boot: u64, now_ms: i64) -> bool {
        now_ms < self.until_ms && self.boot.is_some_and(|holder| holder != boot)
    }
}

pub(super) fn until_ms(now_ms: i64, lasts: Duration) -> i64 {
    now_ms.saturating_add(i64::try_from(lasts.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LASTS: Duration = Duration::from_secs(3);

    fn held() -> Lease {
        Lease { term: 7, holder: "a".into(), until_ms: 1_000 }
    }

    fn lease(term: u64, holder: &str, until_ms: i64) -> Option<Lease> {
        Some(Lease { term, holder: holder.into(), until_ms })
    }

    #[test]
    fn a_leader_keeps_its_term_until_it_was_late() {
        assert_eq!(held().lead("a", 999, LASTS), lease(7, "a", 3_999));
        assert_eq!(held().lead("a", 1_000, LASTS), lease(8, "a", 4_000));
    }

    #[test]
    fn another_leads_only_after_the_lease_with_a_new_term() {
        assert_eq!(held().lead("b", 999, LASTS), None);
        assert_eq!(held().lead("b", 1_000, LASTS), lease(8, "b", 4_000));
    }

    #[test]
    fn a_writer_that_begins_anew_gets_a_new_term_at_once() {
        assert_eq!(held().acquire("a", 10, LASTS), lease(8, "a", 3_010));
        assert_eq!(held().acquire("b", 10, LASTS), None);
        assert_eq!(held().acquire("b", 1_000, LASTS), lease(8, "b", 4_000));
    }

    #[test]
    fn a_routers_id_is_held_from_other_runs_while_it_lives() {
        let held = |boot| Held { address: "a".into(), until_ms: 1_000, boot };
        assert!(held(Some(7)).is_held_from(8, 999));
        assert!(!held(Some(7)).is_held_from(8, 1_000), "not heard from in its time");
        assert!(!held(Some(7)).is_held_from(7, 999), "its own");
        assert!(!held(None).is_held_from(8, 999), "of an earlier version");
    }

    #[test]
    fn only_the_newest_term_is_renewed_even_late() {
        assert_eq!(held().renew(7, "a", 5_000, LASTS), lease(7, "a", 8_000));
        assert_eq!(held().renew(6, "a", 10, LASTS), None);
        assert_eq!(held().renew(7, "b", 10, LASTS), None);
    }
}
