//! A chat item for one user: what the chat's shard knows, with what comes from elsewhere: the cursor
//! not yet flushed, the user's own list row, the other person's profile.

use crate::cursors;
use crate::node::Node;
use crate::profiles;
use shardline_domain::id::UserId;
use shardline_domain::unread::{Floors, unread};
use shardline_wire::client::{ChatItem, User};
use shardline_wire::internal::{ChatView, ListRow};

/// One item. Without a list row (the user's shard does not answer, or the chat is new) nothing is
/// pinned, muted or hidden.
pub(crate) async fn item(
    node: &Node,
    user: UserId,
    view: ChatView,
    row: Option<&ListRow>,
) -> Option<ChatItem> {
    items(node, user, vec![(view, row.cloned())]).await.pop()
}

/// Several items of one user, with one look at the cursors and one at the profiles. Views without an
/// item are left out.
pub(crate) async fn items(
    node: &Node,
    user: UserId,
    parts: Vec<(ChatView, Option<ListRow>)>,
) -> Vec<ChatItem> {
    let chats: Vec<u64> =
        parts.iter().filter_map(|(view, _)| view.item.as_ref().map(|item| item.chat)).collect();
    let peers: Vec<u64> =
        parts.iter().map(|(view, _)| view.peer).filter(|peer| *peer != 0).collect();
    let (read, profiles) =
        tokio::join!(cursors::known(node, user, &chats), profiles::of(node, &peers));
    let assembled = parts.into_iter().filter_map(|(view, row)| {
        let chat = view.item.as_ref()?.chat;
        let peer = (view.peer != 0).then(|| {
            let unknown = User { user: view.peer, ..User::default() };
            profiles.get(&view.peer).cloned().unwrap_or(unknown)
        });
        assemble(view, row.as_ref(), peer, read.get(&chat).copied().unwrap_or(0))
    });
    assembled.collect()
}

fn assemble(
    view: ChatView,
    row: Option<&ListRow>,
    peer: Option<User>,
    cached_read_seq: u64,
) -> Option<ChatItem> {
    let mut item = view.item?;
    // A cursor read later than the head may lie beyond it; so may one from before a restore.
    let read_seq = view.read_seq.max(cached_read_seq.min(item.head_seq));
    let floors = Floors {
        joined_seq: view.joined_seq,
        hidden_seq: row.map_or(0, |row| row.hidden_seq),
        trimmed_seq: view.trimmed_seq,
        read_seq,
    };
    item.unread = Some(unread(item.head_seq, floors));
    item.read_seq = Some(read_seq);
    item.pinned = Some(row.is_some_and(|row| row.pinned));
    item.muted = Some(row.is_some_and(|row| row.muted));
    item.peer = peer;
    Some(item)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view() -> ChatView {
        let item = ChatItem { chat: 9, head_seq: 100, ..ChatItem::default() };
        ChatView { item: Some(item), joined_seq: 10, read_seq: 40, ..ChatView::default() }
    }

    fn row() -> ListRow {
        ListRow { chat: 9, hidden_seq: 70, pinned: true, ..ListRow::default() }
    }

    fn numbers(item: Option<ChatItem>) -> (Option<u64>, Option<u64>) {
        item.map(|item| (item.read_seq, item.unread)).expect("an item")
    }

    #[test]
    fn the_highest_cursor_counts() {
        assert_eq!(numbers(assemble(view(), None, None, 0)), (Some(40), Some(60)));
        assert_eq!(numbers(assemble(view(), None, None, 95)), (Some(95), Some(5)));
        assert_eq!(numbers(assemble(view(), None, None, 7)), (Some(40), Some(60)));
        assert_eq!(numbers(assemble(view(), None, None, 101)), (Some(100), Some(0)));
    }

    #[test]
    fn hidden_messages_are_not_unread() {
        assert_eq!(numbers(assemble(view(), Some(&row()), None, 0)), (Some(40), Some(30)));
    }

    #[test]
    fn the_users_own_settings_come_from_its_row() {
        let with = assemble(view(), Some(&row()), None, 0).expect("an item");
        assert_eq!((with.pinned, with.muted), (Some(true), Some(false)));
        let without = assemble(view(), None, None, 0).expect("an item");
        assert_eq!((without.pinned, without.muted), (Some(false), Some(false)));
        assert_eq!(assemble(ChatView::default(), None, None, 0), None);
    }
}
