//! Every message that anybody saw of a chat, wherever: in an event, on a page, in the final state.

use crate::history::{At, Chat, History, Step};
use crate::record::SeenMessage;

#[derive(Clone, Copy, Debug)]
pub(super) struct Sight<'a> {
    pub(super) at: At,
    pub(super) how: How,
    pub(super) log: &'a str,
    pub(super) message: &'a SeenMessage,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum How {
    Event,
    Page,
    Final,
}

impl How {
    pub(super) fn word(self) -> &'static str {
        match self {
            How::Event => "seen",
            How::Page => "read",
            How::Final => "stored",
        }
    }
}

pub(super) fn sights<'a>(
    history: &'a History,
    chat: &'a Chat,
) -> impl Iterator<Item = Sight<'a>> + 'a {
    let events = chat.views.iter().flat_map(|index| &history.views[*index].steps);
    let events = events.filter_map(|(at, step)| match step {
        Step::Saw { log, message: Some(message), .. } => {
            Some(Sight { at: *at, how: How::Event, log: chat.log(log), message })
        }
        _ => None,
    });
    let pages = chat.calls.reads.iter().filter_map(|read| read.page.as_ref());
    let pages = pages.flat_map(|page| {
        let log = chat.log(&page.answer.log);
        let messages = page.answer.messages.iter();
        messages.map(move |message| Sight { at: page.at, how: How::Page, log, message })
    });
    let stored = chat.last.iter().flat_map(|last| {
        let messages = last.stored.iter();
        messages.map(|(at, message)| Sight {
            at: *at,
            how: How::Final,
            log: &last.head.log,
            message,
        })
    });
    events.chain(pages).chain(stored)
}
