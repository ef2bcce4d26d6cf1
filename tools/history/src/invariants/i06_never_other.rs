//! I6: what stands at a seq or a ver of a chat's log never becomes something else: an acknowledgement,
//! every event, every page and the final state agree about it. An edit or a delete gives a message a new
//! body only with a higher changed_ver. Another log begins anew.

use super::sight::sights;
use crate::history::{At, Chat, History, Step};
use crate::record::MsgId;
use crate::verdict::Finding;

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I6", "what was seen at a seq or ver never becomes another");
    for (number, chat) in &history.chats {
        let mut facts = facts(history, chat);
        facts.sort_unstable_by_key(|fact| (fact.log, fact.seq, fact.changed_ver, fact.at));
        let mut vers = vers(history, chat, &facts);
        compare_messages(history, &mut finding, *number, &facts);
        vers.sort_unstable_by_key(|ver| (ver.log, ver.ver, ver.at));
        compare_vers(history, &mut finding, *number, &vers);
    }
    finding
}

/// What one record says of the message at a seq.
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

/// What one record says a ver is.
struct Ver<'a> {
    log: &'a str,
    ver: u64,
    at: At,
    how: &'static str,
    what: What<'a>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What<'a> {
    Birth(u64),
    Change(u64),
    Other(&'a str),
}

fn facts<'a>(history: &'a History, chat: &'a Chat) -> Vec<Fact<'a>> {
    let mut facts = Vec::new();
    for send in chat.sends.iter().map(|index| &history.sends[*index]) {
        facts.extend(send.acks.iter().map(|ack| Fact {
            log: chat.log(&ack.log),
            seq: ack.seq,
            changed_ver: ack.ver,
            at: ack.at,
            how: "acked",
            who: Some(Who { ver: ack.ver, sender: send.key.user, id: send.key.id }),
            body: None,
        }));
    }
    for change in &chat.calls.changes {
        let Some((at, (log, ver))) = change.ended.acked() else { continue };
        facts.push(Fact {
            log: chat.log(log),
            seq: change.seq,
            changed_ver: *ver,
            at,
            how: "changed",
            who: None,
            body: Some(change.body.as_deref()),
        });
    }
    facts.extend(sights(history, chat).map(|sight| {
        let message = sight.message;
        let who = Who { ver: message.ver, sender: message.sender, id: message.id };
        Fact {
            log: sight.log,
            seq: message.seq,
            changed_ver: message.changed_ver,
            at: sight.at,
            how: sight.how.word(),
            who: Some(who),
            body: Some(message.body.as_deref()),
        }
    }));
    facts
}

fn vers<'a>(history: &'a History, chat: &'a Chat, facts: &[Fact<'a>]) -> Vec<Ver<'a>> {
    let mut vers = Vec::new();
    let mut births = None;
    for fact in facts {
        let ver = |ver, what| Ver { log: fact.log, ver, at: fact.at, how: fact.how, what };
        let birth = fact.who.map(|who| who.ver);
        // Of what everybody says alike one is enough: facts are in the order of their seqs.
        let said = (fact.log, fact.seq, birth, fact.changed_ver);
        if births.replace(said) == Some(said) {
            continue;
        }
        vers.extend(birth.map(|birth| ver(birth, What::Birth(fact.seq))));
        // A change that changed nothing is acknowledged with the ver of what was there.
        if birth.is_some_and(|birth| birth != fact.changed_ver) {
            vers.push(ver(fact.changed_ver, What::Change(fact.seq)));
        }
    }
    for view in chat.views.iter().map(|index| &history.views[*index]) {
        for (at, step) in &view.steps {
            let Step::Saw { log, ver, kind, message } = step else { continue };
            let what = match message {
                None if matches!(kind.as_str(), "member" | "chat") => What::Other(kind),
                None => continue,
                Some(message) if message.ver == *ver => What::Birth(message.seq),
                Some(message) => What::Change(message.seq),
            };
            vers.push(Ver { log: chat.log(log), ver: *ver, at: *at, how: "seen", what });
        }
    }
    vers
}

fn compare_messages(history: &History, finding: &mut Finding, chat: u64, facts: &[Fact<'_>]) {
    let mut seq_began = 0;
    let mut body_of: Option<&Fact<'_>> = None;
    let mut who_of: Option<&Fact<'_>> = None;
    for (index, fact) in facts.iter().enumerate() {
        let first = &facts[seq_began];
        if (first.log, first.seq) != (fact.log, fact.seq) {
            seq_began = index;
            (who_of, body_of) = (None, None);
        }
        finding.checked += 1;
        let of = body_of.filter(|known| known.changed_ver == fact.changed_ver);
        let other_body = of.filter(|known| fact.body.is_some() && known.body != fact.body);
        let other_who = who_of.filter(|known| fact.who.is_some() && known.who != fact.who);
        let what = if let Some(known) = other_who {
            Some((known, "another message".to_owned()))
        } else {
            other_body.map(|known| (known, format!("another body at ver {}", fact.changed_ver)))
        };
        if let Some((known, what)) = what {
            finding.violated(known.at.t.max(fact.at.t), || {
                let what = format!("seq {} of chat {chat} is {what}", fact.seq);
                (what, [known, fact].map(|fact| describe(history, fact)).to_vec())
            });
        }
        if fact.who.is_some() && who_of.is_none() {
            who_of = Some(fact);
        }
        if fact.body.is_some() && of.is_none() {
            body_of = Some(fact);
        }
    }
}

fn compare_vers(history: &History, finding: &mut Finding, chat: u64, vers: &[Ver<'_>]) {
    let mut known: Option<&Ver<'_>> = None;
    for ver in vers {
        match known.filter(|known| (known.log, known.ver) == (ver.log, ver.ver)) {
            None => known = Some(ver),
            Some(known) if known.what == ver.what => {}
            Some(known) => finding.violated(known.at.t.max(ver.at.t), || {
                let told = |ver: &Ver<'_>| {
                    let what = match ver.what {
                        What::Birth(seq) => format!("the message with seq {seq}"),
                        What::Change(seq) => format!("a change of seq {seq}"),
                        What::Other(kind) => format!("a {kind}"),
                    };
                    format!("{}: {}: {what}", ver.how, history.place(ver.at))
                };
                (
                    format!("ver {} of chat {chat} is two things", ver.ver),
                    vec![told(known), told(ver)],
                )
            }),
        }
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
