//! Facts for users: a chat's shard tells the user's shard, through any router, that they joined or
//! left. The rows stand in the database until the answer is durable, so a restart only repeats; the
//! user's shard applies what is newer than it knows.
//!
//! In memory here: which rows are known, bounded; the rest is read again when there is room.

mod state;

use crate::gate::Gate;
use crate::lanes::lane_of;
use crate::lanes::queue::{Job, Queue};
use crate::metrics::{OUTBOX, number};
use crate::store::{OutboxRow, Store};
use crate::write::FactKey;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use parking_lot::{Mutex, RwLock};
use shardline_daemon::clock::Stopwatch;
use shardline_domain::id::EntityId;
use shardline_domain::limits::OWN_FACT_WAIT_MAX;
use shardline_domain::slot::Slot;
use shardline_wire::call::{Answer, Catalog, Done, Outcome};
use shardline_wire::internal::{ApplyFact, Call, call};
use shardline_wire::refusal::Code;
use state::{Facts, Scan, Settled};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

/// Deliveries at the same time.
const IN_FLIGHT_MAX: usize = 64;
/// How often delays and waits are looked at while nothing else happens.
const TICK: Duration = Duration::from_millis(50);
/// Rows read from the database at once.
const READ_ROWS: usize = 4_096;
/// After a read of the database failed.
const READ_RETRY: Duration = Duration::from_secs(1);

pub(crate) struct Outbox {
    facts: Mutex<Facts>,
    waits: Mutex<HashMap<FactKey, Wait>>,
    wake: Notify,
    clock: Stopwatch,
}

/// An answer that waits for its fact.
struct Wait {
    answer: Answer,
    done: Done,
    since: Duration,
}

impl Outbox {
    /// Knows nothing yet: everything in the database is read first.
    pub(crate) fn new() -> Arc<Outbox> {
        Arc::new(Outbox {
            facts: Mutex::new(Facts::new()),
            waits: Mutex::default(),
            wake: Notify::new(),
            clock: Stopwatch::start(),
        })
    }

    /// Rows that were committed just now.
    pub(crate) fn push(&self, rows: Vec<OutboxRow>) {
        if rows.is_empty() {
            return;
        }
        let mut facts = self.facts.lock();
        rows.into_iter().for_each(|row| facts.add(row));
        drop(facts);
        self.wake.notify_one();
    }

    /// Answers once the fact is applied, or `OWN_FACT_WAIT_MAX` later. To be called before the fact
    /// is pushed.
    pub(crate) fn answer_after(&self, fact: FactKey, answer: Answer, done: Done) {
        let wait = Wait { answer, done, since: self.clock.elapsed() };
        let former = self.waits.lock().insert(fact, wait);
        finish(former);
    }

    /// Rows whose deletion was committed.
    pub(crate) fn deleted(&self, keys: &[FactKey]) {
        if !keys.is_empty() {
            self.facts.lock().deleted(keys);
        }
    }

    /// Rows that were delivered, and whose deletion has to be asked for again.
    pub(crate) fn delete_later(&self, keys: Vec<FactKey>) {
        self.facts.lock().delete_later(keys);
    }

    /// The slot takes no writes any more: its facts are the next owner's, and so are its rows. Whoever
    /// waits for one is answered, for it is committed.
    pub(crate) fn leave(&self, slot: Slot) {
        let chats = slot.ids();
        self.facts.lock().leave(&chats);
        let mut waits = self.waits.lock();
        let left: Vec<FactKey> =
            waits.keys().filter(|(chat, _, _)| chats.contains(chat)).copied().collect();
        let left: Vec<Wait> = left.iter().filter_map(|fact| waits.remove(fact)).collect();
        drop(waits);
        left.into_iter().for_each(|wait| finish(Some(wait)));
    }

    /// The slot takes writes from now on: what stands in its outbox is ours to deliver.
    pub(crate) fn look_into(&self, slot: Slot) {
        self.facts.lock().look_into(slot.ids());
        self.wake.notify_one();
    }

    /// As `look_into`, of one chat.
    pub(crate) fn look_into_chat(&self, chat: EntityId) {
        self.facts.lock().look_into(chat.get()..=chat.get());
        self.wake.notify_one();
    }

    /// Delivers until `stop`.
    pub(crate) async fn run(
        self: Arc<Self>,
        store: Arc<dyn Store>,
        catalog: Arc<dyn Catalog>,
        gate: Arc<RwLock<Gate>>,
        queues: Vec<Arc<Queue>>,
        stop: CancellationToken,
    ) {
        let mut deliveries = FuturesUnordered::new();
        let mut read_after = Duration::ZERO;
        while !stop.is_cancelled() {
            let now = self.clock.elapsed();
            while read_after <= now {
                let Some(scan) = self.facts.lock().next_scan() else { break };
                if !self.read(&store, &gate, scan).await {
                    read_after = now + READ_RETRY;
                }
            }
            while deliveries.len() < IN_FLIGHT_MAX {
                let Some(row) = self.facts.lock().start(now) else { break };
                let catalog = Arc::clone(&catalog);
                deliveries.push(async move {
                    let outcome = catalog.route(apply_fact(&row)).await;
                    (key(&row), outcome)
                });
            }
            self.ask_for_deletions(&queues);
            self.answer_late(now);
            metrics::gauge!(OUTBOX).set(number(self.facts.lock().len() as u64));
            tokio::select! {
                Some((fact, outcome)) = deliveries.next() => self.settle(fact, &outcome),
                () = self.wake.notified() => {}
                () = tokio::time::sleep(TICK), if self.has_work() => {}
                () = tokio::time::sleep(READ_RETRY) => {}
                () = stop.cancelled() => {}
            }
        }
        let waits = std::mem::take(&mut *self.waits.lock());
        waits.into_values().for_each(|wait| finish(Some(wait)));
    }

    /// False: the database did not answer. Rows of slots that are not ours to write are passed over:
    /// they are here as a copy.
    async fn read(&self, store: &Arc<dyn Store>, gate: &RwLock<Gate>, scan: Scan) -> bool {
        let rows = store.outbox_in(scan.chats.clone(), scan.after, READ_ROWS as u64).await;
        let mut rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                tracing::warn!(%error, "the outbox could not be read");
                self.facts.lock().scan_again(scan);
                return false;
            }
        };
        let last = rows.last().filter(|_| READ_ROWS <= rows.len()).map(key);
        let rest = last.map(|after| Scan { after, ..scan });
        let gate = gate.read();
        let is_ours = |row: &OutboxRow| {
            EntityId::new(row.chat).is_ok_and(|chat| gate.is_open(Slot::of(chat)))
        };
        rows.retain(is_ours);
        // Under the gate: a slot that closes now is left afterwards.
        self.facts.lock().add_read(rows, rest);
        true
    }

    fn settle(&self, fact: FactKey, outcome: &Outcome) {
        let settled = match outcome {
            Ok(_) => Settled::Applied,
            Err(refusal) => match refusal.code() {
                // There is no list to keep: such a user was never registered, or is gone.
                Code::NotFound => Settled::Applied,
                code => {
                    tracing::debug!(?code, "a fact was not applied yet");
                    Settled::Failed
                }
            },
        };
        self.facts.lock().settle(fact, settled, self.clock.elapsed());
        if settled == Settled::Applied {
            let wait = self.waits.lock().remove(&fact);
            finish(wait);
        }
    }

    /// Rows are deleted by their chat's lane, with whatever it commits next.
    fn ask_for_deletions(&self, queues: &[Arc<Queue>]) {
        let keys = self.facts.lock().take_applied();
        let mut by_lane: HashMap<usize, Vec<FactKey>> = HashMap::new();
        for fact in keys {
            by_lane.entry(lane_of(fact.0, queues.len())).or_default().push(fact);
        }
        for (lane, keys) in by_lane {
            if let Err((Job::Delivered(keys), _)) = queues[lane].push(Job::Delivered(keys)) {
                self.delete_later(keys);
            }
        }
    }

    fn answer_late(&self, now: Duration) {
        let mut waits = self.waits.lock();
        let late: Vec<FactKey> = waits
            .iter()
            .filter(|(_, wait)| OWN_FACT_WAIT_MAX <= now.saturating_sub(wait.since))
            .map(|(fact, _)| *fact)
            .collect();
        let late: Vec<Wait> = late.iter().filter_map(|fact| waits.remove(fact)).collect();
        drop(waits);
        late.into_iter().for_each(|wait| finish(Some(wait)));
    }

    fn has_work(&self) -> bool {
        !self.waits.lock().is_empty() || self.facts.lock().has_work()
    }
}

fn finish(wait: Option<Wait>) {
    if let Some(Wait { answer, done, .. }) = wait {
        done.finish(Ok(answer));
    }
}

fn key(row: &OutboxRow) -> FactKey {
    (row.chat, row.ver, row.user)
}

fn apply_fact(row: &OutboxRow) -> Call {
    let fact =
        ApplyFact { chat: row.chat, ver: row.ver, joined: row.joined, kind: row.kind.clone() };
    Call { entity: row.user, epoch: 0, op: Some(call::Op::ApplyFact(fact)) }
}
