//! Both sides read back, and found equal or not. While the other side is written to, a difference may
//! be of that moment only: what did not change since and differs again is copied whole, and what still
//! differs then is a mismatch. While it is frozen there is no moment to blame.

use super::copy::HeadsFrom;
use super::{Dirty, Halt, Work, again};
use crate::mover::orders::Order;
use crate::mover::rows::{commits_in, cursor_in, cursor_out, fact_in, wanted_out};
use crate::mover::source::{HEADS_MAX, digests_of, facts_of, ids_behind, stored_cursors};
use crate::store::{CursorRow, Wanted, missing_facts};
use shardline_daemon::clock::Stopwatch;
use shardline_wire::internal::DigestsRequest;
use shardline_wire::moves::Moves;
use std::collections::BTreeSet;

/// Entities compared by one question.
const COMPARED_AT_ONCE: usize = 64;
const CURSORS_AT_ONCE: usize = 2_000;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Verdict {
    Equal,
    /// Something changed meanwhile, or is not compared yet.
    Open,
    Mismatch,
}

/// How one entity came out.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Found {
    Equal,
    /// One side is further than the other.
    Moved,
    Different,
}

impl Work<'_> {
    pub(super) async fn compare(&mut self, order: &Order, frozen: bool) -> Result<Verdict, Halt> {
        let peer = self.peer(order);
        let compared = self.memory.lock().compared;
        if !compared {
            self.mark_all(order, &*peer).await?;
        }
        let dirty: Vec<Wanted> = self
            .memory
            .lock()
            .dirty
            .iter()
            .map(|(entity, dirty)| Wanted { entity: *entity, since: dirty.since })
            .collect();
        let mut different = Vec::new();
        for wanted in dirty.chunks(COMPARED_AT_ONCE) {
            self.goes_on(order)?;
            let stopwatch = Stopwatch::start();
            let compared = self.compare_some(order, &*peer, wanted, frozen).await?;
            self.rest(order, stopwatch.elapsed()).await?;
            let mut memory = self.memory.lock();
            for (wanted, found) in compared {
                match found {
                    Found::Equal => {
                        memory.dirty.remove(&wanted.entity);
                        memory.suspects.remove(&wanted.entity);
                    }
                    Found::Moved => {
                        memory.suspects.remove(&wanted.entity);
                    }
                    Found::Different => different.push(wanted.entity),
                }
            }
        }
        // Those that are never still are compared when it is frozen.
        self.memory.lock().compared = true;
        if !different.is_empty() {
            return self.copy_different(order, &*peer, different, frozen).await;
        }
        if !frozen {
            return Ok(Verdict::Open);
        }
        let none_left = self.memory.lock().dirty.is_empty();
        let equal = none_left
            && self.cursors_are_equal(order, &*peer).await?
            && self.facts_are_here(order, &*peer).await?;
        Ok(if equal { Verdict::Equal } else { Verdict::Open })
    }

    /// Everything there is, on either side, is to be compared.
    async fn mark_all(&mut self, order: &Order, peer: &dyn Moves) -> Result<(), Halt> {
        let mut from = Some(HeadsFrom::first(order));
        while let Some(place) = from {
            let page = self.heads(order, peer, place).await?;
            from = page.next;
            let mut memory = self.memory.lock();
            for head in &page.heads {
                memory.dirty.insert(head.entity, Dirty { since: 0 });
            }
        }
        // What only this side has differs, too.
        let mut after = 0;
        loop {
            self.goes_on(order)?;
            let ids: Vec<_> =
                order.slots.iter().filter_map(|(slot, _)| ids_behind(*slot, after)).collect();
            let mine = self.mover.store.heads_in(&ids, HEADS_MAX.into()).await?;
            let mut memory = self.memory.lock();
            for head in &mine {
                memory.dirty.insert(head.entity, Dirty { since: 0 });
                after = head.entity;
            }
            drop(memory);
            if mine.len() < HEADS_MAX as usize {
                return Ok(());
            }
        }
    }

    async fn compare_some(
        &self,
        order: &Order,
        peer: &dyn Moves,
        wanted: &[Wanted],
        frozen: bool,
    ) -> Result<Vec<(Wanted, Found)>, Halt> {
        let request = || DigestsRequest {
            scope: Some(self.scope(order)),
            wanted: wanted_out(wanted),
            ..DigestsRequest::default()
        };
        let theirs = again(|| peer.digests(request()));
        let mine = digests_of(&*self.mover.store, wanted);
        let (theirs, mine) = futures::join!(theirs, mine);
        let (theirs, mine) = (theirs?, mine?);
        *self.source_commits.lock() = commits_in(theirs.commits);
        let theirs = theirs.digests;
        let found = wanted.iter().zip(mine).enumerate().map(|(at, (wanted, mine))| {
            let found = match theirs.get(at) {
                Some(theirs) if theirs.entity == wanted.entity => {
                    // A cursor that moves is told of, and takes no ver.
                    let cursors = !frozen || mine.cursors == theirs.cursors;
                    match (mine.ver == theirs.ver, mine.rows == theirs.rows && cursors) {
                        (false, _) if frozen => Found::Different,
                        (false, _) => Found::Moved,
                        (true, true) => Found::Equal,
                        (true, false) => Found::Different,
                    }
                }
                _ => Found::Different,
            };
            (*wanted, found)
        });
        Ok(found.collect())
    }

    /// Copies them whole, once; the second time they are a mismatch.
    async fn copy_different(
        &mut self,
        order: &Order,
        peer: &dyn Moves,
        different: Vec<u64>,
        frozen: bool,
    ) -> Result<Verdict, Halt> {
        let suspects = self.memory.lock().suspects.clone();
        let again: Vec<u64> =
            different.iter().copied().filter(|id| suspects.contains(id)).collect();
        if frozen && !again.is_empty() {
            tracing::error!(move_id = %order.move_id, entities = ?&again[..again.len().min(10)],
                "a copy is not what the source has");
            return Ok(Verdict::Mismatch);
        }
        if !again.is_empty() {
            // It may be of the moment still: what does not come to rest is compared when frozen.
            tracing::warn!(move_id = %order.move_id, entities = again.len(),
                "a copy differs again; it is compared once more when the source is frozen");
        }
        let whole = different.iter().filter(|id| !suspects.contains(id));
        let whole = whole.map(|id| Wanted { entity: *id, since: 0 }).collect();
        self.copy_entities(order, whole, Vec::new(), peer).await?;
        let mut memory = self.memory.lock();
        for entity in different {
            memory.suspects.insert(entity);
            memory.dirty.insert(entity, Dirty { since: 0 });
        }
        drop(memory);
        Ok(Verdict::Open)
    }

    /// Those that moved while everything was copied, read back.
    async fn cursors_are_equal(&mut self, order: &Order, peer: &dyn Moves) -> Result<bool, Halt> {
        let all: Vec<CursorRow> = self
            .memory
            .lock()
            .cursors
            .iter()
            .map(|(&(chat, user), &seq)| CursorRow { chat, user, seq })
            .collect();
        for some in all.chunks(CURSORS_AT_ONCE) {
            let request = || DigestsRequest {
                scope: Some(self.scope(order)),
                cursors: some.iter().map(cursor_out).collect(),
                ..DigestsRequest::default()
            };
            let theirs = again(|| peer.digests(request())).await?.cursors;
            let theirs: Vec<CursorRow> = theirs.iter().map(cursor_in).collect();
            let mine = stored_cursors(&*self.mover.store, some).await?;
            if mine != theirs {
                self.part.note("cursors differ");
                self.copy_changed(order, peer, (&[], &theirs)).await?;
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// What the other side has still to deliver is here to be delivered.
    async fn facts_are_here(&mut self, order: &Order, peer: &dyn Moves) -> Result<bool, Halt> {
        let request = || DigestsRequest {
            scope: Some(self.scope(order)),
            facts: true,
            ..DigestsRequest::default()
        };
        let theirs = again(|| peer.digests(request())).await?.facts;
        let theirs: Vec<_> = theirs.into_iter().map(fact_in).collect();
        if theirs.is_empty() {
            return Ok(true);
        }
        let mine = facts_of(&*self.mover.store, &order.slots()).await?;
        let missing = missing_facts(&theirs, &mine);
        for row in &missing {
            // Its chat is copied whole, with all its facts.
            self.memory.lock().dirty.insert(row.chat, Dirty { since: 0 });
        }
        if missing.is_empty() {
            return Ok(true);
        }
        self.part.note("facts are missing");
        let chats: BTreeSet<u64> = missing.iter().map(|row| row.chat).collect();
        self.copy_different(order, peer, chats.into_iter().collect(), true).await?;
        Ok(false)
    }
}
