//! One batch to the database, until it is known whether it is there: nothing is guessed, nothing
//! retried from memory. While the database does not say, the lane takes nothing.

use super::Lane;
use super::queue::Job;
use super::staging::Sealed;
use crate::refusals;
use crate::store::{CommitError, StoreError, WriteSet};
use shardline_daemon::backoff::Backoff;
use shardline_daemon::clock::Stopwatch;
use shardline_daemon::sabotage::is_planted;
use shardline_wire::refusal::Refusal;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Attempts at a batch that the database refuses, before it is asked what is wrong.
const ATTEMPTS: u32 = 4;
/// After which those who wait for an unknown commit are told that it is unknown.
const UNKNOWN_AFTER: Duration = Duration::from_secs(4);

/// How an attempt to store a batch ended.
pub(super) enum Stored {
    Yes,
    /// Memory was wrong; it has been corrected: decide again.
    DecideAgain {
        duplicates: bool,
    },
    /// Nothing is stored, and the database does not want it.
    Refused,
    /// Another process writes now. Whether it is stored is known to be not so, or unknown.
    Lost(Refusal),
}

impl Lane {
    pub(super) async fn commit(
        &mut self,
        sealed: &Sealed,
        jobs: &mut Vec<Job>,
        stop: &CancellationToken,
    ) -> Stored {
        let mut backoff = Backoff::new(Duration::from_millis(10), Duration::from_millis(200));
        for _ in 0..ATTEMPTS {
            let since = self.fence.now();
            let stopwatch = Stopwatch::start();
            let result = self.memory.store.commit(self.number, &sealed.writes).await;
            let took = stopwatch.elapsed();
            self.metrics.commit_seconds.record(took.as_secs_f64());
            match result {
                Ok(()) => {
                    self.fence.confirm(since);
                    self.pressure.committed(took, self.fence.now());
                    return Stored::Yes;
                }
                Err(CommitError::Fenced { term }) => {
                    self.fence.lose("a commit was fenced", Some(term));
                    return Stored::Lost(refusals::not_writer());
                }
                Err(CommitError::Stale) => {
                    tracing::warn!(lane = self.number, "a head was not where memory has it");
                    self.metrics.stale.increment(1);
                    self.memory.cache.forget(sealed.entities.iter().map(|(id, _)| *id));
                    let removed = &sealed.writes.removed_users;
                    self.memory.cache.forget(removed.iter().map(|(id, _)| *id));
                    return Stored::DecideAgain { duplicates: false };
                }
                Err(CommitError::Duplicate) => {
                    self.metrics.duplicates.increment(1);
                    return Stored::DecideAgain { duplicates: true };
                }
                Err(CommitError::NotStored(reason)) => {
                    tracing::warn!(lane = self.number, reason, "a commit was refused");
                    self.metrics.not_stored.increment(1);
                    tokio::time::sleep(backoff.next()).await;
                }
                Err(CommitError::Unknown(reason)) => {
                    tracing::warn!(lane = self.number, reason, "a commit's outcome is unknown");
                    self.metrics.unknown.increment(1);
                    if is_planted("acknowledges-an-unknown-commit") {
                        return Stored::Yes;
                    }
                    match self.settle(&sealed.writes, jobs, stop).await {
                        Some(true) => return Stored::Yes,
                        // Everyone was told that it is unknown: there is nobody to do it for.
                        Some(false) if jobs.is_empty() => {
                            return Stored::DecideAgain { duplicates: false };
                        }
                        // As if it had not been sent.
                        Some(false) => {}
                        None => return Stored::Lost(unknown()),
                    }
                }
            }
        }
        Stored::Refused
    }

    /// Asks until it is known whether the commit is there. None: that is up to the next writer.
    /// Those who wait too long are told that it is unknown; the lane goes on settling.
    async fn settle(
        &self,
        writes: &WriteSet,
        jobs: &mut Vec<Job>,
        stop: &CancellationToken,
    ) -> Option<bool> {
        let stopwatch = Stopwatch::start();
        let mut backoff = Backoff::new(Duration::from_millis(20), Duration::from_secs(1));
        let (position, nonce) = (writes.journal.position, writes.journal.nonce);
        let mut told = false;
        let settled = loop {
            let asking = self.memory.store.settle(self.number, position, nonce);
            tokio::pin!(asking);
            let answer = loop {
                let left = UNKNOWN_AFTER.saturating_sub(stopwatch.elapsed());
                tokio::select! {
                    answer = &mut asking => break answer,
                    () = tokio::time::sleep(left), if !told => {
                        told = true;
                        self.refuse_all(std::mem::take(jobs), &unknown());
                        self.refuse_all(self.queue.stall(), &refusals::database_busy());
                    }
                }
            };
            match answer {
                Ok(stored) => break Some(stored),
                Err(StoreError::Fenced { term }) => {
                    self.fence.lose("another writer settles", Some(term));
                    break None;
                }
                Err(error) => {
                    tracing::warn!(lane = self.number, %error, "a commit is not settled yet");
                }
            }
            if stop.is_cancelled() || self.fence.lost().is_cancelled() {
                break None;
            }
            tokio::time::sleep(backoff.next()).await;
        };
        self.queue.resume();
        tracing::info!(lane = self.number, ?settled, "a commit's outcome was settled");
        settled
    }

    /// The database does not answer: everyone is told to come later, until it does.
    pub(super) async fn wait_for_database(
        &self,
        jobs: Vec<Job>,
        refusal: &Refusal,
        stop: &CancellationToken,
    ) {
        tracing::warn!(lane = self.number, "the database does not answer; the lane waits");
        self.refuse_all(jobs, refusal);
        self.refuse_all(self.queue.stall(), refusal);
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(1));
        while !stop.is_cancelled() && !self.fence.lost().is_cancelled() {
            tokio::time::sleep(backoff.next()).await;
            if self.fence.look().await.is_ok() {
                tracing::info!(lane = self.number, "the database answers again");
                break;
            }
        }
        self.queue.resume();
    }
}

fn unknown() -> Refusal {
    Refusal::unknown("the database did not say whether it was stored")
}
