//! The streams that conn-nodes opened, and what each must be told before anything else: that it may
//! have missed events, and the newest router list.

use crate::metrics::{BEHINDS, PUSHES_DROPPED, STREAMS};
use crate::routers::Routers;
use arc_swap::{ArcSwap, Guard};
use parking_lot::Mutex;
use shardline_wire::call::{Full, NodeSink, Push};
use shardline_wire::internal::{NodeHello, RouterList};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tracing::info;

/// How soon a stream that was full is tried again.
const TRY_AGAIN_EVERY: Duration = Duration::from_millis(50);

/// A conn-node's stream, until it breaks.
pub(crate) struct Stream {
    /// Never given twice.
    pub(crate) number: u64,
    pub(crate) node: String,
    /// Whether presence holds every session of the node. Until it says so, it gets every event.
    is_complete: AtomicBool,
    sink: Arc<dyn NodeSink>,
    due: Mutex<Due>,
}

/// What the stream must be told before the next push. Held while pushing: the order is the promise.
struct Due {
    behind: bool,
    /// The number of the list it has.
    list: u64,
}

impl Stream {
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete.load(Ordering::SeqCst)
    }

    pub(crate) fn set_complete(&self, complete: bool) {
        self.is_complete.store(complete, Ordering::SeqCst);
    }

    fn catch_up(&self, due: &mut Due, list: &RouterList) -> Result<(), Full> {
        if due.behind {
            self.sink.push(Push::Behind)?;
            due.behind = false;
            metrics::counter!(BEHINDS).increment(1);
        }
        if due.list < list.number {
            self.sink.push(Push::Routers(list.clone()))?;
            due.list = list.number;
        }
        Ok(())
    }
}

/// All streams, the oldest first. Reading takes no lock.
pub(crate) struct Connections {
    streams: ArcSwap<Vec<Arc<Stream>>>,
    next_number: AtomicU64,
    routers: Arc<Routers>,
    /// A stream is full: it must be tried again.
    lagging: Notify,
}

impl Connections {
    pub(crate) fn new(routers: Arc<Routers>) -> Connections {
        Connections {
            streams: ArcSwap::default(),
            next_number: AtomicU64::new(1),
            routers,
            lagging: Notify::new(),
        }
    }

    pub(crate) fn load(&self) -> Guard<Arc<Vec<Arc<Stream>>>> {
        self.streams.load()
    }

    /// A new stream: the first it hears is `Behind`, then the router list.
    pub(crate) fn accept(&self, hello: NodeHello, sink: Arc<dyn NodeSink>) -> Arc<Stream> {
        let stream = Arc::new(Stream {
            number: self.next_number.fetch_add(1, Ordering::SeqCst),
            node: hello.node,
            is_complete: AtomicBool::new(false),
            sink,
            due: Mutex::new(Due { behind: true, list: 0 }),
        });
        info!(node = stream.node, stream = stream.number, "a conn-node's stream");
        self.streams.rcu(|streams| {
            let mut streams = Vec::clone(streams);
            streams.push(stream.clone());
            // Two that came at once may be stored in either order.
            streams.sort_by_key(|stream| stream.number);
            streams
        });
        self.changed();
        if !self.catch_up(&stream) {
            self.lagging.notify_one();
        }
        stream
    }

    pub(crate) fn remove(&self, stream: &Stream) {
        info!(node = stream.node, stream = stream.number, "a conn-node's stream ended");
        self.streams.rcu(|streams| {
            let others = streams.iter().filter(|other| other.number != stream.number);
            others.cloned().collect::<Vec<_>>()
        });
        self.changed();
    }

    /// Pushes after what is due. A stream that is full loses it; after lost events it hears `Behind`
    /// before it gets later ones, lost signals are nobody's loss.
    pub(crate) fn push(&self, stream: &Stream, push: Push) -> bool {
        let is_durable = matches!(push, Push::Events(_));
        let current = self.routers.load();
        let mut due = stream.due.lock();
        let pushed =
            stream.catch_up(&mut due, &current.list).and_then(|()| stream.sink.push(push)).is_ok();
        due.behind |= is_durable && !pushed;
        drop(due);
        if !pushed {
            self.lagging.notify_one();
            let what = if is_durable { "events" } else { "signals" };
            metrics::counter!(PUSHES_DROPPED, "what" => what).increment(1);
        }
        pushed
    }

    /// Each stream may have missed events.
    pub(crate) fn all_behind(&self) {
        for stream in self.load().iter() {
            stream.due.lock().behind = true;
        }
        self.lagging.notify_one();
    }

    fn catch_up(&self, stream: &Stream) -> bool {
        let current = self.routers.load();
        stream.catch_up(&mut stream.due.lock(), &current.list).is_ok()
    }

    /// Tells streams what is due as soon as they take it, until `stop`.
    pub(crate) async fn tend(self: Arc<Connections>, stop: CancellationToken) {
        let mut list = self.routers.changed();
        // A list that came before this look counts as news: a stream may have opened before it.
        list.mark_changed();
        let mut is_lagging = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.lagging.notified() => {}
                // Its sender lives in `routers`: it cannot be closed.
                _ = list.changed() => {}
                () = tokio::time::sleep(TRY_AGAIN_EVERY), if is_lagging => {}
            }
            let streams = self.streams.load_full();
            is_lagging = false;
            for stream in streams.iter() {
                is_lagging |= !self.catch_up(stream);
            }
        }
    }

    fn changed(&self) {
        #[expect(clippy::cast_precision_loss, reason = "a gauge is a float")]
        metrics::gauge!(STREAMS).set(self.load().len() as f64);
    }
}

#[cfg(test)]
mod tests;
