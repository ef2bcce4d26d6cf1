//! The coordinator: one router, elected by a lease in the catalog, that places slots on shards and
//! watches over them.
//!
//! The lease only keeps the others waiting. What keeps the catalog safe from a leader that was late is
//! that each of its writes carries its term and is refused once another one leads.

pub mod initial;
mod tenure;
mod watch;

use crate::catalog::{CatalogError, CatalogStore, Leadership, NewShard, ShardRow};
use crate::metrics::{LEADS, SHARDS_WITHOUT_WRITER};
use arc_swap::ArcSwapOption;
use shardline_daemon::clock::Stopwatch;
use shardline_domain::placement::{self, Owners, PlacementError, Share};
use std::sync::Arc;
use std::time::Duration;
use tenure::Tenure;
use thiserror::Error;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use watch::Watch;

/// A leader that is gone is replaced after this.
pub const LEASE: Duration = Duration::from_secs(6);
const RENEW_EVERY: Duration = Duration::from_secs(1);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(2);
/// A stopping leader says so, but does not wait long for a catalog that is away.
const RESIGN_TIME_MAX: Duration = Duration::from_millis(500);

pub struct Coordinator {
    catalog: Arc<dyn CatalogStore>,
    /// Unique for this run of the process: an earlier run's term is not ours.
    holder: String,
    /// What an empty catalog begins with; empty: it stays empty.
    initial: Vec<Share>,
    seen: ArcSwapOption<Leadership>,
}

/// Why a leader's round ended early; the next one tries again.
#[derive(Debug, Error)]
enum RoundError {
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("the initial shards: {0}")]
    Placement(#[from] PlacementError),
}

impl Coordinator {
    /// `router` is this router's id; `run_number` is random, new at every start.
    pub fn new(
        catalog: Arc<dyn CatalogStore>,
        router: &str,
        run_number: u64,
        initial: Vec<Share>,
    ) -> Coordinator {
        let holder = format!("{router}/{run_number:016x}");
        Coordinator { catalog, holder, initial, seen: ArcSwapOption::empty() }
    }

    /// Who led when this router last heard of it; None until it did.
    pub fn leadership(&self) -> Option<Arc<Leadership>> {
        self.seen.load_full()
    }

    /// Stands for election, and leads when elected, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut tenure: Option<Tenure> = None;
        let mut watch = Watch::default();
        loop {
            let asked = Stopwatch::start();
            let answer = tokio::select! {
                () = stop.cancelled() => break,
                answer = timeout(ANSWER_TIME_MAX, self.catalog.lead(&self.holder, LEASE)) => answer,
            };
            let answer = answer.ok().and_then(Result::ok);
            let next = tenure::after(tenure, answer.as_ref(), asked);
            note_change(tenure, next);
            tenure = next;
            if let Some(answer) = answer {
                self.seen.store(Some(Arc::new(answer)));
            }
            if let Some(tenure) = tenure {
                // All of a round's steps may be repeated by the next one, or by another leader.
                let round = timeout(tenure.left(), self.round(tenure.term(), &mut watch));
                tokio::select! {
                    () = stop.cancelled() => break,
                    done = round => match done {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => warn!(%error, "the coordinator's round failed"),
                        Err(_) => warn!("the coordinator's round took too long"),
                    },
                }
            }
            tokio::select! {
                () = stop.cancelled() => break,
                () = tokio::time::sleep(RENEW_EVERY) => {}
            }
        }
        if let Some(tenure) = tenure {
            // Not heard: the lease runs out by itself.
            let _ = timeout(RESIGN_TIME_MAX, self.catalog.resign(tenure.term())).await;
            note_change(Some(tenure), None);
        }
    }

    /// Looks at everything and does what is due.
    async fn round(&self, term: u64, watch: &mut Watch) -> Result<(), RoundError> {
        let shards = self.catalog.shards().await?;
        if shards.is_empty() && !self.initial.is_empty() {
            return self.found(term).await;
        }
        note_writers(watch, &shards);
        Ok(())
    }

    /// Places all slots on the initial shards, once.
    async fn found(&self, term: u64) -> Result<(), RoundError> {
        let moves = placement::plan(&Owners::none(), &self.initial)?;
        let slots: Vec<_> = moves.iter().map(|moved| (moved.slot, moved.to)).collect();
        let shards: Vec<_> = self
            .initial
            .iter()
            .map(|share| NewShard { shard: share.shard, weight: share.weight })
            .collect();
        if self.catalog.found(term, &shards, &slots).await? {
            info!(shards = shards.len(), slots = slots.len(), "slots are placed");
        }
        Ok(())
    }
}

fn note_change(before: Option<Tenure>, after: Option<Tenure>) {
    let (before, after) = (before.map(Tenure::term), after.map(Tenure::term));
    if before == after {
        return;
    }
    match after {
        Some(term) => info!(term, "leads as coordinator"),
        None => info!(term = before, "no longer leads"),
    }
    metrics::gauge!(LEADS).set(f64::from(u8::from(after.is_some())));
}

fn note_writers(watch: &mut Watch, shards: &[ShardRow]) {
    for change in watch.look(shards) {
        let (shard, writer) = (change.shard, change.writer);
        match change.alive {
            true => info!(%shard, writer, "the shard has a writer"),
            false => warn!(%shard, writer, "the shard has no writer; its chats cannot be written"),
        }
    }
    let without = shards.iter().filter(|row| !row.writer_alive).count();
    let without = u32::try_from(without).unwrap_or(u32::MAX);
    metrics::gauge!(SHARDS_WITHOUT_WRITER).set(f64::from(without));
}
