//! Calls other than sends, each with its answer.

use super::{At, History};
use crate::record::{Bounds, Item, Page, Record};
use std::sync::Arc;

/// The calls about one chat, in the order of the recordings and their lines.
#[derive(Default, Debug)]
pub struct Calls {
    pub changes: Vec<Change>,
    pub reads: Vec<Read>,
    pub marks: Vec<Mark>,
    pub memberships: Vec<Membership>,
}

impl Calls {
    pub(super) fn len(&self) -> usize {
        let Calls { changes, reads, marks, memberships } = self;
        changes.len() + reads.len() + marks.len() + memberships.len()
    }
}

/// (recording, client, call)
pub(super) type CallKey = (usize, u32, u32);

/// Where a call is kept: its chat, kind, and index.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    chat: u64,
    kind: Kind,
    index: usize,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Kind {
    Change,
    Read,
    Mark,
    Membership,
}

/// How a call that changes something ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Ended<T> {
    /// It may have happened or not.
    Unknown,
    InVain,
    Acked(At, T),
}

impl<T> Ended<T> {
    pub fn acked(&self) -> Option<(At, &T)> {
        match self {
            Ended::Acked(at, answer) => Some((*at, answer)),
            _ => None,
        }
    }
}

/// An edit or, without a body, a delete.
#[derive(Debug)]
pub struct Change {
    pub asked: At,
    pub client: u32,
    pub user: u64,
    pub seq: u64,
    pub body: Option<String>,
    /// The log and the ver since which the message is like that.
    pub ended: Ended<(Arc<str>, u64)>,
}

#[derive(Debug)]
pub struct Read {
    pub asked: At,
    pub client: u32,
    pub user: u64,
    pub bounds: Bounds,
    pub page: Option<Answered<Page>>,
    pub item: Option<Answered<Item>>,
}

#[derive(Debug)]
pub struct Answered<T> {
    pub at: At,
    pub answer: T,
}

/// A read cursor as its user moved it.
#[derive(Debug)]
pub struct Mark {
    pub asked: At,
    pub user: u64,
    pub seq: u64,
    /// The cursor as acknowledged.
    pub ended: Ended<u64>,
}

#[derive(Debug)]
pub struct Membership {
    pub asked: At,
    pub user: u64,
    pub joins: bool,
    /// Its ver.
    pub ended: Ended<u64>,
}

impl History {
    pub(super) fn add_call(&mut self, at: At, record: Record) {
        match record {
            Record::Change { client, user, chat, call, seq, body } => {
                let ended = Ended::Unknown;
                let changes = &mut self.chat(chat).calls.changes;
                changes.push(Change { asked: at, client, user, seq, body, ended });
                let index = changes.len() - 1;
                self.keep(at, client, call, Place { chat, kind: Kind::Change, index });
            }
            Record::Reading { client, user, chat, call, bounds } => {
                let (page, item) = (None, None);
                let reads = &mut self.chat(chat).calls.reads;
                reads.push(Read { asked: at, client, user, bounds, page, item });
                let index = reads.len() - 1;
                self.keep(at, client, call, Place { chat, kind: Kind::Read, index });
            }
            Record::Marking { client, user, chat, call, seq } => {
                let marks = &mut self.chat(chat).calls.marks;
                marks.push(Mark { asked: at, user, seq, ended: Ended::Unknown });
                let index = marks.len() - 1;
                self.keep(at, client, call, Place { chat, kind: Kind::Mark, index });
            }
            Record::Membership { client, user, chat, call, joins } => {
                let memberships = &mut self.chat(chat).calls.memberships;
                memberships.push(Membership { asked: at, user, joins, ended: Ended::Unknown });
                let index = memberships.len() - 1;
                self.keep(at, client, call, Place { chat, kind: Kind::Membership, index });
            }
            Record::ChangeAcked { client, call, log, ver } => {
                let log = self.log(log);
                self.answer(at, client, call, Kind::Change, |calls, index| {
                    calls.changes[index].ended = Ended::Acked(at, (log, ver));
                });
            }
            Record::Page { client, call, page } => {
                self.answer(at, client, call, Kind::Read, |calls, index| {
                    calls.reads[index].page = Some(Answered { at, answer: page });
                });
            }
            Record::Item { client, call, item } => {
                self.answer(at, client, call, Kind::Read, |calls, index| {
                    calls.reads[index].item = Some(Answered { at, answer: item });
                });
            }
            Record::Marked { client, call, read_seq } => {
                self.answer(at, client, call, Kind::Mark, |calls, index| {
                    calls.marks[index].ended = Ended::Acked(at, read_seq);
                });
            }
            Record::MembershipAcked { client, call, ver } => {
                self.answer(at, client, call, Kind::Membership, |calls, index| {
                    calls.memberships[index].ended = Ended::Acked(at, ver);
                });
            }
            Record::Failed { client, call, maybe_done: false } => self.in_vain(at, client, call),
            // Not known is what a call is until it is answered.
            _ => {}
        }
    }

    fn keep(&mut self, at: At, client: u32, call: u32, place: Place) {
        if self.call_index.insert((at.recording, client, call), place).is_some() {
            self.hole(at, "a number of a call that was used before");
        }
    }

    fn answer(
        &mut self,
        at: At,
        client: u32,
        call: u32,
        kind: Kind,
        set: impl FnOnce(&mut Calls, usize),
    ) {
        let place = self.call_index.get(&(at.recording, client, call)).copied();
        match place.filter(|place| place.kind == kind) {
            Some(place) => set(&mut self.chat(place.chat).calls, place.index),
            None => self.hole(at, "the answer to a call that was not recorded"),
        }
    }

    fn in_vain(&mut self, at: At, client: u32, call: u32) {
        let Some(place) = self.call_index.get(&(at.recording, client, call)).copied() else {
            return self.hole(at, "the outcome of a call that was not recorded");
        };
        let calls = &mut self.chat(place.chat).calls;
        match place.kind {
            Kind::Change => calls.changes[place.index].ended = Ended::InVain,
            Kind::Mark => calls.marks[place.index].ended = Ended::InVain,
            Kind::Membership => calls.memberships[place.index].ended = Ended::InVain,
            Kind::Read => {}
        }
    }
}
