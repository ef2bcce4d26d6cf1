//! What the side that copies asks: what changed, heads, rows, digests. Answered from the database, while
//! the slots are the asked move's: tracked or frozen by it, or owned since its flip.

use super::Mover;
use super::orders::parse_slots;
use super::rows::{commits_out, cursor_in, cursor_out, fact_out, head_out, part_out, wanted_in};
use crate::refusals;
use crate::store::{
    CursorRow, EntityDigest, MemberRow, OutboxRow, PageSize, Place, Store, StoreError, Wanted,
    digests, export,
};
use shardline_domain::id::EntityId;
use shardline_domain::placement::transfer::{Attempt, MoveId, Standing};
use shardline_domain::slot::{Epoch, Slot};
use shardline_wire::internal as wire;
use shardline_wire::internal::{
    ChangedAnswer, ChangedRequest, DigestsAnswer, DigestsRequest, HeadsAnswer, HeadsRequest,
    PullScope, RowsAnswer, RowsRequest,
};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

/// Heads in one answer.
pub(super) const HEADS_MAX: u32 = 2_000;
/// Entities of one question.
pub(super) const WANTED_MAX: usize = 256;
/// Facts told at most; more than a shard delivers in some seconds would not settle anyway.
const FACTS_MAX: u64 = 50_000;

/// Whose slots are asked for, and that they are this move's.
struct Scope {
    key: (MoveId, Attempt),
    slots: Vec<(Slot, Epoch)>,
    is_frozen: bool,
}

impl Scope {
    fn holds(&self, entity: u64) -> bool {
        EntityId::new(entity).is_ok_and(|id| {
            let slot = Slot::of(id);
            self.slots.binary_search_by_key(&slot, |(slot, _)| *slot).is_ok()
        })
    }
}

impl Mover {
    fn scope(&self, scope: Option<&PullScope>) -> Result<Scope, Refusal> {
        let scope = scope.ok_or_else(|| refusals::bad_field("scope", "it is missing"))?;
        let slots = parse_slots(&scope.slots)?;
        let key = (MoveId(scope.r#move), Attempt(scope.attempt));
        let standing = self.standing(&slots, key.0, key.1);
        let is_mine = slots.iter().all(|(slot, _)| {
            let row = self.slots.row(*slot);
            (row.move_id, row.attempt) == (scope.r#move, scope.attempt)
        });
        match standing {
            Standing::Tracking | Standing::OwnedAnew if is_mine => {
                Ok(Scope { key, slots, is_frozen: false })
            }
            Standing::Frozen => Ok(Scope { key, slots, is_frozen: true }),
            other => {
                let message = format!("the slots are not this move's here: {other:?}");
                Err(Refusal::new(Code::Conflict, message))
            }
        }
    }

    pub(crate) async fn changed(&self, request: ChangedRequest) -> Result<ChangedAnswer, Refusal> {
        self.fence.ensure().await?;
        // Looked at first: when it was frozen, everything it ever will be is remembered.
        let scope = self.scope(request.scope.as_ref())?;
        let slots: Vec<Slot> = scope.slots.iter().map(|(slot, _)| *slot).collect();
        let from = (request.process, request.mark);
        let changed = self.tracker.changed(scope.key, &slots, from, self.fence.now());
        Ok(ChangedAnswer {
            process: changed.process,
            mark: changed.mark,
            forgotten: changed.forgotten,
            frozen: scope.is_frozen,
            entities: changed.entities,
            cursors: changed.cursors.iter().map(cursor_out).collect(),
            database: scope.is_frozen.then(|| self.mark()),
        })
    }

    /// People's commits may feel this question.
    fn feel(&self, scope: Option<&PullScope>) {
        if scope.is_some_and(|scope| !scope.gentle) {
            self.pressure.disturb(self.fence.now());
        }
    }

    /// Of this side, as it stands.
    fn commit_times(&self) -> wire::CommitTimes {
        commits_out(self.pressure.commit_times(self.fence.now()))
    }

    /// Of this term; it covers every freeze that was shown.
    pub(super) fn mark(&self) -> wire::DatabaseMark {
        wire::DatabaseMark { term: self.fence.term(), tally: self.slots.tally() }
    }

    pub(crate) async fn heads(&self, request: HeadsRequest) -> Result<HeadsAnswer, Refusal> {
        self.fence.ensure().await?;
        let scope = self.scope(request.scope.as_ref())?;
        self.feel(request.scope.as_ref());
        let first = asked_slot(&scope, request.slot)?;
        let limit = u64::from(request.limit.clamp(1, HEADS_MAX));
        let behind = scope.slots.iter().map(|(slot, _)| *slot).filter(|slot| first <= *slot);
        let ids: Vec<_> = behind.filter_map(|slot| ids_behind(slot, request.after)).collect();
        let heads = self.store.heads_in(&ids, limit).await;
        let heads = heads.map_err(|error| refusals::store(&error))?;
        // Full: it goes on in the last one's slot.
        let last = heads.last().filter(|_| limit <= heads.len() as u64);
        let next_slot = last.and_then(|head| EntityId::new(head.entity).ok());
        Ok(HeadsAnswer {
            heads: heads.iter().map(head_out).collect(),
            next_slot: next_slot.map(|id| Slot::of(id).get().into()),
        })
    }

    pub(crate) async fn rows(&self, request: RowsRequest) -> Result<RowsAnswer, Refusal> {
        self.fence.ensure().await?;
        let scope = self.scope(request.scope.as_ref())?;
        self.feel(request.scope.as_ref());
        let wanted = wanted_in(&request.wanted);
        check_wanted(&scope, &wanted)?;
        let place = match request.place.as_slice() {
            [] => None,
            bytes => match Place::decode(bytes) {
                None => return Err(refusals::bad_field("place", "it cannot be read")),
                place => place,
            },
        };
        let exported = export(&*self.store, &wanted, place, PageSize::FULL).await;
        let exported = exported.map_err(|error| refusals::store(&error))?;
        Ok(RowsAnswer {
            parts: exported.parts.into_iter().map(part_out).collect(),
            finished: u32::try_from(exported.finished).unwrap_or(u32::MAX),
            place: exported.place.map(|place| place.encode()).unwrap_or_default(),
            commits: Some(self.commit_times()),
        })
    }

    pub(crate) async fn digests(&self, request: DigestsRequest) -> Result<DigestsAnswer, Refusal> {
        self.fence.ensure().await?;
        let scope = self.scope(request.scope.as_ref())?;
        self.feel(request.scope.as_ref());
        let wanted = wanted_in(&request.wanted);
        check_wanted(&scope, &wanted)?;
        let cursors: Vec<CursorRow> = request.cursors.iter().map(cursor_in).collect();
        if cursors.iter().any(|row| !scope.holds(row.chat)) {
            return Err(refusals::bad_field("cursors", "a chat is not of these slots"));
        }
        let read = async {
            let digests = digests_of(&*self.store, &wanted).await?;
            let cursors = stored_cursors(&*self.store, &cursors).await?;
            let mut facts = Vec::new();
            if request.facts {
                let slots: Vec<Slot> = scope.slots.iter().map(|(slot, _)| *slot).collect();
                facts = facts_of(&*self.store, &slots).await?;
            }
            Ok::<_, StoreError>((digests, cursors, facts))
        };
        let (digests, cursors, facts) = read.await.map_err(|error| refusals::store(&error))?;
        Ok(DigestsAnswer {
            digests,
            cursors: cursors.iter().map(cursor_out).collect(),
            facts: facts.into_iter().map(fact_out).collect(),
            commits: Some(self.commit_times()),
        })
    }
}

/// The slot's ids above `after`, if there are any.
pub(super) fn ids_behind(slot: Slot, after: u64) -> Option<RangeInclusive<u64>> {
    let ids = slot.ids();
    let ids = (*ids.start()).max(after.saturating_add(1))..=*ids.end();
    (!ids.is_empty()).then_some(ids)
}

fn asked_slot(scope: &Scope, number: u32) -> Result<Slot, Refusal> {
    Slot::new(number)
        .filter(|slot| scope.slots.binary_search_by_key(slot, |(moving, _)| *moving).is_ok())
        .ok_or_else(|| refusals::bad_field("slot", "it is not of this move"))
}

fn check_wanted(scope: &Scope, wanted: &[Wanted]) -> Result<(), Refusal> {
    if WANTED_MAX < wanted.len() {
        return Err(refusals::bad_field("wanted", "these are too many"));
    }
    if wanted.iter().any(|wanted| !scope.holds(wanted.entity)) {
        return Err(refusals::bad_field("wanted", "an entity is not of these slots"));
    }
    Ok(())
}

/// In the order of `wanted`; both sides read back by this.
pub(super) async fn digests_of(
    store: &dyn Store,
    wanted: &[Wanted],
) -> Result<Vec<wire::EntityDigest>, StoreError> {
    let read = digests(store, wanted).await?;
    let asked = wanted.iter().zip(read);
    Ok(asked.map(|(wanted, digest)| digest_out(wanted.entity, digest)).collect())
}

fn digest_out(entity: u64, digest: Option<EntityDigest>) -> wire::EntityDigest {
    let Some(digest) = digest else {
        return wire::EntityDigest { entity, ..wire::EntityDigest::default() };
    };
    let EntityDigest {
        entity,
        since,
        ver,
        seq,
        trimmed_ver,
        messages,
        first_seq,
        last_seq,
        rows,
        cursors,
    } = digest;
    let numbers = [since, seq, trimmed_ver, messages, first_seq, last_seq];
    let mut all: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
    all.extend_from_slice(&rows);
    wire::EntityDigest { entity, ver, rows: all, cursors: cursors.to_vec() }
}

/// How far these members have read, as it stands; those who are no members are missing.
pub(super) async fn stored_cursors(
    store: &dyn Store,
    asked: &[CursorRow],
) -> Result<Vec<CursorRow>, StoreError> {
    let mut by_chat: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    for row in asked {
        by_chat.entry(row.chat).or_default().push(row.user);
    }
    let mut cursors = Vec::with_capacity(asked.len());
    for (chat, users) in by_chat {
        let members = store.members_named(chat, &users).await?;
        cursors.extend(members.iter().map(cursor_of));
    }
    cursors.sort_unstable_by_key(|row| (row.chat, row.user));
    Ok(cursors)
}

fn cursor_of(row: &MemberRow) -> CursorRow {
    CursorRow { chat: row.chat, user: row.user, seq: row.read_seq }
}

/// All facts of these slots (in order, at least one), of which a shard has few at any time: they are
/// read at once, and slot by slot only if there are more than that.
pub(super) async fn facts_of(
    store: &dyn Store,
    slots: &[Slot],
) -> Result<Vec<OutboxRow>, StoreError> {
    let (Some(first), Some(last)) = (slots.first(), slots.last()) else { return Ok(Vec::new()) };
    let all = *first.ids().start()..=*last.ids().end();
    let mut facts = store.outbox_in(all, (0, 0, 0), FACTS_MAX).await?;
    if (facts.len() as u64) < FACTS_MAX {
        facts.retain(|row| {
            EntityId::new(row.chat).is_ok_and(|id| slots.binary_search(&Slot::of(id)).is_ok())
        });
        return Ok(facts);
    }
    facts.clear();
    for slot in slots {
        facts.extend(store.outbox_in(slot.ids(), (0, 0, 0), FACTS_MAX).await?);
    }
    Ok(facts)
}
