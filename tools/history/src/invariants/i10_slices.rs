//! I10: a page is the slice of the chat that was asked for: without holes, up to its bounds, ending where
//! it says that the chat ends; and what it shows is there in the end. What stands at a seq is I6's.

use crate::history::{Answered, Chat, History, Read};
use crate::record::Page;
use crate::verdict::Finding;

pub(crate) fn check(history: &History) -> Finding {
    let mut finding =
        Finding::new("I10", "a page is a slice without holes, and what it shows stays");
    for (number, chat) in &history.chats {
        let mut stored: Vec<u64> =
            chat.last.iter().flat_map(|last| &last.stored).map(|(_, one)| one.seq).collect();
        stored.sort_unstable();
        for read in &chat.calls.reads {
            let Some(page) = &read.page else { continue };
            finding.checked += 1;
            let wrong = shape(read, &page.answer).or_else(|| lost(chat, &page.answer, &stored));
            if let Some(what) = wrong {
                finding.violated(page.at.t, || told(history, *number, read, page, what));
            }
        }
    }
    finding
}

/// What is wrong with the page in itself.
fn shape(read: &Read, page: &Page) -> Option<String> {
    let bounds = read.bounds;
    for pair in page.messages.windows(2) {
        let [one, other] = pair else { continue };
        if other.seq != one.seq + 1 {
            return Some(format!("seq {} follows seq {}", other.seq, one.seq));
        }
    }
    let count = u64::try_from(page.messages.len()).unwrap_or(u64::MAX);
    if bounds.limit.is_some_and(|limit| limit < count) {
        return Some(format!("{count} messages, more than were asked for"));
    }
    let (Some(first), Some(last)) = (page.messages.first(), page.messages.last()) else {
        return empty(read, page);
    };
    if page.head_seq < last.seq {
        return Some(format!("seq {} is beyond its own head {}", last.seq, page.head_seq));
    }
    if page.at_end != (last.seq == page.head_seq) {
        let is = if page.at_end { "it ends the chat" } else { "more follows" };
        return Some(format!("it says that {is}, with seq {} of {}", last.seq, page.head_seq));
    }
    match (bounds.before_seq, bounds.after_seq) {
        // At the start of what a member may see, something below may be hidden.
        (_, Some(after)) if first.seq <= after || (first.seq != after + 1 && !page.at_start) => {
            Some(format!("asked for what is after seq {after}, it begins with seq {}", first.seq))
        }
        (_, Some(_)) => None,
        (before, None) => {
            let wanted =
                before.unwrap_or(u64::MAX).min(page.head_seq.saturating_add(1)).saturating_sub(1);
            (last.seq != wanted).then(|| format!("it ends with seq {}, not {wanted}", last.seq))
        }
    }
}

fn empty(read: &Read, page: &Page) -> Option<String> {
    let more = match (read.bounds.before_seq, read.bounds.after_seq) {
        (_, Some(after)) => after < page.head_seq && !page.at_start,
        (before, None) => 1 < before.unwrap_or(u64::MAX) && 0 < page.head_seq && !page.at_start,
    };
    more.then(|| format!("it is empty, and there are messages up to seq {}", page.head_seq))
}

/// What of it is not there in the end.
fn lost(chat: &Chat, page: &Page, stored: &[u64]) -> Option<String> {
    let last = chat.last.as_ref().filter(|_| chat.is_of_last_log(&page.log))?;
    if last.head.seq < page.head_seq || last.head.ver < page.head_ver {
        let (seq, ver) = (last.head.seq, last.head.ver);
        return Some(format!("its head is beyond the last one, seq {seq} ver {ver}"));
    }
    let judged = page.messages.iter().filter(|message| chat.base().0 < message.seq);
    let mut seqs = judged.map(|message| message.seq);
    let gone = seqs.find(|seq| stored.binary_search(seq).is_err())?;
    Some(format!("its seq {gone} is not there in the end"))
}

fn told(
    history: &History,
    chat: u64,
    read: &Read,
    page: &Answered<Page>,
    what: String,
) -> (String, Vec<String>) {
    let Page { messages, head_seq, head_ver, .. } = &page.answer;
    let span = match (messages.first(), messages.last()) {
        (Some(first), Some(last)) => format!("seqs {} to {}", first.seq, last.seq),
        _ => "no messages".to_owned(),
    };
    let (asked, place) = (history.place(read.asked), history.place(page.at));
    (
        format!("a page of chat {chat} for client {}: {what}", read.client),
        vec![
            format!("asked: {asked}: {}", bounds(read)),
            format!("page:  {place}: {span}, head seq {head_seq} ver {head_ver}"),
        ],
    )
}

fn bounds(read: &Read) -> String {
    let bounds = read.bounds;
    let limit = bounds.limit.map_or(String::new(), |limit| format!(", at most {limit}"));
    match (bounds.before_seq, bounds.after_seq) {
        (_, Some(after)) => format!("after seq {after}{limit}"),
        (Some(before), None) => format!("before seq {before}{limit}"),
        (None, None) => format!("the latest{limit}"),
    }
}
