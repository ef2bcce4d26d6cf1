//! I11: a read that says the highest ver its client knows (`min_ver`) shows at least that state: what the
//! client's own acknowledged sends, edits and deletes did, what it read before, what it was told. Nothing
//! is promised to a read without `min_ver`, nor about what is above it.

use crate::history::{At, Chat, History, Read, Step};
use crate::index::Index;
use crate::record::{Page, SeenMessage};
use crate::verdict::Finding;
use std::collections::HashMap;

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I11", "a read shows what its client knew, and never less");
    for (number, chat) in &history.chats {
        let mut readers: Index<(usize, u32), Vec<&Read>> = Index::default();
        for read in &chat.calls.reads {
            if read.page.is_some() && read.bounds.min_ver.is_some() {
                readers.entry((read.asked.recording, read.client)).or_default().push(read);
            }
        }
        if readers.is_empty() {
            continue;
        }
        let mut learned = learned(history, chat, |client| readers.contains_key(&client));
        for (client, reads) in readers {
            let mut lessons = learned.remove(&client).unwrap_or_default();
            lessons.sort_unstable_by_key(|lesson| lesson.at);
            walk(history, &mut finding, *number, chat, &reads, &lessons);
        }
    }
    finding
}

/// What a client learned from one record.
#[derive(Clone, Copy)]
struct Lesson<'a> {
    at: At,
    log: &'a str,
    /// The chat has come so far.
    ver: u64,
    seq: u64,
    /// The message with this seq has come so far.
    message: Option<(u64, u64)>,
}

/// The most that was known of something at some time.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Known {
    at: At,
    is: u64,
}

/// What a client knows of a log's chat, as it reads along.
#[derive(Default)]
struct Knowledge {
    ver: Option<Known>,
    /// (the highest birth ver, its seq)
    seq: Option<(u64, Known)>,
    messages: Index<u64, Known>,
}

fn learned<'a>(
    history: &'a History,
    chat: &'a Chat,
    reads: impl Fn((usize, u32)) -> bool,
) -> Index<(usize, u32), Vec<Lesson<'a>>> {
    let mut learned: Index<(usize, u32), Vec<Lesson<'a>>> = Index::default();
    let mut learn = |at: At, client: u32, lesson: Lesson<'a>| {
        if reads((at.recording, client)) {
            learned.entry((at.recording, client)).or_default().push(lesson);
        }
    };
    for send in chat.sends.iter().map(|index| &history.sends[*index]) {
        for ack in &send.acks {
            let (at, log) = (ack.at, chat.log(&ack.log));
            let message = Some((ack.seq, ack.ver));
            learn(at, send.client, Lesson { at, log, ver: ack.ver, seq: ack.seq, message });
        }
    }
    for change in &chat.calls.changes {
        let Some((at, (log, ver))) = change.ended.acked() else { continue };
        let (log, message) = (chat.log(log), Some((change.seq, *ver)));
        learn(at, change.client, Lesson { at, log, ver: *ver, seq: change.seq, message });
    }
    for view in chat.views.iter().map(|index| &history.views[*index]) {
        for (at, step) in &view.steps {
            let (log, ver, message) = match step {
                Step::Saw { log, ver, message, .. } => (log, *ver, message.as_ref()),
                Step::Follows { log, ver } | Step::Resynced { log, to_ver: ver } => {
                    (log, *ver, None)
                }
                Step::Resumed { .. } | Step::Leaves => continue,
            };
            let seq = message.map_or(0, |message| message.seq);
            let message = message.map(|message| (message.seq, message.changed_ver));
            learn(*at, view.client, Lesson { at: *at, log: chat.log(log), ver, seq, message });
        }
    }
    for read in &chat.calls.reads {
        let Some(page) = &read.page else { continue };
        let Page { log, head_seq, head_ver, messages, .. } = &page.answer;
        let (at, log) = (page.at, chat.log(log));
        let head = Lesson { at, log, ver: *head_ver, seq: *head_seq, message: None };
        learn(at, read.client, head);
        for message in messages {
            let (ver, seq) = (message.ver, message.seq);
            let message = Some((seq, message.changed_ver));
            learn(at, read.client, Lesson { at, log, ver, seq, message });
        }
    }
    learned
}

/// Goes through a client's reads in the order asked, each with what was learned before.
fn walk(
    history: &History,
    finding: &mut Finding,
    chat_number: u64,
    chat: &Chat,
    reads: &[&Read],
    lessons: &[Lesson<'_>],
) {
    let mut known: HashMap<&str, Knowledge> = HashMap::new();
    let mut lessons = lessons.iter().peekable();
    for read in reads {
        while let Some(lesson) = lessons.next_if(|lesson| lesson.at < read.asked) {
            known.entry(lesson.log).or_default().learn(lesson);
        }
        let (Some(page), Some(min_ver)) = (&read.page, read.bounds.min_ver) else { continue };
        finding.checked += 1;
        let known = known.get(chat.log(&page.answer.log));
        let Some((what, since)) = older(&page.answer, min_ver, known) else { continue };
        finding.violated(page.at.t, || {
            let mut records: Vec<String> =
                since.map(|at| format!("known: {}", history.place(at))).into_iter().collect();
            let (asked, place) = (history.place(read.asked), history.place(page.at));
            records.push(format!("asked: {asked}: min_ver {min_ver}"));
            records.push(format!("page:  {place}"));
            (format!("a page of chat {chat_number} for client {}: {what}", read.client), records)
        });
    }
}

/// What a page shows as it was before, and since when the client knew better.
fn older(page: &Page, min_ver: u64, known: Option<&Knowledge>) -> Option<(String, Option<At>)> {
    let head_ver = page.head_ver;
    if head_ver < min_ver {
        let since = known.and_then(|known| known.ver).map(|known| known.at);
        return Some((format!("its head is ver {head_ver}"), since));
    }
    let known = known?;
    if let Some((birth, seq)) = known.seq
        && birth <= min_ver
        && page.head_seq < seq.is
    {
        let what = format!("its head is seq {}, seq {} was known", page.head_seq, seq.is);
        return Some((what, Some(seq.at)));
    }
    page.messages.iter().find_map(|message: &SeenMessage| {
        let of = known.messages.get(&message.seq)?;
        (of.is <= min_ver && message.changed_ver < of.is).then(|| {
            let SeenMessage { seq, changed_ver, .. } = message;
            let what = format!("seq {seq} is as of ver {changed_ver}, ver {} was known", of.is);
            (what, Some(of.at))
        })
    })
}

impl Knowledge {
    fn learn(&mut self, lesson: &Lesson<'_>) {
        let known = |is| Known { at: lesson.at, is };
        if self.ver.is_none_or(|before| before.is < lesson.ver) {
            self.ver = Some(known(lesson.ver));
        }
        // A head's ver may be that of a later change; its seq was born no later.
        if self.seq.is_none_or(|(_, before)| before.is < lesson.seq) {
            self.seq = Some((lesson.ver, known(lesson.seq)));
        }
        if let Some((seq, changed_ver)) = lesson.message {
            let of = self.messages.entry(seq).or_insert(known(changed_ver));
            if of.is < changed_ver {
                *of = known(changed_ver);
            }
        }
    }
}
