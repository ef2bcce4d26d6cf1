//! The coordinator: one router, elected by a lease in the catalog, that places slots on shards, moves
//! them between shards, and watches over them.
//!
//! The lease only keeps the others waiting. What keeps the catalog safe from a leader that was late is
//! that each of its writes carries its term and is refused once another one leads.

mod carry_out;
mod field;
mod hands;
pub mod initial;
mod orders;
mod rebalance;
mod tenure;
mod trim;
mod turns;
mod watch;

pub use field::Reach;

use crate::catalog::{CatalogError, Leadership, NewShard, ShardRow, WholeCatalog};
use crate::metrics::{LEADS, SHARDS_WITHOUT_WRITER};
use arc_swap::ArcSwapOption;
use hands::Hands;
use shardline_daemon::clock::Stopwatch;
use shardline_domain::placement::{self, Owners, PlacementError, Share};
use std::sync::Arc;
use std::time::Duration;
use tenure::Tenure;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};
use watch::Watch;

/// A leader that is gone is replaced after this.
pub const LEASE: Duration = Duration::from_secs(3);
const RENEW_EVERY: Duration = Duration::from_millis(400);
/// However much goes on, rounds are no closer than this.
const ROUND_GAP: Duration = Duration::from_millis(20);
const ANSWER_TIME_MAX: Duration = Duration::from_secs(1);
/// A stopping leader says so, but does not wait long for a catalog that is away.
const RESIGN_TIME_MAX: Duration = Duration::from_millis(500);

pub struct Coordinator {
    catalog: Arc<dyn WholeCatalog>,
    reach: Reach,
    /// Unique for this run of the process: an earlier run's term is not ours.
    holder: String,
    /// What an empty catalog begins with; empty: it stays empty.
    initial: Vec<Share>,
    seen: ArcSwapOption<Leadership>,
    /// A round is due before its time.
    wake: Arc<Notify>,
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
        catalog: Arc<dyn WholeCatalog>,
        reach: Reach,
        router: &str,
        run_number: u64,
        initial: Vec<Share>,
    ) -> Coordinator {
        let holder = format!("{router}/{run_number:016x}");
        let (seen, wake) = (ArcSwapOption::empty(), Arc::default());
        Coordinator { catalog, reach, holder, initial, seen, wake }
    }

    /// Something changed in the catalog: if this router leads, it looks at once.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// Who led when this router last heard of it; None until it did.
    pub fn leadership(&self) -> Option<Arc<Leadership>> {
        self.seen.load_full()
    }

    /// Stands for election, and leads when elected, until `stop`.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut tenure: Option<Tenure> = None;
        let mut watch = Watch::default();
        // Dropped with the tenure, and all of its work with it.
        let mut hands: Option<Hands> = None;
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
            hands = hands.filter(|hands| Some(hands.term()) == tenure.map(Tenure::term));
            if let Some(answer) = answer {
                self.seen.store(Some(Arc::new(answer)));
            }
            if let Some(tenure) = tenure {
                // All of a round's steps may be repeated by the next one, or by another leader.
                let hands = hands.get_or_insert_with(|| self.take_in_hand(tenure.term()));
                let round = timeout(tenure.left(), self.round(hands, &mut watch));
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
                () = self.next_round() => {}
            }
        }
        drop(hands);
        if let Some(tenure) = tenure {
            // Not heard: the lease runs out by itself.
            let _ = timeout(RESIGN_TIME_MAX, self.catalog.resign(tenure.term())).await;
            note_change(Some(tenure), None);
        }
    }

    fn take_in_hand(&self, term: u64) -> Hands {
        Hands::new(self.catalog.clone(), self.reach.clone(), term, self.wake.clone())
    }

    async fn next_round(&self) {
        tokio::time::sleep(ROUND_GAP).await;
        // Earlier when something happened.
        drop(timeout(RENEW_EVERY - ROUND_GAP, self.wake.notified()).await);
    }

    /// Looks at everything and does what is due.
    async fn round(&self, hands: &mut Hands, watch: &mut Watch) -> Result<(), RoundError> {
        let shards = self.catalog.shards().await?;
        if shards.is_empty() && !self.initial.is_empty() {
            return self.found(hands.term()).await;
        }
        note_writers(watch, &shards);
        Ok(hands.round(shards).await?)
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
