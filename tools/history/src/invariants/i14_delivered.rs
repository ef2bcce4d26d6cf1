//! I14: who followed a chat to the end saw everything that happened in it, in ver order, each once.
//!
//! After a resume an overtaken change may be missing, a message never. After a resync counting begins
//! anew at its ver.

use crate::history::{At, Chat, History, Step, View};
use crate::verdict::Finding;
use std::collections::HashMap;

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I14", "a follower sees every event once and in order");
    let mut births: HashMap<u64, Vec<u64>> = HashMap::new();
    for (chat, state) in &history.chats {
        if let Some(last) = &state.last {
            let mut vers: Vec<u64> = last.stored.iter().map(|(_, message)| message.ver).collect();
            vers.sort_unstable();
            births.insert(*chat, vers);
        }
    }
    for view in &history.views {
        let births = births.get(&view.chat).map_or(&[][..], Vec::as_slice);
        walk(history, &mut finding, view, history.chats.get(&view.chat), births);
    }
    finding
}

/// Where a follower stands.
struct Standing {
    at: At,
    ver: u64,
    /// Up to here only messages are certain to come.
    resumed_to: u64,
}

fn walk(
    history: &History,
    finding: &mut Finding,
    view: &View,
    chat: Option<&Chat>,
    births: &[u64],
) {
    let mut standing: Option<Standing> = None;
    for (at, step) in &view.steps {
        match step {
            Step::Follows { ver, .. } | Step::Resynced { to_ver: ver, .. } => {
                standing = Some(Standing { at: *at, ver: *ver, resumed_to: 0 });
            }
            Step::Leaves => standing = None,
            Step::Resumed { to_ver } => {
                if let Some(standing) = &mut standing {
                    standing.resumed_to = standing.resumed_to.max(*to_ver);
                }
            }
            Step::Saw { ver, .. } => {
                let Some(before) = &mut standing else { continue };
                finding.checked += 1;
                let what = if *ver == before.ver {
                    Some(format!("ver {ver} was seen twice"))
                } else if *ver < before.ver {
                    Some(format!("ver {ver} was seen after ver {}", before.ver))
                } else {
                    missed(births, before, *ver)
                        .map(|missed| format!("ver {missed} was never seen"))
                };
                if let Some(what) = what {
                    let (from, to) = (before.at, *at);
                    finding.violated(to.t, || told(history, view, what, from, to));
                }
                before.at = *at;
                before.ver = before.ver.max(*ver);
            }
        }
    }
    let (Some(standing), Some(last)) = (standing, chat.and_then(|chat| chat.last.as_ref())) else {
        return;
    };
    if let Some(missed) = missed(births, &standing, last.head.ver + 1) {
        let what = format!("ver {missed} was never seen, the head is {}", last.head.ver);
        finding.violated(standing.at.t, || told(history, view, what, standing.at, last.at));
    }
}

/// The first ver between the standing and `next` that had to be seen.
fn missed(births: &[u64], standing: &Standing, next: u64) -> Option<u64> {
    let first = standing.ver + 1;
    let certain = first.max(standing.resumed_to + 1);
    let born = births.partition_point(|ver| *ver < first);
    let message = births.get(born).copied().filter(|ver| *ver < next);
    let any = (certain < next).then_some(certain);
    [message, any].into_iter().flatten().min()
}

fn told(history: &History, view: &View, what: String, from: At, to: At) -> (String, Vec<String>) {
    (
        format!("client {} in chat {}: {what}", view.client, view.chat),
        vec![
            format!("between: {}", history.place(from)),
            format!("and:     {}", history.place(to)),
        ],
    )
}
