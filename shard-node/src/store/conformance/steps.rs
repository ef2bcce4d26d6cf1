//! An import's steps: each is done once, in order, for the attempt that has the slot, and several slots
//! go together or not at all.

use super::copier::{
    Copier, FENCE, LANE, all_kinds, digests, heads_of, id, ids, import_of, one_page, open_slot,
    source_with_everything,
};
use super::*;
use crate::store::{EntityPart, Import, MoveFence};

pub async fn another_attempt_changes_nothing(database: &dyn Database) {
    let other = database.another().await;
    let (source, mut script) = source_with_everything(database).await;
    let target = writing_store(&*other).await;
    let parts = one_page(&*source, id(0), 0).await.parts;
    let try_all = async |stands: SlotRow, fences: &[MoveFence]| {
        let before = digests(&*target, 0).await;
        let progress = target.progress(FENCE.slot).await.expect("a read");
        for fence in fences {
            for step in [1, 2] {
                let import = import_of(*fence, step, parts.clone(), Vec::new());
                let refused = target.import(&[LANE], std::slice::from_ref(&import)).await;
                let Err(TransferError::Refused { stands: found }) = refused else {
                    panic!("{fence:?} in {stands:?}: {refused:?}");
                };
                assert_eq!(found.unwrap_or(SlotRow::none(FENCE.slot)), stands);
            }
        }
        assert_eq!(digests(&*target, 0).await, before);
        assert_eq!(target.progress(FENCE.slot).await.expect("a read"), progress);
    };
    try_all(SlotRow::none(FENCE.slot), &[FENCE]).await;
    open_slot(&*target, FENCE).await;
    let others = [
        MoveFence { attempt: 1, ..FENCE },
        MoveFence { attempt: 3, ..FENCE },
        MoveFence { move_id: 8, ..FENCE },
    ];
    try_all(slot_row(&*target, FENCE.slot).await, &others).await;
    Copier::new(&*source, &*target).round().await;
    let writes = all_kinds(&mut script, id(100), 1);
    source.commit(LANE, &writes).await.expect("a commit in order is stored");
    for state in [SlotState::Owned, SlotState::Frozen, SlotState::Quarantined, SlotState::Moved] {
        let from = slot_row(&*target, FENCE.slot).await;
        let to = SlotRow { state, epoch: from.epoch + 1, ..from };
        put(&*target, &[LANE], &[SlotChange { from, to }]).await;
        try_all(to, &[FENCE]).await;
    }
    // A writer that was replaced.
    let new = other.open().await;
    new.take_over(writer(2), 2).await.expect("a higher term");
    let import = import_of(FENCE, 1, parts, Vec::new());
    loop {
        match target.import(&[LANE], std::slice::from_ref(&import)).await {
            // Its session was ended with the takeover.
            Err(TransferError::Store(StoreError::Unavailable(_))) => {}
            Err(TransferError::Store(StoreError::Fenced { term: 2 })) => break,
            other => panic!("{other:?}"),
        }
    }
}

pub async fn steps_are_done_once_and_in_order(database: &dyn Database) {
    let other = database.another().await;
    let (source, _) = source_with_everything(database).await;
    let target = writing_store(&*other).await;
    open_slot(&*target, FENCE).await;
    let parts = one_page(&*source, id(0), 0).await.parts;
    let import = async |fence, step| {
        target.import(&[LANE], &[import_of(fence, step, parts.clone(), Vec::new())]).await
    };
    let refused = import(FENCE, 2).await;
    assert!(matches!(refused, Err(TransferError::OutOfOrder { stands: 0 })), "{refused:?}");
    assert_eq!(heads_of(&*target).await.len(), 0);
    for step in [1, 1, 2, 3, 3, 3] {
        import(FENCE, step).await.expect("it is done, now or before");
    }
    let refused = import(FENCE, 2).await;
    assert!(matches!(refused, Err(TransferError::OutOfOrder { stands: 3 })), "{refused:?}");
    let progress = target.progress(FENCE.slot).await.expect("a read").expect("it is there");
    let rows: usize = 3 * parts.iter().map(EntityPart::rows).sum::<usize>();
    assert_eq!((progress.step, progress.rows), (3, rows as u64));
    // Another attempt begins at 1.
    let next = MoveFence { attempt: 3, ..FENCE };
    open_slot(&*target, next).await;
    let refused = import(next, 4).await;
    assert!(matches!(refused, Err(TransferError::OutOfOrder { stands: 0 })), "{refused:?}");
    import(next, 1).await.expect("it is the first");
    let progress = target.progress(FENCE.slot).await.expect("a read").expect("it is there");
    assert_eq!((progress.fence, progress.step), (next, 1));
    assert_eq!(target.progress(FENCE.slot + 1).await.expect("a read"), None);
}

pub async fn an_import_that_was_lost_on_its_way_is_repeated(database: &dyn Database) {
    let other = database.another().await;
    let Some((target, wire)) = other.open_by_wire().await else { return };
    let (source, _) = source_with_everything(database).await;
    target.take_over(writer(1), 2).await.expect("nobody has a higher term");
    open_slot(&*target, FENCE).await;
    let parts = one_page(&*source, id(0), 0).await.parts;
    for (step, cut) in
        [(1, Cut::AtStatement), (2, Cut::CommitLost), (3, Cut::AnswerLost), (4, Cut::CommitLost)]
    {
        let import = import_of(FENCE, step, parts.clone(), Vec::new());
        wire.cut(cut);
        let lost = target.import(&[LANE], std::slice::from_ref(&import)).await;
        let unknown = matches!(lost, Err(TransferError::Store(StoreError::Unavailable(_))));
        assert!(unknown, "{lost:?}");
        if step == 4 {
            break;
        }
        in_time("the same again", target.import(&[LANE], std::slice::from_ref(&import)))
            .await
            .expect("it is repeated");
        let progress = target.progress(FENCE.slot).await.expect("a read").expect("it is there");
        let rows: usize = parts.iter().map(EntityPart::rows).sum();
        assert_eq!((progress.step, progress.rows), (step, step * rows as u64));
    }
    // The lost one holds its locks on the server still. It does not stand in the way of a change of the
    // slot, and is not carried out after it.
    in_time("a slot change", open_slot(&*target, MoveFence { attempt: 3, ..FENCE })).await;
    let progress = target.progress(FENCE.slot).await.expect("a read").expect("it is there");
    assert_eq!(progress.step, 3);
}

pub async fn steps_of_several_slots_are_one(database: &dyn Database) {
    let other = database.another().await;
    let (source, _) = source_with_everything(database).await;
    let target = writing_store(&*other).await;
    // The slots beside it, which other lanes have.
    let fences =
        [FENCE.slot - 1, FENCE.slot, FENCE.slot + 1].map(|slot| MoveFence { slot, ..FENCE });
    let lanes = [0, 1];
    for fence in &fences[..2] {
        open_slot(&*target, *fence).await;
    }
    let entities = [ids().start() - 9, id(0), ids().end() + 1];
    let mut parts = Vec::new();
    for entity in entities {
        parts.push(one_page(&*source, entity, 0).await.parts);
    }
    let steps = |numbers: [u64; 3]| -> Vec<Import> {
        let each = fences.iter().zip(numbers).zip(&parts);
        each.map(|((fence, step), parts)| import_of(*fence, step, parts.clone(), Vec::new()))
            .collect()
    };
    let stand = async || {
        let mut stand = Vec::new();
        for fence in &fences {
            let progress = target.progress(fence.slot).await.expect("a read");
            stand.push(progress.map_or(0, |row| row.step));
        }
        let heads = target.heads(&entities).await.expect("a read");
        (stand, heads.len())
    };
    // One of them is not in the hands of this move.
    let refused = target.import(&lanes, &steps([1, 1, 1])).await;
    assert!(matches!(refused, Err(TransferError::Refused { .. })), "{refused:?}");
    assert_eq!(stand().await, (vec![0, 0, 0], 0));
    target.import(&lanes, &steps([1, 1, 1])[..2]).await.expect("both are being filled");
    assert_eq!(stand().await, (vec![1, 1, 0], 2));
    open_slot(&*target, fences[2]).await;
    // One step of them does not follow.
    for numbers in [[2, 1, 1], [2, 3, 1], [1, 2, 1], [2, 2, 2]] {
        let refused = target.import(&lanes, &steps(numbers)).await;
        assert!(
            matches!(refused, Err(TransferError::OutOfOrder { .. })),
            "{numbers:?}: {refused:?}"
        );
        assert_eq!(stand().await, (vec![1, 1, 0], 2));
    }
    for _ in 0..2 {
        target.import(&lanes, &steps([2, 2, 1])).await.expect("it is done, now or before");
        assert_eq!(stand().await, (vec![2, 2, 1], 3));
    }
    // More than one statement locks.
    let many: Vec<MoveFence> = (100..300).map(|slot| MoveFence { slot, ..FENCE }).collect();
    for fence in &many {
        open_slot(&*target, *fence).await;
    }
    let empty = |step| -> Vec<Import> {
        many.iter().map(|fence| import_of(*fence, step, Vec::new(), Vec::new())).collect()
    };
    for step in [1, 2, 2] {
        target.import(&lanes, &empty(step)).await.expect("all are being filled");
        for fence in &many {
            let progress = target.progress(fence.slot).await.expect("a read").expect("it is there");
            assert_eq!(progress.step, step);
        }
    }
}
