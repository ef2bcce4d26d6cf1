//! Entities in memory, bounded by weight, least recently used first to go.
//!
//! A lane alone writes; anyone may load. What is here is never older than what was acknowledged: a
//! lane publishes after its commit and before it answers, and a loaded entity is put in only if
//! nothing was published or dropped since the load began.

use crate::entity::{Chat, Entity};
use crate::store::{HeadRow, MessageRow};
use lru::LruCache;
use parking_lot::Mutex;
use std::ops::RangeInclusive;
use std::sync::Arc;

pub(crate) struct Cache {
    inner: Mutex<Inner>,
    weight_max: usize,
}

struct Inner {
    entities: LruCache<u64, (usize, Entity)>,
    weight: usize,
    /// How many entities left the cache: a load that began before may be older than what left.
    departures: u64,
}

/// From before a load; see [`Cache::put_loaded`].
#[derive(Clone, Copy)]
pub(crate) struct BeforeLoad {
    departures: u64,
}

impl Cache {
    pub(crate) fn new(weight_max: usize) -> Cache {
        let inner = Inner { entities: LruCache::unbounded(), weight: 0, departures: 0 };
        Cache { inner: Mutex::new(inner), weight_max }
    }

    pub(crate) fn get(&self, id: u64) -> Option<Entity> {
        self.inner.lock().entities.get(&id).map(|(_, entity)| entity.clone())
    }

    pub(crate) fn head(&self, id: u64) -> Option<HeadRow> {
        self.inner.lock().entities.get(&id).map(|(_, entity)| entity.head())
    }

    /// To be called before the database is asked.
    pub(crate) fn before_load(&self) -> BeforeLoad {
        BeforeLoad { departures: self.inner.lock().departures }
    }

    /// Puts in what was loaded, and returns what counts: if the entity is here already, that.
    pub(crate) fn put_loaded(&self, before: BeforeLoad, id: u64, loaded: Entity) -> Entity {
        let mut inner = self.inner.lock();
        if let Some((_, entity)) = inner.entities.get(&id) {
            return entity.clone();
        }
        if inner.departures == before.departures {
            inner.put(id, loaded.clone(), self.weight_max);
        }
        loaded
    }

    /// The latest message of a chat, as read after the chat stood at `head`; kept while it still does.
    pub(crate) fn put_last(&self, head: HeadRow, row: &Arc<MessageRow>) {
        let mut inner = self.inner.lock();
        let Some((_, Entity::Chat(chat))) = inner.entities.peek(&head.entity) else { return };
        if chat.head == head && chat.last.is_none() {
            let chat = Chat { last: Some(Arc::clone(row)), ..chat.clone() };
            inner.put(head.entity, Entity::Chat(chat), self.weight_max);
        }
    }

    /// The state after a commit. Only the entity's lane publishes.
    pub(crate) fn publish(&self, id: u64, entity: Entity) {
        self.inner.lock().put(id, entity, self.weight_max);
    }

    /// Forgets entities that turned out to be other than the database says.
    pub(crate) fn forget(&self, ids: impl IntoIterator<Item = u64>) {
        let mut inner = self.inner.lock();
        inner.departures += 1;
        for id in ids {
            if let Some((weight, _)) = inner.entities.pop(&id) {
                inner.weight -= weight;
            }
        }
    }

    /// Forgets everything of a slot that came or went.
    pub(crate) fn forget_range(&self, ids: &RangeInclusive<u64>) {
        let ids: Vec<u64> = {
            let inner = self.inner.lock();
            inner.entities.iter().map(|(id, _)| *id).filter(|id| ids.contains(id)).collect()
        };
        self.forget(ids);
    }

    pub(crate) fn weight(&self) -> usize {
        self.inner.lock().weight
    }
}

impl Inner {
    fn put(&mut self, id: u64, entity: Entity, weight_max: usize) {
        let weight = entity.weight();
        self.weight += weight;
        if let Some((old, _)) = self.entities.put(id, (weight, entity)) {
            self.weight -= old;
        }
        // The newest stays, however heavy: something has to be decided from it.
        while weight_max < self.weight && 1 < self.entities.len() {
            let Some((_, (weight, _))) = self.entities.pop_lru() else { break };
            self.weight -= weight;
            self.departures += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::Name;
    use crate::store::NameRow;

    fn name(id: u64, ver: u64) -> Entity {
        let head = HeadRow { entity: id, ver, ..HeadRow::default() };
        Entity::Name(Name {
            head,
            row: Arc::new(NameRow { entity: id, name: String::new(), user: 1 }),
        })
    }

    #[test]
    fn the_least_recently_used_goes_first() {
        let cache = Cache::new(2 * name(1, 1).weight());
        for id in 1..=2 {
            cache.publish(id, name(id, 1));
        }
        assert!(cache.get(1).is_some());
        cache.publish(3, name(3, 1));
        assert!(cache.head(2).is_none());
        assert!(cache.head(1).is_some() && cache.head(3).is_some());
        assert_eq!(cache.weight(), 2 * name(1, 1).weight());
    }

    #[test]
    fn a_load_never_hides_what_was_published_meanwhile() {
        let cache = Cache::new(10_000);
        let before = cache.before_load();
        cache.publish(1, name(1, 5));
        assert_eq!(cache.put_loaded(before, 1, name(1, 4)).head().ver, 5);
        assert_eq!(cache.head(1).map(|head| head.ver), Some(5));
    }

    #[test]
    fn a_slot_that_went_leaves_nothing_behind_and_no_late_load_brings_it_back() {
        let cache = Cache::new(10_000);
        cache.publish(1, name(1, 5));
        cache.publish(9, name(9, 5));
        let before = cache.before_load();
        cache.forget_range(&(0..=5));
        assert!(cache.head(1).is_none() && cache.head(9).is_some());
        cache.put_loaded(before, 1, name(1, 4));
        assert!(cache.head(1).is_none());
    }

    #[test]
    fn a_load_from_before_something_left_is_used_but_not_kept() {
        let cache = Cache::new(10_000);
        let before = cache.before_load();
        cache.publish(1, name(1, 5));
        cache.forget([1]);
        assert_eq!(cache.put_loaded(before, 1, name(1, 4)).head().ver, 4);
        assert!(cache.head(1).is_none());
        assert_eq!(cache.weight(), 0);
    }
}
