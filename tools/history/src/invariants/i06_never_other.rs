//! I6: what stands at a seq or a ver of a chat's log never becomes something else: an acknowledgement,
//! every event, every page and the final state agree about it. An edit or a delete gives a message a new
//! body only with a higher changed_ver. Another log begins anew.

use super::sight::sights;
use crate::history::{At, Chat, History, Step};
use crate::index::Index;
use crate::record::MsgId;
use crate::verdict::Finding;
use std::collections::hash_map::Entry;

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I6", "what was seen at a seq or ver never becomes another");
    for (number, chat) in &history.chats {
        let mut ledger =
            Ledger { history, chat: *number, finding: &mut finding, logs: Index::default() };
        acknowledged(history, chat, &mut ledger);
        for sight in sights(history, chat) {
            let message = sight.message;
            let who = Who { ver: message.ver, sender: message.sender, id: message.id };
            ledger.note(Fact {
                log: sight.log,
                seq: message.seq,
                changed_ver: message.changed_ver,
                at: sight.at,
                how: sight.how.word(),
                who: Some(who),
                body: Some(message.body.as_deref()),
            });
        }
        other_vers(history, chat, &mut ledger);
    }
    finding
}

/// What one record says of the message at a seq.
#[derive(Clone, Copy)]
struct Fact<'a> {
    log: &'a str,
    seq: u64,
    changed_ver: u64,
    at: At,
    how: &'static str,
    who: Option<Who>,
    /// None: it does not say. Some(None): deleted.
    body: Option<Option<&'a str>>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Who {
    ver: u64,
    sender: u64,
    id: MsgId,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What<'a> {
    Birth(u64),
    Change(u64),
    Other(&'a str),
}

/// What one record says a ver is.
#[derive(Clone, Copy)]
struct Ver<'a> {
    at: At,
    how: &'static str,
    what: What<'a>,
}

/// What was said first, against which all that is said later is held.
struct Ledger<'a, 'b> {
    history: &'a History,
    chat: u64,
    finding: &'b mut Finding,
    logs: Index<&'a str, Log<'a>>,
}

#[derive(Default)]
struct Log<'a> {
    /// By seq.
    messages: Index<u64, Fact<'a>>,
    /// By (seq, changed_ver).
    bodies: Index<(u64, u64), Fact<'a>>,
    vers: Index<u64, Ver<'a>>,
}

fn acknowledged<'a>(history: &'a History, chat: &'a Chat, ledger: &mut Ledger<'a, '_>) {
    for send in chat.sends.iter().map(|index| &history.sends[*index]) {
        for ack in &send.acks {
            ledger.note(Fact {
                log: chat.log(&ack.log),
                seq: ack.seq,
                changed_ver: ack.ver,
                at: ack.at,
                how: "acked",
                who: Some(Who { ver: ack.ver, sender: send.key.user, id: send.key.id }),
                body: None,
            });
        }
    }
    for change in &chat.calls.changes {
        let Some((at, (log, ver))) = change.ended.acked() else { continue };
        ledger.note(Fact {
            log: chat.log(log),
            seq: change.seq,
            changed_ver: *ver,
            at,
            how: "changed",
            who: None,
            body: Some(change.body.as_deref()),
        });
    }
}

/// What events say of vers that no message they carry has.
fn other_vers<'a>(history: &'a History, chat: &'a Chat, ledger: &mut Ledger<'a, '_>) {
    for view in chat.views.iter().map(|index| &history.views[*index]) {
        for (at, step) in &view.steps {
            let Step::Saw { log, ver, kind, message } = step else { continue };
            let what = match message {
                // Overtaken: it carries the message as a later change left it.
                Some(message) if message.ver != *ver && message.changed_ver != *ver => {
                    What::Change(message.seq)
                }
                None if matches!(kind.as_str(), "member" | "chat") => What::Other(kind),
                _ => continue,
            };
            ledger.note_ver(chat.log(log), *ver, Ver { at: *at, how: "seen", what });
        }
    }
}

impl<'a> Ledger<'a, '_> {
    fn note(&mut self, fact: Fact<'a>) {
        self.finding.checked += 1;
        let log = self.logs.entry(fact.log).or_default();
        let (mut other, mut birth, mut change) = (None, None, None);
        if let Some(who) = fact.who {
            match log.messages.entry(fact.seq) {
                Entry::Vacant(entry) => {
                    entry.insert(fact);
                    birth = Some(who.ver);
                }
                Entry::Occupied(known) if known.get().who == fact.who => {}
                Entry::Occupied(known) => {
                    other = Some((*known.get(), String::from("another message")))
                }
            }
        }
        if fact.body.is_some() {
            match log.bodies.entry((fact.seq, fact.changed_ver)) {
                Entry::Vacant(entry) => {
                    entry.insert(fact);
                    // A change that changed nothing is acknowledged with the ver of what was there.
                    change = fact.who.filter(|who| who.ver != fact.changed_ver);
                }
                Entry::Occupied(mut known) => {
                    let first = *known.get();
                    if first.body != fact.body && other.is_none() {
                        let what = format!("another body at ver {}", fact.changed_ver);
                        other = Some((first, what));
                    }
                    if first.who.is_none() && fact.who.is_some() {
                        known.get_mut().who = fact.who;
                        change = fact.who.filter(|who| who.ver != fact.changed_ver);
                    }
                }
            }
        }
        let ver = |what| Ver { at: fact.at, how: fact.how, what };
        if let Some(birth) = birth {
            self.note_ver(fact.log, birth, ver(What::Birth(fact.seq)));
        }
        if change.is_some() {
            self.note_ver(fact.log, fact.changed_ver, ver(What::Change(fact.seq)));
        }
        if let Some((known, what)) = other {
            let (history, chat) = (self.history, self.chat);
            self.finding.violated(fact.at.t, || {
                let what = format!("seq {} of chat {chat} is {what}", fact.seq);
                (what, [known, fact].map(|fact| describe(history, &fact)).to_vec())
            });
        }
    }

    fn note_ver(&mut self, log: &'a str, number: u64, ver: Ver<'a>) {
        let known = *self.logs.entry(log).or_default().vers.entry(number).or_insert(ver);
        if known.what == ver.what {
            return;
        }
        let (history, chat) = (self.history, self.chat);
        self.finding.violated(ver.at.t, || {
            let told = |ver: Ver<'_>| {
                let what = match ver.what {
                    What::Birth(seq) => format!("the message with seq {seq}"),
                    What::Change(seq) => format!("a change of seq {seq}"),
                    What::Other(kind) => format!("a {kind}"),
                };
                format!("{}: {}: {what}", ver.how, history.place(ver.at))
            };
            (format!("ver {number} of chat {chat} is two things"), vec![told(known), told(ver)])
        });
    }
}

fn describe(history: &History, fact: &Fact<'_>) -> String {
    let who = fact.who.map_or(String::new(), |who| {
        format!(" ver {} of sender {}, id {}", who.ver, who.sender, who.id)
    });
    let body = match fact.body {
        None => String::new(),
        Some(None) => ", deleted".to_owned(),
        Some(Some(body)) => format!(", {body:?}"),
    };
    let (how, place) = (fact.how, history.place(fact.at));
    format!("{how}: {place}: seq {}{who}, changed at {}{body}", fact.seq, fact.changed_ver)
}
