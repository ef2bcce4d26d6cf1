//! Rows from the other side into this database, a page and a transaction at a time.

use super::{Dirty, Halt, Work, again, fence};
use crate::mover::orders::Order;
use crate::mover::rows::{head_in, part_in, wanted_out};
use crate::mover::source::{HEADS_MAX, WANTED_MAX};
use crate::store::{CursorRow, EntityPart, HeadRow, Import, StoreError, TransferError, Wanted};
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use shardline_daemon::clock::Stopwatch;
use shardline_domain::id::EntityId;
use shardline_domain::placement::transfer::Task;
use shardline_domain::slot::Slot;
use shardline_wire::internal::{HeadsRequest, RowsRequest};
use shardline_wire::moves::Moves;
use shardline_wire::refusal::{Code, Refusal};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Slots copied at the same time, each a page at a time.
const SLOTS_AT_ONCE: usize = 4;
/// Cursors of one transaction.
const CURSORS_AT_ONCE: usize = 1_000;
/// Attempts at a step whose outcome is not known.
const STEP_TRIES: u32 = 5;
const STEP_PAUSE: Duration = Duration::from_millis(50);
/// Pages without anything in them, before the other side is not believed.
const EMPTY_PAGES_MAX: u32 = 1_000;

impl Work<'_> {
    /// Compares the heads of both sides, and copies what this one lacks. Returns how many differed.
    pub(super) async fn copy_all(&self, order: &Order, peer: &dyn Moves) -> Result<u64, Halt> {
        let mut count = 0;
        let mut from = self.memory.lock().read_to.unwrap_or(Some(HeadsFrom::first(order)));
        while let Some(place) = from {
            let page = self.heads(order, peer, place).await?;
            let read = page.heads.len() as u64;
            self.part.proceed(order, |_, counts| counts.entities_total += read);
            let wanted = self.lacking(&page.heads).await?;
            count += wanted.len() as u64;
            for wanted in wanted.chunk_by(|one, other| slot_of(one) == slot_of(other)) {
                let Some(slot) = wanted.first().and_then(slot_of) else { continue };
                let wanted = (wanted.to_vec(), Vec::new());
                let held = self.copy_entities(order, slot, wanted, peer).await?;
                *self.held_back.lock() += held;
            }
            self.part.proceed(order, |_, counts| counts.entities += read);
            from = page.next;
            self.memory.lock().read_to = Some(from);
        }
        Ok(count)
    }

    /// The other side's heads from here on, in order.
    pub(super) async fn heads(
        &self,
        order: &Order,
        peer: &dyn Moves,
        from: HeadsFrom,
    ) -> Result<HeadsPage, Halt> {
        self.goes_on(order)?;
        let HeadsFrom { slot, after } = from;
        let request = || HeadsRequest {
            scope: Some(order.scope()),
            slot: slot.get().into(),
            after,
            limit: HEADS_MAX,
        };
        let answer = again(|| peer.heads(request())).await?;
        let heads: Vec<HeadRow> = answer.heads.iter().map(head_in).collect();
        let in_order = heads.is_sorted_by(|one, other| one.entity < other.entity);
        let goes_on = heads.first().is_none_or(|head| after < head.entity);
        let moving =
            |slot: &Slot| order.slots.binary_search_by_key(slot, |(moving, _)| *moving).is_ok();
        let known = heads
            .iter()
            .all(|head| EntityId::new(head.entity).is_ok_and(|id| moving(&Slot::of(id))));
        if !in_order || !goes_on || !known {
            return Err(Halt::Peer(bad("heads are not in order, or of other slots")));
        }
        let after = heads.last().map_or(after, |head| head.entity);
        let next = answer.next_slot.map(|number| {
            let next = Slot::new(number).filter(|next| moving(next) && slot <= *next);
            // Further on, or nothing would ever end.
            next.filter(|next| slot < *next || !heads.is_empty())
                .map(|slot| HeadsFrom { slot, after })
                .ok_or_else(|| Halt::Peer(bad("heads do not go on")))
        });
        Ok(HeadsPage { next: next.transpose()?, heads })
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
        &self,
        order: &Order,
        peer: &dyn Moves,
        (entities, cursors): (&[u64], &[CursorRow]),
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
        if by_slot.keys().any(|slot| !order.slots.iter().any(|(moving, _)| moving == slot)) {
            return Err(Halt::Peer(bad("it tells of another slot")));
        }
        // Steps of different slots may overlap: most of their time is the database's commit.
        let copies = by_slot.into_iter().map(|(slot, (entities, cursors))| {
            self.copy_changed_of(order, slot, entities, cursors, peer)
        });
        let copied: Vec<(u64, Duration)> =
            stream::iter(copies).buffer_unordered(SLOTS_AT_ONCE).try_collect().await?;
        // They waited beside each other.
        let held = copied.iter().map(|(_, held)| *held).max();
        *self.held_back.lock() += held.unwrap_or_default();
        Ok(copied.iter().map(|(count, _)| count).sum())
    }

    async fn copy_changed_of(
        &self,
        order: &Order,
        slot: Slot,
        entities: Vec<u64>,
        cursors: Vec<CursorRow>,
        peer: &dyn Moves,
    ) -> Result<(u64, Duration), Halt> {
        let mine = self.mover.store.heads(&entities).await?;
        let mine: HashMap<u64, u64> = mine.iter().map(|row| (row.entity, row.ver)).collect();
        let wanted: Vec<Wanted> = entities
            .iter()
            .map(|entity| Wanted { entity: *entity, since: mine.get(entity).copied().unwrap_or(0) })
            .collect();
        let count = wanted.len() as u64;
        let held = self.copy_entities(order, slot, (wanted, cursors), peer).await?;
        Ok((count, held))
    }

    /// Rows of these; cursors go with the last of them, when their members are there. Returns for how
    /// long it was held back.
    pub(super) async fn copy_entities(
        &self,
        order: &Order,
        slot: Slot,
        (mut wanted, cursors): (Vec<Wanted>, Vec<CursorRow>),
        peer: &dyn Moves,
    ) -> Result<Duration, Halt> {
        if wanted.is_empty() && cursors.is_empty() {
            return Ok(Duration::ZERO);
        }
        self.memory
            .lock()
            .cursors
            .extend(cursors.iter().map(|row| ((row.chat, row.user), row.seq)));
        let mut cursors = cursors.chunks(CURSORS_AT_ONCE).map(<[CursorRow]>::to_vec);
        let mut held = Duration::ZERO;
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
            {
                let mut memory = self.memory.lock();
                let compared = memory.compared;
                for one in wanted.iter().filter(|one| closed.contains(&one.entity)) {
                    // It was equal up to what was there, if it was compared before.
                    let since = if compared { one.since } else { 0 };
                    memory.dirty.entry(one.entity).or_insert(Dirty { since });
                }
            }
            wanted.drain(..finished);
            place = answer.place;
            if !parts.is_empty() {
                let next = wanted.first().map_or(0, |one| one.entity);
                let continuation = place.clone();
                let last = if wanted.is_empty() { cursors.next() } else { None };
                let last = last.unwrap_or_default();
                held += self.import(order, slot, parts, last, (next, continuation)).await?;
            }
            let (rows, bytes) = (rows as u64, bytes as u64);
            self.part.proceed(order, |_, counts| {
                counts.rows += rows;
                counts.bytes += bytes;
            });
            let now = self.mover.fence.now();
            let pause = self.throttle.lock().take(bytes, order.bytes_per_second, now);
            if !pause.is_zero() && !self.settles() {
                tokio::time::sleep(pause).await;
                held += pause;
            }
        }
        for rows in cursors {
            self.goes_on(order)?;
            held += self.import(order, slot, Vec::new(), rows, (0, Vec::new())).await?;
        }
        Ok(held)
    }

    /// A large entity goes on where an import of this attempt stopped: it comes first then.
    async fn resume(
        &self,
        order: &Order,
        slot: Slot,
        wanted: &mut [Wanted],
    ) -> Result<Vec<u8>, Halt> {
        // Known: this process did the last step, and ended the entity or began it anew.
        if self.memory.lock().steps.contains_key(&slot) {
            return Ok(Vec::new());
        }
        let progress = self.mover.store.progress(slot.get()).await?;
        let progress = progress.filter(|row| row.fence == fence(order, slot));
        let step = progress.as_ref().map_or(0, |row| row.step);
        self.memory.lock().steps.insert(slot, step);
        let Some(progress) = progress.filter(|row| !row.continuation.is_empty()) else {
            return Ok(Vec::new());
        };
        let Some(at) = wanted.iter().position(|one| one.entity == progress.entity) else {
            return Ok(Vec::new());
        };
        wanted.swap(0, at);
        Ok(progress.continuation)
    }

    /// One transaction; repeated until it is known to be done. Unless writes wait for it, half of the
    /// time is left to what else the shard does; returns for how long.
    async fn import(
        &self,
        order: &Order,
        slot: Slot,
        parts: Vec<EntityPart>,
        cursors: Vec<CursorRow>,
        (entity, continuation): (u64, Vec<u8>),
    ) -> Result<Duration, Halt> {
        let step = self.memory.lock().steps.get(&slot).copied().unwrap_or(0) + 1;
        let fence = fence(order, slot);
        let import = Import { fence, step, parts, cursors, entity, continuation };
        let lane = self.mover.lane(slot);
        let mut tries = 0;
        loop {
            tries += 1;
            let stopwatch = Stopwatch::start();
            match self.mover.store.import(lane, &import).await {
                Ok(()) => {
                    self.memory.lock().steps.insert(slot, step);
                    if self.settles() {
                        return Ok(Duration::ZERO);
                    }
                    let pause = stopwatch.elapsed().min(STEP_PAUSE);
                    tokio::time::sleep(pause).await;
                    return Ok(pause);
                }
                Err(TransferError::Store(StoreError::Unavailable(reason)))
                    if tries < STEP_TRIES =>
                {
                    tracing::debug!(%slot, reason, "a step of an import is tried again");
                    tokio::time::sleep(STEP_PAUSE * tries).await;
                }
                Err(error) => {
                    // Where it stands is read again.
                    self.memory.lock().steps.remove(&slot);
                    return Err(error.into());
                }
            }
        }
    }
}

impl Work<'_> {
    /// Writes wait for this copy, whatever was ordered when it began.
    fn settles(&self) -> bool {
        self.part.order().is_none_or(|order| matches!(order.task, Task::Settle | Task::Verify))
    }
}

/// Where reading the other side's heads goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct HeadsFrom {
    slot: Slot,
    /// Only later ones are wanted.
    after: u64,
}

impl HeadsFrom {
    pub(super) fn first(order: &Order) -> HeadsFrom {
        HeadsFrom { slot: order.slots[0].0, after: 0 }
    }
}

pub(super) struct HeadsPage {
    pub(super) heads: Vec<HeadRow>,
    /// None: that was all.
    pub(super) next: Option<HeadsFrom>,
}

fn slot_of(wanted: &Wanted) -> Option<Slot> {
    EntityId::new(wanted.entity).map(Slot::of).ok()
}

fn bad(what: &str) -> Refusal {
    Refusal::new(Code::Conflict, what)
}
