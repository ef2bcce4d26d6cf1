//! What waits to be written to one stream. Anyone may put; one writer takes all that gathered.

use parking_lot::Mutex;
use shardline_domain::limits::LINK_BATCH_BYTES_MAX;
use std::collections::VecDeque;
use tokio::sync::Notify;
use tokio::sync::mpsc::Sender;

/// How much may wait.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bound {
    pub(super) items: usize,
    pub(super) bytes: usize,
}

impl Bound {
    /// Whether one more item of `size` fits to what waits. One larger than the bound fits alone, or it
    /// would never be carried at all.
    pub(super) fn fits(self, items: usize, bytes: usize, size: usize) -> bool {
        items < self.items && (items == 0 || bytes.saturating_add(size) <= self.bytes)
    }
}

/// A queue bounded in items and in bytes that is emptied in batches, in the order put.
pub(super) struct Outbox<T> {
    waiting: Mutex<Waiting<T>>,
    changed: Notify,
    bound: Bound,
}

struct Waiting<T> {
    /// With their sizes.
    items: VecDeque<(T, usize)>,
    bytes: usize,
    closed: bool,
}

/// Not taken: the queue is full, or its stream is gone. Gives the item back.
#[derive(Debug, PartialEq)]
pub(super) struct NotTaken<T>(pub T);

impl<T> Outbox<T> {
    pub(super) fn new(bound: Bound) -> Outbox<T> {
        let waiting = Waiting { items: VecDeque::new(), bytes: 0, closed: false };
        Outbox { waiting: Mutex::new(waiting), changed: Notify::new(), bound }
    }

    /// `size`: what it occupies, in bytes.
    pub(super) fn put(&self, item: T, size: usize) -> Result<(), NotTaken<T>> {
        self.put_within(self.bound, item, size)
    }

    /// Puts what is small and must be said though the bytes are full: bounded in number only.
    pub(super) fn put_small(&self, item: T, size: usize) -> Result<(), NotTaken<T>> {
        self.put_within(Bound { bytes: usize::MAX, ..self.bound }, item, size)
    }

    fn put_within(&self, bound: Bound, item: T, size: usize) -> Result<(), NotTaken<T>> {
        let mut waiting = self.waiting.lock();
        if waiting.closed || !bound.fits(waiting.items.len(), waiting.bytes, size) {
            return Err(NotTaken(item));
        }
        let was_empty = waiting.items.is_empty();
        waiting.items.push_back((item, size));
        waiting.bytes += size;
        drop(waiting);
        if was_empty {
            self.changed.notify_one();
        }
        Ok(())
    }

    /// Waits for at least one item, then takes items in order up to `bytes_max`. None once closed and
    /// empty.
    async fn take(&self, bytes_max: usize) -> Option<Vec<T>> {
        loop {
            {
                let waiting = &mut *self.waiting.lock();
                if !waiting.items.is_empty() {
                    let batch = waiting.take(bytes_max);
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

    /// Writes what gathers to a stream, batch by batch, until either ends.
    pub(super) async fn write_to<B>(&self, batches: &Sender<B>, batch_of: impl Fn(Vec<T>) -> B) {
        // A permit first: what gathers while the network is busy goes into one batch.
        while let Ok(permit) = batches.reserve().await {
            let Some(items) = self.take(LINK_BATCH_BYTES_MAX).await else { return };
            permit.send(batch_of(items));
        }
    }

    /// Takes nothing more; what waits can still be taken.
    pub(super) fn close(&self) {
        self.waiting.lock().closed = true;
        self.changed.notify_one();
    }
}

impl<T> Waiting<T> {
    /// At least one item.
    fn take(&mut self, bytes_max: usize) -> Vec<T> {
        let mut batch = Vec::with_capacity(self.items.len().min(256));
        let mut bytes = 0;
        while let Some((_, size)) = self.items.front() {
            bytes += size;
            if bytes_max < bytes && !batch.is_empty() {
                break;
            }
            if let Some((item, size)) = self.items.pop_front() {
                self.bytes -= size;
                batch.push(item);
            }
        }
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outbox<T>(items: usize, bytes: usize) -> Outbox<T> {
        Outbox::new(Bound { items, bytes })
    }

    #[tokio::test]
    async fn what_gathered_is_taken_at_once_and_in_order() {
        let outbox = outbox(8, 100);
        for number in 0..5 {
            assert!(outbox.put(number, 10).is_ok());
        }
        assert_eq!(outbox.take(50).await, Some(vec![0, 1, 2, 3, 4]));
    }

    #[tokio::test]
    async fn a_batch_holds_at_least_one_item_and_otherwise_keeps_to_its_bytes() {
        let outbox = outbox(8, 100);
        for number in 0..4 {
            assert!(outbox.put(number, 10).is_ok());
        }
        assert_eq!(outbox.take(9).await, Some(vec![0]));
        assert_eq!(outbox.take(29).await, Some(vec![1, 2]));
        assert_eq!(outbox.take(30).await, Some(vec![3]));
    }

    #[tokio::test]
    async fn a_full_or_closed_outbox_gives_the_item_back() {
        let outbox = outbox(1, 100);
        assert!(outbox.put('a', 1).is_ok());
        assert_eq!(outbox.put('b', 1), Err(NotTaken('b')));
        assert_eq!(outbox.put_small('b', 1), Err(NotTaken('b')));
        outbox.close();
        assert_eq!(outbox.take(100).await, Some(vec!['a']));
        assert_eq!(outbox.put('c', 1), Err(NotTaken('c')));
        assert_eq!(outbox.take(100).await, None);
    }

    #[tokio::test]
    async fn bytes_have_a_bound_and_are_given_back_when_taken() {
        let outbox = outbox(8, 100);
        assert!(outbox.put('a', 60).is_ok());
        assert_eq!(outbox.put('b', 41), Err(NotTaken('b')));
        assert!(outbox.put('c', 40).is_ok());
        assert!(outbox.put_small('d', 10).is_ok());
        assert_eq!(outbox.take(60).await, Some(vec!['a']));
        assert_eq!(outbox.put('e', 51), Err(NotTaken('e')));
        assert!(outbox.put('e', 50).is_ok());
    }

    #[tokio::test]
    async fn what_is_larger_than_the_bound_goes_alone() {
        let outbox = outbox(8, 100);
        assert!(outbox.put('a', 1_000).is_ok());
        assert_eq!(outbox.put('b', 1), Err(NotTaken('b')));
        assert_eq!(outbox.take(10).await, Some(vec!['a']));
        assert!(outbox.put('b', 1).is_ok());
    }
}
