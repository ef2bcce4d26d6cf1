//! A lost catalog, made anew: every shard-node is asked, twice, so that nothing changed meanwhile; the rule
//! says what follows from their rows; and the catalog is written in one step, if it is still empty.

use super::Checker;
use super::survey::{Survey, survey};
use crate::catalog::{LanePosition, Rebuilt, RebuiltShard, SlotRow};
use crate::operations::refusal;
use futures::future::join_all;
use shardline_domain::id::ShardId;
use shardline_domain::placement::rebuild::{self, Found};
use shardline_wire::internal::{
    RebuildCatalogAnswer, RebuildCatalogRequest, RebuiltMove, RebuiltShard as ShownShard,
    ShardDescription,
};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Shards of one cluster.
const ADDRESSES_MAX: usize = 1_024;
const ADDRESS_BYTES_MAX: usize = 255;
/// Between two looks at the same rows: what a coordinator of the old catalog still does shows by then.
const LOOK_AGAIN_AFTER: Duration = Duration::from_secs(1);
const DESCRIBE_TIME_MAX: Duration = Duration::from_secs(5);

/// A shard-node, as it was asked.
struct Node {
    address: String,
    described: ShardDescription,
    survey: Survey,
}

pub(super) async fn rebuild(
    checker: &Checker,
    request: &RebuildCatalogRequest,
) -> Result<RebuildCatalogAnswer, Refusal> {
    let by = super::by(&request.by)?;
    let addresses = addresses(&request.addresses)?;
    let known = checker.shards().await?;
    if !known.is_empty() {
        let shards = known.len();
        return Err(conflict(format!("the catalog is not empty: it has {shards} shards")));
    }
    let nodes = ask_all(checker, &addresses).await?;
    let partitions = checker.reach.partitions.count();
    let found: Vec<Found> = nodes.iter().map(found).collect();
    let rebuilt = rebuild::rebuild(&found, partitions).map_err(|why| conflict(why.to_string()))?;

    sleep(LOOK_AGAIN_AFTER).await;
    for node in &nodes {
        let again = survey_at(checker, &node.address).await?;
        if again.rows != node.survey.rows {
            let shard = again.shard;
            return Err(conflict(format!(
                "the slot rows of shard {shard} change: a router of the old catalog still runs"
            )));
        }
    }
    let shards = nodes.iter().map(rebuilt_shard).collect();
    let slots = rebuilt.slots.iter();
    let catalog = Rebuilt {
        shards,
        slots: slots.map(|&(slot, shard, epoch)| SlotRow { slot, shard, epoch }).collect(),
        moves: rebuilt.moves.clone(),
        last_move: rebuilt.last_move,
        leader_term: rebuilt.leader_term,
    };
    if !request.dry_run {
        checker.catalog.rebuild(&catalog, by).await.map_err(refusal)?;
        // So that they need not wait for the first call of each slot. Whoever does not hear now does then.
        for node in &nodes {
            if let Err(refusal) = checker.link(&node.address).ask_catalog().await {
                tracing::debug!(%refusal, address = node.address, "the shard hears of it later");
            }
        }
    }
    Ok(shown(&nodes, &catalog, rebuilt.renewed, !request.dry_run))
}

fn addresses(asked: &[String]) -> Result<BTreeSet<&String>, Refusal> {
    let bad = |message: String| Refusal::of_field(Code::BadRequest, "addresses", message);
    if asked.is_empty() {
        return Err(bad("no shard-node is named".to_owned()));
    }
    if ADDRESSES_MAX < asked.len() {
        let named = asked.len();
        return Err(bad(format!("{named} shard-nodes are named, {ADDRESSES_MAX} are allowed")));
    }
    let is_bad = |address: &&String| address.is_empty() || ADDRESS_BYTES_MAX < address.len();
    if asked.iter().any(|address| is_bad(&address)) {
        return Err(bad("an address is like host:8121".to_owned()));
    }
    Ok(asked.iter().collect())
}

async fn ask_all(checker: &Checker, addresses: &BTreeSet<&String>) -> Result<Vec<Node>, Refusal> {
    let asked = join_all(addresses.iter().copied().map(|address| async move {
        let describing = checker.reach.moves.open(address);
        let described = match timeout(DESCRIBE_TIME_MAX, describing.describe()).await {
            Ok(described) => described,
            Err(_) => Err(Refusal::new(Code::Unavailable, "no answer in time")),
        };
        let described = described.map_err(|error| unheard(address, &error))?;
        let survey = survey_at(checker, address).await?;
        if survey.shard != described.shard {
            return Err(conflict(format!("{address} says that it is two shards")));
        }
        Ok(Node { address: address.clone(), described, survey })
    }));
    let mut nodes = asked.await.into_iter().collect::<Result<Vec<_>, _>>()?;
    nodes.sort_by_key(|node| node.survey.shard);
    Ok(nodes)
}

async fn survey_at(checker: &Checker, address: &str) -> Result<Survey, Refusal> {
    let survey = survey(&*checker.link(address)).await;
    survey.map_err(|error| unheard(address, &error))
}

fn unheard(address: &str, refusal: &Refusal) -> Refusal {
    conflict(format!("no shard-node answers at {address}: {}", refusal.message))
}

fn conflict(message: String) -> Refusal {
    Refusal::new(Code::Conflict, message)
}

fn found(node: &Node) -> Found {
    Found {
        shard: ShardId(node.survey.shard),
        address: node.address.clone(),
        partitions: node.described.partitions,
        foreign: node.described.foreign,
        rows: node.survey.rows.clone(),
        leader_term: node.survey.leader_term,
    }
}

/// A writer that goes on finds itself in the catalog again; its term is the one that stands in its rows.
fn rebuilt_shard(node: &Node) -> RebuiltShard {
    let writes = node.described.writes;
    let lanes = node.survey.lanes.iter().filter_map(|lane| {
        let number = u16::try_from(lane.lane).ok()?;
        Some(LanePosition { lane: number, committed: lane.committed, relayed: lane.relayed })
    });
    RebuiltShard {
        shard: ShardId(node.survey.shard),
        writer_term: node.survey.writer_term,
        writer: if writes { node.described.node.clone() } else { String::new() },
        address: node.address.clone(),
        lanes: lanes.collect(),
    }
}

fn shown(nodes: &[Node], catalog: &Rebuilt, renewed: u32, written: bool) -> RebuildCatalogAnswer {
    let shards = nodes.iter().map(|node| {
        let slots = catalog.slots.iter().filter(|row| row.shard.0 == node.survey.shard).count();
        ShownShard {
            shard: node.survey.shard,
            address: node.address.clone(),
            slots: u32::try_from(slots).unwrap_or(u32::MAX),
            writer_term: node.survey.writer_term,
            lanes: u32::try_from(node.survey.lanes.len()).unwrap_or(u32::MAX),
        }
    });
    let moves = catalog.moves.iter().map(|left| RebuiltMove {
        r#move: left.id.0,
        attempt: left.attempt.0,
        source: left.source.0,
        target: left.target.0,
        phase: left.phase.name().to_owned(),
        slots: u32::try_from(left.slots.len()).unwrap_or(u32::MAX),
    });
    RebuildCatalogAnswer {
        shards: shards.collect(),
        moves: moves.collect(),
        renewed_slots: renewed,
        next_move: catalog.last_move.0 + 1,
        leader_term: catalog.leader_term,
        written,
    }
}
