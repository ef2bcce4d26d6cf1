//! I13: who was removed from a chat, or left it, sees nothing of it that came later: no read begun after
//! the acknowledgement is answered, no event above the removal's ver comes. Until somebody begins to
//! make them a member again; an outcome that nobody learned counts as that. Whether they are then shown
//! what happened meanwhile is the chat's choice, and not judged.

use crate::history::{At, Chat, Ended, History, Membership, Step};
use crate::verdict::Finding;
use std::collections::{HashMap, HashSet};

pub(crate) fn check(history: &History) -> Finding {
    let mut finding = Finding::new("I13", "who is no member any more sees nothing more");
    for (number, chat) in &history.chats {
        let mut users: HashMap<u64, Vec<&Membership>> = HashMap::new();
        for membership in &chat.calls.memberships {
            users.entry(membership.user).or_default().push(membership);
        }
        for (user, of) in users {
            let absences = absences(&of);
            reads(history, &mut finding, *number, chat, user, &absences);
            events(history, &mut finding, *number, chat, user, &absences);
        }
    }
    finding
}

/// A time during which a user was certainly not a member.
struct Absence {
    removed: At,
    ver: u64,
    /// When somebody next asked to make them one, in the same recording.
    until: Option<At>,
    /// The ver at which they surely came back; none: nobody tried.
    back_ver: Option<u64>,
    /// Whether somebody may have made them one with a ver that nobody knows.
    is_open: bool,
}

/// When a user may next have become a member.
#[derive(Clone, Copy)]
enum Next {
    Never,
    Asked(At),
    /// By clocks that cannot be compared.
    Sometime,
}

fn absences(of: &[&Membership]) -> Vec<Absence> {
    // By ver, those last whose ver nobody knows.
    let ver = |one: &Membership| one.ended.acked().map_or(u64::MAX, |(_, ver)| *ver);
    let joins = of.iter().filter(|one| one.joins && one.ended != Ended::InVain);
    let mut joins: Vec<(u64, At)> = joins.map(|one| (ver(one), one.asked)).collect();
    joins.sort_unstable();
    // The earliest asked for of each one and all after it.
    let mut nexts = vec![Next::Never];
    for (_, asked) in joins.iter().rev() {
        nexts.push(match nexts.last() {
            None | Some(Next::Never) => Next::Asked(*asked),
            Some(Next::Asked(at)) if at.recording == asked.recording => Next::Asked(*at.min(asked)),
            Some(_) => Next::Sometime,
        });
    }
    nexts.reverse();
    let mut absences = Vec::new();
    for removal in of.iter().filter(|one| !one.joins) {
        let Some((removed, removed_ver)) = removal.ended.acked() else { continue };
        let later = joins.partition_point(|(ver, _)| ver < removed_ver);
        let until = match nexts[later] {
            Next::Never => None,
            Next::Asked(at) if at.recording == removed.recording => Some(at),
            Next::Asked(_) | Next::Sometime => Some(removed),
        };
        absences.push(Absence {
            removed,
            ver: *removed_ver,
            until,
            back_ver: joins.get(later).map(|(ver, _)| *ver),
            is_open: joins.last().is_some_and(|(ver, _)| *ver == u64::MAX),
        });
    }
    absences.sort_unstable_by_key(|absence| absence.removed);
    absences
}

fn reads(
    history: &History,
    finding: &mut Finding,
    number: u64,
    chat: &Chat,
    user: u64,
    absences: &[Absence],
) {
    for read in chat.calls.reads.iter().filter(|read| read.user == user) {
        let answered = read.page.as_ref().map(|page| page.at);
        let Some(at) = answered.or(read.item.as_ref().map(|item| item.at)) else { continue };
        let before = absences.partition_point(|absence| absence.removed < read.asked);
        let Some(absence) = before.checked_sub(1).and_then(|index| absences.get(index)) else {
            continue;
        };
        if absence.removed.recording != read.asked.recording {
            continue;
        }
        finding.checked += 1;
        if absence.until.is_none_or(|until| at < until) {
            finding.violated(at.t, || {
                let records = vec![
                    format!("removed: {} as ver {}", history.place(absence.removed), absence.ver),
                    format!("asked:   {}", history.place(read.asked)),
                    format!("answer:  {}", history.place(at)),
                ];
                (format!("user {user} read chat {number} without being a member"), records)
            });
        }
    }
}

fn events(
    history: &History,
    finding: &mut Finding,
    number: u64,
    chat: &Chat,
    user: u64,
    absences: &[Absence],
) {
    let mut absences: Vec<&Absence> = absences.iter().filter(|absence| !absence.is_open).collect();
    absences.sort_unstable_by_key(|absence| absence.ver);
    let clients: HashSet<(usize, u32)> = clients(history, chat, user);
    for view in chat.views.iter().map(|index| &history.views[*index]) {
        if !clients.contains(&(view.recording, view.client)) {
            continue;
        }
        for (at, step) in &view.steps {
            let Step::Saw { log, ver, .. } = step else { continue };
            let before = absences.partition_point(|absence| absence.ver < *ver);
            let absence = before.checked_sub(1).and_then(|index| absences.get(index));
            let Some(absence) = absence.filter(|_| chat.is_of_last_log(log)) else { continue };
            finding.checked += 1;
            let may_be_back =
                absence.until.is_some_and(|until| until.recording != at.recording || until <= *at);
            if !may_be_back && absence.back_ver.is_none_or(|back| *ver < back) {
                finding.violated(at.t, || {
                    let removed = history.place(absence.removed);
                    let records = vec![
                        format!("removed: {removed} as ver {}", absence.ver),
                        format!("seen:    {}: ver {ver}", history.place(*at)),
                    ];
                    (format!("user {user} saw chat {number} without being a member"), records)
                });
            }
        }
    }
}

/// The connections of a user, as far as anything recorded tells.
fn clients(history: &History, chat: &Chat, user: u64) -> HashSet<(usize, u32)> {
    let sends = chat.sends.iter().map(|index| &history.sends[*index]);
    let sends = sends.filter(|send| send.key.user == user);
    let sends = sends.map(|send| (send.invoked.recording, send.client));
    let reads = chat.calls.reads.iter().filter(|read| read.user == user);
    sends.chain(reads.map(|read| (read.asked.recording, read.client))).collect()
}
