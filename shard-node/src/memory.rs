//! What a lane and the readers of its entities share: the cache, the senders' cursors, and how an
//! entity gets into memory.

use crate::births::Births;
use crate::cache::Cache;
use crate::coalesce::Coalesce;
use crate::entity::{Chat, Entity, Name, User};
use crate::lanes::senders::Senders;
use crate::store::{HeadRow, Store, StoreError};
use std::sync::Arc;

pub(crate) struct Memory {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) cache: Cache,
    pub(crate) senders: Senders,
    pub(crate) births: Births,
    /// A large chat is much to load, and everybody asks for it at once.
    chat_loads: Arc<Coalesce<u64, Result<Option<Chat>, StoreError>>>,
}

impl Memory {
    pub(crate) fn new(store: Arc<dyn Store>, cache: Cache, senders: Senders) -> Arc<Memory> {
        let (births, chat_loads) = (Births::default(), Coalesce::new());
        Arc::new(Memory { store, cache, senders, births, chat_loads })
    }

    /// None: there is no such chat (the id may belong to something else).
    pub(crate) async fn chat(self: &Arc<Memory>, id: u64) -> Result<Option<Chat>, StoreError> {
        if let Some(entity) = self.cache.get(id) {
            return Ok(as_chat(entity));
        }
        let memory = Arc::clone(self);
        self.chat_loads.read(id, async move { memory.load_chat(id).await }).await
    }

    async fn load_chat(&self, id: u64) -> Result<Option<Chat>, StoreError> {
        // Others may have loaded it while this one waited.
        if let Some(entity) = self.cache.get(id) {
            return Ok(as_chat(entity));
        }
        let before = self.cache.before_load();
        let sent = self.senders.of_chat(id);
        let Some(state) = self.store.chat(id).await? else { return Ok(None) };
        let chat = Chat::from_state(state)?;
        for (user, seq) in sent {
            chat.read.merge(user, seq);
        }
        Ok(as_chat(self.cache.put_loaded(before, id, Entity::Chat(chat))))
    }

    pub(crate) async fn user(&self, id: u64) -> Result<Option<User>, StoreError> {
        if let Some(entity) = self.cache.get(id) {
            return Ok(as_user(entity));
        }
        let before = self.cache.before_load();
        let Some(state) = self.store.user(id).await? else { return Ok(None) };
        let user = User::from_state(state);
        Ok(as_user(self.cache.put_loaded(before, id, Entity::User(user))))
    }

    pub(crate) async fn name(&self, id: u64) -> Result<Option<Name>, StoreError> {
        if let Some(entity) = self.cache.get(id) {
            return Ok(as_name(entity));
        }
        let before = self.cache.before_load();
        let Some(row) = self.store.name(id).await? else { return Ok(None) };
        let Some(head) = self.head(id).await? else {
            return Err(StoreError::Corrupt(format!("name {id} has no head")));
        };
        let name = Name { head, row: Arc::new(row) };
        Ok(as_name(self.cache.put_loaded(before, id, Entity::Name(name))))
    }

    /// Of whatever has this id.
    pub(crate) async fn head(&self, id: u64) -> Result<Option<HeadRow>, StoreError> {
        if let Some(head) = self.cache.head(id) {
            return Ok(Some(head));
        }
        Ok(self.store.heads(&[id]).await?.into_iter().next())
    }
}

fn as_chat(entity: Entity) -> Option<Chat> {
    match entity {
        Entity::Chat(chat) => Some(chat),
        _ => None,
    }
}

fn as_user(entity: Entity) -> Option<User> {
    match entity {
        Entity::User(user) => Some(user),
        _ => None,
    }
}

fn as_name(entity: Entity) -> Option<Name> {
    match entity {
        Entity::Name(name) => Some(name),
        _ => None,
    }
}
