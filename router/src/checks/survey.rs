//! What a shard-node says of its slots and lanes, all pages of it.

use shardline_domain::placement::transfer::{Attempt, MoveId, SlotRow, SlotState};
use shardline_domain::slot::{Epoch, SLOTS, Slot};
use shardline_wire::inspect::Inspect;
use shardline_wire::internal::{ShardLane, ShardSlot, SurveyRequest};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::BTreeMap;

#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Survey {
    pub(super) shard: u32,
    pub(super) rows: BTreeMap<Slot, SlotRow>,
    pub(super) writer_term: u64,
    pub(super) lanes: Vec<ShardLane>,
    /// The highest term of a coordinator in the rows, or that the process heard of.
    pub(super) leader_term: u64,
}

pub(super) async fn survey(node: &dyn Inspect) -> Result<Survey, Refusal> {
    let mut survey = Survey::default();
    let mut from_slot = 0;
    // Each answer goes on behind the one before.
    while from_slot < u32::from(SLOTS) {
        let answer = node.survey(SurveyRequest { from_slot }).await?;
        for slot in &answer.slots {
            let (number, row) = parse(slot)?;
            survey.rows.insert(number, row);
            survey.leader_term = survey.leader_term.max(slot.leader_term);
        }
        survey.shard = answer.shard;
        survey.writer_term = answer.writer_term;
        survey.leader_term = survey.leader_term.max(answer.leader_term);
        survey.lanes = answer.lanes;
        match answer.next_slot {
            Some(next) if from_slot < next => from_slot = next,
            _ => break,
        }
    }
    Ok(survey)
}

fn parse(slot: &ShardSlot) -> Result<(Slot, SlotRow), Refusal> {
    let state = u8::try_from(slot.state).ok().and_then(SlotState::from_number);
    let number = Slot::new(slot.slot);
    let Some((number, state)) = number.zip(state) else {
        let message = format!("a row of slot {} has the state {}", slot.slot, slot.state);
        return Err(Refusal::new(Code::Conflict, message));
    };
    let row = SlotRow {
        state,
        epoch: Epoch(slot.epoch),
        move_id: MoveId(slot.r#move),
        attempt: Attempt(slot.attempt),
    };
    Ok((number, row))
}
