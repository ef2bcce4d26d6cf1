//! The rule on small catalogs, and against every word the rules of moves can lead to.

use super::*;
use crate::placement::transfer::{Attempt, MoveId, hear};
use proptest::prelude::*;

const MOVE: MoveId = MoveId(7);

fn row(state: SlotState, epoch: u64) -> SlotRow {
    SlotRow { state, epoch: Epoch(epoch), move_id: MOVE, attempt: Attempt(1) }
}

fn slot() -> Slot {
    Slot::new(5).expect("a slot")
}

fn held(phase: Phase) -> Held {
    let (source, target) = (ShardId(0), ShardId(1));
    Held { move_id: MOVE, attempt: Attempt(1), phase, source, target }
}

fn placed(owner: u32, epoch: u64, phase: Option<Phase>) -> Placed {
    Placed { owner: ShardId(owner), epoch: Epoch(epoch), held: phase.map(held) }
}

/// All slots are shard 0's at epoch 1, but slot 5: it is as given.
fn found(placed: Placed, rows: &[(u32, SlotRow)]) -> Vec<Disagreement> {
    let plain = Placed { owner: ShardId(0), epoch: Epoch(1), held: None };
    let terms = [(ShardId(0), 3), (ShardId(1), 3)].into();
    let mut slots: BTreeMap<Slot, Placed> = Slot::all().map(|slot| (slot, plain)).collect();
    slots.insert(slot(), placed);
    let catalog = CatalogSide { slots, terms };
    let mut shards: BTreeMap<ShardId, ShardSide> =
        [0, 1].map(|shard| (ShardId(shard), ShardSide::default())).into();
    let owned = SlotRow { move_id: MoveId(0), attempt: Attempt(0), ..row(SlotState::Owned, 1) };
    let first = shards.get_mut(&ShardId(0)).expect("it is there");
    first.rows = Slot::all().map(|slot| (slot, owned)).collect();
    first.rows.remove(&slot());
    for (shard, row) in rows {
        shards.get_mut(&ShardId(*shard)).expect("it is there").rows.insert(slot(), *row);
    }
    audit(&catalog, &shards, &BTreeSet::new())
}

fn check(placed: Placed, rows: &[(u32, SlotRow)], expected: &[What]) {
    let found = found(placed, rows);
    let what: Vec<What> = found.iter().map(|one| one.what).collect();
    assert_eq!(what, expected, "{placed:?} {rows:?}: {found:?}");
    assert!(found.iter().all(|one| one.slot == Some(slot())));
}

#[test]
fn one_shard_owns_a_slot_at_the_catalogs_epoch() {
    let free = placed(0, 4, None);
    check(free, &[(0, row(SlotState::Owned, 4))], &[]);
    check(free, &[(0, row(SlotState::Owned, 4)), (1, row(SlotState::Empty, 3))], &[]);
    check(free, &[], &[What::NoOwner]);
    check(free, &[(0, row(SlotState::Owned, 3))], &[What::OtherEpoch]);
    check(free, &[(0, row(SlotState::Owned, 5))], &[What::OtherEpoch]);
    check(free, &[(1, row(SlotState::Owned, 4))], &[What::OtherOwner]);
    let two = [(0, row(SlotState::Owned, 4)), (1, row(SlotState::Owned, 4))];
    check(free, &two, &[What::SeveralOwners]);
    check(free, &[(0, row(SlotState::Frozen, 4))], &[What::State]);
    let left = [(0, row(SlotState::Owned, 4)), (1, row(SlotState::Following, 4))];
    check(free, &left, &[What::State]);
}

#[test]
fn rows_fit_the_phase_of_the_move() {
    let owned = (0, row(SlotState::Owned, 4));
    let frozen = (0, row(SlotState::Frozen, 4));
    let importing = (1, row(SlotState::Importing, 4));
    let at = |phase| placed(0, 4, Some(phase));
    check(at(Phase::Copying), &[owned, importing], &[]);
    check(at(Phase::Freezing), &[frozen, importing], &[]);
    check(at(Phase::Copying), &[frozen, importing], &[What::State]);
    check(at(Phase::Aborting), &[(0, row(SlotState::Frozen, 3)), importing], &[]);
    let flipped = placed(1, 5, Some(Phase::Flipped));
    check(flipped, &[frozen, importing], &[]);
    check(flipped, &[frozen, (1, row(SlotState::Owned, 5))], &[]);
    check(flipped, &[owned, importing], &[What::OtherOwner]);
    let cleaning = placed(1, 5, Some(Phase::Cleaning));
    check(cleaning, &[(0, row(SlotState::Moved, 5)), (1, row(SlotState::Owned, 5))], &[]);
    check(cleaning, &[(0, row(SlotState::Moved, 5)), importing], &[What::State]);
}

#[test]
fn shards_and_terms_are_known_to_the_catalog() {
    let mut catalog = CatalogSide::default();
    catalog.terms.insert(ShardId(0), 3);
    let side = |writer_term| ShardSide { writer_term, ..ShardSide::default() };
    let shards = [(ShardId(0), side(4)), (ShardId(9), side(1))].into();
    let found = audit(&catalog, &shards, &BTreeSet::new());
    let what: BTreeSet<What> = found.iter().map(|one| one.what).collect();
    assert_eq!(what, [What::Term, What::UnknownShard, What::Unplaced].into());
    let term = found.iter().find(|one| one.what == What::Term).expect("it was found");
    assert!(term.text.contains("granted term 3, term 4 stands"), "{term}");
    // What was not read is not judged.
    let mut catalog = CatalogSide { slots: BTreeMap::new(), ..catalog };
    catalog.slots = Slot::all().map(|slot| (slot, placed(0, 1, None))).collect();
    assert_eq!(audit(&catalog, &BTreeMap::new(), &[ShardId(0)].into()), []);
    assert_eq!(audit(&catalog, &BTreeMap::new(), &BTreeSet::new()).len(), Slot::all().len());
}

fn rows() -> impl Strategy<Value = SlotRow> {
    let state = proptest::sample::select(SlotState::ALL.to_vec());
    (state, 1..6_u64).prop_map(|(state, epoch)| row(state, epoch))
}

proptest! {
    // Each case looks at all slots.
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// However rows stand: nothing is found only where one shard owns the slot, or a move explains
    /// everything; and never two owners.
    #[test]
    fn what_passes_has_one_owner(one in rows(), other in rows(), owner in 0..2_u32, epoch in 1..6_u64) {
        let placed = placed(owner, epoch, None);
        let rows = [(0, one), (1, other)];
        if found(placed, &rows).is_empty() {
            let (mine, others) = if owner == 0 { (one, other) } else { (other, one) };
            prop_assert!(mine.accepts_writes(Epoch(epoch)));
            prop_assert_eq!(others.state, SlotState::Empty);
        }
    }

    /// An owner that hears the catalog's word no longer disagrees with it.
    #[test]
    fn who_has_heard_agrees(one in rows(), owner in 0..2_u32, epoch in 1..6_u64) {
        let placed = placed(owner, epoch, None);
        let word = crate::placement::transfer::Word {
            owner: placed.owner,
            epoch: placed.epoch,
            held: None,
        };
        if let Ok(heard) = hear(one, ShardId(owner), &word)
            && heard.state == SlotState::Owned
        {
            prop_assert_eq!(found(placed, &[(owner, heard)]), vec![]);
        }
    }
}
