//! Several chats at once: heads, and items of a chat list. What fails is missing from the answer.

use super::Reader;
use crate::refusals;
use crate::store::HeadRow;
use futures::StreamExt;
use futures::stream;
use shardline_wire::client::ChatItem;
use shardline_wire::internal::{
    ChatView, EntityRef, GetHeads, GetItems, HeadView, HeadsPage, ItemsPage,
};
use shardline_wire::refusal::Refusal;

/// Chats loaded at the same time for one call.
const LOADS_AT_ONCE: usize = 8;

impl Reader {
    /// Heads from memory alone; None if some are not there.
    pub(crate) fn heads_in_memory(&self, entities: &[EntityRef]) -> Option<HeadsPage> {
        let heads = entities.iter().map(|one| self.memory(one.entity).cache.head(one.entity));
        let heads: Option<Vec<HeadRow>> = heads.collect();
        Some(HeadsPage { heads: heads?.into_iter().map(head_view).collect() })
    }

    pub(super) async fn heads(&self, get: &GetHeads) -> Result<HeadsPage, Refusal> {
        let mut heads = Vec::with_capacity(get.entities.len());
        let mut missing = Vec::new();
        for one in &get.entities {
            match self.memory(one.entity).cache.head(one.entity) {
                Some(head) => heads.push(head),
                None => missing.push(one.entity),
            }
        }
        if !missing.is_empty() {
            let read = self.store.heads(&missing).await;
            heads.extend(read.map_err(|error| refusals::store(&error))?);
        }
        Ok(HeadsPage { heads: heads.into_iter().map(head_view).collect() })
    }

    /// Only chats that the user is in and that go on.
    pub(super) async fn items(&self, get: &GetItems) -> Result<ItemsPage, Refusal> {
        let ids: Vec<u64> = get.entities.iter().map(|one| one.entity).collect();
        let lookups = ids.into_iter().map(|id| self.item(get, id));
        let items: Vec<Result<ChatView, Refusal>> =
            stream::iter(lookups).buffered(LOADS_AT_ONCE).collect().await;
        Ok(ItemsPage { items: items.into_iter().flatten().collect() })
    }

    async fn item(&self, get: &GetItems, id: u64) -> Result<ChatView, Refusal> {
        let (chat, member) = self.chat_of(id, get.user, 0).await?;
        let activity_ms = match get.as_of_ms {
            Some(as_of_ms) if as_of_ms < chat.head.activity_ms => {
                let read = self.store.activity_as_of(id, as_of_ms).await;
                read.map_err(|error| refusals::store(&error))?
            }
            _ => chat.head.activity_ms,
        };
        if get.order_only {
            let item = Some(ChatItem { chat: id, ..ChatItem::default() });
            return Ok(ChatView { item, activity_ms, ..ChatView::default() });
        }
        Ok(ChatView { activity_ms, ..self.view(&chat, &member).await? })
    }
}

fn head_view(head: HeadRow) -> HeadView {
    HeadView {
        entity: head.entity,
        seq: head.seq,
        ver: head.ver,
        log: head.log,
        activity_ms: head.activity_ms,
    }
}
