//! A catalog in a file, shards in memory, coordinators that come and go, and a writer that keeps a
//! record of what was acknowledged.

use crate::shard::{Links, Network, TestShard, address};
use shardline_domain::id::ShardId;
use shardline_domain::placement::Share;
use shardline_domain::placement::transfer::{MoveId, MovingSlot, Phase, SlotState};
use shardline_domain::slot::{Partitions, Slot};
use shardline_router::catalog::migrate::Migrate;
use shardline_router::catalog::moves::{MoveRow, NewMove, Which};
use shardline_router::catalog::sqlite::SqliteCatalog;
use shardline_router::catalog::{Report, WholeCatalog, WriterBid};
use shardline_router::coordinator::{Coordinator, Reach};
use shardline_router::operations::Operations;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::sync::CancellationToken;

const HOUR: Duration = Duration::from_secs(3600);
/// A retry after a freeze that took too long comes after ten seconds.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) struct World {
    folder: tempfile::TempDir,
    pub(crate) catalog: Arc<dyn WholeCatalog>,
    pub(crate) network: Arc<Network>,
    tasks: JoinSet<()>,
}

/// One router's coordinator.
pub(crate) struct Leader {
    pub(crate) coordinator: Arc<Coordinator>,
    task: AbortHandle,
}

impl Leader {
    /// It is gone without a word.
    pub(crate) fn kill(&self) {
        self.task.abort();
    }

    pub(crate) fn term(&self) -> Option<u64> {
        self.coordinator.leadership().filter(|seen| seen.mine).map(|seen| seen.term)
    }
}

impl World {
    /// Shards 0 and 1 have all slots, half and half.
    pub(crate) async fn new() -> World {
        let folder = tempfile::tempdir().expect("a folder");
        let catalog = open(&folder).await;
        let world = World { folder, catalog, network: Arc::default(), tasks: JoinSet::new() };
        let term = world.catalog.lead("founder", HOUR).await.expect("an answer").term;
        let owner = |slot: Slot| ShardId(u32::from(slot.get() % 2));
        let slots: Vec<_> = Slot::all().map(|slot| (slot, owner(slot))).collect();
        let shard =
            |number| shardline_router::catalog::NewShard { shard: ShardId(number), weight: 100 };
        assert!(world.catalog.found(term, &[shard(0), shard(1)], &slots).await.expect("founded"));
        world.catalog.resign(term).await.expect("an answer");
        for number in 0..2 {
            world.shard(number);
            world.has_writer(number).await;
        }
        world
    }

    /// A shard-node that waits for its shard.
    pub(crate) fn shard(&self, number: u32) -> Arc<TestShard> {
        let shard = TestShard::new(number, self.catalog.clone(), self.network.clone());
        self.network.put(shard.clone());
        shard
    }

    /// The shard's node gets the right to write it, and reports.
    pub(crate) async fn has_writer(&self, number: u32) {
        let shard = ShardId(number);
        let node = format!("node-{number}");
        let bid = WriterBid { shard, node, address: address(number), lasts: HOUR };
        let grant = self.catalog.acquire_writer(&bid).await.expect("an answer");
        assert!(grant.granted);
        let report =
            Report { shard, term: grant.term, lanes: Vec::new(), durability: String::new() };
        assert!(self.catalog.report(&report).await.expect("an answer"));
        let node = self.network.of(shard);
        node.term.store(grant.term, Ordering::SeqCst);
        node.start().await;
    }

    pub(crate) fn reach(&self) -> Reach {
        Reach {
            moves: Arc::new(Links(self.network.clone())),
            map: Arc::default(),
            partitions: Partitions::new(64).expect("a power of two"),
        }
    }

    /// Another router's coordinator, on a connection of its own.
    pub(crate) async fn leader(&mut self, router: &str) -> Leader {
        let catalog = open(&self.folder).await;
        let initial: Vec<Share> = Vec::new();
        let coordinator = Coordinator::new(catalog, self.reach(), router, 1, initial);
        let coordinator = Arc::new(coordinator);
        let task = self.tasks.spawn(coordinator.clone().run(CancellationToken::new()));
        Leader { coordinator, task }
    }

    pub(crate) fn operations(&self, leader: &Leader) -> Operations {
        Operations::new(self.catalog.clone(), self.reach(), leader.coordinator.clone())
    }

    /// Its lease is over, as after a pause: another may lead, while it may still think that it does.
    pub(crate) async fn depose(&self, leader: &Leader) {
        let term = leader.term().expect("it leads");
        self.catalog.resign(term).await.expect("an answer");
    }

    /// A move of these slots from shard 0 to shard 1, made by a coordinator that is gone since.
    pub(crate) async fn planned(&self, slots: &[u32], window: Duration) -> MoveId {
        let mut moving = Vec::new();
        for number in slots {
            let slot = slot(*number);
            let held = self.catalog.locate_slot(slot).await.expect("an answer").expect("placed");
            moving.push(MovingSlot { slot, epoch: held.row.epoch });
        }
        let new = NewMove { source: ShardId(0), target: ShardId(1), slots: moving, window };
        let term = self.catalog.lead("planner", HOUR).await.expect("an answer").term;
        let ids = self.catalog.create_moves(term, None, &[new]).await.expect("slots are free");
        self.catalog.resign(term).await.expect("an answer");
        ids[0]
    }

    pub(crate) async fn row(&self, id: MoveId) -> MoveRow {
        self.catalog.find_move(id).await.expect("an answer").expect("the move is there").0
    }

    pub(crate) async fn until(&self, id: MoveId, phase: Phase) -> MoveRow {
        let row = self.eventually(async || {
            let row = self.row(id).await;
            (row.phase == phase || row.phase.is_end()).then_some(row)
        });
        let row = row.await;
        assert_eq!(row.phase, phase, "{:?}", self.catalog.journal(id).await);
        row
    }

    pub(crate) async fn eventually<T>(&self, mut look: impl AsyncFnMut() -> Option<T>) -> T {
        let looked = tokio::time::timeout(PATIENCE, async {
            loop {
                if let Some(found) = look().await {
                    return found;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
        match looked.await {
            Ok(found) => found,
            Err(_) => panic!("never: {:?}", self.catalog.moves(Which::All { ended: 9 }).await),
        }
    }

    /// Writes to these slots, each value after the one before was acknowledged, until stopped.
    pub(crate) fn writer(&mut self, slots: &[u32]) -> Writer {
        let (catalog, network) = (self.catalog.clone(), self.network.clone());
        let slots: Vec<Slot> = slots.iter().map(|number| slot(*number)).collect();
        let (stop, ended) = (CancellationToken::new(), CancellationToken::new());
        let acked = Arc::default();
        let writer = Writer { stop: stop.clone(), ended: ended.clone(), acked: Arc::clone(&acked) };
        self.tasks.spawn(async move {
            let _ended = ended.drop_guard();
            let mut next = 0;
            while !stop.is_cancelled() {
                for slot in &slots {
                    if stop.is_cancelled() {
                        return;
                    }
                    let held = catalog.locate_slot(*slot).await.expect("an answer");
                    let row = held.expect("it is placed").row;
                    next += 1;
                    if network.of(row.shard).write(*slot, row.epoch, next).await {
                        let acked: &parking_lot::Mutex<BTreeMap<Slot, Vec<u64>>> = &acked;
                        acked.lock().entry(*slot).or_default().push(next);
                    }
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        });
        writer
    }

    /// Every acknowledged value is there once, in order, at the owner and nowhere else.
    pub(crate) async fn check(&self, writer: &Writer) {
        let all = writer.acked.lock().clone();
        for (slot, acked) in all {
            assert!(!acked.is_empty());
            let held = self.catalog.locate_slot(slot).await.expect("an answer").expect("placed");
            let owner = self.network.of(held.row.shard);
            assert_eq!(owner.values(slot), acked, "slot {slot}");
            let row = owner.row(slot);
            assert_eq!((row.state, row.epoch), (SlotState::Owned, held.row.epoch));
            for other in self.catalog.shards().await.expect("an answer") {
                if other.shard != held.row.shard && held.held.is_none() {
                    let other = self.network.of(other.shard);
                    assert_eq!(other.values(slot), [] as [u64; 0], "left behind of {slot}");
                }
            }
        }
    }

    /// Each step begins where the one before ended, may follow it, and is of no older leader.
    pub(crate) async fn check_journal(&self, id: MoveId) {
        let steps = self.catalog.journal(id).await.expect("an answer");
        let steps: Vec<_> = steps.into_iter().filter(|step| step.term != 0).collect();
        for pair in steps.windows(2) {
            assert_eq!(pair[1].from, Some(pair[0].to), "{steps:?}");
            assert!(pair[0].to.may_become(pair[1].to), "{steps:?}");
            assert!(pair[0].term <= pair[1].term, "{steps:?}");
        }
    }
}

pub(crate) struct Writer {
    stop: CancellationToken,
    ended: CancellationToken,
    acked: Arc<parking_lot::Mutex<BTreeMap<Slot, Vec<u64>>>>,
}

impl Writer {
    pub(crate) fn acked(&self) -> usize {
        self.acked.lock().values().map(Vec::len).sum()
    }

    /// Writes a little more, then stops.
    pub(crate) async fn stop(&self) {
        let before = self.acked();
        for _ in 0..2_000 {
            if before + 20 < self.acked() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert!(before < self.acked(), "writes go on after a move");
        self.stop.cancel();
        self.ended.cancelled().await;
    }
}

async fn open(folder: &tempfile::TempDir) -> Arc<dyn WholeCatalog> {
    let file = folder.path().join("catalog.db");
    Arc::new(SqliteCatalog::open(&file, Migrate::IfEmpty).await.expect("the catalog opens"))
}

pub(crate) fn slot(number: u32) -> Slot {
    Slot::new(number).expect("a slot")
}
