//! What a router reads of this shard to check the cluster, or to make a lost catalog anew. Plain reads of
//! the database, whether or not this process writes it; nothing is kept here.

mod look;
mod scan;

pub(crate) use look::look;
pub(crate) use scan::scan;

use crate::config::Config;
use crate::serving::Serving;
use crate::slots::rows::to_rule;
use crate::store::{EntityRow, HeadRow, ListRow, MemberRow, SlotRow, Store, StoreError};
use shardline_daemon::clock;
use shardline_domain::check::facts::{Fact, of_member};
use shardline_domain::check::tables::{Holding, holding};
use shardline_domain::placement::transfer::SlotState;
use shardline_domain::slot::{SLOTS, Slot};
use shardline_wire::internal::{
    EntityFacts, FactAbout, ShardLane, ShardSlot, SurveyAnswer, SurveyRequest,
};
use std::sync::Arc;

/// Slot rows in one answer.
const SURVEYED: usize = 4_096;

/// `heard`: the highest term of a coordinator this process knows of.
pub(crate) async fn survey(
    config: &Config,
    store: &dyn Store,
    request: &SurveyRequest,
    heard: u64,
) -> Result<SurveyAnswer, StoreError> {
    let rows = store.slots().await?;
    let mut rows = rows.iter().filter(|row| request.from_slot <= row.slot.into());
    let slots: Vec<ShardSlot> = rows.by_ref().take(SURVEYED).map(shard_slot).collect();
    let next_slot = rows.next().map(|row| row.slot.into());
    let writer_term = store.writer().await?.map_or(0, |writer| writer.term);
    // After the writer: a position is of this term or a later one.
    let lanes = store.lane_positions().await?.into_iter().map(|lane| ShardLane {
        lane: lane.lane.into(),
        committed: lane.committed,
        relayed: lane.relayed,
    });
    let lanes = lanes.collect();
    Ok(SurveyAnswer {
        shard: config.shard,
        slots,
        next_slot,
        writer_term,
        lanes,
        leader_term: heard,
    })
}

fn shard_slot(row: &SlotRow) -> ShardSlot {
    ShardSlot {
        slot: row.slot.into(),
        state: u32::from(row.state as u8),
        epoch: row.epoch,
        r#move: row.move_id,
        attempt: row.attempt,
        leader_term: row.leader_term,
    }
}

/// Where a check reads: the database, and who writes it, if this process does.
pub(crate) struct Ground<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) serving: Option<Arc<Serving>>,
}

impl Ground<'_> {
    /// The writer has all slot rows in memory, and shows there what it wrote before anything follows from
    /// it; a page of a check need not read them.
    async fn holdings(&self) -> Result<Holdings, StoreError> {
        let rows = match &self.serving {
            Some(serving) => serving.slot_rows(),
            None => self.store.slots().await?,
        };
        let mut all: Vec<SlotRow> = (0..SLOTS).map(SlotRow::none).collect();
        for row in rows {
            if let Some(known) = all.get_mut(usize::from(row.slot)) {
                *known = row;
            }
        }
        Ok(Holdings(all))
    }
}

/// What the shard has to do with each slot, as its rows say.
struct Holdings(Vec<SlotRow>);

impl Holdings {
    fn row(&self, slot: Slot) -> SlotRow {
        self.0[usize::from(slot.get())]
    }

    fn state(&self, slot: Slot) -> SlotState {
        to_rule(&self.row(slot)).state
    }

    fn of(&self, slot: Slot) -> Holding {
        holding(self.state(slot))
    }
}

/// `head` is that of `row`.
fn entity_facts(row: &EntityRow, head: &HeadRow) -> EntityFacts {
    let facts = EntityFacts { head_ver: head.ver, head_seq: head.seq, ..EntityFacts::default() };
    match row {
        EntityRow::Chat(_) => EntityFacts { kind: "chat".to_owned(), ..facts },
        EntityRow::User(user) => EntityFacts {
            kind: "user".to_owned(),
            name: user.name.clone(),
            age_ms: age_ms(user.created_at_ms),
            ..facts
        },
        EntityRow::Name(name) => EntityFacts {
            kind: "name".to_owned(),
            name: name.name.clone(),
            user: name.user,
            ..facts
        },
    }
}

/// `ended`: the ver at which the chat was ended.
fn of_chat(member: &MemberRow, ended: Option<u64>) -> FactAbout {
    let Fact { ver, joined } = of_member(member.joined_ver, member.left_ver, ended);
    FactAbout { other: member.user, ver, joined }
}

fn of_user(row: &ListRow) -> FactAbout {
    FactAbout { other: row.chat, ver: row.fact_ver, joined: !row.gone }
}

fn ended(row: &EntityRow) -> Option<u64> {
    match row {
        EntityRow::Chat(chat) if chat.ended => Some(chat.settings_ver),
        _ => None,
    }
}

fn age_ms(since_ms: i64) -> u64 {
    u64::try_from(clock::now_ms() - since_ms).unwrap_or(0)
}
