//! A coordinator's order, checked.

use crate::refusals::bad_field;
use shardline_domain::placement::transfer::{Attempt, MoveId, Standing, Task};
use shardline_domain::slot::{Epoch, Slot};
use shardline_wire::internal::{MoveOrder, MoveStanding, MoveTask, MovingSlot, PullScope};
use shardline_wire::refusal::Refusal;

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Order {
    pub(super) term: u64,
    pub(super) move_id: MoveId,
    pub(super) attempt: Attempt,
    pub(super) task: Task,
    /// By slot; not empty.
    pub(super) slots: Vec<(Slot, Epoch)>,
    pub(super) peer_address: String,
    /// None: no limit but the shards' own.
    pub(super) bytes_per_second: Option<u64>,
}

impl Order {
    pub(super) fn slots(&self) -> Vec<Slot> {
        self.slots.iter().map(|(slot, _)| *slot).collect()
    }

    /// `gentle`: the asker takes the least share of the time.
    pub(super) fn scope(&self, gentle: bool) -> PullScope {
        let moving =
            |(slot, epoch): &(Slot, Epoch)| MovingSlot { slot: slot.get().into(), epoch: epoch.0 };
        PullScope {
            r#move: self.move_id.0,
            attempt: self.attempt.0,
            slots: self.slots.iter().map(moving).collect(),
            gentle,
        }
    }
}

pub(super) fn parse(order: &MoveOrder) -> Result<Order, Refusal> {
    let task = match order.task() {
        MoveTask::Unspecified => return Err(bad_field("task", "it is not known here")),
        MoveTask::Track => Task::Track,
        MoveTask::Slow => Task::Slow,
        MoveTask::Copy => Task::Copy,
        MoveTask::Verify => Task::Verify,
        MoveTask::Hold => Task::Hold,
        MoveTask::Freeze => Task::Freeze,
        MoveTask::Settle => Task::Settle,
        MoveTask::Ask => Task::Ask,
        MoveTask::Follow => Task::Follow,
        MoveTask::Purge => Task::Purge,
        MoveTask::Discard => Task::Discard,
    };
    if order.r#move == 0 || order.attempt == 0 || order.term == 0 {
        return Err(bad_field("move", "term, move and attempt are counted from 1"));
    }
    Ok(Order {
        term: order.term,
        move_id: MoveId(order.r#move),
        attempt: Attempt(order.attempt),
        task,
        slots: parse_slots(&order.slots)?,
        peer_address: order.peer_address.clone(),
        bytes_per_second: Some(order.bytes_per_second).filter(|bytes| 0 < *bytes),
    })
}

/// In order, each once, at least one.
pub(super) fn parse_slots(slots: &[MovingSlot]) -> Result<Vec<(Slot, Epoch)>, Refusal> {
    let parsed: Option<Vec<_>> =
        slots.iter().map(|moving| Some((Slot::new(moving.slot)?, Epoch(moving.epoch)))).collect();
    let mut slots = parsed
        .filter(|slots| !slots.is_empty())
        .ok_or_else(|| bad_field("slots", "there are none, or one is no slot"))?;
    slots.sort_unstable_by_key(|(slot, _)| *slot);
    if slots.windows(2).any(|two| two[0].0 == two[1].0) {
        return Err(bad_field("slots", "one is named twice"));
    }
    Ok(slots)
}

pub(super) fn standing_out(standing: Standing) -> MoveStanding {
    match standing {
        Standing::Other => MoveStanding::Other,
        Standing::Tracking => MoveStanding::Tracking,
        Standing::Frozen => MoveStanding::FrozenHere,
        Standing::OwnedAnew => MoveStanding::OwnedAnew,
        Standing::Importing => MoveStanding::Importing,
        Standing::Following => MoveStanding::Following,
        Standing::Moved => MoveStanding::Moved,
        Standing::Empty => MoveStanding::Empty,
        Standing::Quarantined => MoveStanding::Quarantined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use shardline_wire::refusal::Code;

    fn order() -> MoveOrder {
        let moving = |slot| MovingSlot { slot, epoch: 5 };
        MoveOrder {
            term: 1,
            r#move: 2,
            attempt: 3,
            task: MoveTask::Copy.into(),
            slots: vec![moving(9), moving(4)],
            ..MoveOrder::default()
        }
    }

    fn check(change: impl Fn(&mut MoveOrder)) {
        let mut order = order();
        change(&mut order);
        let code = parse(&order).map_err(|refusal| refusal.code());
        assert_eq!(code, Err(Code::BadRequest), "{order:?}");
    }

    #[test]
    fn an_order_is_checked() {
        let good = parse(&order()).expect("a good order");
        let slots: Vec<u16> = good.slots().iter().map(|slot| slot.get()).collect();
        assert_eq!((slots, good.bytes_per_second), (vec![4, 9], None));
        check(|order| order.term = 0);
        check(|order| order.r#move = 0);
        check(|order| order.attempt = 0);
        check(|order| order.task = 99);
        check(|order| order.slots.clear());
        check(|order| order.slots[0].slot = 16_384);
        check(|order| order.slots[0].slot = 4);
    }
}
