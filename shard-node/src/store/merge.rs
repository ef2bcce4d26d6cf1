//! What an import writes: the rows that are newer than those that stand. Pure; nothing is ever lowered,
//! so that a page that comes late or twice does no harm.

use crate::store::*;
use shardline_daemon::sabotage::is_planted;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Keys of the rows that parts bring, to look up what stands there. In order, each once.
#[derive(Default, Debug)]
pub(super) struct Keys {
    pub(super) heads: BTreeSet<u64>,
    /// chat -> seqs
    pub(super) messages: BTreeMap<u64, BTreeSet<u64>>,
    /// chat -> users
    pub(super) members: BTreeMap<u64, BTreeSet<u64>>,
    /// user -> chats
    pub(super) list: BTreeMap<u64, BTreeSet<u64>>,
    pub(super) users: BTreeSet<u64>,
}

impl Keys {
    pub(super) fn of<'a>(parts: impl Iterator<Item = &'a EntityPart>) -> Keys {
        let mut keys = Keys::default();
        for part in parts {
            for row in &part.messages {
                keys.messages.entry(row.chat).or_default().insert(row.seq);
            }
            for row in &part.members {
                keys.members.entry(row.chat).or_default().insert(row.user);
            }
            for row in &part.list {
                keys.list.entry(row.user).or_default().insert(row.chat);
            }
            keys.heads.insert(part.entity);
            let closing = part.closing.as_ref().map(|closing| &closing.row);
            if let Some(EntityRow::User(_)) = closing {
                keys.users.insert(part.entity);
            }
        }
        keys
    }
}

/// What stands under those keys.
#[derive(Default, Debug)]
pub(super) struct Standing {
    pub(super) heads: HashMap<u64, HeadRow>,
    /// (chat, seq) -> changed_ver
    pub(super) messages: HashMap<(u64, u64), u64>,
    pub(super) members: HashMap<(u64, u64), MemberRow>,
    /// (user, chat) -> list_ver
    pub(super) list: HashMap<(u64, u64), u64>,
    /// user -> sessions
    pub(super) sessions: HashMap<u64, Vec<u64>>,
}

/// No journal row, and heads with what stands as their expected ver.
pub(super) fn merge<'a>(
    parts: impl Iterator<Item = &'a EntityPart>,
    cursors: &[CursorRow],
    standing: &Standing,
) -> WriteSet {
    let mut writes = WriteSet { cursors: cursors.to_vec(), ..WriteSet::default() };
    let mut messages: BTreeMap<(u64, u64), &MessageRow> = BTreeMap::new();
    let mut members: BTreeMap<(u64, u64), MemberRow> = BTreeMap::new();
    let mut list: BTreeMap<(u64, u64), &ListRow> = BTreeMap::new();
    for part in parts {
        for row in &part.messages {
            let newest = messages.entry((row.chat, row.seq)).or_insert(row);
            if newest.changed_ver < row.changed_ver {
                *newest = row;
            }
        }
        let complete_to = standing.heads.get(&part.entity).map_or(0, |head| head.ver);
        let late = part.as_of_ver < complete_to;
        for row in &part.members {
            let key = (row.chat, row.user);
            let known = members.get(&key).or_else(|| standing.members.get(&key));
            let merged = merged_member(known, row, late);
            members.insert(key, merged);
        }
        for row in &part.list {
            let newest = list.entry((row.user, row.chat)).or_insert(row);
            if newest.list_ver < row.list_ver {
                *newest = row;
            }
        }
        writes.changes.extend_from_slice(&part.changes);
        writes.outbox.extend_from_slice(&part.outbox);
        if let Some(closing) = &part.closing {
            close(closing, standing, &mut writes);
        }
    }
    for (key, row) in messages {
        match standing.messages.get(&key) {
            None if is_planted("moves-without-dedupe-keys") => {
                let client_msg_id = (u128::from(key.0) << 64 | u128::from(key.1)).to_be_bytes();
                writes.messages.push(MessageRow { client_msg_id, ..row.clone() });
            }
            None => writes.messages.push(row.clone()),
            Some(changed_ver) if *changed_ver < row.changed_ver => {
                writes.changed_messages.push(row.clone());
            }
            Some(_) => {}
        }
    }
    writes.members = members.into_values().collect();
    let newer = |row: &&ListRow| {
        standing.list.get(&(row.user, row.chat)).is_none_or(|list_ver| *list_ver < row.list_ver)
    };
    writes.list = list.into_values().filter(newer).cloned().collect();
    writes
}

/// Rows without a ver of their own are as new as the head they came with. At the same ver they are
/// taken: they may have been read later, and what they miss comes with the next difference.
fn close(closing: &Closing, standing: &Standing, writes: &mut WriteSet) {
    let Closing { head, row, sessions } = closing;
    let stands = standing.heads.get(&head.entity).map_or(0, |stands| stands.ver);
    if head.ver < stands {
        return;
    }
    if stands < head.ver {
        writes.heads.push(HeadChange { expected_ver: stands, head: *head });
    }
    if 0 < row.trimmed_ver() {
        writes.trimmed_changes.push((head.entity, row.trimmed_ver()));
    }
    match row {
        EntityRow::Chat(row) => writes.chats.push(row.clone()),
        EntityRow::User(row) => writes.users.push(row.clone()),
        EntityRow::Name(row) => writes.names.push(row.clone()),
    }
    let ended = standing.sessions.get(&head.entity).into_iter().flatten();
    let ended = ended.filter(|known| sessions.iter().all(|row| row.session != **known));
    writes.ended_sessions.extend(ended.map(|session| (head.entity, *session)));
    writes.sessions.extend_from_slice(sessions);
}

/// A later stay replaces an earlier one; within a stay, leaving is final and cursors only grow. A role
/// has no ver: it is not taken from rows that are `late`, read before what the copy is complete to.
fn merged_member(stands: Option<&MemberRow>, comes: &MemberRow, late: bool) -> MemberRow {
    let Some(stands) = stands else { return comes.clone() };
    if comes.joined_ver != stands.joined_ver {
        let later = if stands.joined_ver < comes.joined_ver { comes } else { stands };
        return later.clone();
    }
    let row = if late || comes.left_ver < stands.left_ver { stands } else { comes };
    MemberRow { read_seq: stands.read_seq.max(comes.read_seq), ..row.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn member(joined_ver: u64, left_ver: Option<u64>, role: &str, read_seq: u64) -> MemberRow {
        let role = role.to_owned();
        MemberRow { chat: 7, user: 1, role, joined_ver, joined_seq: joined_ver, left_ver, read_seq }
    }

    #[test]
    fn a_member_is_taken_from_the_later_stay_and_never_unread() {
        let check = |stands: MemberRow, comes: MemberRow, expected: MemberRow| {
            assert_eq!(merged_member(Some(&stands), &comes, false), expected);
        };
        check(
            member(3, None, "member", 9),
            member(3, None, "admin", 2),
            member(3, None, "admin", 9),
        );
        check(member(3, None, "a", 1), member(3, Some(8), "a", 2), member(3, Some(8), "a", 2));
        check(member(3, Some(8), "a", 1), member(3, None, "b", 5), member(3, Some(8), "a", 5));
        check(member(3, Some(8), "a", 7), member(9, None, "b", 5), member(9, None, "b", 5));
        check(member(9, None, "b", 5), member(3, Some(8), "a", 7), member(9, None, "b", 5));
        let only = member(1, None, "a", 0);
        assert_eq!(merged_member(None, &only, false), only);
        assert_eq!(merged_member(None, &only, true), only);
        // Read before what stands: only the cursor may be news.
        let (stands, comes) = (member(3, None, "admin", 1), member(3, None, "member", 4));
        assert_eq!(merged_member(Some(&stands), &comes, true), member(3, None, "admin", 4));
    }

    #[test]
    fn a_head_and_what_comes_with_it_never_go_back() {
        let head = |ver| HeadRow { entity: 5, seq: 0, ver, log: 1, activity_ms: 0 };
        let user = |trimmed_ver| UserRow {
            user: 5,
            name: String::new(),
            display_name: String::new(),
            about: String::new(),
            password_hash: String::new(),
            created_at_ms: 0,
            trimmed_ver,
        };
        let part = |ver| EntityPart {
            closing: Some(Closing {
                head: head(ver),
                row: EntityRow::User(user(2)),
                sessions: Vec::new(),
            }),
            ..EntityPart::of(5, ver)
        };
        let mut standing = Standing::default();
        standing.sessions.insert(5, vec![70]);
        let first = merge([part(4)].iter(), &[], &standing);
        assert_eq!(first.heads, [HeadChange { expected_ver: 0, head: head(4) }]);
        standing.heads.insert(5, head(4));
        let again = merge([part(4)].iter(), &[], &standing);
        assert_eq!((again.heads.len(), again.users.len()), (0, 1));
        assert_eq!(again.ended_sessions, [(5, 70)]);
        assert_eq!(again.trimmed_changes, [(5, 2)]);
        let late = merge([part(3)].iter(), &[], &standing);
        assert_eq!(late, WriteSet::default());
    }
}
