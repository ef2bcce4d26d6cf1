//! What waits to be written to one stream. Anyone may put; one writer takes all that gathered.

use parking_lot::Mutex;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// A bounded queue that is emptied in batches, in the order put.
pub(super) struct Outbox<T> {
    waiting: Mutex<Waiting<T>>,
    changed: Notify,
    max: usize,
}

struct Waiting<T> {
    items: VecDeque<T>,
    closed: bool,
}

/// Not taken: the queue is full, or its stream is gone. Gives the item back.
pub(super) struct NotTaken<T>(pub T);

impl<T> Outbox<T> {
    pub(super) fn new(max: usize) -> Outbox<T> {
        let waiting = Mutex::new(Waiting { items: VecDeque::new(), closed: false });
        Outbox { waiting, changed: Notify::new(), max }
    }

    pub(super) fn put(&self, item: T) -> Result<(), NotTaken<T>> {
        let mut waiting = self.waiting.lock();
        if waiting.closed || self.max <= waiting.items.len() {
            return Err(NotTaken(item));
        }
        let was_empty = waiting.items.is_empty();
        waiting.items.push_back(item);
        drop(waiting);
        if was_empty {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Waits for at least one item, then takes items in order while `more(&item)` allows it. None once
    /// closed and empty.
    pub(super) async fn take(&self, mut more: impl FnMut(&T) -> bool) -> Option<Vec<T>> {
        loop {
            {
                let mut waiting = self.waiting.lock();
                if !waiting.items.is_empty() {
                    let mut batch = Vec::with_capacity(waiting.items.len().min(256));
                    while let Some(item) = waiting.items.front() {
                        let fits = more(item);
                        if !fits && !batch.is_empty() {
                            break;
                        }
                        batch.extend(waiting.items.pop_front());
                        if !fits {
                            break;
                        }
                    }
                    if !waiting.items.is_empty() {
                        self.changed.notify_one();
                    }
                    return Some(batch);
                }
                if waiting.closed {
                    return None;
                }
            }
            self.changed.notified().await;
        }
    }

    /// Takes nothing more; what waits can still be taken.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_gathered_is_taken_at_once_and_in_order() {
        let outbox = Outbox::new(8);
        for number in 0..5 {
            assert!(outbox.put(number).is_ok());
        }
        assert_eq!(outbox.take(|_| true).await, Some(vec![0, 1, 2, 3, 4]));
    }

    #[tokio::test]
    async fn a_batch_holds_at_least_one_item() {
        let outbox = Outbox::new(8);
        for number in 0..3 {
            assert!(outbox.put(number).is_ok());
        }
        assert_eq!(outbox.take(|_| false).await, Some(vec![0]));
        assert_eq!(outbox.take(|item| *item < 2).await, Some(vec![1]));
        assert_eq!(outbox.take(|_| true).await, Some(vec![2]));
    }

    #[tokio::test]
    async fn a_full_or_closed_outbox_gives_the_item_back() {
        let outbox = Outbox::new(1);
        assert!(outbox.put('a').is_ok());
        assert!(matches!(outbox.put('b'), Err(NotTaken('b'))));
        outbox.close();
        assert_eq!(outbox.take(|_| true).await, Some(vec!['a']));
        assert!(matches!(outbox.put('c'), Err(NotTaken('c'))));
        assert_eq!(outbox.take(|_| true).await, None);
    }
}
