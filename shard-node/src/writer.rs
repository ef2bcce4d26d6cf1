//! The writer's life: a standby asks the catalog for the right to write, takes the database over,
//! serves until somebody else writes or the process stops, and starts again as a standby.
//!
//! The lease elects. While the catalog is away the writer goes on: the term in the database, not the
//! lease, is what keeps two writers apart.

use crate::config::Config;
use crate::serving::{Ground, Serving, StartError};
use crate::store::{StoreError, Writer};
use arc_swap::ArcSwapOption;
use shardline_daemon::backoff::Backoff;
use shardline_daemon::health::ReadyFlag;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_wire::internal::{ShardReport, WriterLease, WriterRequest};
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How often a standby asks: what it adds to the time in which nobody writes.
const ASK_EVERY: Duration = Duration::from_millis(200);
/// How often the writer renews its lease. A lease lasts for more than four of them (the catalog's word),
/// so that one renewal that takes a second, or three that are lost, do not end it.
const RENEW_EVERY: Duration = Duration::from_millis(400);
/// How often the writer reports, and looks into the database.
const REPORT_EVERY: Duration = Duration::from_secs(1);
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// How often a quarantined database is looked at again.
const QUARANTINE_LOOK: Duration = Duration::from_secs(2);
/// How long the catalog may take to answer before it counts as away.
const CATALOG_TIME_MAX: Duration = Duration::from_secs(2);

pub(crate) struct WriterLife {
    pub(crate) config: Config,
    pub(crate) ground: Ground,
    /// Random, new in every process: tells this one from an earlier one of the same name.
    pub(crate) incarnation: u64,
    pub(crate) serving: Arc<ArcSwapOption<Serving>>,
    pub(crate) ready: ReadyFlag,
    pub(crate) lifecycle: Lifecycle,
}

impl WriterLife {
    pub(crate) async fn run(self) {
        let stop = self.lifecycle.token();
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(2));
        // What the operator was told already.
        let mut told = None;
        while !stop.is_cancelled() {
            let Some(lease) = self.acquire(&stop).await else { continue };
            let writer = Writer { term: lease.term, incarnation: self.incarnation };
            let tasks = self.lifecycle.child();
            let starting =
                Serving::start(&self.config, &self.ground, writer, &lease, tasks.clone());
            let started = tokio::select! {
                started = starting => started,
                // A start that is long keeps its lease; without it, it begins again.
                () = self.keep(lease.term) => Err(StoreError::Fenced { term: lease.term }.into()),
                () = stop.cancelled() => Err(StoreError::Unavailable("stopping".to_owned()).into()),
            };
            match started {
                Ok(serving) => {
                    backoff.reset();
                    tracing::info!(
                        shard = self.config.shard,
                        term = lease.term,
                        "writes the shard"
                    );
                    self.serving.store(Some(Arc::clone(&serving)));
                    self.ready.ready();
                    self.serve(&serving, lease.term, &stop).await;
                    self.ready.not_ready("another process writes the shard, or this one stops");
                    if serving.fence.lost().is_cancelled() {
                        self.serving.store(None);
                    }
                    serving.end().await;
                    self.serving.store(None);
                }
                Err(StartError::Restored(loss)) => {
                    if told.as_ref() != Some(&loss) {
                        tracing::error!(shard = self.config.shard, "{}", loss.explained());
                    }
                    self.ready.not_ready(loss.explained());
                    told = Some(loss);
                    self.release(lease.term).await;
                    pause(&stop, QUARANTINE_LOOK).await;
                }
                Err(StartError::NotHeard(refusal)) => {
                    tracing::warn!(shard = self.config.shard, %refusal, "slots are not granted again");
                    self.ready.not_ready(format!(
                        "waiting for the catalog to grant the slots again, for this may be another \
                         database than before: {refusal}"
                    ));
                    tasks.finish(CATALOG_TIME_MAX).await;
                    pause(&stop, backoff.next()).await;
                }
                Err(error) => {
                    tracing::warn!(shard = self.config.shard, %error, "the database was not taken over");
                    self.ready.not_ready(format!("waiting for the database: {error}"));
                    tasks.finish(CATALOG_TIME_MAX).await;
                    pause(&stop, backoff.next()).await;
                }
            }
            if stop.is_cancelled() {
                self.release(lease.term).await;
            }
        }
    }

    /// One attempt to become the writer, and a pause if it failed.
    async fn acquire(&self, stop: &CancellationToken) -> Option<WriterLease> {
        let asked = self.ground.catalog.acquire_writer(self.request(0));
        match tokio::time::timeout(CATALOG_TIME_MAX, asked).await {
            Ok(Ok(lease)) if lease.granted => return Some(lease),
            Ok(Ok(lease)) => {
                self.ready.not_ready(format!("standby: {} writes the shard", lease.holder));
            }
            Ok(Err(refusal)) => {
                self.ready.not_ready(format!("waiting for the catalog: {refusal}"));
            }
            Err(_) => self.ready.not_ready("waiting for the catalog"),
        }
        pause(stop, ASK_EVERY).await;
        None
    }

    /// Until the process stops or another writes. Its duties wait for nothing but their own answers: a
    /// report or a database that is slow must not cost the lease.
    async fn serve(&self, serving: &Arc<Serving>, term: u64, stop: &CancellationToken) {
        let durability = self.ground.store.durability().await.unwrap_or_default();
        tokio::select! {
            () = stop.cancelled() => {}
            () = serving.fence.lost().cancelled() => {}
            () = every(RENEW_EVERY, || self.renew(serving, term)) => {}
            () = every(REPORT_EVERY, || self.report(serving, term, &durability)) => {}
            // A failed look is no reason to end: whoever answers from memory looks again.
            () = every(LOOK_EVERY, || serving.fence.look()) => {}
        }
    }

    async fn renew(&self, serving: &Serving, term: u64) {
        if let Some(newer) = self.taken_by_another(term).await {
            serving.fence.lose("the catalog gave the shard to another", Some(newer));
        }
    }

    /// Renews the lease; the newer term if another has it. A catalog that is away takes nothing.
    async fn taken_by_another(&self, term: u64) -> Option<u64> {
        let asked = self.ground.catalog.acquire_writer(self.request(term));
        match tokio::time::timeout(CATALOG_TIME_MAX, asked).await {
            Ok(Ok(lease)) if !lease.granted => return Some(lease.term),
            Ok(Ok(_)) => {}
            Ok(Err(refusal)) => tracing::debug!(%refusal, "the lease was not renewed"),
            Err(_) => tracing::debug!("the catalog did not answer in time"),
        }
        None
    }

    /// Keeps the lease of a term that does not serve yet; returns when another has it.
    async fn keep(&self, term: u64) {
        loop {
            tokio::time::sleep(RENEW_EVERY).await;
            if self.taken_by_another(term).await.is_some() {
                return;
            }
        }
    }

    async fn report(&self, serving: &Serving, term: u64, durability: &str) {
        let report = ShardReport {
            shard: self.config.shard,
            term,
            lanes: serving.positions(),
            durability: durability.to_owned(),
        };
        let asked = self.ground.catalog.report(report);
        if let Ok(Ok(answer)) = tokio::time::timeout(CATALOG_TIME_MAX, asked).await
            && !answer.current
        {
            serving.fence.lose("the catalog knows of a newer term", None);
        }
        serving.record_metrics();
    }

    /// So that a standby need not wait for the lease to run out.
    async fn release(&self, term: u64) {
        let request = WriterRequest { release: true, ..self.request(term) };
        let asked = self.ground.catalog.acquire_writer(request);
        drop(tokio::time::timeout(CATALOG_TIME_MAX, asked).await);
    }

    fn request(&self, term: u64) -> WriterRequest {
        WriterRequest {
            shard: self.config.shard,
            node: self.config.node.clone(),
            address: self.config.advertise.clone(),
            term,
            ..WriterRequest::default()
        }
    }
}

/// Again and again, at this pace or, where it takes longer, at its own. Does not end.
async fn every<F: Future>(time: Duration, mut duty: impl FnMut() -> F) {
    let mut ticks = tokio::time::interval(time);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    // The first is due at once; whoever began has just done it.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        drop(duty().await);
    }
}

async fn pause(stop: &CancellationToken, time: Duration) {
    tokio::select! {
        () = stop.cancelled() => {}
        () = tokio::time::sleep(time) => {}
    }
}
