//! The catalog against the shards' rows, read twice: in a cluster where slots move, what differs once may
//! only have been read at two moments.

use super::Checker;
use super::survey::survey;
use crate::catalog::moves::HeldSlot;
use crate::catalog_service::refusal;
use futures::future::join_all;
use shardline_domain::id::ShardId;
use shardline_domain::limits::FINDINGS_MAX;
use shardline_domain::placement::audit::{
    CatalogSide, Disagreement, Placed, ShardSide, What, audit,
};
use shardline_domain::slot::{SLOTS, Slot};
use shardline_wire::internal::{CatalogFinding, CheckCatalogAnswer};
use shardline_wire::refusal::Refusal;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;
use tokio::time::sleep;

/// A flip and what follows from it take less.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);

pub(super) async fn check(checker: &Checker) -> Result<CheckCatalogAnswer, Refusal> {
    let mut looked = look(checker).await?;
    if !looked.found.is_empty() {
        sleep(LOOK_AGAIN_AFTER).await;
        let again = look(checker).await?;
        let before: BTreeSet<_> = looked.found.iter().map(key).collect();
        // In the words of the second look.
        let found = again.found.iter().filter(|one| before.contains(&key(one))).cloned().collect();
        looked = Looked { found, ..again };
    }
    let total = looked.found.len() + looked.unread.len();
    let unread = looked.unread.iter().map(|(shard, why)| CatalogFinding {
        kind: "unread".to_owned(),
        shard: Some(shard.0),
        slot: None,
        text: format!("shard {shard} was not read: {why}"),
    });
    let findings = unread.chain(looked.found.iter().map(finding)).take(FINDINGS_MAX);
    Ok(CheckCatalogAnswer {
        findings: findings.collect(),
        total: total as u64,
        shards: looked.shards,
        slots: u32::from(SLOTS),
    })
}

fn key(one: &Disagreement) -> (What, Option<Slot>, Option<ShardId>) {
    (one.what, one.slot, one.shard)
}

struct Looked {
    found: Vec<Disagreement>,
    /// Why not.
    unread: BTreeMap<ShardId, String>,
    shards: u32,
}

/// The catalog before and after the shards: of slots that changed meanwhile nothing is said.
async fn look(checker: &Checker) -> Result<Looked, Refusal> {
    let known = checker.shards().await?;
    let before = read(checker).await?;
    let surveys = join_all(known.values().map(|row| async {
        let survey = match checker.writer(row) {
            Ok(node) => survey(&*node).await,
            Err(refusal) => Err(refusal),
        };
        (row.shard, survey)
    }));
    let mut shards = BTreeMap::new();
    let mut unread = BTreeMap::new();
    for (shard, survey) in surveys.await {
        match survey {
            Ok(survey) if survey.shard == shard.0 => {
                let side = ShardSide { rows: survey.rows, writer_term: survey.writer_term };
                shards.insert(shard, side);
            }
            Ok(other) => {
                unread.insert(shard, format!("shard {} answers in its place", other.shard));
            }
            Err(refusal) => drop(unread.insert(shard, refusal.message)),
        }
    }
    let after = read(checker).await?;
    // Terms that were granted meanwhile count.
    let terms = checker.shards().await?.into_values().map(|row| (row.shard, row.writer_term));
    let catalog = CatalogSide { slots: after, terms: terms.collect() };
    let unread_shards = unread.keys().copied().collect();
    let mut found = audit(&catalog, &shards, &unread_shards);
    found.retain(|one| one.slot.is_none_or(|slot| before.get(&slot) == catalog.slots.get(&slot)));
    let shards = u32::try_from(known.len()).unwrap_or(u32::MAX);
    Ok(Looked { found, unread, shards })
}

async fn read(checker: &Checker) -> Result<BTreeMap<Slot, Placed>, Refusal> {
    let slots: Vec<Slot> = Slot::all().collect();
    let rows = checker.catalog.locate_slots(&slots).await.map_err(refusal)?;
    let placed = |HeldSlot { row, held }: HeldSlot| {
        (row.slot, Placed { owner: row.shard, epoch: row.epoch, held })
    };
    Ok(rows.into_iter().map(placed).collect())
}

fn finding(one: &Disagreement) -> CatalogFinding {
    CatalogFinding {
        kind: one.what.name().to_owned(),
        shard: one.shard.map(|shard| shard.0),
        slot: one.slot.map(|slot| slot.get().into()),
        text: one.text.clone(),
    }
}
