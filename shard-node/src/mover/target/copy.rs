//! Rows from the other side into this database, a page and a transaction at a time.

use super::{Dirty, Halt, Work, again, fence};
use crate::mover::orders::Order;
use crate::mover::rows::{head_in, part_in, wanted_out};
use crate::mover::source::{HEADS_MAX, WANTED_MAX};
use crate::store::{CursorRow, EntityPart, HeadRow, Import, StoreError, TransferError, Wanted};
use shardline_daemon::clock::Stopwatch;
use shardline_domain::id::EntityId;
use shardline_domain::placement::transfer::Task;
use shardline_domain::slot::Slot;
use shardline_wire::internal::{HeadsRequest, RowsRequest};
use shardline_wire::moves::Moves;
use shardline_wire::refusal::{Code, Refusal};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Cursors of one transaction.
const CURSORS_AT_ONCE: usize = 1_000;
/// Attempts at a step whose outcome is not known.
const STEP_TRIES: u32 = 5;
const STEP_PAUSE: Duration = Duration::from_millis(50);
/// Pages without anything in them, before the other side is not believed.
const EMPTY_PAGES_MAX: u32 = 1_000;

impl Work<'_> {
    /// Compares the heads of both sides, and copies what this one lacks. Returns how many differed.
    pub(super) async fn copy_all(
        &mut self,
        order: &Order,
        peer: &dyn Moves,
        throttled: &mut Duration,
    ) -> Result<u64, Halt> {
        let mut count = 0;
        let slots = order.slots();
        while let Some(slot) = slots.get(self.memory.read_to.0).copied() {
            self.goes_on(order)?;
            let after = self.memory.read_to.1;
            let request = || HeadsRequest {
                scope: Some(order.scope()),
                slot: slot.get().into(),
                after,
                limit: HEADS_MAX,
            };
            let answer = again(|| peer.heads(request())).await?;
            let heads: Vec<HeadRow> = answer.heads.iter().map(head_in).collect();
            let Some(last) = heads.last().map(|head| head.entity) else {
                self.memory.read_to = (self.memory.read_to.0 + 1, 0);
                continue;
            };
            if last <= after {
                return Err(Halt::Peer(bad("heads are not in order")));
            }
            let wanted = self.lacking(&heads).await?;
            count += wanted.len() as u64;
            let read = heads.len() as u64;
            self.part.proceed(order, |_, counts| counts.entities_total += read);
            self.copy_entities(order, slot, (wanted, Vec::new()), peer, throttled).await?;
            self.part.proceed(order, |_, counts| counts.entities += read);
            self.memory.read_to.1 = last;
        }
        Ok(count)
    }

    /// What of these this side has not, or not up to their ver.
    async fn lacking(&self, heads: &[HeadRow]) -> Result<Vec<Wanted>, StoreError> {
        let ids: Vec<u64> = heads.iter().map(|head| head.entity).collect();
        let mine = self.mover.store.heads(&ids).await?;
        let mine: HashMap<u64, HeadRow> = mine.into_iter().map(|row| (row.entity, row)).collect();
        let lacks = |head: &HeadRow| match mine.get(&head.entity) {
            None => Some(Wanted { entity: head.entity, since: 0 }),
            Some(known) if known.log != head.log => Some(Wanted { entity: head.entity, since: 0 }),
            Some(known) if known.ver < head.ver => {
                Some(Wanted { entity: head.entity, since: known.ver })
            }
            Some(_) => None,
        };
        Ok(heads.iter().filter_map(lacks).collect())
    }

    /// As `copy_all`, of what the other side says has changed: entities, and cursors.
    pub(super) async fn copy_changed(
        &mut self,
        order: &Order,
        peer: &dyn Moves,
        (entities, cursors): (&[u64], &[CursorRow]),
        throttled: &mut Duration,
    ) -> Result<u64, Halt> {
        let mut by_slot: BTreeMap<Slot, (Vec<u64>, Vec<CursorRow>)> = BTreeMap::new();
        for entity in entities {
            if let Ok(id) = EntityId::new(*entity) {
                by_slot.entry(Slot::of(id)).or_default().0.push(*entity);
            }
        }
        for row in cursors {
            if let Ok(id) = EntityId::new(row.chat) {
                by_slot.entry(Slot::of(id)).or_default().1.push(*row);
            }
        }
        let mut count = 0;
        for (slot, (entities, cursors)) in by_slot {
            if !order.slots.iter().any(|(moving, _)| *moving == slot) {
                return Err(Halt::Peer(bad("it tells of another slot")));
            }
            let mine = self.mover.store.heads(&entities).await?;
            let mine: HashMap<u64, u64> = mine.iter().map(|row| (row.entity, row.ver)).collect();
            let wanted: Vec<Wanted> = entities
                .iter()
                .map(|entity| Wanted {
                    entity: *entity,
                    since: mine.get(entity).copied().unwrap_or(0),
                })
                .collect();
            count += wanted.len() as u64;
            self.copy_entities(order, slot, (wanted, cursors), peer, throttled).await?;
        }
        Ok(count)
    }

    /// Rows of these; cursors go with the last of them, when their members are there.
    pub(super) async fn copy_entities(
        &mut self,
        order: &Order,
        slot: Slot,
        (mut wanted, cursors): (Vec<Wanted>, Vec<CursorRow>),
        peer: &dyn Moves,
        throttled: &mut Duration,
    ) -> Result<(), Halt> {
        if wanted.is_empty() && cursors.is_empty() {
            return Ok(());
        }
        for row in &cursors {
            self.memory.cursors.insert((row.chat, row.user), row.seq);
        }
        let mut cursors = cursors.chunks(CURSORS_AT_ONCE).map(<[CursorRow]>::to_vec);
        let mut place = self.resume(order, slot, &mut wanted).await?;
        let mut empty_pages = 0;
        while !wanted.is_empty() {
            self.goes_on(order)?;
            let request = || RowsRequest {
                scope: Some(order.scope()),
                slot: slot.get().into(),
                wanted: wanted_out(&wanted[..wanted.len().min(WANTED_MAX)]),
                place: place.clone(),
            };
            let answer = again(|| peer.rows(request())).await?;
            let finished = usize::try_from(answer.finished).unwrap_or(usize::MAX);
            let parts = answer.parts.into_iter().map(part_in);
            let parts: Vec<EntityPart> = parts.collect::<Result<_, _>>().map_err(Halt::Peer)?;
            let foreign = |part: &EntityPart| {
                !EntityId::new(part.entity).is_ok_and(|id| Slot::of(id) == slot)
            };
            if wanted.len() < finished || parts.iter().any(foreign) {
                return Err(Halt::Peer(bad("it sent what was not asked for")));
            }
            let rows: usize = parts.iter().map(EntityPart::rows).sum();
            let bytes: usize = parts.iter().map(EntityPart::bytes).sum();
            empty_pages = if rows == 0 && finished == 0 { empty_pages + 1 } else { 0 };
            if EMPTY_PAGES_MAX < empty_pages {
                return Err(Halt::Peer(bad("it sends nothing")));
            }
            let closed: Vec<u64> = parts
                .iter()
                .filter(|part| part.closing.is_some())
                .map(|part| part.entity)
                .collect();
            for one in wanted.iter().filter(|one| closed.contains(&one.entity)) {
                // It was equal up to what was there, if it was compared before.
                let since = if self.memory.compared { one.since } else { 0 };
                self.memory.dirty.entry(one.entity).or_insert(Dirty { since });
            }
            wanted.drain(..finished);
            place = answer.place;
            if !parts.is_empty() {
                let next = wanted.first().map_or(0, |one| one.entity);
                let continuation = place.clone();
                let last = if wanted.is_empty() { cursors.next() } else { None };
                let last = last.unwrap_or_default();
                self.import(order, slot, parts, last, (next, continuation)).await?;
            }
            let (rows, bytes) = (rows as u64, bytes as u64);
            self.part.proceed(order, |_, counts| {
                counts.rows += rows;
                counts.bytes += bytes;
            });
            let now = self.mover.fence.now();
            let pause = self.throttle.take(bytes, order.bytes_per_second, now);
            if !pause.is_zero() {
                *throttled += pause;
                tokio::time::sleep(pause).await;
            }
        }
        for rows in cursors {
            self.goes_on(order)?;
            self.import(order, slot, Vec::new(), rows, (0, Vec::new())).await?;
        }
        Ok(())
    }

    /// A large entity goes on where an import of this attempt stopped: it comes first then.
    async fn resume(
        &mut self,
        order: &Order,
        slot: Slot,
        wanted: &mut [Wanted],
    ) -> Result<Vec<u8>, Halt> {
        let progress = self.mover.store.progress(slot.get()).await?;
        let progress = progress.filter(|row| row.fence == fence(order, slot));
        self.memory.steps.insert(slot, progress.as_ref().map_or(0, |row| row.step));
        let Some(progress) = progress.filter(|row| !row.continuation.is_empty()) else {
            return Ok(Vec::new());
        };
        let Some(at) = wanted.iter().position(|one| one.entity == progress.entity) else {
            return Ok(Vec::new());
        };
        wanted.swap(0, at);
        Ok(progress.continuation)
    }

    /// One transaction; repeated until it is known to be done. While it runs, half of the lane's time is
    /// left to others.
    async fn import(
        &mut self,
        order: &Order,
        slot: Slot,
        parts: Vec<EntityPart>,
        cursors: Vec<CursorRow>,
        (entity, continuation): (u64, Vec<u8>),
    ) -> Result<(), Halt> {
        let step = self.memory.steps.get(&slot).copied().unwrap_or(0) + 1;
        let fence = fence(order, slot);
        let import = Import { fence, step, parts, cursors, entity, continuation };
        let lane = self.mover.lane(slot);
        let mut tries = 0;
        loop {
            tries += 1;
            let stopwatch = Stopwatch::start();
            match self.mover.store.import(lane, &import).await {
                Ok(()) => {
                    self.memory.steps.insert(slot, step);
                    if order.task == Task::Copy || order.task == Task::Follow {
                        tokio::time::sleep(stopwatch.elapsed().min(STEP_PAUSE)).await;
                    }
                    return Ok(());
                }
                Err(TransferError::Store(StoreError::Unavailable(reason)))
                    if tries < STEP_TRIES =>
                {
                    tracing::debug!(%slot, reason, "a step of an import is tried again");
                    tokio::time::sleep(STEP_PAUSE * tries).await;
                }
                Err(error) => {
                    // Where it stands is read again.
                    self.memory.steps.remove(&slot);
                    return Err(error.into());
                }
            }
        }
    }
}

fn bad(what: &str) -> Refusal {
    Refusal::new(Code::Conflict, what)
}
