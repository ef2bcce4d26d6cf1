//! The side that copies: everything once, then what changed, round after round; compared with the other
//! side; and the last difference while the other side is frozen. A follower does the same without
//! comparing. What is remembered between rounds is lost at a restart, and then read again.

mod compare;
mod copy;
mod purge;
mod rest;
mod throttle;

use super::Mover;
use super::orders::Order;
use super::part::Part;
use crate::pressure::CommitTimes;
use crate::store::{CursorRow, MoveFence, SlotState, TransferError, Wanted};
use compare::Verdict;
use copy::HeadsFrom;
use parking_lot::Mutex;
use rest::HeldBack;
use shardline_daemon::backoff::Backoff;
use shardline_daemon::clock::Stopwatch;
use shardline_domain::placement::transfer::{Attempt, Mark, Proof, Task, is_close};
use shardline_domain::slot::Slot;
use shardline_wire::internal::{ChangedRequest, DatabaseMark};
use shardline_wire::moves::Moves;
use shardline_wire::refusal::{Code, Refusal};
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use throttle::Throttle;

use super::rows::cursor_in;

/// Between rounds that found little; and between those of a follower.
const ROUND_EVERY: Duration = Duration::from_millis(100);
const FOLLOW_EVERY: Duration = Duration::from_millis(250);
/// Times that one question is asked.
const ASKED_MAX: u32 = 6;
/// Entities that may differ from what was compared; past this all are compared again.
const DIRTY_MAX: usize = 200_000;

/// Why a step of the work ended early.
#[derive(Debug, Error)]
pub(super) enum Halt {
    /// The order is another now.
    #[error("the order changed")]
    Changed,
    #[error("the other side: {0}")]
    Peer(Refusal),
    #[error(transparent)]
    Store(#[from] TransferError),
}

impl From<crate::store::StoreError> for Halt {
    fn from(error: crate::store::StoreError) -> Halt {
        Halt::Store(error.into())
    }
}

/// Works on whatever is ordered, until the part or the term ends.
pub(super) async fn work(mover: &Arc<Mover>, part: &Part) {
    let stop = mover.tasks.token();
    let mut work = Work::new(mover, part);
    let mut backoff = Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
    while let Some(order) = part.order() {
        let pause = match work.step(&order).await {
            Ok(pause) => {
                backoff.reset();
                pause
            }
            Err(Halt::Changed) => Some(Duration::ZERO),
            Err(halt) => {
                tracing::debug!(move_id = %order.move_id, %halt, "a move's step did not succeed");
                part.note(halt.to_string());
                if let Halt::Store(TransferError::Refused { stands: Some(row) }) = halt {
                    mover.slots.show_found(&[row]).await;
                }
                Some(backoff.next())
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = mover.fence.lost().cancelled() => return,
            () = part.wait() => {}
            () = tokio::time::sleep(pause.unwrap_or_default()), if pause.is_some() => {}
        }
    }
}

/// What the work on one attempt remembers.
pub(super) struct Work<'a> {
    mover: &'a Mover,
    part: &'a Part,
    attempt: Option<Attempt>,
    peer: Option<(String, Arc<dyn Moves>)>,
    throttle: Mutex<Throttle>,
    /// What commits take on the other side, as it said last.
    source_commits: Mutex<CommitTimes>,
    held_back: Mutex<HeldBack>,
    memory: Mutex<Memory>,
}

#[derive(Default)]
struct Memory {
    /// Of the last answer about changes: process and mark.
    seen: (u64, u64),
    /// While everything is read for the first time: the answer with which the remembering began, and
    /// where the reading goes on; Some(None): nothing is left, None: it has not begun.
    begun: (u64, u64),
    read_to: Option<Option<HeadsFrom>>,
    /// Everything was read once since the remembering began.
    complete: bool,
    /// Everything was compared once since then.
    compared: bool,
    /// What changed since it was compared, or was never found equal.
    dirty: HashMap<u64, Dirty>,
    /// Entities that differed without having changed, and were copied whole.
    suspects: BTreeSet<u64>,
    /// Cursors that were merged since they were last compared.
    cursors: HashMap<(u64, u64), u64>,
    last_count: Option<u64>,
    /// Of each slot: the last step of the import.
    steps: HashMap<Slot, u64>,
}

impl Memory {
    /// These came whole, or what they lacked: they were equal up to what was there, if they were
    /// compared before.
    fn compare_later(&mut self, closed: &[Wanted]) {
        for one in closed {
            let since = if self.compared { one.since } else { 0 };
            self.dirty.entry(one.entity).or_insert(Dirty { since });
        }
    }
}

/// An entity that has to be compared.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Dirty {
    /// It was found equal up to this ver; 0: never.
    since: u64,
}

impl<'a> Work<'a> {
    fn new(mover: &'a Mover, part: &'a Part) -> Work<'a> {
        Work {
            mover,
            part,
            attempt: None,
            peer: None,
            throttle: Mutex::new(Throttle::new()),
            source_commits: Mutex::default(),
            held_back: Mutex::default(),
            memory: Mutex::default(),
        }
    }

    /// One step; then a pause, or (None) nothing to do until the order changes.
    async fn step(&mut self, order: &Order) -> Result<Option<Duration>, Halt> {
        if self.attempt != Some(order.attempt) {
            self.attempt = Some(order.attempt);
            *self.memory.lock() = Memory::default();
        }
        match order.task {
            Task::Copy | Task::Verify | Task::Settle => {
                self.must_be(order, SlotState::Importing)?;
                self.round(order).await.map(Some)
            }
            Task::Follow => {
                self.must_be(order, SlotState::Following)?;
                self.follow(order).await?;
                Ok(Some(FOLLOW_EVERY))
            }
            Task::Purge | Task::Discard => self.purge(order).await,
            Task::Track | Task::Slow | Task::Freeze | Task::Hold | Task::Ask => {
                self.part.note(String::new());
                Ok(None)
            }
        }
    }

    fn must_be(&self, order: &Order, state: SlotState) -> Result<(), Halt> {
        let rows = order.slots.iter().map(|(slot, _)| self.mover.slots.row(*slot));
        match rows.into_iter().find(|row| row.state != state) {
            None => Ok(()),
            // By a newer order.
            Some(_) if self.goes_on(order).is_err() => Err(Halt::Changed),
            Some(stands) => Err(TransferError::Refused { stands: Some(stands) }.into()),
        }
    }

    fn peer(&mut self, order: &Order) -> Arc<dyn Moves> {
        match &self.peer {
            Some((address, peer)) if *address == order.peer_address => Arc::clone(peer),
            _ => {
                let peer = self.mover.peers.open(&order.peer_address);
                self.peer = Some((order.peer_address.clone(), Arc::clone(&peer)));
                peer
            }
        }
    }

    /// Catches up once, and compares as far as that is due.
    async fn round(&mut self, order: &Order) -> Result<Duration, Halt> {
        if self.part.progress().settled.is_some() {
            return Ok(ROUND_EVERY);
        }
        let caught_up = self.catch_up(order).await?;
        let CaughtUp { count, took, strained, frozen } = caught_up;
        let close = is_close(count, took);
        let (shrinks, compared) = {
            let mut memory = self.memory.lock();
            let last = memory.last_count.replace(count);
            (last.is_none_or(|last| count < last), memory.compared)
        };
        let compares = order.task != Task::Copy || compared;
        let verdict =
            if compares { self.compare(order, frozen.is_some()).await? } else { Verdict::Open };
        let verified = self.memory.lock().compared;
        let settled = match (frozen, &verdict) {
            (Some(source), Verdict::Equal) => Some(self.proof(source).await?),
            _ => None,
        };
        let frozen = frozen.is_some();
        self.part.proceed(order, |progress, counts| {
            progress.copied = true;
            progress.close_rounds = if close { progress.close_rounds.saturating_add(1) } else { 0 };
            progress.stalled_rounds = match (close || shrinks, strained) {
                (true, _) => 0,
                // What was slowed on purpose says neither.
                (false, true) => progress.stalled_rounds,
                (false, false) => progress.stalled_rounds.saturating_add(1),
            };
            progress.verified = verified;
            progress.mismatched |= verdict == Verdict::Mismatch;
            progress.settled = progress.settled.or(settled);
            counts.lag_entities = count;
        });
        self.part.note(String::new());
        if frozen || order.task == Task::Verify && !verified {
            // Somebody waits; but nothing spins.
            return Ok(Duration::from_millis(2));
        }
        // Next to what else the shard does, copying takes half of the time.
        Ok(took.clamp(ROUND_EVERY, Duration::from_secs(2)))
    }

    /// What is equal now rests on both databases as they are: this one with every import.
    async fn proof(&self, source: Mark) -> Result<Proof, Halt> {
        self.mover.slots.count().await?;
        let DatabaseMark { term, tally } = self.mover.mark();
        Ok(Proof { source, target: Mark { term, tally } })
    }

    async fn follow(&mut self, order: &Order) -> Result<(), Halt> {
        let CaughtUp { count, .. } = self.catch_up(order).await?;
        self.part.proceed(order, |_, counts| counts.lag_entities = count);
        self.part.note(String::new());
        Ok(())
    }

    /// Reads what changed since the last time, or everything. What the other side answered for as
    /// changed is stored here before its mark is named again.
    async fn catch_up(&mut self, order: &Order) -> Result<CaughtUp, Halt> {
        let peer = self.peer(order);
        let stopwatch = Stopwatch::start();
        *self.held_back.lock() = HeldBack::default();
        let known = {
            let memory = self.memory.lock();
            if memory.complete { memory.seen } else { memory.begun }
        };
        let request =
            || ChangedRequest { scope: Some(self.scope(order)), process: known.0, mark: known.1 };
        let answer = again(|| peer.changed(request())).await?;
        self.part.note(String::new());
        let seen = (answer.process, answer.mark);
        if answer.forgotten {
            let mut memory = self.memory.lock();
            let steps = std::mem::take(&mut memory.steps);
            *memory = Memory { steps, begun: seen, ..Memory::default() };
            drop(memory);
            self.part.proceed(order, |progress, counts| {
                progress.verified = false;
                progress.close_rounds = 0;
                (counts.entities, counts.entities_total) = (0, 0);
            });
        }
        let mut count = 0;
        let complete = self.memory.lock().complete;
        if !complete {
            count += self.copy_all(order, &*peer).await?;
        }
        let cursors: Vec<CursorRow> = answer.cursors.iter().map(cursor_in).collect();
        let changed = (answer.entities.as_slice(), cursors.as_slice());
        count += self.copy_changed(order, &*peer, changed).await?;
        let mut memory = self.memory.lock();
        memory.seen = seen;
        memory.complete = true;
        if DIRTY_MAX < memory.dirty.len() + memory.cursors.len() {
            memory.compared = false;
        }
        drop(memory);
        let held_back = *self.held_back.lock();
        let took = stopwatch.elapsed().saturating_sub(held_back.rested);
        if !held_back.strained {
            self.part.give_way(String::new());
        }
        // One that does not say under which writer it is frozen proves nothing.
        let mark = answer.database.filter(|_| answer.frozen);
        let frozen = mark.map(|DatabaseMark { term, tally }| Mark { term, tally });
        Ok(CaughtUp { count, took, strained: held_back.strained, frozen })
    }

    /// Whether the work is still what was ordered; an order for the same is the same.
    fn goes_on(&self, order: &Order) -> Result<(), Halt> {
        let copies = |task| matches!(task, Task::Copy | Task::Verify | Task::Settle);
        let now = self.part.order().ok_or(Halt::Changed)?;
        let same = now.task == order.task || copies(now.task) && copies(order.task);
        let same_peer = now.peer_address == order.peer_address;
        if self.mover.tasks.token().is_cancelled() || self.mover.fence.lost().is_cancelled() {
            return Err(Halt::Changed);
        }
        if same && same_peer && now.attempt == order.attempt { Ok(()) } else { Err(Halt::Changed) }
    }
}

/// Asks the other side a few times: one answer that is lost must not cost a whole round. What is asked
/// changes nothing there.
async fn again<A, F>(ask: impl Fn() -> F) -> Result<A, Halt>
where
    F: Future<Output = Result<A, Refusal>>,
{
    let mut backoff = Backoff::new(Duration::from_millis(5), Duration::from_millis(200));
    for _ in 1..ASKED_MAX {
        match ask().await {
            Err(refusal) if matches!(refusal.code(), Code::Unavailable | Code::TryAgain) => {
                tracing::debug!(%refusal, "the other side of a move is asked again");
                tokio::time::sleep(backoff.next()).await;
            }
            other => return other.map_err(Halt::Peer),
        }
    }
    ask().await.map_err(Halt::Peer)
}

struct CaughtUp {
    /// Entities that differed.
    count: u64,
    took: Duration,
    strained: bool,
    /// The other side was frozen by this attempt before it was asked: nothing changes any more.
    frozen: Option<Mark>,
}

fn fence(order: &Order, slot: Slot) -> MoveFence {
    MoveFence { slot: slot.get(), move_id: order.move_id.0, attempt: order.attempt.0 }
}
