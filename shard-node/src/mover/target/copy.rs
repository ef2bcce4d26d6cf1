//! Rows from the other side into this database, a page and a transaction at a time.

use super::{Halt, Work, again, fence};
use crate::mover::orders::Order;
use crate::mover::rows::{commits_in, head_in, part_in, wanted_out};
use crate::mover::source::{HEADS_MAX, WANTED_MAX};
use crate::store::{
    CursorRow, EntityPart, HeadRow, Import, ProgressRow, StoreError, TransferError, Wanted,
};
use futures::stream;
use futures::{StreamExt, TryStreamExt};
use shardline_daemon::clock::Stopwatch;
use shardline_domain::id::EntityId;
use shardline_domain::slot::Slot;
use shardline_wire::internal::{HeadsRequest, RowsRequest};
use shardline_wire::moves::Moves;
use shardline_wire::refusal::{Code, Refusal};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

/// Cursors of one transaction.
const CURSORS_AT_ONCE: usize = 1_000;
/// Reads at the same time.
const READS_AT_ONCE: usize = 4;
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
            self.copy_entities(order, wanted, Vec::new(), peer).await?;
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
            scope: Some(self.scope(order)),
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
        let known = heads.iter().all(|head| moving_slot(order, head.entity).is_some());
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
        let foreign = |entity: u64| moving_slot(order, entity).is_none();
        if entities.iter().copied().chain(cursors.iter().map(|row| row.chat)).any(foreign) {
            return Err(Halt::Peer(bad("it tells of another slot")));
        }
        let mine = self.mover.store.heads(entities).await?;
        let mine: HashMap<u64, u64> = mine.iter().map(|row| (row.entity, row.ver)).collect();
        let wanted: Vec<Wanted> = entities
            .iter()
            .map(|entity| Wanted { entity: *entity, since: mine.get(entity).copied().unwrap_or(0) })
            .collect();
        let count = wanted.len() as u64;
        self.copy_entities(order, wanted, cursors.to_vec(), peer).await?;
        Ok(count)
    }

    /// Rows of these, in pages, each of which is one transaction for all its slots; the next page is read
    /// meanwhile. Cursors go with the last page, when their members are there.
    pub(super) async fn copy_entities(
        &self,
        order: &Order,
        mut wanted: Vec<Wanted>,
        cursors: Vec<CursorRow>,
        peer: &dyn Moves,
    ) -> Result<(), Halt> {
        self.memory
            .lock()
            .cursors
            .extend(cursors.iter().map(|row| ((row.chat, row.user), row.seq)));
        let mut cursors = cursors.chunks(CURSORS_AT_ONCE);
        let place = self.resume(order, &mut wanted, cursors.clone().flatten()).await?;
        let mut next = self.page(order, &wanted, place, peer).await?;
        while let Some(page) = next {
            self.goes_on(order)?;
            wanted.drain(..page.finished);
            self.memory.lock().compare_later(&page.closed);
            let (rows, bytes) = (page.rows, page.bytes);
            let goes_on = (wanted.first().map_or(0, |one| one.entity), page.place.clone());
            let with_it = if wanted.is_empty() { cursors.next() } else { None };
            let stored = self.import(order, page.parts, with_it.unwrap_or_default(), goes_on);
            let read = self.page(order, &wanted, page.place, peer);
            let (stored, read) = futures::join!(stored, read);
            stored?;
            next = read?;
            self.part.proceed(order, |_, counts| {
                counts.rows += rows;
                counts.bytes += bytes;
            });
            self.rest_by_limit(order, bytes).await;
        }
        for rows in cursors {
            self.goes_on(order)?;
            self.import(order, Vec::new(), rows, (0, Vec::new())).await?;
        }
        Ok(())
    }

    /// The next rows of what is wanted; None if nothing is left.
    async fn page(
        &self,
        order: &Order,
        wanted: &[Wanted],
        mut place: Vec<u8>,
        peer: &dyn Moves,
    ) -> Result<Option<Page>, Halt> {
        let mut left = wanted;
        let mut finished = 0;
        for _ in 0..EMPTY_PAGES_MAX {
            if left.is_empty() && finished == 0 {
                return Ok(None);
            }
            self.goes_on(order)?;
            let request = || RowsRequest {
                scope: Some(self.scope(order)),
                wanted: wanted_out(&left[..left.len().min(WANTED_MAX)]),
                place: place.clone(),
            };
            let answer = again(|| peer.rows(request())).await?;
            *self.source_commits.lock() = commits_in(answer.commits);
            let parts = answer.parts.into_iter().map(part_in);
            let parts: Vec<EntityPart> = parts.collect::<Result<_, _>>().map_err(Halt::Peer)?;
            let mut asked = left.iter();
            let in_order =
                parts.iter().all(|part| asked.any(|wanted| wanted.entity == part.entity));
            let done = usize::try_from(answer.finished).unwrap_or(usize::MAX);
            if left.len() < done || !in_order {
                return Err(Halt::Peer(bad("it sent what was not asked for")));
            }
            finished += done;
            left = &left[done..];
            place = answer.place;
            // Entities that are gone have no parts: there may be pages of them.
            if !parts.is_empty() || left.is_empty() {
                return Ok(Some(Page::of(parts, wanted, finished, place)));
            }
        }
        Err(Halt::Peer(bad("it sends nothing")))
    }

    /// A large entity goes on where an import of this attempt stopped: it comes first then.
    async fn resume(
        &self,
        order: &Order,
        wanted: &mut [Wanted],
        cursors: impl Iterator<Item = &CursorRow>,
    ) -> Result<Vec<u8>, Halt> {
        let entities = wanted.iter().map(|one| one.entity).chain(cursors.map(|row| row.chat));
        let slots: BTreeSet<Slot> =
            entities.filter_map(|entity| moving_slot(order, entity)).collect();
        // Known: this process did the last step, and ended the entity or began it anew.
        let unknown = {
            let memory = self.memory.lock();
            slots.into_iter().filter(|slot| !memory.steps.contains_key(slot)).collect::<Vec<_>>()
        };
        let reads = unknown.into_iter().map(|slot| async move {
            Ok::<_, StoreError>((slot, self.mover.store.progress(slot.get()).await?))
        });
        let stand: Vec<(Slot, Option<ProgressRow>)> =
            stream::iter(reads).buffer_unordered(READS_AT_ONCE).try_collect().await?;
        let mut place = Vec::new();
        for (slot, progress) in stand {
            let progress = progress.filter(|row| row.fence == fence(order, slot));
            self.memory.lock().steps.insert(slot, progress.as_ref().map_or(0, |row| row.step));
            let Some(progress) = progress.filter(|row| !row.continuation.is_empty()) else {
                continue;
            };
            let at = wanted.iter().position(|one| one.entity == progress.entity);
            if let Some(at) = at.filter(|_| place.is_empty()) {
                wanted.swap(0, at);
                place = progress.continuation;
            }
        }
        Ok(place)
    }

    /// One transaction for all slots of these; repeated until it is known to be done. `goes_on`: where
    /// the next page does.
    async fn import(
        &self,
        order: &Order,
        parts: Vec<EntityPart>,
        cursors: &[CursorRow],
        goes_on: (u64, Vec<u8>),
    ) -> Result<(), Halt> {
        let imports = self.steps(order, parts, cursors, goes_on);
        let slots = || imports.keys().copied();
        if imports.is_empty() {
            return Ok(());
        }
        let lanes: BTreeSet<u16> = slots().map(|slot| self.mover.lane(slot)).collect();
        let lanes: Vec<u16> = lanes.into_iter().collect();
        let steps: Vec<Import> = imports.values().cloned().collect();
        let mut tries = 0;
        loop {
            tries += 1;
            let stopwatch = Stopwatch::start();
            match self.mover.store.import(&lanes, &steps).await {
                Ok(()) => {
                    let done = steps.iter().zip(slots()).map(|(import, slot)| (slot, import.step));
                    self.memory.lock().steps.extend(done);
                    return self.rest(order, stopwatch.elapsed()).await;
                }
                Err(TransferError::Store(StoreError::Unavailable(reason)))
                    if tries < STEP_TRIES =>
                {
                    tracing::debug!(reason, "a step of an import is tried again");
                    tokio::time::sleep(STEP_PAUSE * tries).await;
                }
                Err(error) => {
                    // Where they stand is read again.
                    let mut memory = self.memory.lock();
                    memory.steps.retain(|slot, _| !imports.contains_key(slot));
                    return Err(error.into());
                }
            }
        }
    }

    /// The next step of each slot of these.
    fn steps(
        &self,
        order: &Order,
        parts: Vec<EntityPart>,
        cursors: &[CursorRow],
        (entity, continuation): (u64, Vec<u8>),
    ) -> BTreeMap<Slot, Import> {
        let mut imports: BTreeMap<Slot, Import> = BTreeMap::new();
        let memory = self.memory.lock();
        let begin = |slot: Slot| Import {
            fence: fence(order, slot),
            step: memory.steps.get(&slot).copied().unwrap_or(0) + 1,
            parts: Vec::new(),
            cursors: Vec::new(),
            entity: 0,
            continuation: Vec::new(),
        };
        for part in parts {
            let Some(slot) = moving_slot(order, part.entity) else { continue };
            let import = imports.entry(slot).or_insert_with(|| begin(slot));
            if part.entity == entity && part.closing.is_none() {
                (import.entity, import.continuation) = (entity, continuation.clone());
            }
            import.parts.push(part);
        }
        for row in cursors {
            let Some(slot) = moving_slot(order, row.chat) else { continue };
            imports.entry(slot).or_insert_with(|| begin(slot)).cursors.push(*row);
        }
        imports
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

/// What the other side sent for the first of what was wanted.
struct Page {
    parts: Vec<EntityPart>,
    /// How many of the wanted are done with.
    finished: usize,
    /// Where the next one goes on; empty: from its beginning.
    place: Vec<u8>,
    /// Those that are complete with it.
    closed: Vec<Wanted>,
    rows: u64,
    bytes: u64,
}

impl Page {
    fn of(parts: Vec<EntityPart>, wanted: &[Wanted], finished: usize, place: Vec<u8>) -> Page {
        let rows = parts.iter().map(EntityPart::rows).sum::<usize>() as u64;
        let bytes = parts.iter().map(EntityPart::bytes).sum::<usize>() as u64;
        // Parts come in the order of what was wanted.
        let mut wanted = wanted.iter();
        let closed = parts.iter().filter(|part| part.closing.is_some());
        let closed = closed.filter_map(|part| wanted.find(|one| one.entity == part.entity));
        let closed = closed.copied().collect();
        Page { parts, finished, place, closed, rows, bytes }
    }
}

/// The entity's slot, if it is of this move.
fn moving_slot(order: &Order, entity: u64) -> Option<Slot> {
    let slot = Slot::of(EntityId::new(entity).ok()?);
    order.slots.binary_search_by_key(&slot, |(moving, _)| *moving).is_ok().then_some(slot)
}

fn bad(what: &str) -> Refusal {
    Refusal::new(Code::Conflict, what)
}
