//! Which chats are followed and when the server is asked about one. Pure: time and randomness come in,
//! what the user sees and what to ask come out. The rules of one chat are `domain::follow`.

use crate::frames::{Event, Head, Opened};
use crate::seen::Seen;
use shardline_domain::follow::{Follow, Verdict};
use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::ops::RangeInclusive;
use std::time::Duration;
use tokio::time::Instant;

pub(crate) struct Following {
    chats: HashMap<u64, Chat>,
    /// (when, chat): asked about then, unless the gap has closed.
    due: BTreeSet<(Instant, u64)>,
    /// How long a gap may close by itself.
    gap_wait: RangeInclusive<Duration>,
    random: Box<dyn FnMut() -> f64 + Send>,
}

struct Chat {
    follow: Follow<Box<Event>>,
    /// As the server calls the history; `follow` knows its number.
    log: String,
    /// The user wants it open: registered on every connection. Else it is followed because of an event.
    wanted: bool,
    /// An `open` is on its way.
    asking: bool,
    due: Option<Instant>,
    /// It is due whatever comes meanwhile: not only because of a gap that may close.
    must_ask: bool,
}

/// An `open` to send.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct OpenAsk {
    pub(crate) chat: u64,
    /// (log, ver) to resume from; none: the latest page.
    pub(crate) since: Option<(String, u64)>,
    /// Only asked because of a gap: it need not stay open.
    pub(crate) passing: bool,
}

impl Following {
    pub(crate) fn new(
        gap_wait: RangeInclusive<Duration>,
        random: Box<dyn FnMut() -> f64 + Send>,
    ) -> Following {
        Following { chats: HashMap::new(), due: BTreeSet::new(), gap_wait, random }
    }

    /// Whether chats are followed that no `open` keeps registered.
    pub(crate) fn has_unopened(&self) -> bool {
        self.chats.values().any(|chat| !chat.wanted)
    }

    /// From now on the user wants this chat; it is followed from the answer that `on_page` brings.
    pub(crate) fn want(&mut self, chat: u64) {
        let entry = self.chats.entry(chat).or_insert_with(Chat::unknown);
        entry.wanted = true;
        entry.asking = true;
        Self::set_due(&mut self.due, chat, entry, None);
    }

    /// The same, with everything up to (log, ver) held already.
    pub(crate) fn want_since(&mut self, chat: u64, log: String, ver: u64, now: Instant) {
        let entry = self.chats.entry(chat).or_insert_with(Chat::unknown);
        entry.wanted = true;
        entry.follow = Follow::from(number(&log), ver);
        entry.log = log;
        entry.asking = false;
        Self::must_ask(&mut self.due, chat, entry, now);
    }

    pub(crate) fn forget(&mut self, chat: u64) {
        if let Some(mut entry) = self.chats.remove(&chat) {
            Self::set_due(&mut self.due, chat, &mut entry, None);
        }
    }

    pub(crate) fn on_event(&mut self, event: Event, now: Instant, out: &mut Vec<Seen>) {
        let (chat, ver) = (event.chat, event.ver);
        let log = number(&event.log);
        let entry = self.chats.entry(chat).or_insert_with(|| {
            let log_text = event.log.clone();
            Chat {
                log: log_text,
                follow: Follow::from(log, ver.saturating_sub(1)),
                ..Chat::unknown()
            }
        });
        let mut events = Vec::new();
        let verdict = entry.follow.on_event(log, ver, Box::new(event), &mut events);
        out.extend(events.into_iter().map(Seen::Event));
        self.judge(chat, verdict, now);
    }

    /// A heads frame or an acknowledgement said where the chat is.
    pub(crate) fn on_head(&mut self, chat: u64, log: &str, ver: u64, now: Instant) {
        if let Some(entry) = self.chats.get_mut(&chat) {
            let verdict = entry.follow.on_head(number(log), ver);
            self.judge(chat, verdict, now);
        }
    }

    pub(crate) fn on_heads(&mut self, heads: &[Head], now: Instant) {
        for head in heads {
            self.on_head(head.chat, &head.log, head.head_ver, now);
        }
    }

    /// The `open` that is due; call until there is none.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<OpenAsk> {
        while let Some(&(when, chat)) = self.due.first() {
            if now < when {
                return None;
            }
            self.due.pop_first();
            let Some(entry) = self.chats.get_mut(&chat) else { continue };
            entry.due = None;
            entry.must_ask = false;
            if entry.asking {
                continue;
            }
            entry.asking = true;
            let since = entry.follow.position().map(|(_, ver)| (entry.log.clone(), ver));
            return Some(OpenAsk { chat, since, passing: !entry.wanted });
        }
        None
    }

    pub(crate) fn next_due(&self) -> Option<Instant> {
        self.due.first().map(|(when, _)| *when)
    }

    /// The answer to the user's own `open`: the user has this page, events go on after it.
    pub(crate) fn on_page(&mut self, opened: &Opened, now: Instant, out: &mut Vec<Seen>) {
        let Some(chat) = opened.chat.as_ref() else { return };
        if let Some(entry) = self.chats.get_mut(&chat.chat) {
            entry.asking = false;
            let log = number(&chat.log);
            let delivered = entry.follow.position().filter(|(known, _)| *known == log);
            let ver = delivered.map_or(0, |(_, ver)| ver).max(opened.to_ver);
            out.push(Seen::Opened { chat: chat.chat, log: chat.log.clone(), ver });
            entry.start(&chat.log, opened.to_ver, out);
            let verdict = entry.follow.on_head(log, chat.head_ver);
            self.judge(chat.chat, verdict, now);
        }
    }

    /// The answer to an ask.
    pub(crate) fn on_opened(&mut self, opened: Opened, now: Instant, out: &mut Vec<Seen>) {
        let Some((chat, log, head_ver)) =
            opened.chat.as_ref().map(|item| (item.chat, item.log.clone(), item.head_ver))
        else {
            return;
        };
        let Some(entry) = self.chats.get_mut(&chat) else { return };
        entry.asking = false;
        let to_ver = opened.to_ver;
        let resumed = opened.state == "resumed" && entry.log == log;
        match entry.follow.position() {
            Some((_, after_ver)) if resumed => {
                let more = opened.more;
                entry.resume(opened, after_ver, out);
                let verdict = entry.follow.on_head(number(&log), head_ver);
                if more {
                    Self::must_ask(&mut self.due, chat, entry, now);
                } else {
                    self.judge(chat, verdict, now);
                }
            }
            _ => {
                out.push(Seen::Resynced(Box::new(opened)));
                entry.start_anew(&log, to_ver, out);
                let verdict = entry.follow.on_head(number(&log), head_ver);
                self.judge(chat, verdict, now);
            }
        }
    }

    /// An ask was not answered, or with an error: again after `delay`.
    pub(crate) fn on_failed(&mut self, chat: u64, now: Instant, delay: Duration) {
        if let Some(entry) = self.chats.get_mut(&chat) {
            entry.asking = false;
            Self::must_ask(&mut self.due, chat, entry, now + delay);
        }
    }

    /// A new connection knows no open chats, and events were missed: asks about each wanted one.
    pub(crate) fn on_connected(&mut self, now: Instant) {
        for (chat, entry) in &mut self.chats {
            entry.asking = false;
            // A chat whose first `open` is still to be answered has no position to resume from.
            if entry.wanted && entry.follow.position().is_some() {
                Self::must_ask(&mut self.due, *chat, entry, now);
            }
        }
    }

    fn judge(&mut self, chat: u64, verdict: Verdict, now: Instant) {
        let Some(entry) = self.chats.get_mut(&chat) else { return };
        if entry.asking {
            return;
        }
        match verdict {
            Verdict::Held if entry.due.is_none() => {
                let (least, most) = (*self.gap_wait.start(), *self.gap_wait.end());
                let wait = least + most.saturating_sub(least).mul_f64((self.random)());
                Self::set_due(&mut self.due, chat, entry, Some(now + wait));
            }
            Verdict::Held => {}
            Verdict::Resync => Self::must_ask(&mut self.due, chat, entry, now),
            Verdict::Delivered | Verdict::Old => {
                // The gap closed by itself.
                if !entry.follow.is_behind() && !entry.must_ask {
                    Self::set_due(&mut self.due, chat, entry, None);
                }
            }
        }
    }

    fn must_ask(due: &mut BTreeSet<(Instant, u64)>, chat: u64, entry: &mut Chat, when: Instant) {
        Self::set_due(due, chat, entry, Some(when));
        entry.must_ask = true;
    }

    fn set_due(
        due: &mut BTreeSet<(Instant, u64)>,
        chat: u64,
        entry: &mut Chat,
        when: Option<Instant>,
    ) {
        if let Some(old) = entry.due.take() {
            due.remove(&(old, chat));
        }
        if let Some(when) = when {
            due.insert((when, chat));
            entry.due = Some(when);
        }
    }
}

impl Chat {
    fn unknown() -> Chat {
        Chat {
            follow: Follow::unknown(),
            log: String::new(),
            wanted: false,
            asking: false,
            due: None,
            must_ask: false,
        }
    }

    /// Everything up to `to_ver` is known to the user.
    fn start(&mut self, log: &str, to_ver: u64, out: &mut Vec<Seen>) {
        self.log = log.to_owned();
        let mut events = Vec::new();
        self.follow.start_at(number(log), to_ver, &mut events);
        out.extend(events.into_iter().map(Seen::Event));
    }

    /// The same when what was delivered before counts no more, even if it was beyond `to_ver`.
    fn start_anew(&mut self, log: &str, to_ver: u64, out: &mut Vec<Seen>) {
        match self.follow.ask() {
            Some(ask) => {
                self.follow.on_resync(ask.number());
            }
            None => self.follow = Follow::unknown(),
        }
        self.start(log, to_ver, out);
    }

    /// Takes what happened after `after_ver`, where this chat stands.
    fn resume(&mut self, opened: Opened, after_ver: u64, out: &mut Vec<Seen>) {
        let Some(item) = opened.chat else { return };
        let (chat, to_ver) = (item.chat, opened.to_ver);
        self.follow.on_head(number(&item.log), to_ver);
        // Nothing new: what the answer holds was pushed meanwhile.
        let Some(ask) = self.follow.ask() else { return };
        let messages = opened.messages.into_iter().map(|message| Event {
            chat,
            ver: message.ver,
            log: item.log.clone(),
            kind: "message".to_owned(),
            message: Some(message),
            ..Event::default()
        });
        let events = messages.chain(opened.changes).map(|event| (event.ver, Box::new(event)));
        out.push(Seen::Resumed { chat, after_ver, to_ver });
        let mut delivered = Vec::new();
        self.follow.on_changes(ask.number(), number(&item.log), to_ver, events, &mut delivered);
        out.extend(delivered.into_iter().map(Seen::Event));
    }
}

/// A log as the rules want it. It is a number of this server; of any other text, a hash will do.
fn number(log: &str) -> u64 {
    log.parse().unwrap_or_else(|_| {
        let mut hasher = DefaultHasher::new();
        log.hash(&mut hasher);
        hasher.finish()
    })
}

#[cfg(test)]
mod tests;
