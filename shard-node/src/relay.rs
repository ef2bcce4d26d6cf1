//! From a lane's journal to the bus, in commit order: events from memory while they are there, else
//! made again from the journal and the database. The relayed position is the end of the unbroken run
//! of acknowledged commits; a restart goes on from there, so readers may see events twice.
//!
//! The bus never stands between a send and its acknowledgement: while it is away, bodies are dropped
//! from memory and read again later.

pub(crate) mod queue;
pub(crate) mod records;

use crate::lanes::remembered::Remembered;
use crate::memory::Memory;
use crate::metrics::{RELAY_LAG, number};
use crate::read::Reader;
use crate::store::{JournalRow, StoreError};
use bytes::Bytes;
use futures::FutureExt;
use queue::{Committed, Next, RelayQueue};
use records::records;
use shardline_backends::bus::{Bus, PublishError, Published};
use shardline_daemon::backoff::Backoff;
use shardline_daemon::clock::{self, Stopwatch};
use shardline_daemon::sabotage::is_planted;
use shardline_domain::slot::Partitions;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio_util::sync::CancellationToken;

/// Commits handed over and not acknowledged.
const IN_FLIGHT_MAX: usize = 64;
/// Journal rows read at once.
const JOURNAL_ROWS: u64 = 32;
/// Events of one entity read at once when they are made again.
const EVENTS_AT_ONCE: usize = 200;
/// The relayed position is written this often, or after this many commits.
const ADVANCE_EVERY: Duration = Duration::from_millis(200);
const ADVANCE_ROWS: u64 = 1_000;
/// While the bus takes no more.
const FULL_WAIT: Duration = Duration::from_millis(5);

pub(crate) struct Relay {
    pub(crate) lane: u16,
    pub(crate) queue: Arc<RelayQueue>,
    pub(crate) memory: Arc<Memory>,
    pub(crate) reader: Reader,
    pub(crate) bus: Arc<dyn Bus>,
    pub(crate) partitions: Partitions,
    /// Everything up to here is on the bus.
    pub(crate) relayed: Arc<AtomicU64>,
    pub(crate) remembered: Arc<Remembered>,
}

/// A commit on its way, or a part of it.
struct Flight {
    position: u64,
    awaited: Vec<Published>,
    /// With it all of the commit is handed over.
    last: bool,
}

/// What a run of publishing ended with.
enum Ended {
    Stopped,
    /// Something failed: everything after the relayed position goes again.
    Failed(String),
}

/// What is in the database of the two positions.
#[derive(Default)]
struct Written {
    relayed: u64,
    covered: u64,
    at: Duration,
}

impl Relay {
    /// Until `stop`. Failures only make it wait.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let clock = Stopwatch::start();
        let mut written =
            Written { relayed: self.relayed.load(Ordering::Acquire), ..Written::default() };
        let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        loop {
            let before = self.relayed.load(Ordering::Acquire);
            match self.publish_until_failure(clock, &mut written, &stop).await {
                Ended::Stopped => break,
                Ended::Failed(reason) => {
                    let lane = self.lane;
                    tracing::warn!(lane, reason, "the relay starts over");
                    let relayed = self.relayed.load(Ordering::Acquire);
                    if before < relayed {
                        backoff.reset();
                    }
                    self.queue.back_to(relayed);
                    tokio::select! {
                        () = stop.cancelled() => break,
                        () = tokio::time::sleep(backoff.next()) => {}
                    }
                }
            }
        }
        self.advance(&mut written).await;
    }

    async fn publish_until_failure(
        &self,
        clock: Stopwatch,
        written: &mut Written,
        stop: &CancellationToken,
    ) -> Ended {
        let mut flights: VecDeque<Flight> = VecDeque::new();
        let mut pending: VecDeque<Committed> = VecDeque::new();
        loop {
            if stop.is_cancelled() {
                return Ended::Stopped;
            }
            let mut full = false;
            while flights.len() < IN_FLIGHT_MAX && !full {
                if pending.is_empty() {
                    match self.take().await {
                        Ok(taken) if taken.is_empty() => break,
                        Ok(taken) => pending.extend(taken),
                        Err(error) => {
                            drain(flights).await;
                            return Ended::Failed(error.to_string());
                        }
                    }
                }
                let Some(commit) = pending.front_mut() else { break };
                match self.hand_over(commit) {
                    Ok(flight) => {
                        full = !flight.last;
                        if is_planted("relayed-before-the-bus-has-it") {
                            self.relayed.store(flight.position, Ordering::Release);
                        }
                        flights.push_back(flight);
                    }
                    Err(reason) => {
                        drain(flights).await;
                        return Ended::Failed(reason);
                    }
                }
                if !full {
                    pending.pop_front();
                }
            }
            self.advance_if_due(clock, written).await;
            let lag = self.queue.committed() - self.relayed.load(Ordering::Acquire);
            metrics::gauge!(RELAY_LAG, "lane" => self.lane.to_string()).set(number(lag));

            // Each branch keeps its state outside: dropping one loses nothing.
            let landed = tokio::select! {
                landed = land(flights.front_mut()), if !flights.is_empty() => Some(landed),
                () = self.queue.wait(), if pending.is_empty() && flights.len() < IN_FLIGHT_MAX => None,
                () = tokio::time::sleep(FULL_WAIT), if full && flights.is_empty() => None,
                () = tokio::time::sleep(ADVANCE_EVERY) => None,
                () = stop.cancelled() => None,
            };
            match landed {
                Some(Ok(())) => {
                    if let Some(flight) = flights.pop_front().filter(|flight| flight.last) {
                        self.relayed.store(flight.position, Ordering::Release);
                        self.remembered.relayed(flight.position, clock::now_ms());
                    }
                }
                Some(Err(_)) if is_planted("relayed-past-a-hole") => {
                    flights.pop_front();
                }
                Some(Err(reason)) => {
                    drain(flights).await;
                    return Ended::Failed(reason);
                }
                None => {}
            }
        }
    }

    /// The next commits: one from memory, or some made again from the journal.
    async fn take(&self) -> Result<Vec<Committed>, StoreError> {
        match self.queue.next() {
            Next::Nothing => Ok(Vec::new()),
            Next::Commit(commit) => Ok(vec![commit]),
            Next::Journal { from, up_to } => self.take_from_journal(from, up_to).await,
        }
    }

    async fn take_from_journal(&self, from: u64, up_to: u64) -> Result<Vec<Committed>, StoreError> {
        let rows = self.memory.store.journal(self.lane, from - 1, JOURNAL_ROWS).await?;
        let mut commits = Vec::with_capacity(rows.len());
        for row in rows.into_iter().filter(|row| row.position <= up_to) {
            commits.push(self.made_again(&row).await?);
        }
        // A row that is missing was deleted because it was relayed.
        let last = commits.last().map_or(up_to, |commit| commit.position);
        self.queue.took(last);
        Ok(commits)
    }

    async fn made_again(&self, row: &JournalRow) -> Result<Committed, StoreError> {
        let mut events = Vec::new();
        for entry in &row.entries {
            let mut since = entry.first_ver - 1;
            while since < entry.last_ver {
                let page =
                    self.reader.events(entry.entity, since, entry.last_ver, EVENTS_AT_ONCE).await?;
                events.extend(page.0);
                since = page.1.max(since + 1);
            }
        }
        Ok(Committed { position: row.position, records: records(events, self.partitions) })
    }

    /// Hands over what is left of a commit's records, in order, until the bus takes no more.
    fn hand_over(&self, commit: &mut Committed) -> Result<Flight, String> {
        let mut awaited = Vec::with_capacity(commit.records.len());
        let mut taken = 0;
        for (partition, record) in &commit.records {
            let mut published = self.bus.publish(*partition, Bytes::clone(record));
            match (&mut published).now_or_never() {
                None => awaited.push(published),
                Some(Ok(())) => {}
                Some(Err(PublishError::Full)) => break,
                Some(Err(error)) => check(Err(error))?,
            }
            taken += 1;
        }
        commit.records.drain(..taken);
        Ok(Flight { position: commit.position, awaited, last: commit.records.is_empty() })
    }

    async fn advance_if_due(&self, clock: Stopwatch, written: &mut Written) {
        let waited = clock.elapsed().saturating_sub(written.at);
        let rows = self.relayed.load(Ordering::Acquire).saturating_sub(written.relayed);
        if ADVANCE_EVERY <= waited || ADVANCE_ROWS <= rows {
            self.advance(written).await;
            written.at = clock.elapsed();
        }
    }

    /// Lazily: a position that is written late only means that events come twice after a restart.
    async fn advance(&self, written: &mut Written) {
        let relayed = self.relayed.load(Ordering::Acquire);
        let covered = self.memory.senders.covered();
        if (relayed, covered) == (written.relayed, written.covered) {
            return;
        }
        match self.memory.store.advance(self.lane, relayed, covered).await {
            Ok(()) => *written = Written { relayed, covered, at: written.at },
            Err(error) => tracing::debug!(lane = self.lane, %error, "positions were not written"),
        }
    }
}

/// Waits for the oldest commit on its way. Safe to drop: what landed is not awaited again.
async fn land(flight: Option<&mut Flight>) -> Result<(), String> {
    let Some(flight) = flight else { return Ok(()) };
    while let Some(published) = flight.awaited.last_mut() {
        let result = published.await;
        flight.awaited.pop();
        check(result)?;
    }
    Ok(())
}

fn check(result: Result<(), PublishError>) -> Result<(), String> {
    match result {
        // Going on beats standing still for ever: readers repair from the store.
        Err(error @ PublishError::TooLarge { .. }) => {
            tracing::error!(%error, "a record can never be published");
            Ok(())
        }
        other => other.map_err(|error| error.to_string()),
    }
}

/// Waits until nothing is on its way any more, so that what goes again comes after it.
async fn drain(flights: VecDeque<Flight>) {
    for published in flights.into_iter().flat_map(|flight| flight.awaited) {
        drop(published.await);
    }
}
