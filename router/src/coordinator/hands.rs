//! The work of one tenure: a task for each live move that has something to do, and one for a rebalance.
//! They end with the tenure; the catalog checks the term of whatever they still try.

use super::carry_out::carry_out;
use super::field::{Field, Reach};
use super::rebalance;
use super::trim::Trimmer;
use super::turns::starters;
use crate::catalog::moves::{MoveRow, Which};
use crate::catalog::operations::RebalanceState;
use crate::catalog::{CatalogError, ShardRow, ShardState, WholeCatalog};
use crate::metrics::MOVES;
use shardline_domain::limits::MOVES_IN_HAND_MAX;
use shardline_domain::placement::transfer::{MoveId, Phase, Wish};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::info;

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Job {
    Move(MoveId),
    Rebalance(u64),
}

pub(super) struct Hands {
    field: Arc<Field>,
    trimmer: Trimmer,
    tasks: JoinSet<Job>,
    busy: BTreeSet<Job>,
}

impl Hands {
    pub(super) fn new(
        catalog: Arc<dyn WholeCatalog>,
        reach: Reach,
        term: u64,
        wake: Arc<Notify>,
    ) -> Hands {
        let field = Arc::new(Field::new(catalog, reach, term, wake));
        Hands { field, trimmer: Trimmer::default(), tasks: JoinSet::new(), busy: BTreeSet::new() }
    }

    pub(super) fn term(&self) -> u64 {
        self.field.term
    }

    /// Looks at everything and begins what is due.
    pub(super) async fn round(&mut self, shards: Vec<ShardRow>) -> Result<(), CatalogError> {
        self.collect();
        let field = self.field.clone();
        for row in shards.iter().filter(|row| has_joined(row)) {
            if field.catalog.activate_shard(row.shard).await? {
                info!(shard = %row.shard, "the shard has joined");
            }
        }
        field.update(shards);
        field.bytes_per_second.store(field.catalog.throttle().await?, Ordering::Relaxed);

        let round = field.begin_round();
        let live = field.catalog.moves(Which::Live).await?;
        let starters = starters(&live);
        field.starters.lock().clone_from(&starters);
        field.put_wishes(round, live.iter().map(|row| (row.id, row.wish)).collect());
        count(&live);
        for row in live.iter().filter(|row| is_due(row, &starters)) {
            let id = row.id;
            let field = field.clone();
            self.begin(Job::Move(id), async move {
                carry_out(field, id).await;
                Job::Move(id)
            });
        }
        if let Some(newest) = field.catalog.rebalance().await?
            && matches!(newest.state, RebalanceState::Running | RebalanceState::Stopped)
        {
            let id = newest.id;
            // One that was stopped and is done with looks once more each round, and ends.
            self.begin(Job::Rebalance(id), async move {
                rebalance::run(field, id).await;
                Job::Rebalance(id)
            });
        }
        self.trimmer.trim(self.field.catalog.as_ref(), self.field.term).await
    }

    fn begin(&mut self, job: Job, work: impl Future<Output = Job> + Send + 'static) {
        let moves = self.busy.iter().filter(|job| matches!(job, Job::Move(_))).count();
        if matches!(job, Job::Move(_)) && MOVES_IN_HAND_MAX <= moves {
            return;
        }
        if self.busy.insert(job) {
            self.tasks.spawn(work);
        }
    }

    /// What ended, or went wrong: a panic here is one of the process.
    fn collect(&mut self) {
        while let Some(ended) = self.tasks.try_join_next() {
            match ended {
                Ok(job) => {
                    self.busy.remove(&job);
                }
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => {}
            }
        }
    }
}

/// Its writer is there and has said how it is.
fn has_joined(row: &ShardRow) -> bool {
    row.state == ShardState::Joining && row.writer_alive && row.reported_ms_ago.is_some()
}

/// A planned move waits in the catalog until it may start, or is not wanted any more.
fn is_due(row: &MoveRow, starters: &BTreeSet<MoveId>) -> bool {
    row.phase != Phase::Planned
        || starters.contains(&row.id)
        || matches!(row.wish, Wish::Abort | Wish::Reverse)
}

fn count(live: &[MoveRow]) {
    for phase in Phase::ALL.into_iter().filter(|phase| !phase.is_end()) {
        let many = live.iter().filter(|row| row.phase == phase).count();
        let many = u32::try_from(many).unwrap_or(u32::MAX);
        metrics::gauge!(MOVES, "phase" => phase.name()).set(f64::from(many));
    }
}
