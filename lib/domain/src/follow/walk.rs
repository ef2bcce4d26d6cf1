//! Every order in which events can come late, doubled or not at all, walked to the end.

use super::{Ask, Follow, Verdict};
use std::collections::HashSet;

const LOG: u64 = 9;

/// One moment of the walk. Events are their own vers; the store has 1..=head.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Moment {
    follow: Follow<u64>,
    /// How often each event (by ver - 1) may still arrive; it may also never arrive.
    coming: Vec<u8>,
    /// The ask on its way, and how often one may still fail.
    asked: Option<Ask>,
    failures: u8,
    /// The highest ver that did arrive.
    arrived: u64,
    out: Vec<u64>,
}

impl Moment {
    fn head(&self) -> u64 {
        self.coming.len() as u64
    }

    /// Everything that can happen next.
    fn next(&self) -> Vec<Moment> {
        let mut next = Vec::new();
        for ver in 1..=self.head() {
            let index = usize::try_from(ver - 1).expect("a few events");
            if 0 < self.coming[index] {
                let mut moment = self.clone();
                moment.coming[index] -= 1;
                moment.follow.on_event(LOG, ver, ver, &mut moment.out);
                moment.arrived = moment.arrived.max(ver);
                next.push(moment);
                let mut lost = self.clone();
                lost.coming[index] -= 1;
                next.push(lost);
            }
        }
        match self.asked {
            None => {
                let mut moment = self.clone();
                moment.asked = moment.follow.ask();
                if moment.asked.is_some() {
                    next.push(moment);
                }
            }
            Some(ask) => {
                if 0 < self.failures {
                    let mut moment = self.clone();
                    moment.failures -= 1;
                    moment.asked = None;
                    moment.follow.on_failed(ask.number());
                    next.push(moment);
                }
                next.extend(self.answered(ask));
            }
        }
        // Ask numbers would make every moment new; what an old number does has its own test.
        for moment in &mut next {
            if moment.asked.is_none() {
                moment.follow.asks = 0;
            }
        }
        next
    }

    /// The store answers: in one page or several, with or without events beyond what it promises.
    fn answered(&self, ask: Ask) -> Vec<Moment> {
        let mut next = Vec::new();
        match ask {
            // The head as of now: nothing that may still arrive is older than the start.
            Ask::Start { .. } => {
                let mut moment = self.clone();
                moment.asked = None;
                moment.follow.start_at(LOG, 0, &mut moment.out);
                next.push(moment);
            }
            Ask::Changes { number, after, up_to } => {
                assert!(after < up_to, "an ask for nothing: {after} to {up_to}");
                for to_ver in after + 1..=self.head() {
                    for beyond in [0, 1] {
                        let last = (to_ver + beyond).min(self.head());
                        let mut moment = self.clone();
                        moment.asked = None;
                        let events = (after + 1..=last).map(|ver| (ver, ver));
                        moment.follow.on_changes(number, LOG, to_ver, events, &mut moment.out);
                        next.push(moment);
                    }
                }
            }
        }
        next
    }

    fn check(&self) {
        let expected: Vec<u64> = (1..=self.out.len() as u64).collect();
        assert_eq!(self.out, expected, "in ver order, each once, none left out");
        if let Some((_, ver)) = self.follow.position() {
            assert_eq!(ver, self.out.len() as u64, "the position is what was delivered");
            if self.asked.is_none() && ver < self.arrived {
                assert!(self.follow.clone().ask().is_some(), "a gap that nobody asks about");
            }
        } else if self.asked.is_none() {
            assert!(self.follow.clone().ask().is_some(), "a start that nobody asks for");
        }
    }
}

fn walk(start: Moment) -> usize {
    let mut seen = HashSet::new();
    let mut open = vec![start];
    while let Some(moment) = open.pop() {
        if seen.insert(moment.clone()) {
            moment.check();
            open.extend(moment.next());
        }
    }
    seen.len()
}

fn moment(follow: Follow<u64>, events: usize, copies: u8) -> Moment {
    Moment {
        follow,
        coming: vec![copies; events],
        asked: None,
        failures: 1,
        arrived: 0,
        out: Vec::new(),
    }
}

#[test]
fn every_order_of_late_doubled_and_lost_events_ends_well() {
    for held_max in [1, 2, 8] {
        let known = Follow { position: Some((LOG, 0)), held_log: LOG, ..unknown(held_max) };
        assert!(500 < walk(moment(known, 4, 2)));
    }
}

#[test]
fn every_order_ends_well_also_from_an_unknown_start() {
    for held_max in [1, 8] {
        assert!(200 < walk(moment(unknown(held_max), 3, 2)));
    }
}

fn unknown(held_max: usize) -> Follow<u64> {
    Follow::holding_at_most(held_max)
}

#[test]
fn an_event_of_another_log_begins_anew_and_is_kept() {
    let mut follow = Follow::from(LOG, 5);
    let mut out = Vec::new();
    assert_eq!(follow.on_event(LOG, 7, 7, &mut out), Verdict::Held);
    assert_eq!(follow.on_event(10, 3, 3, &mut out), Verdict::Resync);
    assert_eq!(follow.on_event(10, 4, 4, &mut out), Verdict::Held);
    let ask = follow.ask().expect("a start is wanted");
    assert_eq!(ask, Ask::Start { number: ask.number() });
    assert_eq!(follow.start_at(10, 2, &mut out), Verdict::Delivered);
    assert_eq!((out, follow.position()), (vec![3, 4], Some((10, 4))));
}

#[test]
fn an_answer_about_the_old_log_changes_nothing() {
    let mut follow = Follow::from(LOG, 5);
    let mut out = Vec::new();
    follow.on_head(LOG, 7);
    let old = follow.ask().expect("a gap");
    follow.on_head(10, 1);
    let new = follow.ask().expect("a start");
    follow.start_at(10, 1, &mut out);
    follow.on_changes(old.number(), LOG, 7, [(6, 6), (7, 7)], &mut out);
    follow.on_failed(new.number());
    assert_eq!((out, follow.position()), (vec![], Some((10, 1))));
}

#[test]
fn a_head_that_is_ahead_is_asked_for_once() {
    let mut follow: Follow<u64> = Follow::from(LOG, 5);
    assert_eq!(follow.on_head(LOG, 5), Verdict::Old);
    assert_eq!(follow.ask(), None);
    assert_eq!(follow.on_head(LOG, 8), Verdict::Held);
    assert_eq!(follow.ask(), Some(Ask::Changes { number: 1, after: 5, up_to: 8 }));
    assert_eq!(follow.ask(), None);
    follow.on_failed(1);
    assert_eq!(follow.ask(), Some(Ask::Changes { number: 2, after: 5, up_to: 8 }));
}

#[test]
fn changes_overtaken_by_later_ones_may_be_missing_from_the_answer() {
    let mut follow = Follow::from(LOG, 1);
    let mut out = Vec::new();
    follow.on_event(LOG, 6, 6, &mut out);
    let ask = follow.ask().expect("a gap");
    assert_eq!(
        follow.on_changes(ask.number(), LOG, 5, [(4, 4)], &mut out),
        Verdict::Delivered,
        "4, then the held 6"
    );
    assert_eq!((out, follow.position()), (vec![4, 6], Some((LOG, 6))));
}

#[test]
fn what_the_store_no_longer_has_begins_anew() {
    let mut follow = Follow::from(LOG, 1);
    let mut out = Vec::new();
    follow.on_event(LOG, 900, 900, &mut out);
    let ask = follow.ask().expect("a gap");
    assert_eq!(follow.on_resync(ask.number()), Verdict::Resync);
    assert!(matches!(follow.ask(), Some(Ask::Start { .. })));
    assert_eq!(follow.start_at(LOG, 899, &mut out), Verdict::Delivered);
    assert_eq!(out, [900]);
}

#[test]
fn no_more_is_held_than_allowed() {
    let mut follow = Follow { position: Some((LOG, 0)), held_log: LOG, ..unknown(3) };
    let mut out = Vec::new();
    for ver in (2..100).rev() {
        assert_eq!(follow.on_event(LOG, ver, ver, &mut out), Verdict::Held);
        assert!(follow.held.len() <= 3);
    }
    assert_eq!(follow.on_event(LOG, 1, 1, &mut out), Verdict::Held, "5 to 99 are known of");
    assert_eq!(out, [1, 2, 3, 4]);
    assert_eq!(follow.ask(), Some(Ask::Changes { number: 1, after: 4, up_to: 99 }));
}
