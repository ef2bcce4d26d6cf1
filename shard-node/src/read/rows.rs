//! Rows of the database for all readers: who asks for the same rows at the same time shares one read.

use crate::coalesce::Coalesce;
use crate::store::{ChangeRow, MessageRange, MessageRow, Store, StoreError};
use std::sync::Arc;

type Found<T> = Result<Arc<[T]>, StoreError>;

pub(crate) struct Rows {
    store: Arc<dyn Store>,
    messages: Arc<Coalesce<MessageRange, Found<MessageRow>>>,
    /// By entity, since and limit.
    changes: Arc<Coalesce<(u64, u64, u64), Found<ChangeRow>>>,
}

impl Rows {
    pub(crate) fn new(store: Arc<dyn Store>) -> Arc<Rows> {
        Arc::new(Rows { store, messages: Coalesce::new(), changes: Coalesce::new() })
    }

    /// As [`Store::messages`].
    pub(super) async fn messages(&self, range: MessageRange) -> Found<MessageRow> {
        let store = Arc::clone(&self.store);
        let read = async move { store.messages(range).await.map(Arc::from) };
        self.messages.read(range, read).await
    }

    /// As [`Store::changes`].
    pub(super) async fn changes(&self, entity: u64, since: u64, limit: u64) -> Found<ChangeRow> {
        let store = Arc::clone(&self.store);
        let read = async move { store.changes(entity, since, limit).await.map(Arc::from) };
        self.changes.read((entity, since, limit), read).await
    }

    /// One message, if it is there.
    pub(super) async fn message(
        &self,
        chat: u64,
        seq: u64,
    ) -> Result<Option<MessageRow>, StoreError> {
        let (after, before) = (seq.saturating_sub(1), seq.saturating_add(1));
        let range = MessageRange { chat, after, before, newest: true, limit: 1, bytes: usize::MAX };
        Ok(self.messages(range).await?.first().cloned())
    }
}
