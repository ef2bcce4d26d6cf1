//! One term as the shard's writer: everything that lives from the takeover until another process
//! writes, or this one stops. Nothing of it outlives the term, so a new term starts from the database.

mod calls;
mod cursors;
mod explain;

use crate::cache::Cache;
use crate::config::Config;
use crate::fence::Fence;
use crate::lanes::queue::Queue;
use crate::lanes::remembered::Remembered;
use crate::lanes::senders::Senders;
use crate::lanes::{self, Lane, rebuild_senders};
use crate::memory::Memory;
use crate::metrics::{CACHE_BYTES, number};
use crate::mover::tracker::Tracker;
use crate::mover::{self, Mover};
use crate::outbox::Outbox;
use crate::pressure::Pressure;
use crate::read::Reader;
use crate::read::rows::Rows;
use crate::refusals;
use crate::relay::Relay;
use crate::relay::queue::RelayQueue;
use crate::replicas::Watch;
use crate::restore::{Known, Loss, renew};
use crate::slots::regrant::Words;
use crate::slots::{Inside, Slots};
use crate::store::{LanePositions, SlotRow, Store, StoreError, Writer};
use shardline_backends::bus::Bus;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::slot::Slot;
use shardline_wire::call::Catalog;
use shardline_wire::internal::{LanePosition, WriterLease};
use shardline_wire::moves::MovesConnect;
use shardline_wire::refusal::Refusal;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use thiserror::Error;
use tokio::sync::Semaphore;
use tokio::time::timeout;

/// Reads being answered at the same time; more are told to come later.
const READS_MAX: usize = 1_024;
/// How long the catalog may take to say whose the slots are.
const CATALOG_TIME_MAX: Duration = Duration::from_secs(2);
/// Events waiting for the bus in memory, per lane.
const RELAY_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How long relays may go on when the lanes have ended, and how often that is looked at.
const RELAY_TIME_MAX: Duration = Duration::from_secs(1);
const RELAY_LOOK: Duration = Duration::from_millis(5);
/// How long the tasks of a term may take to end.
const END_TIME_MAX: Duration = Duration::from_secs(5);

pub(crate) struct Serving {
    pub(crate) fence: Arc<Fence>,
    pub(crate) mover: Arc<Mover>,
    shard: u32,
    catalog: Arc<dyn Catalog>,
    slots: Arc<Slots>,
    queues: Vec<Arc<Queue>>,
    relays: Vec<(Arc<RelayQueue>, Arc<AtomicU64>)>,
    /// By lane.
    remembered: Vec<Arc<Remembered>>,
    me: Me,
    outbox: Arc<Outbox>,
    reader: Reader,
    reads: Arc<Semaphore>,
    tasks: Lifecycle,
    /// Stop after the others, so that what lanes committed last goes out, too.
    relay_tasks: Lifecycle,
}

/// Who serves.
struct Me {
    shard: u32,
    node: String,
}

/// What a shard-node stands on.
#[derive(Clone)]
pub(crate) struct Ground {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) catalog: Arc<dyn Catalog>,
    /// How the other side of a move is reached.
    pub(crate) peers: Arc<dyn MovesConnect>,
}

/// Why a term did not begin.
#[derive(Debug, Error)]
pub(crate) enum StartError {
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The database has less than was reported of it.
    #[error("the database lacks {0}")]
    Restored(Loss),
    /// It may not be the one of before, and the catalog has not said whose the slots are.
    #[error("the catalog: {0}")]
    NotHeard(Refusal),
}

/// On what a term begins.
enum Begun {
    /// The same server as before, with all that flips rested on: its slot rows hold.
    AsBefore,
    /// Nothing of that is certain: rows hold as far as these words say.
    Anew(Words),
}

/// Looks before anything is changed, and makes a database whose loss was accepted servable.
async fn begin(
    config: &Config,
    ground: &Ground,
    writer: Writer,
    lease: &WriterLease,
) -> Result<Begun, StartError> {
    let Ground { store, catalog, .. } = ground;
    let found = store.found().await?;
    let of_takeover = found.writer.map_or(0, |writer| writer.term);
    let of_origin = found.origin.as_ref().map_or(of_takeover, |origin| origin.term);
    let same_server = found
        .origin
        .as_ref()
        .is_some_and(|origin| !found.server.is_empty() && origin.server == found.server);
    let known = lease.known.unwrap_or_default();
    let is_short = found.tally < known.tally;
    let words = if same_server && !is_short && lease.known.is_some() {
        None
    } else {
        if found.writer.is_some() {
            tracing::warn!(
                shard = config.shard,
                server = found.server,
                tally = found.tally,
                "this may be another database than before: its slots are granted again"
            );
        }
        // Asked after the lease was granted: what was said to an earlier writer is no proof any more.
        let rows = store.slots().await?;
        let asked = timeout(CATALOG_TIME_MAX, Words::ask(&**catalog, config.shard, &rows)).await;
        let late = || Err(Refusal::try_again("no answer in time", 500));
        let words = asked.unwrap_or_else(|_| late()).map_err(StartError::NotHeard)?;
        Some((words, rows))
    };
    let misses = |(words, rows): &(Words, Vec<_>)| is_short && words.misses(config.shard, rows);
    let known = Known {
        reported: &lease.reported,
        terms: (of_origin, known.term),
        tallies: words.as_ref().is_some_and(misses).then_some((found.tally, known.tally)),
    };
    renew::settle(&**store, config, writer, &known).await?;
    Ok(words.map_or(Begun::AsBefore, |(words, _)| Begun::Anew(words)))
}

impl Serving {
    /// Takes the database over for the writer of `lease`, unless it has less than what is known of it, and
    /// starts what serves it. If it may be another database than before, the catalog grants every slot
    /// again first. May be dropped at any moment: the next start goes on.
    pub(crate) async fn start(
        config: &Config,
        ground: &Ground,
        writer: Writer,
        lease: &WriterLease,
        tasks: Lifecycle,
    ) -> Result<Arc<Serving>, StartError> {
        let Ground { store, bus, catalog, peers } = ground;
        let begun = begin(config, ground, writer, lease).await?;
        store.take_over(writer, config.lanes).await?;
        let fence = Arc::new(Fence::new(Arc::clone(store), writer));
        // Both are long lists; nobody writes the shard while they are read.
        let (gate, owned) = tokio::join!(Slots::load(&**store), catalog.owned_slots(config.shard));
        let gate = gate?;
        let slots = Slots::new(
            config.shard,
            config.lanes,
            gate,
            Arc::clone(store),
            Arc::clone(catalog),
            Arc::clone(&fence),
        );
        match begun {
            Begun::Anew(words) => slots.regrant(&words).await?,
            // What is ours already is served at once; what is new is found out by the first call for it,
            // so a catalog that is away delays only that.
            Begun::AsBefore => {
                if let Ok(owned) = owned {
                    slots.learn(&owned).await?;
                }
            }
        }
        store.keep_origin().await?;
        // Freezes of before are counted with it.
        slots.count().await?;

        let positions = store.lane_positions().await?;
        let outbox = Outbox::new();
        let lanes = usize::from(config.lanes);
        let mut memories = Vec::with_capacity(lanes);
        let mut of_lanes = Vec::with_capacity(lanes);
        for lane in 0..config.lanes {
            let at = positions.iter().find(|row| row.lane == lane).copied();
            let at = at.unwrap_or(LanePositions { lane, committed: 0, relayed: 0, covered: 0 });
            let memory = Memory::new(
                Arc::clone(store),
                Cache::new(config.cache_bytes / lanes),
                Senders::new(at.covered, fence.now()),
            );
            rebuild_senders(&memory, at, &slots.gate).await?;
            memories.push(Arc::clone(&memory));
            of_lanes.push((memory, at));
        }
        let memories: Arc<[Arc<Memory>]> = memories.into();
        slots.remember_in(Inside { memories: Arc::clone(&memories), outbox: Arc::clone(&outbox) });
        let tracker = Arc::new(Tracker::new(rand::random()));
        let pressure = Arc::new(Pressure::default());
        let reader = Reader {
            store: Arc::clone(store),
            memories: Arc::clone(&memories),
            gate: Arc::clone(&slots.gate),
            fence: Arc::clone(&fence),
            rows: Rows::new(Arc::clone(store)),
        };

        let stop = tasks.token();
        let relay_tasks = tasks.child();
        let mut queues = Vec::with_capacity(lanes);
        let mut relays = Vec::with_capacity(lanes);
        let mut remembered = Vec::with_capacity(lanes);
        for (memory, at) in of_lanes {
            let queue = Queue::new();
            let relay_queue = Arc::new(RelayQueue::new(at.relayed, at.committed, RELAY_BYTES_MAX));
            let relayed = Arc::new(AtomicU64::new(at.relayed));
            let last_commits = Arc::new(Remembered::default());
            let lane = Lane::new(lanes::Parts {
                number: at.lane,
                memory: Arc::clone(&memory),
                queue: Arc::clone(&queue),
                relay: Arc::clone(&relay_queue),
                outbox: Arc::clone(&outbox),
                fence: Arc::clone(&fence),
                gate: Arc::clone(&slots.gate),
                tracker: Arc::clone(&tracker),
                pressure: Arc::clone(&pressure),
                remembered: Arc::clone(&last_commits),
                partitions: config.partitions,
                position: at.committed,
            });
            let relay = Relay {
                lane: at.lane,
                queue: Arc::clone(&relay_queue),
                memory,
                reader: reader.clone(),
                bus: Arc::clone(bus),
                partitions: config.partitions,
                relayed: Arc::clone(&relayed),
                remembered: Arc::clone(&last_commits),
            };
            tasks.run("lane", lane.run(stop.clone()));
            relay_tasks.run("relay", relay.run(relay_tasks.token()));
            queues.push(queue);
            relays.push((relay_queue, relayed));
            remembered.push(last_commits);
        }
        tasks.run("slots", Arc::clone(&slots).run(stop.clone()));
        let delivery = Arc::clone(&outbox).run(
            Arc::clone(store),
            Arc::clone(catalog),
            Arc::clone(&slots.gate),
            queues.clone(),
            stop,
        );
        tasks.run("outbox", delivery);
        for replica in store.replicas() {
            let watch = Watch::new(Arc::clone(replica), Arc::clone(&pressure), Arc::clone(&fence));
            tasks.run("replica", watch.run(tasks.token()));
        }
        let mover = Mover::new(mover::Parts {
            lanes: config.lanes,
            store: Arc::clone(store),
            fence: Arc::clone(&fence),
            slots: Arc::clone(&slots),
            queues: queues.clone(),
            relays: relays.clone(),
            tracker,
            pressure: Arc::clone(&pressure),
            peers: Arc::clone(peers),
            tasks: tasks.clone(),
        });
        let reads = Arc::new(Semaphore::new(READS_MAX));
        let me = Me { shard: config.shard, node: config.node.clone() };
        Ok(Arc::new(Serving {
            fence,
            mover,
            shard: config.shard,
            catalog: Arc::clone(catalog),
            slots,
            queues,
            relays,
            remembered,
            me,
            outbox,
            reader,
            reads,
            tasks,
            relay_tasks,
        }))
    }

    /// The rows of all slots that this shard ever had to do with.
    pub(crate) fn slot_rows(&self) -> Vec<SlotRow> {
        let gate = self.slots.gate.read();
        Slot::all().filter_map(|slot| gate.row(slot)).collect()
    }

    /// What the catalog says of all slots that are ours.
    pub(crate) async fn ask_catalog(&self) -> Result<(), Refusal> {
        let owned = self.catalog.owned_slots(self.shard).await?;
        self.slots.learn(&owned).await.map_err(|error| refusals::store(&error))
    }

    /// Where each lane stands, for the catalog.
    pub(crate) fn positions(&self) -> Vec<LanePosition> {
        let lanes = self.relays.iter().zip(0..);
        lanes
            .map(|((queue, relayed), lane)| LanePosition {
                lane,
                committed: queue.committed(),
                relayed: relayed.load(Ordering::Acquire),
            })
            .collect()
    }

    pub(crate) fn record_metrics(&self) {
        for (memory, lane) in self.reader.memories.iter().zip(0_u16..) {
            let weight = memory.cache.weight() as u64;
            metrics::gauge!(CACHE_BYTES, "lane" => lane.to_string()).set(number(weight));
        }
    }

    /// Ends the term: lanes finish what waits (if they still may), then relays have a moment for what
    /// that brought; the rest is relayed by the next writer.
    pub(crate) async fn end(&self) {
        let ended = self.tasks.finish(END_TIME_MAX).await;
        let relaying = async {
            while self.positions().iter().any(|lane| lane.relayed < lane.committed) {
                tokio::time::sleep(RELAY_LOOK).await;
            }
        };
        if !self.fence.lost().is_cancelled() {
            // Too late is no loss.
            drop(tokio::time::timeout(RELAY_TIME_MAX, relaying).await);
        }
        if !(self.relay_tasks.finish(END_TIME_MAX).await && ended) {
            tracing::warn!("tasks of a writer's term did not end in time");
        }
    }
}
