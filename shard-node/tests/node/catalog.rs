//! A catalog for one or two shards in one process: grants every lease, gives all slots to the shard
//! that is told to have them, and routes facts to the shard that is plugged in.

use async_trait::async_trait;
use parking_lot::Mutex;
use shardline_wire::call::{Catalog, Done, Outcome, Shard};
use shardline_wire::internal::{
    Call, KnownDatabase, LanePosition, ShardReport, ShardReportAnswer, SlotEntry, WriterLease,
    WriterRequest,
};
use shardline_wire::refusal::Refusal;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

pub(crate) struct TestCatalog {
    term: AtomicU64,
    /// Of every slot.
    epoch: AtomicU64,
    /// Owner of every slot.
    shard: AtomicU64,
    /// Facts are not delivered while this is false.
    pub(crate) routes: AtomicBool,
    /// Which a flip rested on.
    pub(crate) tally: AtomicU64,
    /// Nobody is told whose slots are while this is true.
    pub(crate) silent: AtomicBool,
    /// Nothing is answered while this is true.
    pub(crate) away: AtomicBool,
    /// How long each answer takes.
    pub(crate) slow: Mutex<Duration>,
    /// Leases that were renewed.
    pub(crate) renewals: AtomicU64,
    target: Mutex<Option<Arc<dyn Shard>>>,
    pub(crate) reports: Mutex<Vec<ShardReport>>,
}

impl TestCatalog {
    pub(crate) fn new() -> Arc<TestCatalog> {
        Arc::new(TestCatalog {
            term: AtomicU64::new(0),
            epoch: AtomicU64::new(1),
            shard: AtomicU64::new(1),
            routes: AtomicBool::new(true),
            tally: AtomicU64::new(0),
            silent: AtomicBool::new(false),
            away: AtomicBool::new(false),
            slow: Mutex::default(),
            renewals: AtomicU64::new(0),
            target: Mutex::default(),
            reports: Mutex::default(),
        })
    }

    pub(crate) fn route_to(&self, shard: Arc<dyn Shard>) {
        *self.target.lock() = Some(shard);
    }

    pub(crate) fn forget_target(&self) {
        *self.target.lock() = None;
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// All slots go to this shard, at the next epoch, which is returned.
    pub(crate) fn give_slots(&self, shard: u64) -> u64 {
        self.shard.store(shard, Ordering::SeqCst);
        self.epoch.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// The highest positions of all reports, by lane.
    fn reported(&self) -> Vec<LanePosition> {
        let mut lanes: BTreeMap<u32, LanePosition> = BTreeMap::new();
        for lane in self.reports.lock().iter().flat_map(|report| &report.lanes) {
            let known = lanes.entry(lane.lane).or_insert(*lane);
            known.committed = known.committed.max(lane.committed);
        }
        lanes.into_values().collect()
    }

    fn entry(&self, slot: u32) -> SlotEntry {
        let shard = u32::try_from(self.shard.load(Ordering::SeqCst)).expect("small");
        SlotEntry { slot, shard, epoch: self.epoch(), held: None }
    }

    async fn check(&self) -> Result<(), Refusal> {
        let slow = *self.slow.lock();
        if !slow.is_zero() {
            tokio::time::sleep(slow).await;
        }
        if self.away.load(Ordering::SeqCst) {
            return Err(Refusal::try_again("the catalog is away", 100));
        }
        Ok(())
    }
}

#[async_trait]
impl Catalog for TestCatalog {
    async fn acquire_writer(&self, request: WriterRequest) -> Result<WriterLease, Refusal> {
        self.check().await?;
        let newest = self.term.load(Ordering::SeqCst);
        // As the real one: who begins learns what was reported before.
        let reported = if request.term == 0 { self.reported() } else { Vec::new() };
        let (granted, term) = if request.release {
            (false, newest)
        } else if request.term == 0 {
            (true, self.term.fetch_add(1, Ordering::SeqCst) + 1)
        } else {
            self.renewals.fetch_add(1, Ordering::SeqCst);
            (request.term == newest, newest)
        };
        let seen = self.reports.lock().iter().map(|report| report.term).max().unwrap_or(0);
        Ok(WriterLease {
            granted,
            term,
            lasts_ms: 3_000,
            holder: "another".to_owned(),
            reported,
            known: Some(KnownDatabase { term: seen, tally: self.tally.load(Ordering::SeqCst) }),
        })
    }

    async fn owned_slots(&self, shard: u32) -> Result<Vec<SlotEntry>, Refusal> {
        self.check().await?;
        if self.silent.load(Ordering::SeqCst) {
            return Err(Refusal::try_again("the catalog is away", 100));
        }
        let all = (0..16_384).map(|slot| self.entry(slot));
        Ok(all.filter(|entry| entry.shard == shard).collect())
    }

    async fn locate_slot(&self, slot: u32) -> Result<SlotEntry, Refusal> {
        self.check().await?;
        Ok(self.entry(slot))
    }

    async fn report(&self, report: ShardReport) -> Result<ShardReportAnswer, Refusal> {
        self.check().await?;
        let current = report.term == self.term.load(Ordering::SeqCst);
        self.reports.lock().push(report);
        Ok(ShardReportAnswer { current })
    }

    async fn route(&self, call: Call) -> Outcome {
        let target = self.target.lock().clone();
        match target {
            Some(shard) if self.routes.load(Ordering::SeqCst) => {
                let (done, outcome) = Done::channel();
                shard.submit(Call { epoch: self.epoch(), ..call }, done);
                outcome.await.unwrap_or_else(|_| Err(Refusal::unknown("no answer")))
            }
            _ => Err(Refusal::try_again("no route", 10)),
        }
    }
}
