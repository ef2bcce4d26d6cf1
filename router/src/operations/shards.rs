//! A shard that is to join is asked who it is before anything is changed.

use super::{Operations, refusal};
use crate::catalog::operations::JoiningShard;
use crate::catalog::{ShardRow, ShardState};
use crate::join::{unfit, unlike};
use shardline_domain::id::ShardId;
use shardline_wire::internal::ShardDescription;
use shardline_wire::refusal::{Code, Refusal};
use std::time::Duration;
use tokio::time::timeout;

const DESCRIBE_TIME_MAX: Duration = Duration::from_secs(5);
const WEIGHT_DEFAULT: u32 = 100;
const ADDRESS_BYTES_MAX: usize = 255;

pub(super) fn id(shard: u32) -> ShardId {
    ShardId(shard)
}

/// The shard at the address, if it may join. `weight` 0: as the heaviest of the others.
pub(super) async fn find(
    operations: &Operations,
    address: &str,
    weight: u32,
) -> Result<JoiningShard, Refusal> {
    check_address(address)?;
    let described = describe(operations, address)
        .await
        .map_err(|why| conflict(format!("no shard-node answers at {address}: {why}")))?;
    let rows = operations.catalog.shards().await.map_err(refusal)?;
    let shard = ShardId(described.shard);
    // The same again is answered by the catalog: its answer may have been lost.
    let is_new = !rows.iter().any(|row| row.shard == shard);
    if is_new {
        if let Some(why) = unfit(&described, operations.reach.partitions) {
            return Err(conflict(why));
        }
        if !described.slots.is_empty() {
            let slots = described.slots.len();
            return Err(conflict(format!(
                "the database of shard {shard} is not empty: it holds data of {slots} slots"
            )));
        }
        if 0 < described.claimed {
            return Err(conflict(format!(
                "the database of shard {shard} is of another cluster, or an earlier copy: it claims {} slots",
                described.claimed
            )));
        }
        if described.writes {
            return Err(conflict(format!("shard {shard} serves another cluster")));
        }
        compare(operations, &rows, &described).await?;
    }
    let heaviest = rows.iter().map(|row| row.weight).max().unwrap_or(WEIGHT_DEFAULT);
    let known = rows.iter().find(|row| row.shard == shard).map(|row| row.weight);
    let weight = match weight {
        0 => known.unwrap_or(heaviest),
        weight => weight,
    };
    Ok(JoiningShard { shard, weight, address: address.to_owned() })
}

/// With the first of the cluster's shards that answers.
async fn compare(
    operations: &Operations,
    rows: &[ShardRow],
    described: &ShardDescription,
) -> Result<(), Refusal> {
    let mut last = None;
    for row in rows.iter().filter(|row| row.state != ShardState::Joining) {
        match describe(operations, &row.address).await {
            Ok(other) => {
                return unlike(described, &other).map_or(Ok(()), |why| Err(conflict(why)));
            }
            Err(why) => last = Some(format!("shard {}: {why}", row.shard)),
        }
    }
    match last {
        Some(why) => {
            Err(conflict(format!("no shard of the cluster answers to compare it with; {why}")))
        }
        None => Ok(()),
    }
}

async fn describe(operations: &Operations, address: &str) -> Result<ShardDescription, String> {
    if address.is_empty() {
        return Err("it has no writer".to_owned());
    }
    let link = operations.reach.moves.open(address);
    match timeout(DESCRIBE_TIME_MAX, link.describe()).await {
        Ok(described) => described.map_err(|refusal| refusal.message),
        Err(_) => Err(format!("no answer in {DESCRIBE_TIME_MAX:?}")),
    }
}

/// What a name of the embedded form may be, too: there it has no port.
fn check_address(address: &str) -> Result<(), Refusal> {
    let is_good = !address.is_empty()
        && address.len() <= ADDRESS_BYTES_MAX
        && !address.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
    if is_good {
        return Ok(());
    }
    let message = "an address is like host:8121";
    Err(Refusal::of_field(Code::BadRequest, "address", message))
}

fn conflict(message: String) -> Refusal {
    Refusal::new(Code::Conflict, message)
}
