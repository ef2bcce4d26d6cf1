//! What is left of a slot is deleted, and nothing else.

use super::copier::*;
use super::*;
use crate::store::{MoveFence, Purge};

const PURGE: Purge = Purge { fence: FENCE, epoch: 5 };

async fn set(store: &dyn Store, state: SlotState, epoch: u64) -> SlotRow {
    let from = slot_row(store, FENCE.slot).await;
    let MoveFence { move_id, attempt, .. } = FENCE;
    let to = SlotRow { state, epoch, move_id, attempt, ..from };
    put(store, &[LANE], &[SlotChange { from, to }]).await;
    to
}

pub async fn a_purge_takes_its_slot_only_and_ends(database: &dyn Database) {
    let (store, mut script) = source_with_everything(database).await;
    let chat = id(50);
    let mut writes = script.sends(&[chat; 30]);
    writes.chats.push(chat_row(chat, 1, 0));
    writes.members = (1..=10).map(|user| member(chat, user)).collect();
    store.commit(LANE, &writes).await.expect("a commit in order is stored");
    let (before, after) = (ids().start() - 9, ids().end() + 1);
    let beside = async || {
        let mut digests = Vec::new();
        for entity in [before, before + 1, before + 2, after, after + 1, after + 2] {
            digests.push(digest_of(&*store, entity, 0).await);
        }
        (digests, store.outbox(100).await.expect("a read").len())
    };
    let (kept, facts) = beside().await;
    let moved = set(&*store, SlotState::Moved, 6).await;

    let mut calls = 0;
    let emptied = loop {
        let done = store.purge(LANE, &[PURGE], 9).await.expect("the slot was given away");
        calls += 1;
        // Heads are the first to go.
        assert!(heads_of(&*store).await.is_empty());
        if let Some(rows) = done {
            break rows[0];
        }
        assert_eq!(slot_row(&*store, FENCE.slot).await, moved);
        assert!(calls < 100);
    };
    assert!(4 < calls, "{calls} calls");
    assert_eq!(emptied, SlotRow { state: SlotState::Empty, ..moved });
    assert_eq!(slot_row(&*store, FENCE.slot).await, emptied);
    let again = store.purge(LANE, &[PURGE], 9).await.expect("it was done");
    assert_eq!(again, Some(vec![emptied]));

    assert_eq!(beside().await, (kept, facts - 1));
    assert_eq!(store.entity_rows(&[id(0), id(1), *ids().end(), chat]).await.expect("a read"), []);
    for chat in [id(0), chat] {
        assert_eq!(store.messages(whole(chat)).await.expect("a read"), []);
        assert_eq!(store.members(chat, 0, 100).await.expect("a read"), []);
        assert_eq!(store.changes(chat, 0, 100).await.expect("a read"), []);
    }
    assert_eq!(store.changes(id(1), 0, 100).await.expect("a read"), []);
    assert_eq!(store.sessions(id(1)).await.expect("a read"), []);
    assert_eq!(store.list(id(1), 0, 100).await.expect("a read"), []);
    assert_eq!(store.outbox_in(ids(), (0, 0, 0), 9).await.expect("a read"), []);
    // The journal stays.
    assert_eq!(store.journal(LANE, 0, 100).await.expect("a read").len(), 4);
}

pub async fn a_purge_is_refused_while_the_slot_is_needed(database: &dyn Database) {
    let (store, _) = source_with_everything(database).await;
    let there = heads_of(&*store).await;
    let refused = async |fence: MoveFence, epoch: u64| {
        let purged = store.purge(LANE, &[Purge { fence, epoch }], 100).await;
        assert!(matches!(purged, Err(TransferError::Refused { .. })), "{purged:?}");
        assert_eq!(heads_of(&*store).await, there);
    };
    refused(FENCE, 5).await;
    let needed = [
        SlotState::Owned,
        SlotState::Frozen,
        SlotState::Following,
        SlotState::Importing,
        SlotState::Quarantined,
    ];
    for state in needed {
        set(&*store, state, 6).await;
        refused(FENCE, 5).await;
    }
    set(&*store, SlotState::Moved, 6).await;
    refused(MoveFence { attempt: 1, ..FENCE }, 5).await;
    refused(MoveFence { attempt: 3, ..FENCE }, 5).await;
    refused(MoveFence { move_id: 8, ..FENCE }, 5).await;
    // The row knows of a later epoch than the attempt's.
    refused(FENCE, 4).await;
    let purged = store.purge(LANE, &[PURGE], 1_000).await.expect("the slot was given away");
    assert!(purged.is_some());
    assert!(heads_of(&*store).await.is_empty());
}

pub async fn what_a_purge_left_is_filled_again(database: &dyn Database) {
    let other = database.another().await;
    let (source, mut script) = source_with_everything(database).await;
    let target = writing_store(&*other).await;
    open_slot(&*target, FENCE).await;
    Copier::new(&*source, &*target).round().await;
    // The move was given up, and its purge stopped half-way.
    let given_up = slot_row(&*target, FENCE.slot).await;
    let moved = SlotRow { state: SlotState::Moved, ..given_up };
    put(&*target, &[LANE], &[SlotChange { from: given_up, to: moved }]).await;
    let purged = target.purge(LANE, &[PURGE], 6).await.expect("it was given up");
    assert_eq!(purged, None);
    let mut writes = script.sends(&[id(60)]);
    writes.chats.push(chat_row(id(60), 1, 0));
    source.commit(LANE, &writes).await.expect("a commit in order is stored");

    let fence = MoveFence { move_id: FENCE.move_id + 1, ..FENCE };
    open_slot(&*target, fence).await;
    let refused = target.purge(LANE, &[PURGE], 6).await;
    assert!(matches!(refused, Err(TransferError::Refused { .. })), "{refused:?}");
    let mut copier = Copier { fence, ..Copier::new(&*source, &*target) };
    copier.round().await;
    assert_eq!(copier.round().await, 0);
    assert_equal(&*source, &*target).await;
}

pub async fn slots_are_purged_together_or_not_at_all(database: &dyn Database) {
    let (store, _) = source_with_everything(database).await;
    // Many slots without anything in them, and one with much.
    let fences: Vec<MoveFence> =
        (1..=150).map(|slot| MoveFence { slot: FENCE.slot + slot, ..FENCE }).collect();
    for fence in &fences {
        open_slot(&*store, *fence).await;
    }
    let purge = |fence: &MoveFence| Purge { fence: *fence, epoch: 5 };
    let all: Vec<Purge> = std::iter::once(&FENCE).chain(&fences).map(purge).collect();
    let there = heads_of(&*store).await;
    set(&*store, SlotState::Moved, 6).await;
    let refused = store.purge(LANE, &all, 1_000).await;
    assert!(matches!(refused, Err(TransferError::Refused { .. })), "{refused:?}");
    assert_eq!(heads_of(&*store).await, there);

    for fence in &fences {
        let from = slot_row(&*store, fence.slot).await;
        let to = SlotRow { state: SlotState::Moved, ..from };
        put(&*store, &[LANE], &[SlotChange { from, to }]).await;
    }
    let part = store.purge(LANE, &all, 3).await.expect("all were given away");
    assert_eq!(part, None);
    let emptied = store.purge(LANE, &all, 1_000).await.expect("all were given away");
    let emptied = emptied.expect("nothing is left");
    let slots: Vec<u16> = emptied.iter().map(|row| row.slot).collect();
    assert_eq!(slots, all.iter().map(|purge| purge.fence.slot).collect::<Vec<_>>());
    assert!(emptied.iter().all(|row| row.state == SlotState::Empty));
    assert!(heads_of(&*store).await.is_empty());
    for row in &emptied {
        assert_eq!(slot_row(&*store, row.slot).await, *row);
    }
    assert_eq!(store.purge(LANE, &all, 9).await.expect("it was done"), Some(emptied));
}
