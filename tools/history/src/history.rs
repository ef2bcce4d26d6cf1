//! One or several recordings, arranged for the judge: sends with their outcomes, other calls with
//! their answers, chats as they were in the end, and what each receiver saw in its order.

mod calls;

use crate::index::Index;
use crate::reader::{ReadError, Reader};
use crate::record::{Line, MsgId, Record, SeenMessage};
pub use calls::{Answered, Change, Ended, Mark, Membership, Read};
use calls::{CallKey, Calls, Place};
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::io::BufRead;
use std::sync::Arc;

#[derive(Default, Debug)]
pub struct History {
    /// The name of each recording.
    pub recordings: Vec<String>,
    /// In the order of the recordings and their lines.
    pub sends: Vec<Send>,
    pub chats: BTreeMap<u64, Chat>,
    pub views: Vec<View>,
    /// Why the recordings do not tell everything; nothing can be proved from them then.
    pub holes: Vec<String>,
    /// Records that were read.
    pub records: u64,
    send_index: Index<SendKey, usize>,
    view_index: Index<(usize, u32, u64), usize>,
    call_index: Index<CallKey, Place>,
    logs: HashMap<String, Arc<str>>,
}

/// What tells one message from all others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct SendKey {
    pub chat: u64,
    pub user: u64,
    pub id: MsgId,
}

/// Where in the recordings it stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct At {
    pub recording: usize,
    pub line: u64,
    /// Microseconds; comparable within one recording only.
    pub t: u64,
}

#[derive(Debug)]
pub struct Send {
    pub key: SendKey,
    pub client: u32,
    pub body: String,
    /// The first time it went out.
    pub invoked: At,
    /// How often it went out.
    pub attempts: u32,
    /// How many of these ended without having stored it, for sure.
    pub in_vain: u32,
    pub acks: Vec<Acked>,
    pub refused: Option<(At, String)>,
    /// The sender stopped waiting; whether it may be stored.
    pub given_up: Option<(At, bool)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Acked {
    pub at: At,
    pub seq: u64,
    pub ver: u64,
    pub duplicate: bool,
    /// Empty: not known.
    pub log: Arc<str>,
}

#[derive(Default, Debug)]
pub struct Chat {
    pub base: Option<Position>,
    pub last: Option<Last>,
    /// Indexes into the history's.
    pub sends: Vec<usize>,
    pub views: Vec<usize>,
    pub calls: Calls,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Position {
    pub log: String,
    pub seq: u64,
    pub ver: u64,
}

/// A chat when all was quiet.
#[derive(Debug)]
pub struct Last {
    pub at: At,
    pub head: Position,
    pub stored: Vec<(At, SeenMessage)>,
    pub changes: Vec<(At, u64, String)>,
}

/// What one client saw of one chat.
#[derive(Debug)]
pub struct View {
    pub recording: usize,
    pub client: u32,
    pub chat: u64,
    pub steps: Vec<(At, Step)>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    Follows { log: Arc<str>, ver: u64 },
    Saw { log: Arc<str>, ver: u64, kind: String, message: Option<SeenMessage> },
    Resumed { to_ver: u64 },
    Resynced { log: Arc<str>, to_ver: u64 },
    Leaves,
}

impl Chat {
    /// (seq, ver) before which nothing is judged.
    pub fn base(&self) -> (u64, u64) {
        self.base.as_ref().map_or((0, 0), |base| (base.seq, base.ver))
    }

    /// The log something was recorded with; if that is not known, the one the chat had at first.
    pub fn log<'a>(&'a self, recorded: &'a str) -> &'a str {
        if !recorded.is_empty() {
            return recorded;
        }
        let last = || self.last.as_ref().map(|last| &last.head);
        self.base.as_ref().or_else(last).map_or("", |position| position.log.as_str())
    }

    /// Whether it is of the log that the chat has in the end.
    pub fn is_of_last_log(&self, recorded: &str) -> bool {
        self.last.as_ref().is_some_and(|last| self.log(recorded) == last.head.log)
    }
}

impl At {
    /// By the one clock of a recording; two recordings cannot be compared.
    pub fn is_before(&self, other: &At) -> bool {
        self.recording == other.recording && self.line < other.line
    }
}

impl Send {
    pub fn first_ack(&self) -> Option<&Acked> {
        self.acks.iter().min_by_key(|ack| ack.at)
    }

    /// Every time it went out, it was answered that it is not stored.
    pub fn is_surely_absent(&self) -> bool {
        self.acks.is_empty() && self.in_vain == self.attempts
    }
}

impl History {
    /// Adds a recording. Records of a message's outcome without its send make a hole.
    pub fn read<R: BufRead>(&mut self, name: &str, reader: Reader<R>) -> Result<(), ReadError> {
        let recording = self.recordings.len();
        self.recordings.push(name.to_owned());
        let mut whole = false;
        for line in reader {
            let (line, Line { t, record }) = line?;
            whole = record == Record::End;
            self.records += 1;
            self.add(At { recording, line, t }, record);
        }
        if !whole {
            self.holes.push(format!("{name} was not finished by its recorder"));
        }
        Ok(())
    }

    pub fn send(&self, key: &SendKey) -> Option<&Send> {
        self.send_index.get(key).map(|index| &self.sends[*index])
    }

    /// How many calls other than sends.
    pub fn calls(&self) -> usize {
        self.chats.values().map(|chat| chat.calls.len()).sum()
    }

    /// For people: where something stands.
    pub fn place(&self, at: At) -> String {
        let seconds = at.t / 1_000_000;
        let name = self.recordings.get(at.recording).map_or("?", String::as_str);
        format!("{name}:{} at {seconds}.{:06} s", at.line, at.t % 1_000_000)
    }

    fn add(&mut self, at: At, record: Record) {
        match record {
            Record::Base { chat, log, seq, ver } => {
                self.chat(chat).base = Some(Position { log, seq, ver });
            }
            Record::Send { client, user, chat, id, body } => {
                self.went_out(at, client, SendKey { chat, user, id }, body);
            }
            Record::Acked { user, chat, id, seq, ver, duplicate, log, .. } => {
                let log = self.log(log);
                let acked = Acked { at, seq, ver, duplicate, log };
                self.outcome(at, SendKey { chat, user, id }, |send| send.acks.push(acked));
            }
            Record::Refused { user, chat, id, code, .. } => {
                self.outcome(at, SendKey { chat, user, id }, |send| {
                    send.in_vain += u32::from(says_not_stored(&code));
                    send.refused = Some((at, code));
                });
            }
            Record::GaveUp { user, chat, id, maybe_stored, .. } => {
                self.outcome(at, SendKey { chat, user, id }, |send| {
                    send.in_vain += u32::from(!maybe_stored);
                    send.given_up = Some((at, maybe_stored));
                });
            }
            Record::Follows { client, chat, log, ver } => {
                let log = self.log(log);
                self.step(at, client, chat, Step::Follows { log, ver });
            }
            Record::Saw { client, chat, log, ver, kind, message } => {
                let log = self.log(log);
                self.step(at, client, chat, Step::Saw { log, ver, kind, message });
            }
            Record::Resumed { client, chat, to_ver } => {
                self.step(at, client, chat, Step::Resumed { to_ver });
            }
            Record::Resynced { client, chat, log, to_ver } => {
                let log = self.log(log);
                self.step(at, client, chat, Step::Resynced { log, to_ver });
            }
            Record::Leaves { client, chat } => self.step(at, client, chat, Step::Leaves),
            Record::Final { chat, log, head_seq, head_ver } => {
                let head = Position { log, seq: head_seq, ver: head_ver };
                self.chat(chat).last =
                    Some(Last { at, head, stored: Vec::new(), changes: Vec::new() });
            }
            Record::Stored { chat, message } => match &mut self.chat(chat).last {
                Some(last) => last.stored.push((at, message)),
                None => self.hole(at, "a stored message before the final state"),
            },
            Record::Changed { chat, ver, kind } => match &mut self.chat(chat).last {
                Some(last) => last.changes.push((at, ver, kind)),
                None => self.hole(at, "a change before the final state"),
            },
            Record::End => {}
            call => self.add_call(at, call),
        }
    }

    fn chat(&mut self, chat: u64) -> &mut Chat {
        self.chats.entry(chat).or_default()
    }

    /// One copy of each log's name.
    fn log(&mut self, log: String) -> Arc<str> {
        self.logs.entry(log).or_insert_with_key(|log| Arc::from(log.as_str())).clone()
    }

    fn went_out(&mut self, at: At, client: u32, key: SendKey, body: String) {
        match self.send_index.entry(key) {
            Entry::Occupied(known) => self.sends[*known.get()].attempts += 1,
            Entry::Vacant(entry) => {
                let index = self.sends.len();
                entry.insert(index);
                self.sends.push(Send {
                    key,
                    client,
                    body,
                    invoked: at,
                    attempts: 1,
                    in_vain: 0,
                    acks: Vec::new(),
                    refused: None,
                    given_up: None,
                });
                self.chat(key.chat).sends.push(index);
            }
        }
    }

    fn outcome(&mut self, at: At, key: SendKey, set: impl FnOnce(&mut Send)) {
        match self.send_index.get(&key) {
            Some(index) => set(&mut self.sends[*index]),
            None => self.hole(at, "the outcome of a send that was not recorded"),
        }
    }

    fn step(&mut self, at: At, client: u32, chat: u64, step: Step) {
        let index = match self.view_index.entry((at.recording, client, chat)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(entry) => {
                let index = self.views.len();
                entry.insert(index);
                self.views.push(View { recording: at.recording, client, chat, steps: Vec::new() });
                self.chats.entry(chat).or_default().views.push(index);
                index
            }
        };
        self.views[index].steps.push((at, step));
    }

    fn hole(&mut self, at: At, what: &str) {
        let place = self.place(at);
        self.holes.push(format!("{place}: {what}"));
    }
}

/// A refusal with one of these codes leaves open whether an attempt stored it: the first because an
/// earlier attempt did, with another body.
fn says_not_stored(code: &str) -> bool {
    !matches!(code, "conflict" | "internal" | "unknown")
}
