//! The routers this node talks to: which one owns an entity's partition, and calls that survive the
//! loss of one.

mod calling;
mod calls;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use shardline_domain::id::EntityId;
use shardline_domain::rendezvous;
use shardline_domain::slot::{Partitions, Slot};
use shardline_wire::call::{Done, NodeOp, NodeSink, Router, RouterConnect};
use shardline_wire::internal::{NodeHello, RouterInfo, RouterList};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use tracing::info;

/// How long no listed router may be reachable before the configured ones are asked for a newer list.
const LOST_TIME_MAX: Duration = Duration::from_secs(3);

/// Makes the receiving end of a router's pushes.
pub(crate) type SinkOf = Box<dyn Fn(Arc<Line>) -> Arc<dyn NodeSink> + Send + Sync>;

/// One router's address and how many streams to it there have been.
#[derive(Debug)]
pub(crate) struct Line {
    /// Of this node's lines.
    number: u64,
    address: String,
    streams: AtomicU64,
}

/// One stream: where something is registered, or since when something is known.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(crate) struct Place {
    line: u64,
    stream: u64,
}

impl Line {
    /// The stream of now: what was registered on an earlier one is gone.
    pub(crate) fn place(&self) -> Place {
        Place { line: self.number, stream: self.streams.load(Ordering::Acquire) }
    }
}

#[cfg(test)]
impl Place {
    pub(crate) fn for_tests(line: u64, stream: u64) -> Place {
        Place { line, stream }
    }
}

/// A line with the router at its end.
pub(crate) struct Link {
    line: Arc<Line>,
    router: Arc<dyn Router>,
}

impl Link {
    pub(crate) fn place(&self) -> Place {
        self.line.place()
    }

    pub(crate) fn is_connected(&self) -> bool {
        self.router.is_connected()
    }

    /// `done` may be called before this returns.
    pub(crate) fn submit(&self, op: NodeOp, done: Done) {
        self.router.submit(op, done);
    }
}

/// The newest router list seen, with a link to each.
struct Table {
    number: u64,
    partitions: Option<Partitions>,
    links: Vec<Arc<Link>>,
    /// By partition: an index of `links`.
    owners: Vec<Option<usize>>,
    /// Configured routers that the list does not name.
    extra: Vec<Arc<Link>>,
}

impl Table {
    fn all(&self) -> impl Iterator<Item = &Arc<Link>> {
        self.links.iter().chain(&self.extra)
    }
}

pub(crate) struct Routers {
    connect: Arc<dyn RouterConnect>,
    hello: NodeHello,
    seeds: Vec<String>,
    sink_of: SinkOf,
    table: ArcSwap<Table>,
    lines: AtomicU64,
    /// The newest list seen, in the table or about to be.
    newest: Mutex<RouterList>,
    /// Held while the table is replaced. What it guards: since when no listed router is connected.
    lost_since: Mutex<Option<Instant>>,
    /// Counts new streams and new lists, for whoever waits for a router.
    changed: watch::Sender<u64>,
}

impl Routers {
    /// Opens nothing before [`Routers::open`].
    pub(crate) fn new(
        connect: Arc<dyn RouterConnect>,
        hello: NodeHello,
        seeds: Vec<String>,
        sink_of: SinkOf,
    ) -> Routers {
        let table = Table {
            number: 0,
            partitions: None,
            links: Vec::new(),
            owners: Vec::new(),
            extra: Vec::new(),
        };
        Routers {
            connect,
            hello,
            seeds,
            sink_of,
            table: ArcSwap::from_pointee(table),
            lines: AtomicU64::new(0),
            newest: Mutex::default(),
            lost_since: Mutex::new(None),
            changed: watch::Sender::new(0),
        }
    }

    /// Opens a link to each configured router.
    pub(crate) fn open(&self) {
        {
            let _replacing = self.lost_since.lock();
            let old = self.table.load_full();
            self.put_table(old.number, old.partitions, old.links.clone(), old.owners.clone(), true);
        }
        self.apply_newest();
    }

    /// Takes a router list if it is newer than the one known.
    pub(crate) fn take_list(&self, list: &RouterList) -> bool {
        {
            let mut newest = self.newest.lock();
            if Partitions::new(list.partitions).is_none() || list.number <= newest.number {
                return false;
            }
            *newest = list.clone();
        }
        self.apply_newest();
        true
    }

    /// Makes the newest list the table. A list may come while links are opened, even on the thread
    /// that opens them: then that thread looks again when it is done.
    fn apply_newest(&self) {
        loop {
            {
                let Some(_replacing) = self.lost_since.try_lock() else { return };
                // Not locked meanwhile: a newer list may come.
                let list = self.newest.lock().clone();
                self.replace_table(&list);
            }
            if self.newest.lock().number <= self.table.load().number {
                return;
            }
        }
    }

    fn replace_table(&self, list: &RouterList) {
        let old = self.table.load_full();
        let Some(partitions) = Partitions::new(list.partitions) else { return };
        if list.number <= old.number {
            return;
        }
        let ids: Vec<&str> = list.routers.iter().map(|router| router.id.as_str()).collect();
        let owners = rendezvous::owners(partitions, &ids);
        let known: HashMap<&str, &Arc<Link>> =
            old.all().map(|link| (link.line.address.as_str(), link)).collect();
        let links = list.routers.iter().map(|router| match known.get(router.address.as_str()) {
            Some(link) => Arc::clone(link),
            None => self.open_link(router),
        });
        let links = links.collect();
        info!(number = list.number, routers = list.routers.len(), "router list changed");
        self.put_table(list.number, Some(partitions), links, owners, true);
        self.bump();
    }

    fn put_table(
        &self,
        number: u64,
        partitions: Option<Partitions>,
        links: Vec<Arc<Link>>,
        owners: Vec<Option<usize>>,
        with_seeds: bool,
    ) {
        let old = self.table.load_full();
        let is_listed = |address: &str| links.iter().any(|link| link.line.address == address);
        let seeds = self.seeds.iter().filter(|seed| with_seeds && !is_listed(seed));
        let extra = seeds.map(|seed| {
            let known = old.all().find(|link| link.line.address == *seed);
            known.cloned().unwrap_or_else(|| {
                self.open_link(&RouterInfo { id: String::new(), address: seed.clone() })
            })
        });
        let extra = extra.collect();
        self.table.store(Arc::new(Table { number, partitions, links, owners, extra }));
    }

    fn open_link(&self, router: &RouterInfo) -> Arc<Link> {
        let line = Arc::new(Line {
            number: self.lines.fetch_add(1, Ordering::Relaxed),
            address: router.address.clone(),
            streams: AtomicU64::new(0),
        });
        let sink = (self.sink_of)(line.clone());
        let router = self.connect.open(router, self.hello.clone(), sink);
        Arc::new(Link { line, router })
    }

    /// A new stream began, or one that had lost events goes on.
    pub(crate) fn on_stream(&self, line: &Line) {
        line.streams.fetch_add(1, Ordering::AcqRel);
        self.bump();
    }

    fn bump(&self) {
        self.changed.send_modify(|count| *count += 1);
    }

    /// Changes with each new stream and each new list.
    pub(crate) fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// What is not answered, to the router at the end of a line; lost if that is gone.
    pub(crate) fn tell(&self, line: &Line, op: NodeOp) {
        let table = self.table.load();
        let mut links = table.all();
        if let Some(link) = links.find(|link| link.line.number == line.number) {
            link.submit(op, Done::new(drop));
        }
    }

    /// Closes links to configured routers that the list does not name; opens them again when no
    /// listed one can be reached for a while. To be called about once a second.
    pub(crate) fn tend(&self, now: Instant) {
        {
            let mut lost_since = self.lost_since.lock();
            let table = self.table.load_full();
            let is_reached = table.links.iter().any(|link| link.is_connected());
            let with_seeds = if is_reached {
                *lost_since = None;
                false
            } else {
                LOST_TIME_MAX <= now - *lost_since.get_or_insert(now)
            };
            // Before the first list there are only the configured ones.
            if table.number != 0 && with_seeds == table.extra.is_empty() {
                let (links, owners) = (table.links.clone(), table.owners.clone());
                self.put_table(table.number, table.partitions, links, owners, with_seeds);
            }
        }
        // Also a list that came while this held the lock.
        self.apply_newest();
    }

    /// All links: every one wants to know this node's presence state.
    pub(crate) fn links(&self) -> Vec<Arc<Link>> {
        self.table.load().all().cloned().collect()
    }

    pub(crate) fn has_list(&self) -> bool {
        self.table.load().number != 0
    }

    pub(crate) fn has_connection(&self) -> bool {
        self.table.load().all().any(|link| link.is_connected())
    }

    /// The router that owns the entity's partition, whether connected or not. Before a list is known
    /// any connected one: it answers with the list.
    pub(crate) fn owner(&self, entity: u64) -> Option<Arc<Link>> {
        let table = self.table.load();
        let Some(partitions) = table.partitions else { return any_of(&table, 0) };
        let slot = Slot::of(EntityId::new(entity).ok()?);
        let index = (*table.owners.get(slot.partition(partitions) as usize)?)?;
        table.links.get(index).cloned()
    }

    /// The owner if it is connected.
    pub(crate) fn connected_owner(&self, entity: u64) -> Option<Arc<Link>> {
        self.owner(entity).filter(|link| link.is_connected())
    }

    /// A connected router; `turn` spreads the load.
    pub(crate) fn any_connected(&self, turn: u64) -> Option<Arc<Link>> {
        any_of(&self.table.load(), turn)
    }
}

fn any_of(table: &Table, turn: u64) -> Option<Arc<Link>> {
    let connected: Vec<_> = table.all().filter(|link| link.is_connected()).collect();
    let index = usize::try_from(turn.checked_rem(connected.len() as u64)?).ok()?;
    Some(connected[index].clone())
}

#[cfg(test)]
mod tests;
