//! What a reader of a chat does with the next event: deliver it, drop it, hold it until the gap before
//! it is repaired, or begin anew because the chat's history is another one.
//!
//! Promised: events come out in ver order, each at most once, and whatever was heard of and is missing
//! keeps [`Follow::ask`] asking until it is there. Time is the caller's: it decides how long to wait
//! before it asks.

use crate::limits::HELD_EVENTS_MAX;
use std::collections::BTreeMap;

#[cfg(test)]
mod walk;

/// One followed chat (or user). `E` is whatever the caller delivers.
///
/// Invariants: `held` has only vers above `ver`; the lowest is not `ver + 1`; `heard` is the highest
/// ver of this log that is known to exist.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Follow<E> {
    /// (log, ver): everything up to ver was delivered or is older than the start. None until
    /// `start_at`: events are only held.
    position: Option<(u64, u64)>,
    held_log: u64,
    held: BTreeMap<u64, E>,
    held_max: usize,
    heard: u64,
    /// The number of the ask that is not answered yet.
    asking: Option<u64>,
    asks: u64,
}

/// What became of an event, or of an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// At least one event was put out, and nothing is known to be missing.
    Delivered,
    /// It was known already.
    Old,
    /// Something before it is missing: `ask` the store, at once or after a moment.
    Held,
    /// What was delivered belongs to another history: tell those who saw it, then `ask`.
    Resync,
}

/// What to ask the store. Only the latest ask's answer counts; `number` tells it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Ask {
    /// Where the chat is now; answered with `start_at`.
    Start { number: u64 },
    /// The changes with `after < ver`, at least up to `up_to`; answered with `on_changes`.
    Changes { number: u64, after: u64, up_to: u64 },
}

impl Ask {
    pub fn number(self) -> u64 {
        match self {
            Ask::Start { number } | Ask::Changes { number, .. } => number,
        }
    }
}

impl<E> Follow<E> {
    /// Follows from a position not known yet: events are held until `start_at`.
    pub fn unknown() -> Follow<E> {
        Follow::holding_at_most(HELD_EVENTS_MAX)
    }

    /// Follows everything after `ver`.
    pub fn from(log: u64, ver: u64) -> Follow<E> {
        Follow { position: Some((log, ver)), heard: ver, held_log: log, ..Follow::unknown() }
    }

    fn holding_at_most(held_max: usize) -> Follow<E> {
        Follow {
            position: None,
            held_log: 0,
            held: BTreeMap::new(),
            held_max,
            heard: 0,
            asking: None,
            asks: 0,
        }
    }

    /// (log, ver) up to which all was delivered; None while unknown.
    pub fn position(&self) -> Option<(u64, u64)> {
        self.position
    }

    /// Whether `ask` would ask.
    pub fn is_behind(&self) -> bool {
        self.position.is_none_or(|(_, ver)| ver < self.heard)
    }

    /// The next event, in whatever order they come. What is to be delivered now is appended to `out`.
    pub fn on_event(&mut self, log: u64, ver: u64, event: E, out: &mut Vec<E>) -> Verdict {
        match self.position {
            Some((known, _)) if known != log => {
                self.lose();
                self.hold(log, ver, event);
                Verdict::Resync
            }
            None => {
                self.hold(log, ver, event);
                Verdict::Held
            }
            Some((_, delivered)) if ver <= delivered => Verdict::Old,
            Some((_, delivered)) if ver == delivered + 1 => {
                out.push(event);
                self.advance(ver, out);
                self.standing(Verdict::Delivered)
            }
            Some(_) => {
                self.hold(log, ver, event);
                Verdict::Held
            }
        }
    }

    /// Somebody said that the chat is at `ver` (a heads beacon, an acknowledgement).
    pub fn on_head(&mut self, log: u64, ver: u64) -> Verdict {
        match self.position {
            Some((known, _)) if known != log => {
                self.lose();
                self.note(log, ver);
                Verdict::Resync
            }
            Some(_) => {
                self.note(log, ver);
                self.standing(Verdict::Old)
            }
            None => {
                self.note(log, ver);
                Verdict::Held
            }
        }
    }

    /// What to ask the store now; None if nothing is missing or an ask is on its way.
    pub fn ask(&mut self) -> Option<Ask> {
        if self.asking.is_some() || !self.is_behind() {
            return None;
        }
        self.asks += 1;
        let number = self.asks;
        self.asking = Some(number);
        Some(match self.position {
            None => Ask::Start { number },
            Some((_, after)) => Ask::Changes { number, after, up_to: self.heard },
        })
    }

    /// An ask got no answer: `ask` asks again (the caller waits in between).
    pub fn on_failed(&mut self, number: u64) {
        if self.asking == Some(number) {
            self.asking = None;
        }
    }

    /// The answer to `Ask::Start`, or any other good knowledge of where to follow from. Events held of
    /// this log come out if they follow on. Never goes back within a log.
    pub fn start_at(&mut self, log: u64, ver: u64, out: &mut Vec<E>) -> Verdict {
        self.asking = None;
        let ver = match self.position {
            Some((known, delivered)) if known == log => ver.max(delivered),
            _ => ver,
        };
        if self.held_log != log {
            self.forget(log);
        }
        self.position = Some((log, ver));
        let before = out.len();
        self.advance(ver, out);
        self.standing(if before < out.len() { Verdict::Delivered } else { Verdict::Old })
    }

    /// The answer to `Ask::Changes`: with `events` the reader has everything up to `to_ver` (a change
    /// overtaken by a later one may be missing from them). Events above `to_ver` need not be complete.
    /// An answer to an earlier ask changes nothing.
    pub fn on_changes(
        &mut self,
        number: u64,
        log: u64,
        to_ver: u64,
        events: impl IntoIterator<Item = (u64, E)>,
        out: &mut Vec<E>,
    ) -> Verdict {
        if self.asking != Some(number) {
            return self.standing(Verdict::Old);
        }
        self.asking = None;
        let Some((known, delivered)) = self.position else {
            return Verdict::Held;
        };
        if known != log {
            self.lose();
            self.note(log, to_ver);
            return Verdict::Resync;
        }
        let before = out.len();
        self.note(log, to_ver);
        // The store's state of a change is at least as new as the one held.
        let mut through = self.held.split_off(&(to_ver.saturating_add(1)));
        std::mem::swap(&mut through, &mut self.held);
        for (ver, event) in events {
            if ver <= delivered {
                continue;
            }
            if ver <= to_ver {
                through.insert(ver, event);
            } else {
                self.hold(log, ver, event);
            }
        }
        out.extend(through.into_values());
        self.advance(to_ver.max(delivered), out);
        self.standing(if before < out.len() { Verdict::Delivered } else { Verdict::Old })
    }

    /// The answer to `Ask::Changes` when the store no longer has what is missing.
    pub fn on_resync(&mut self, number: u64) -> Verdict {
        if self.asking != Some(number) {
            return self.standing(Verdict::Old);
        }
        self.position = None;
        self.asking = None;
        Verdict::Resync
    }

    /// All up to `ver` is out; so is what follows on without a gap.
    fn advance(&mut self, mut ver: u64, out: &mut Vec<E>) {
        while let Some(entry) = self.held.first_entry() {
            if ver + 1 < *entry.key() {
                break;
            }
            let (next, event) = entry.remove_entry();
            if next == ver + 1 {
                out.push(event);
                ver = next;
            }
        }
        self.position = self.position.map(|(log, _)| (log, ver));
        self.heard = self.heard.max(ver);
    }

    fn standing(&self, current: Verdict) -> Verdict {
        if self.is_behind() { Verdict::Held } else { current }
    }

    /// Another history: nothing that was known of the old one helps, nor does an answer about it.
    fn lose(&mut self) {
        self.position = None;
        self.asking = None;
    }

    /// Remembers that `ver` of `log` exists. With an unknown position the last log heard of wins.
    fn note(&mut self, log: u64, ver: u64) {
        if self.held_log != log {
            self.forget(log);
        }
        self.heard = self.heard.max(ver);
    }

    fn forget(&mut self, log: u64) {
        self.held.clear();
        self.heard = 0;
        self.held_log = log;
    }

    /// Keeps an event for later; of too many the highest goes, and is asked for again.
    fn hold(&mut self, log: u64, ver: u64, event: E) {
        self.note(log, ver);
        self.held.entry(ver).or_insert(event);
        if self.held_max < self.held.len() {
            self.held.pop_last();
        }
    }
}
