//! Which moves a plan has, and what it refuses.

use super::*;
use crate::catalog::moves::Course;
use shardline_domain::placement::transfer::{Attempt, Kind};
use shardline_domain::slot::Epoch;

fn shard(number: u32, state: ShardState) -> ShardRow {
    ShardRow {
        shard: ShardId(number),
        weight: 100,
        state,
        writer_term: 1,
        writer: "writer".to_owned(),
        address: format!("h:{number}"),
        writer_alive: true,
        reported_ms_ago: None,
        durability: String::new(),
    }
}

fn live(id: u64, source: u32, target: u32, phase: Phase, slots: u32) -> MoveRow {
    MoveRow {
        id: MoveId(id),
        kind: Kind::Normal,
        source: ShardId(source),
        target: ShardId(target),
        phase,
        attempt: Attempt::FIRST,
        wish: Wish::Proceed,
        aborted: None,
        slots,
        window: Duration::ZERO,
        rebalance: None,
        reversed_by: None,
        age: Duration::ZERO,
        in_phase: Duration::ZERO,
        course: Course::default(),
    }
}

/// Slots by their owners; `held` of them, each by the one live move.
fn seen(
    shards: &[ShardRow],
    owner: impl Fn(u16) -> u32,
    holder: Option<(MoveRow, &[u32])>,
) -> Seen {
    let row =
        |slot: Slot| (slot, SlotRow { slot, shard: ShardId(owner(slot.get())), epoch: Epoch(1) });
    let (mut holds, mut moves) = (BTreeMap::new(), BTreeMap::new());
    if let Some((row, slots)) = holder {
        holds.extend(slots.iter().map(|slot| (Slot::new(*slot).expect("a slot"), row.id)));
        moves.insert(row.id, row);
    }
    Seen { shards: shards.to_vec(), slots: Slot::all().map(row).collect(), holds, live: moves }
}

const TWO: [ShardState; 2] = [ShardState::Active, ShardState::Active];

fn shards(states: &[ShardState]) -> Vec<ShardRow> {
    (0..).zip(states).map(|(number, state)| shard(number, *state)).collect()
}

#[test]
fn a_shard_that_joins_gets_its_share_and_a_draining_one_gives_all() {
    let three = shards(&[ShardState::Active, ShardState::Active, ShardState::Joining]);
    let outline = outline(&seen(&three, |slot| u32::from(slot % 2), None)).expect("a plan");
    assert!(outline.free.iter().all(|moved| moved.to == ShardId(2)));
    assert_eq!(outline.shards[2].slots_then, 5461);
    assert_eq!(outline.shards[0].slots_now, 8192);

    let two = shards(&[ShardState::Active, ShardState::Draining]);
    let outline = super::outline(&seen(&two, |slot| u32::from(slot % 2), None)).expect("a plan");
    assert_eq!(outline.free.len(), 8192);
    assert!(outline.free.iter().all(|moved| moved.from == Some(ShardId(1))));
    let none = shards(&[ShardState::Draining]);
    let error = super::outline(&seen(&none, |_| 0, None)).err();
    assert_eq!(error, Some(PlacementError::NoShards));
}

#[test]
fn what_is_under_way_is_not_planned_again() {
    // All but one slot of shard 1 would have to come back, were they not on their way.
    let owner = |slot: u16| u32::from(slot.is_multiple_of(2) && slot != 0);
    let copying = live(7, 0, 1, Phase::Copying, 1);
    let outline = outline(&seen(&shards(&TWO), owner, Some((copying, &[0])))).expect("a plan");
    assert!(outline.free.is_empty() && outline.held.is_empty());

    let aborting = MoveRow { wish: Wish::Abort, ..live(7, 0, 1, Phase::Copying, 1) };
    let outline =
        super::outline(&seen(&shards(&TWO), owner, Some((aborting, &[0])))).expect("a plan");
    assert_eq!(outline.free.len(), 1, "that one comes back: another goes");
}

#[test]
fn slots_in_a_window_are_finished_first_or_reversed_when_all_go_back() {
    // Shard 1 drains; it owns slots 0 and 1, which came from shard 0 and are followed there.
    let two = shards(&[ShardState::Active, ShardState::Draining]);
    let owner = |slot: u16| u32::from(slot < 2);
    let following = live(7, 0, 1, Phase::Following, 2);
    let back = outline(&seen(&two, owner, Some((following.clone(), &[0, 1])))).expect("a plan");
    assert_eq!(back.held.len(), 1);
    assert_eq!(back.held[0].begin, Begin::Reverse(MoveId(7)));
    assert!(back.free.is_empty());

    let more = MoveRow { slots: 3, ..following.clone() };
    let partly = outline(&seen(&two, owner, Some((more, &[0, 1])))).expect("a plan");
    assert_eq!(partly.held[0].begin, Begin::FinishFirst(MoveId(7)));

    let cleaning = MoveRow { phase: Phase::Cleaning, ..following };
    let busy = outline(&seen(&two, owner, Some((cleaning, &[0, 1])))).expect("a plan");
    assert_eq!(busy.held[0].begin, Begin::Busy(MoveId(7)));
    assert_eq!(busy.held[0].holder(), MoveId(7));
}
