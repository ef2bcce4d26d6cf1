//! The start on a database that may not be the one its last writer left: its slot rows count for nothing
//! until the catalog, asked under the new term, has said whose each slot is.

use super::Slots;
use super::rows::{to_rule, to_store, to_word};
use crate::store::{SlotChange, SlotRow, SlotState, SlotsPut, StoreError};
use shardline_domain::id::ShardId;
use shardline_domain::placement::transfer::{
    Refused, SlotState as State, Word, quarantined, regrant,
};
use shardline_domain::slot::Slot;
use shardline_wire::call::Catalog;
use shardline_wire::internal::SlotEntry;
use shardline_wire::refusal::Refusal;
use std::collections::{BTreeMap, BTreeSet};

/// Slots asked about by one question.
const ASKED_AT_ONCE: usize = 1_024;

/// What the catalog said of every slot that matters here.
pub(crate) struct Words {
    entries: Vec<SlotEntry>,
}

impl Words {
    /// Asks about the slots that are this shard's, and about those of `rows` that are not.
    pub(crate) async fn ask(
        catalog: &dyn Catalog,
        shard: u32,
        rows: &[SlotRow],
    ) -> Result<Words, Refusal> {
        let mut entries = catalog.owned_slots(shard).await?;
        let owned: BTreeSet<u32> = entries.iter().map(|entry| entry.slot).collect();
        let here = rows.iter().filter(|row| row.state != SlotState::Empty);
        let others: Vec<u32> =
            here.map(|row| row.slot.into()).filter(|slot| !owned.contains(slot)).collect();
        for some in others.chunks(ASKED_AT_ONCE) {
            entries.extend(catalog.locate_slots(some).await?);
        }
        Ok(Words { entries })
    }

    /// Whether a slot is this shard's whose rows may be missing in a database that has not all that flips
    /// rested on.
    pub(crate) fn misses(&self, shard: u32, rows: &[SlotRow]) -> bool {
        let rows: BTreeMap<u16, &SlotRow> = rows.iter().map(|row| (row.slot, row)).collect();
        self.words().any(|(slot, word)| {
            let row = rows.get(&slot.get()).map_or(SlotRow::none(slot.get()), |row| **row);
            let granted = regrant(to_rule(&row), ShardId(shard), &word, false);
            matches!(granted, Err(Refused::Incomplete))
        })
    }

    fn words(&self) -> impl Iterator<Item = (Slot, Word)> {
        self.entries.iter().filter_map(to_word)
    }
}

impl Slots {
    /// Before anything is served: every row becomes what the catalog's word makes of it.
    pub(crate) async fn regrant(&self, words: &Words) -> Result<(), StoreError> {
        let me = ShardId(self.shard);
        let _changing = self.changing.lock().await;
        let words: BTreeMap<Slot, Word> = words.words().collect();
        let mut changes = Vec::new();
        for slot in Slot::all() {
            let known = self.gate.read().row(slot);
            let word = words.get(&slot);
            if known.is_none() && word.is_none() {
                continue;
            }
            let from = known.unwrap_or(SlotRow::none(slot.get()));
            let row = to_rule(&from);
            let to = match word {
                Some(word) => regrant(row, me, word, true).unwrap_or_else(|refused| {
                    if word.owner == me {
                        tracing::error!(%slot, %refused, "a slot cannot be served");
                    }
                    row
                }),
                // It came here after the question.
                None if matches!(row.state, State::Owned | State::Frozen) => quarantined(row),
                None => row,
            };
            if to != row {
                changes.push(SlotChange { from, to: to_store(slot, to, from.leader_term) });
            }
        }
        if let SlotsPut::InTheWay(_) = self.put(&changes).await? {
            let what = "slots stood otherwise than was known".to_owned();
            return Err(StoreError::Unavailable(what));
        }
        tracing::info!(
            slots = words.len(),
            changed = changes.len(),
            "the catalog granted the slots"
        );
        Ok(())
    }
}
