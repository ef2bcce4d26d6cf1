//! One shard's entities copied to another, by the store's own means.

use super::writing::everything_of;
use super::*;
use crate::store::{
    EntityDigest, EntityPart, Exported, Import, MoveFence, PageSize, Place, Wanted, export,
    missing_facts,
};
use shardline_domain::slot::Slot;
use std::collections::BTreeMap;
use std::ops::RangeInclusive;

pub(super) const FENCE: MoveFence = MoveFence { slot: 3, move_id: 9, attempt: 2 };
/// The slot's lane.
pub(super) const LANE: u16 = 1;

pub(super) fn ids() -> RangeInclusive<u64> {
    Slot::new(FENCE.slot.into()).expect("a slot").ids()
}

/// An id in the slot.
pub(super) fn id(number: u64) -> u64 {
    ids().start() + number
}

pub(super) async fn open_slot(target: &dyn Store, fence: MoveFence) {
    let from = slot_row(target, fence.slot).await;
    let (state, epoch) = (SlotState::Importing, from.epoch.max(5));
    let MoveFence { move_id, attempt, .. } = fence;
    put(
        target,
        &[LANE],
        &[SlotChange { from, to: SlotRow { state, epoch, move_id, attempt, ..from } }],
    )
    .await;
}

/// A source with a chat, a user and a name in the slot, and the same in the slots beside it.
pub(super) async fn source_with_everything(database: &dyn Database) -> (Arc<dyn Store>, Script) {
    let store = writing_store(database).await;
    let mut script = Script::new(LANE);
    let (before, after) = (ids().start() - 9, ids().end() + 1);
    for (chat, user, name) in [
        (before, before + 1, before + 2),
        (id(0), id(1), *ids().end()),
        (after, after + 1, after + 2),
    ] {
        let mut writes = everything_of(&mut script, chat, user, name);
        writes.chats[0].trimmed_ver = 0;
        writes.users[0].trimmed_ver = 0;
        for row in &mut writes.changes {
            row.ver -= 9;
        }
        for change in &mut writes.heads {
            (change.head.seq, change.head.ver) =
                (1, if change.head.entity == user { 20 } else { 2 });
            script.heads.insert(change.head.entity, change.head);
        }
        store.commit(LANE, &writes).await.expect("a commit in order is stored");
    }
    (store, script)
}

/// The mover of a case: copies what the target lacks, entity by entity.
pub(super) struct Copier<'a> {
    pub(super) source: &'a dyn Store,
    pub(super) target: &'a dyn Store,
    pub(super) fence: MoveFence,
    pub(super) step: u64,
    pub(super) size: PageSize,
}

impl<'a> Copier<'a> {
    pub(super) fn new(source: &'a dyn Store, target: &'a dyn Store) -> Copier<'a> {
        Copier { source, target, fence: FENCE, step: 0, size: PageSize::FULL }
    }

    async fn missing(&self) -> Vec<Wanted> {
        let there = heads_of(self.source).await;
        let here = heads_of(self.target).await;
        let known = |entity: &u64| here.get(entity).map_or(0, |head| head.ver);
        let wanted = |(entity, head): (&u64, &HeadRow)| {
            let since = known(entity);
            (since < head.ver).then_some(Wanted { entity: *entity, since })
        };
        there.iter().filter_map(wanted).collect()
    }

    /// One round over all entities that differ; how many pages it took.
    pub(super) async fn round(&mut self) -> usize {
        let mut wanted = self.missing().await;
        let (mut place, mut pages) = (None, 0);
        while !wanted.is_empty() {
            let exported = export(self.source, &wanted, place, self.size).await.expect("a read");
            wanted.drain(..exported.finished);
            // As if it had travelled.
            place = exported.place.map(|place| Place::decode(&place.encode()).expect("a place"));
            self.import(exported.parts, Vec::new()).await;
            pages += 1;
        }
        pages
    }

    pub(super) async fn import(&mut self, parts: Vec<EntityPart>, cursors: Vec<CursorRow>) {
        self.step += 1;
        let import = import_of(self.fence, self.step, parts, cursors);
        self.target.import(&[LANE], &[import]).await.expect("the slot is being filled");
    }
}

pub(super) fn import_of(
    fence: MoveFence,
    step: u64,
    parts: Vec<EntityPart>,
    cursors: Vec<CursorRow>,
) -> Import {
    Import { fence, step, parts, cursors, entity: step, continuation: vec![0xff, 0] }
}

pub(super) async fn heads_of(store: &dyn Store) -> BTreeMap<u64, HeadRow> {
    let mut heads = BTreeMap::new();
    let mut first = *ids().start();
    loop {
        let page = store.heads_in(&[first..=*ids().end()], 100).await.expect("a read");
        let Some(last) = page.last() else { return heads };
        first = last.entity + 1;
        heads.extend(page.into_iter().map(|head| (head.entity, head)));
    }
}

/// Read back: of an entity that is there.
pub(super) async fn digest_of(store: &dyn Store, entity: u64, since: u64) -> EntityDigest {
    let read = crate::store::digests(store, &[Wanted { entity, since }]).await.expect("a read");
    read.into_iter().next().flatten().expect("it is there")
}

pub(super) async fn digests(store: &dyn Store, since: u64) -> Vec<EntityDigest> {
    let mut digests = Vec::new();
    for entity in heads_of(store).await.keys() {
        digests.push(digest_of(store, *entity, since).await);
    }
    digests
}

pub(super) async fn assert_equal(source: &dyn Store, target: &dyn Store) {
    assert!(!heads_of(source).await.is_empty());
    for since in [0, 1, 2, 10, 50] {
        assert_eq!(digests(source, since).await, digests(target, since).await, "since {since}");
    }
    let facts =
        async |store: &dyn Store| store.outbox_in(ids(), (0, 0, 0), 100_000).await.expect("a read");
    assert_eq!(missing_facts(&facts(source).await, &facts(target).await), []);
}

pub(super) async fn one_page(source: &dyn Store, entity: u64, since: u64) -> Exported {
    let exported = export(source, &[Wanted { entity, since }], None, PageSize::FULL).await;
    let exported = exported.expect("a read");
    assert_eq!((exported.finished, exported.place), (1, None));
    exported
}

pub(super) fn change(entity: u64, ver: u64, kind: ChangeKind, subject: u64) -> ChangeRow {
    ChangeRow { entity, ver, kind, subject, at_ms: 8 }
}

/// The next commit of a chat with all that may happen in one: a send, an edit of an early message, a
/// member who joins, another who leaves, a fact, a change of the settings.
pub(super) fn all_kinds(script: &mut Script, chat: u64, round: u64) -> WriteSet {
    let mut writes = script.sends(&[chat]);
    let head = script.heads.get_mut(&chat).expect("it was met");
    let born = writes.messages.last_mut().expect("it was sent");
    (born.ver, born.changed_ver) = (head.ver, head.ver);
    born.text = "x".repeat(500);
    let mut next = |kind, subject| {
        head.ver += 1;
        writes.changes.push(change(chat, head.ver, kind, subject));
        head.ver
    };
    let seq = 1 + round % head.seq;
    let edited = next(ChangeKind::Edit, seq);
    let joined = next(ChangeKind::Member, 1_000 + round);
    let left = next(ChangeKind::Member, 1_000 + round / 2);
    let settings = next(ChangeKind::Chat, 0);
    let old = message(chat, seq);
    if seq != head.seq {
        let text = format!("edited {round}");
        writes.changed_messages.push(MessageRow { changed_ver: edited, text, ..old });
    }
    writes.members.push(MemberRow { joined_ver: 1 + round, ..member(chat, 1_000 + round) });
    writes.members.push(MemberRow {
        joined_ver: 1 + round / 2,
        left_ver: Some(left),
        ..member(chat, 1_000 + round / 2)
    });
    writes.outbox.push(OutboxRow {
        chat,
        ver: joined,
        user: 1_000 + round,
        joined: true,
        kind: "group".to_owned(),
        created_at_ms: 1,
    });
    writes.chats.push(chat_row(chat, settings, 0));
    writes.heads[0].head = *head;
    writes
}

pub(super) fn chat_row(chat: u64, settings_ver: u64, trimmed_ver: u64) -> ChatRow {
    ChatRow {
        chat,
        kind: "group".to_owned(),
        title: format!("title {settings_ver}"),
        history: "all".to_owned(),
        creator: 1,
        client_chat_id: [1; 16],
        created_at_ms: 1,
        settings_ver,
        trimmed_seq: 0,
        trimmed_ver,
        ended: false,
    }
}
