//! What is new in a chat since a ver, without an index on ver: every message takes one ver and both
//! grow together, so new messages are among those with seq > head.seq - (head.ver - since), and
//! everything else that changed has a change row.

use super::rows::Rows;
use crate::store::{ChangeKind, ChangeRow, HeadRow, MessageRange, MessageRow, StoreError};
use shardline_domain::limits::{PAGE_BYTES_MAX, PAGE_MESSAGES_MAX};
use std::collections::HashSet;

/// New messages and change rows above some ver, each complete up to a ver of its own.
pub(super) struct Gathered {
    pub(super) births: Vec<MessageRow>,
    pub(super) births_to: u64,
    pub(super) changes: Vec<ChangeRow>,
    pub(super) changes_to: u64,
}

/// All there is in (since, to_ver]: each message once, each subject's latest change only.
pub(super) struct Page {
    pub(super) births: Vec<MessageRow>,
    pub(super) changes: Vec<ChangeRow>,
    pub(super) to_ver: u64,
}

/// Reads what is new in (since, up_to], at least the beginning of it. `head` was read before.
pub(super) async fn gather(
    rows: &Rows,
    head: HeadRow,
    since: u64,
    up_to: u64,
    limit: usize,
) -> Result<Gathered, StoreError> {
    let mut changes = rows.changes(head.entity, since, limit as u64).await?.to_vec();
    let changes_to = match changes.last() {
        Some(last) if limit <= changes.len() => last.ver.min(up_to),
        _ => up_to,
    };
    changes.retain(|change| change.ver <= up_to);

    let mut births = Vec::new();
    let mut bytes = 0;
    let mut after = head.seq.saturating_sub(head.ver.saturating_sub(since));
    let births_to = loop {
        let range = MessageRange {
            chat: head.entity,
            after,
            before: head.seq.saturating_add(1),
            newest: false,
            limit: PAGE_MESSAGES_MAX,
            bytes: PAGE_BYTES_MAX,
        };
        let found = rows.messages(range).await?;
        let Some((last_seq, last_ver)) = found.last().map(|row| (row.seq, row.ver)) else {
            break up_to;
        };
        for row in found.iter() {
            if since < row.ver && row.ver <= up_to {
                bytes += row.text.len();
                births.push(row.clone());
            }
        }
        if up_to <= last_ver || head.seq <= last_seq {
            break up_to;
        }
        if limit <= births.len() || PAGE_BYTES_MAX <= bytes {
            break last_ver;
        }
        after = last_seq;
    };
    Ok(Gathered { births, births_to, changes, changes_to })
}

/// The first `limit` of what was gathered. Pure.
pub(super) fn page(gathered: Gathered, limit: usize) -> Page {
    let Gathered { mut births, births_to, mut changes, changes_to } = gathered;
    let complete = births_to.min(changes_to);
    let mut vers: Vec<u64> = births.iter().map(|row| row.ver).collect();
    vers.extend(changes.iter().map(|change| change.ver));
    vers.retain(|ver| *ver <= complete);
    vers.sort_unstable();
    let to_ver = if limit < vers.len() { vers[limit - 1] } else { complete };

    births.retain(|row| row.ver <= to_ver);
    changes.retain(|change| change.ver <= to_ver);
    let born: HashSet<u64> = births.iter().map(|row| row.seq).collect();
    let mut seen = HashSet::new();
    // From the latest: an earlier change of the same thing shows the same state.
    changes.reverse();
    changes.retain(|change| {
        let of_new_message = what(change.kind) == What::Message && born.contains(&change.subject);
        !of_new_message && seen.insert((what(change.kind), change.subject))
    });
    changes.reverse();
    Page { births, changes, to_ver }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum What {
    Message,
    Member,
    Chat,
    List,
    Profile,
    Session,
}

fn what(kind: ChangeKind) -> What {
    match kind {
        ChangeKind::Edit | ChangeKind::Delete => What::Message,
        ChangeKind::Member => What::Member,
        ChangeKind::Chat => What::Chat,
        ChangeKind::List => What::List,
        ChangeKind::Profile => What::Profile,
        ChangeKind::Session => What::Session,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn birth(seq: u64, ver: u64) -> MessageRow {
        MessageRow::bare(1, seq, ver)
    }

    fn change(ver: u64, kind: ChangeKind, subject: u64) -> ChangeRow {
        ChangeRow { entity: 1, ver, kind, subject, at_ms: 0 }
    }

    fn check(gathered: Gathered, limit: usize, births: &[u64], changes: &[u64], to_ver: u64) {
        let page = page(gathered, limit);
        assert_eq!(page.births.iter().map(|row| row.ver).collect::<Vec<_>>(), births);
        assert_eq!(page.changes.iter().map(|row| row.ver).collect::<Vec<_>>(), changes);
        assert_eq!(page.to_ver, to_ver);
    }

    fn gathered() -> Gathered {
        Gathered {
            births: vec![birth(3, 11), birth(4, 12), birth(5, 15)],
            births_to: 18,
            changes: vec![
                change(13, ChangeKind::Edit, 4),
                change(14, ChangeKind::Edit, 1),
                change(16, ChangeKind::Delete, 1),
                change(17, ChangeKind::Member, 1),
                change(18, ChangeKind::Member, 9),
            ],
            changes_to: 18,
        }
    }

    #[test]
    fn a_message_appears_once_and_so_does_each_changed_thing() {
        check(gathered(), 100, &[11, 12, 15], &[16, 17, 18], 18);
    }

    #[test]
    fn a_page_holds_all_up_to_where_it_says() {
        check(gathered(), 4, &[11, 12], &[14], 14);
        check(gathered(), 1, &[11], &[], 11);
    }

    #[test]
    fn what_one_side_does_not_know_yet_is_not_promised() {
        let cut = Gathered { births_to: 15, ..gathered() };
        check(cut, 100, &[11, 12, 15], &[14], 15);
        let cut = Gathered { changes_to: 13, ..gathered() };
        check(cut, 100, &[11, 12], &[], 13);
    }
}
