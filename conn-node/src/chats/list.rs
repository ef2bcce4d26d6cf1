//! The chat list: which chats from the user's shard, their order and contents from the chats' shards.
//! Chats of a shard that does not answer are missing until it does.

use super::item::items;
use super::order::{Cursor, Place, moment, select};
use super::{optional_number, page_limit};
use crate::calls::{answered, call, call_of_several, entity_refs};
use crate::node::Node;
use shardline_domain::id::UserId;
use shardline_wire::client::{ChatItem, ChatsPage};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{Call, ChatView, GetItems, GetList, ListPage, ListRow};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// A chat is not kept waiting for its user's shard any longer: then it shows as neither pinned nor
/// muted nor hidden.
const ROW_TIME_MAX: Duration = Duration::from_secs(1);

#[derive(Clone, Debug, Default)]
pub(crate) struct PageRequest {
    pub(crate) limit: Option<u64>,
    /// Of the page before; pages of one cursor chain are one snapshot of the order.
    pub(crate) cursor: Option<String>,
    /// Without a cursor: only what changed in the list since, if that is known and fits one page.
    pub(crate) since_list_ver: Option<u64>,
}

/// The user's list rows.
pub(crate) async fn rows(
    node: &Node,
    user: UserId,
    since_list_ver: Option<u64>,
) -> Result<ListPage, Refusal> {
    let get = GetList { since_list_ver, chat: None };
    answered!(call(node, user, Op::GetList(get)).await, List)
}

/// The user's row of one chat, if its shard answers soon.
pub(crate) async fn row(node: &Node, user: UserId, chat: u64) -> Option<ListRow> {
    let get = GetList { since_list_ver: None, chat: Some(chat) };
    let call = Call { entity: user.get(), epoch: 0, op: Some(Op::GetList(get)) };
    let deadline = Instant::now() + ROW_TIME_MAX;
    let page = answered!(node.routers.call_until(call, deadline).await, List).ok()?;
    page.rows.into_iter().find(|row| row.chat == chat && !row.gone)
}

pub(crate) async fn page(
    node: &Node,
    user: UserId,
    request: PageRequest,
) -> Result<ChatsPage, Refusal> {
    let limit = page_limit(request.limit)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let since = optional_number("since_list_ver", request.since_list_ver)?;
    let cursor = match &request.cursor {
        None => None,
        Some(text) => Some(Cursor::decode(text).ok_or_else(|| {
            Refusal::of_field(Code::BadRequest, "cursor", "this cursor is not one of ours")
        })?),
    };
    let since = since.filter(|_| cursor.is_none());
    let mut list = rows(node, user, since).await?;
    if since.is_some() {
        let changed = list.rows.iter().filter(|row| !row.gone).count();
        if list.resumed && changed <= limit {
            return changes(node, user, list).await;
        }
        if list.resumed {
            // More than a page: the whole list instead.
            list = rows(node, user, None).await?;
        }
    }
    let mut page = one_page(node, user, list, cursor, limit).await?;
    page.state = since.map(|_| "resynced".to_owned());
    Ok(page)
}

/// What changed in the list: the chats that came or changed, and those that went.
async fn changes(node: &Node, user: UserId, list: ListPage) -> Result<ChatsPage, Refusal> {
    let (gone, live): (Vec<ListRow>, Vec<ListRow>) =
        list.rows.into_iter().partition(|row| row.gone);
    let chats: Vec<u64> = live.iter().map(|row| row.chat).collect();
    let rows = by_chat(live);
    let mut items = read_items(node, user, &chats, rows).await?;
    items.sort_by_key(|item| std::cmp::Reverse(activity_of(item)));
    Ok(ChatsPage {
        items,
        next_cursor: None,
        list_ver: list.list_ver,
        state: Some("resumed".to_owned()),
        gone: gone.into_iter().map(|row| row.chat).collect(),
    })
}

fn activity_of(item: &ChatItem) -> i64 {
    item.last_message.as_ref().map_or(0, |message| message.sent_at_ms)
}

async fn one_page(
    node: &Node,
    user: UserId,
    list: ListPage,
    cursor: Option<Cursor>,
    limit: usize,
) -> Result<ChatsPage, Refusal> {
    let rows = by_chat(list.rows.into_iter().filter(|row| !row.gone).collect());
    let chats: Vec<u64> = rows.keys().copied().collect();
    let as_of_ms = cursor.map(|cursor| cursor.as_of_ms);
    let views = views(node, user, &chats, true, as_of_ms).await?;
    let places: Vec<Place> = views
        .iter()
        .filter_map(|view| {
            let chat = view.item.as_ref()?.chat;
            Some(Place { activity_ms: view.activity_ms, chat })
        })
        .collect();
    let as_of_ms = as_of_ms.unwrap_or_else(|| moment(&places));
    let (places, more) = select(places, cursor.map(|cursor| cursor.last), limit);
    let last = places.last().copied().filter(|_| more);
    let chats: Vec<u64> = places.iter().map(|place| place.chat).collect();
    Ok(ChatsPage {
        items: read_items(node, user, &chats, rows).await?,
        next_cursor: last.map(|last| Cursor { as_of_ms, last }.encode()),
        list_ver: list.list_ver,
        state: None,
        gone: Vec::new(),
    })
}

fn by_chat(rows: Vec<ListRow>) -> HashMap<u64, ListRow> {
    rows.into_iter().map(|row| (row.chat, row)).collect()
}

/// The items of these chats, in this order; those that could not be read are left out.
async fn read_items(
    node: &Node,
    user: UserId,
    chats: &[u64],
    mut rows: HashMap<u64, ListRow>,
) -> Result<Vec<ChatItem>, Refusal> {
    let views = views(node, user, chats, false, None).await?;
    let mut by_id: HashMap<u64, ChatView> = views
        .into_iter()
        .filter_map(|view| view.item.as_ref().map(|item| item.chat).map(|chat| (chat, view)))
        .collect();
    let parts = chats
        .iter()
        .filter_map(|chat| by_id.remove(chat).map(|view| (view, rows.remove(chat))))
        .collect();
    Ok(items(node, user, parts).await)
}

async fn views(
    node: &Node,
    user: UserId,
    chats: &[u64],
    order_only: bool,
    as_of_ms: Option<i64>,
) -> Result<Vec<ChatView>, Refusal> {
    if chats.is_empty() {
        return Ok(Vec::new());
    }
    let entities = entity_refs(chats.iter().copied());
    let op = Op::GetItems(GetItems { user: user.get(), entities, order_only, as_of_ms });
    Ok(answered!(call_of_several(node, op).await, Items)?.items)
}
