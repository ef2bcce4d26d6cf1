//! I14: between two things that a follower of a chat saw nothing is missing, they come in ver order, each
//! once. That the last one was the chat's last is I15's.
//!
//! After a resume an overtaken change may be missing, a message never. After a resync counting begins
//! anew at its ver.

use crate::history::{At, Chat, History, Step, View};
use crate::verdict::Finding;
use std::cmp::Ordering;

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I14", "a follower sees every event once and in order");
    for (number, chat) in &history.chats {
        let births = Births::of(chat);
        for view in chat.views.iter().map(|index| &history.views[*index]) {
            let mut standing = None;
            for (at, step) in &view.steps {
                if let Step::Saw { ver, .. } = step
                    && let Some(before) = &standing
                {
                    finding.checked += 1;
                    if let Some(what) = wrong_step(&births, before, *ver) {
                        let between = (before.at, *at);
                        finding.violated(at.t, || told(history, *number, view, &what, between));
                    }
                }
                standing = Standing::after(standing, chat, *at, step);
            }
        }
    }
    finding
}

fn wrong_step(births: &Births<'_>, before: &Standing<'_>, ver: u64) -> Option<String> {
    match ver.cmp(&before.ver) {
        Ordering::Equal => Some(format!("ver {ver} was seen twice")),
        Ordering::Less => Some(format!("ver {ver} was seen after ver {}", before.ver)),
        Ordering::Greater => {
            let missed = births.first_missed(before, ver)?;
            Some(format!("ver {missed} was never seen"))
        }
    }
}

/// Where a follower stands.
pub(super) struct Standing<'a> {
    pub(super) at: At,
    pub(super) log: &'a str,
    pub(super) ver: u64,
    /// Up to here only messages are certain to come.
    resumed_to: u64,
}

impl<'a> Standing<'a> {
    /// None: nothing is promised to who does not follow.
    pub(super) fn after(
        before: Option<Standing<'a>>,
        chat: &'a Chat,
        at: At,
        step: &'a Step,
    ) -> Option<Standing<'a>> {
        match step {
            Step::Follows { log, ver } | Step::Resynced { log, to_ver: ver } => {
                Some(Standing { at, log: chat.log(log), ver: *ver, resumed_to: 0 })
            }
            Step::Leaves => None,
            Step::Resumed { to_ver } => before.map(|before| {
                let resumed_to = before.resumed_to.max(*to_ver);
                Standing { resumed_to, ..before }
            }),
            Step::Saw { ver, .. } => {
                before.map(|before| Standing { at, ver: before.ver.max(*ver), ..before })
            }
        }
    }
}

/// The vers of the messages that a chat has in the end: those are never overtaken.
pub(super) struct Births<'a> {
    log: &'a str,
    vers: Vec<u64>,
}

impl Births<'_> {
    pub(super) fn of(chat: &Chat) -> Births<'_> {
        let Some(last) = &chat.last else { return Births { log: "", vers: Vec::new() } };
        let mut vers: Vec<u64> = last.stored.iter().map(|(_, message)| message.ver).collect();
        vers.sort_unstable();
        Births { log: &last.head.log, vers }
    }

    /// The first ver between the standing and `next` that had to be seen.
    pub(super) fn first_missed(&self, standing: &Standing<'_>, next: u64) -> Option<u64> {
        let first = standing.ver + 1;
        let certain = first.max(standing.resumed_to + 1);
        let born = self.vers.partition_point(|ver| *ver < first);
        let message = self.vers.get(born).copied().filter(|ver| *ver < next);
        let message = message.filter(|_| standing.log == self.log);
        let any = (certain < next).then_some(certain);
        [message, any].into_iter().flatten().min()
    }
}

pub(super) fn told(
    history: &History,
    chat: u64,
    view: &View,
    what: &str,
    (from, to): (At, At),
) -> (String, Vec<String>) {
    (
        format!("client {} in chat {chat}: {what}", view.client),
        vec![
            format!("between: {}", history.place(from)),
            format!("and:     {}", history.place(to)),
        ],
    )
}
