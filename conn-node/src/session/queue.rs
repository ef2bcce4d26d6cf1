//! What waits to be written to one connection: bounded by bytes, taken in batches. A reader that is
//! slower than its events is told to come back, and nobody waits for it.

use super::outgoing::Encoding;
use bytes::Bytes;
use parking_lot::Mutex;
use shardline_domain::limits::{ARRAY_FRAMES_MAX, SESSION_QUEUE_BYTES_MAX};
use shardline_wire::codes::Close;
use std::collections::VecDeque;
use tokio::sync::Notify;

/// Bytes of one WebSocket message, unless a single frame is larger: enough to make the cost of a
/// message small, little enough to begin early.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;

pub(crate) struct Queue {
    encoding: Encoding,
    waiting: Mutex<Waiting>,
    /// There is something to take.
    ready: Notify,
    /// Something was taken, or nothing will be any more.
    room: Notify,
    /// Told to close without writing what waits.
    cut: Notify,
}

struct Waiting {
    frames: VecDeque<Bytes>,
    bytes: usize,
    ping: bool,
    closing: Option<Closing>,
    /// Nobody writes any more.
    gone: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Closing {
    pub(crate) close: Close,
    pub(crate) retry_after_ms: u64,
}

#[derive(PartialEq, Debug)]
pub(crate) enum Batch {
    Frames(Vec<Bytes>),
    Ping,
    Close(Closing),
}

impl Queue {
    pub(crate) fn new(encoding: Encoding) -> Queue {
        let waiting =
            Waiting { frames: VecDeque::new(), bytes: 0, ping: false, closing: None, gone: false };
        Queue {
            encoding,
            waiting: Mutex::new(waiting),
            ready: Notify::new(),
            room: Notify::new(),
            cut: Notify::new(),
        }
    }

    pub(crate) fn encoding(&self) -> Encoding {
        self.encoding
    }

    /// Takes a frame without waiting. Beyond the limit the connection is closed as a slow reader, and
    /// what waited is dropped: the client resumes. An empty frame is none.
    pub(crate) fn push(&self, frame: Bytes) {
        let mut waiting = self.waiting.lock();
        if frame.is_empty() || waiting.gone || waiting.closing.is_some() {
            return;
        }
        if SESSION_QUEUE_BYTES_MAX < waiting.bytes + frame.len() {
            metrics::counter!(crate::metrics::SLOW_READERS).increment(1);
            waiting.frames.clear();
            waiting.bytes = 0;
            let closing = Closing { close: Close::SlowReader, retry_after_ms: 0 };
            waiting.closing = Some(closing);
            drop(waiting);
            return self.wake_for_cut();
        }
        let was_empty = waiting.frames.is_empty();
        waiting.bytes += frame.len();
        waiting.frames.push_back(frame);
        drop(waiting);
        if was_empty {
            self.ready.notify_one();
        }
    }

    fn wake_for_cut(&self) {
        self.cut.notify_one();
        self.ready.notify_one();
        self.room.notify_waiters();
    }

    pub(crate) fn ping(&self) {
        self.waiting.lock().ping = true;
        self.ready.notify_one();
    }

    /// Closes after what waits now was written. The first reason counts.
    pub(crate) fn close(&self, close: Close, retry_after_ms: u64) {
        let mut waiting = self.waiting.lock();
        if waiting.closing.is_none() {
            waiting.closing = Some(Closing { close, retry_after_ms });
        }
        drop(waiting);
        self.ready.notify_one();
        self.room.notify_waiters();
    }

    pub(crate) fn is_closing(&self) -> bool {
        let waiting = self.waiting.lock();
        waiting.gone || waiting.closing.is_some()
    }

    /// The connection is gone: whatever comes is dropped.
    pub(crate) fn abandon(&self) {
        let mut waiting = self.waiting.lock();
        waiting.gone = true;
        waiting.frames.clear();
        waiting.bytes = 0;
        drop(waiting);
        self.ready.notify_one();
        self.room.notify_waiters();
    }

    /// Waits until a large reply may be put without crowding out events, or the end is near.
    pub(crate) async fn has_room(&self) {
        loop {
            let room = self.room.notified();
            tokio::pin!(room);
            // Registered before looking, so that room made in between is not missed.
            room.as_mut().enable();
            {
                let waiting = self.waiting.lock();
                let is_ending = waiting.gone || waiting.closing.is_some();
                if is_ending || waiting.bytes <= SESSION_QUEUE_BYTES_MAX / 4 {
                    return;
                }
            }
            room.await;
        }
    }

    /// Waits for something to write. None when abandoned.
    pub(crate) async fn take(&self) -> Option<Batch> {
        loop {
            if let Some(taken) = self.try_take() {
                return taken;
            }
            self.ready.notified().await;
        }
    }

    /// Without waiting: None if there is nothing yet, Some(None) once abandoned.
    pub(crate) fn try_take(&self) -> Option<Option<Batch>> {
        let mut waiting = self.waiting.lock();
        if waiting.gone {
            return Some(None);
        }
        if std::mem::take(&mut waiting.ping) {
            self.ready.notify_one();
            return Some(Some(Batch::Ping));
        }
        if waiting.frames.is_empty() {
            return waiting.closing.map(|closing| Some(Batch::Close(closing)));
        }
        let mut batch = Vec::with_capacity(waiting.frames.len().min(ARRAY_FRAMES_MAX));
        let mut bytes = 0;
        while let Some(frame) = waiting.frames.front() {
            let is_full =
                ARRAY_FRAMES_MAX <= batch.len() || MESSAGE_BYTES_MAX < bytes + frame.len();
            if is_full && !batch.is_empty() {
                break;
            }
            bytes += frame.len();
            batch.extend(waiting.frames.pop_front());
        }
        waiting.bytes -= bytes;
        if !waiting.frames.is_empty() || waiting.closing.is_some() {
            self.ready.notify_one();
        }
        drop(waiting);
        self.room.notify_waiters();
        Some(Some(Batch::Frames(batch)))
    }

    /// Resolves when what is being written should be given up: the reader is too slow.
    pub(crate) async fn cut(&self) {
        self.cut.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> Queue {
        Queue::new(Encoding::Json)
    }

    fn bytes(size: usize) -> Bytes {
        Bytes::from(vec![b'x'; size])
    }

    fn sizes(batch: Option<Option<Batch>>) -> Vec<usize> {
        match batch {
            Some(Some(Batch::Frames(frames))) => frames.iter().map(Bytes::len).collect(),
            other => panic!("no frames: {other:?}"),
        }
    }

    #[test]
    fn what_gathered_is_one_batch_up_to_its_size() {
        let queue = queue();
        for size in [1, 2, MESSAGE_BYTES_MAX, 3] {
            queue.push(bytes(size));
        }
        assert_eq!(sizes(queue.try_take()), [1, 2]);
        assert_eq!(sizes(queue.try_take()), [MESSAGE_BYTES_MAX]);
        assert_eq!(sizes(queue.try_take()), [3]);
        assert_eq!(queue.try_take(), None);
    }

    #[test]
    fn a_frame_larger_than_a_message_goes_alone() {
        let queue = queue();
        queue.push(bytes(MESSAGE_BYTES_MAX * 2));
        queue.push(bytes(1));
        assert_eq!(sizes(queue.try_take()), [MESSAGE_BYTES_MAX * 2]);
    }

    #[test]
    fn a_slow_reader_is_closed_and_nothing_more_is_kept() {
        let queue = queue();
        for _ in 0..SESSION_QUEUE_BYTES_MAX / 1024 {
            queue.push(bytes(1024));
        }
        assert!(!queue.is_closing());
        queue.push(bytes(1));
        let closing = Closing { close: Close::SlowReader, retry_after_ms: 0 };
        assert_eq!(queue.try_take(), Some(Some(Batch::Close(closing))));
        queue.push(bytes(1));
        assert_eq!(queue.try_take(), Some(Some(Batch::Close(closing))));
    }

    #[test]
    fn what_waits_is_written_before_an_orderly_close_and_the_first_reason_counts() {
        let queue = queue();
        queue.push(bytes(5));
        queue.close(Close::Draining, 70);
        queue.close(Close::SessionRevoked, 0);
        queue.push(bytes(6));
        assert_eq!(sizes(queue.try_take()), [5]);
        let closing = Closing { close: Close::Draining, retry_after_ms: 70 };
        assert_eq!(queue.try_take(), Some(Some(Batch::Close(closing))));
    }

    #[tokio::test]
    async fn an_abandoned_queue_ends_and_keeps_nothing() {
        let queue = queue();
        queue.push(bytes(5));
        queue.abandon();
        queue.push(bytes(5));
        assert_eq!(queue.take().await, None);
        queue.has_room().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_large_reply_waits_until_the_reader_caught_up() {
        let queue = queue();
        for _ in 0..5 {
            queue.push(bytes(MESSAGE_BYTES_MAX * 2));
        }
        let waiting = tokio::time::timeout(std::time::Duration::from_secs(1), queue.has_room());
        assert!(waiting.await.is_err());
        let take_all = async {
            for _ in 0..5 {
                tokio::task::yield_now().await;
                queue.take().await;
            }
        };
        tokio::join!(queue.has_room(), take_all);
    }
}
