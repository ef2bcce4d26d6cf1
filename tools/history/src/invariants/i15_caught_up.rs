//! I15: when all is quiet, everybody who follows a chat stands where it ends: in its log, with nothing
//! after what they saw last.

use super::i14_delivered::{Births, Standing, told};
use crate::history::History;
use crate::verdict::Finding;

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I15", "when all is quiet every follower has seen everything");
    for (number, chat) in &history.chats {
        let Some(last) = &chat.last else { continue };
        let births = Births::of(chat);
        for view in chat.views.iter().map(|index| &history.views[*index]) {
            let steps = view.steps.iter();
            let end =
                steps.fold(None, |standing, (at, step)| Standing::after(standing, chat, *at, step));
            let Some(end) = end else { continue };
            finding.checked += 1;
            let what = if end.log != last.head.log {
                format!("it follows log {:?}, the chat has {:?}", end.log, last.head.log)
            } else if let Some(missed) = births.first_missed(&end, last.head.ver + 1) {
                format!("ver {missed} was never seen, the head is {}", last.head.ver)
            } else {
                continue;
            };
            finding.violated(end.at.t, || told(history, *number, view, &what, (end.at, last.at)));
        }
    }
    finding
}
