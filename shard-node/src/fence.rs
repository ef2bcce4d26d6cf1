//! Whether this process is still the shard's writer. Commits prove it by themselves; whatever is
//! answered without one needs a look into the database at most a second old.

use crate::refusals;
use crate::store::{Store, StoreError, Writer};
use parking_lot::Mutex;
use shardline_daemon::clock::Stopwatch;
use shardline_wire::refusal::Refusal;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// How old the last look may be.
const AGE_MAX: Duration = Duration::from_secs(1);

pub(crate) struct Fence {
    store: Arc<dyn Store>,
    writer: Writer,
    clock: Stopwatch,
    /// When the last look began that found us.
    confirmed_at: Mutex<Duration>,
    /// One look serves all who wait for it.
    looking: tokio::sync::Mutex<()>,
    lost: CancellationToken,
}

impl Fence {
    /// Right after a takeover, which is a look.
    pub(crate) fn new(store: Arc<dyn Store>, writer: Writer) -> Fence {
        Fence {
            store,
            writer,
            clock: Stopwatch::start(),
            confirmed_at: Mutex::new(Duration::ZERO),
            looking: tokio::sync::Mutex::new(()),
            lost: CancellationToken::new(),
        }
    }

    /// This term's monotonic time.
    pub(crate) fn now(&self) -> Duration {
        self.clock.elapsed()
    }

    /// A commit or a look that began at `since` went well.
    pub(crate) fn confirm(&self, since: Duration) {
        let mut confirmed_at = self.confirmed_at.lock();
        *confirmed_at = since.max(*confirmed_at);
    }

    pub(crate) fn is_fresh(&self) -> bool {
        let age = self.now().saturating_sub(*self.confirmed_at.lock());
        !self.lost.is_cancelled() && age < AGE_MAX
    }

    pub(crate) fn term(&self) -> u64 {
        self.writer.term
    }

    /// Returns once it is certain that this process was the writer less than a second ago.
    pub(crate) async fn ensure(&self) -> Result<(), Refusal> {
        if self.is_fresh() {
            return Ok(());
        }
        let _one_at_a_time = self.looking.lock().await;
        if self.is_fresh() {
            return Ok(());
        }
        self.look().await
    }

    /// Looks now.
    pub(crate) async fn look(&self) -> Result<(), Refusal> {
        if self.lost.is_cancelled() {
            return Err(refusals::not_writer());
        }
        let since = self.now();
        match self.store.writer().await {
            Ok(Some(writer)) if writer == self.writer => {
                self.confirm(since);
                Ok(())
            }
            Ok(other) => {
                self.lose("the database names another writer", other.map(|writer| writer.term));
                Err(refusals::not_writer())
            }
            Err(StoreError::Fenced { term }) => {
                // Also when its server is another one by now.
                self.lose("the database is not this term's any more", Some(term));
                Err(refusals::not_writer())
            }
            Err(error) => Err(refusals::store(&error)),
        }
    }

    /// Another writes now. Everything of this term ends.
    pub(crate) fn lose(&self, reason: &'static str, other_term: Option<u64>) {
        if !self.lost.is_cancelled() {
            let term = self.writer.term;
            tracing::warn!(term, ?other_term, reason, "no longer the writer of this shard");
            self.lost.cancel();
        }
    }

    pub(crate) fn lost(&self) -> &CancellationToken {
        &self.lost
    }
}
