//! Calls to the rest of the system with the one kind of answer each has.

use crate::node::Node;
use shardline_domain::id::EntityId;
use shardline_wire::call::Outcome;
use shardline_wire::client::User;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{Call, EntityRef, GetUsers};
use shardline_wire::refusal::Refusal;
use std::time::Duration;
use tokio::time::Instant;

/// The answer of the variant that fits the call.
macro_rules! answered {
    ($outcome:expr, $variant:ident) => {
        match $outcome {
            Ok(::shardline_wire::call::Answer::$variant(answer)) => Ok(answer),
            Ok(_) => Err(::shardline_wire::refusal::Refusal::internal(concat!(
                "another answer than ",
                stringify!($variant)
            ))),
            Err(refusal) => Err(refusal),
        }
    };
}
pub(crate) use answered;

/// A call about one entity.
pub(crate) async fn call(node: &Node, entity: impl Into<EntityId>, op: Op) -> Outcome {
    node.routers.call(Call { entity: entity.into().get(), epoch: 0, op: Some(op) }).await
}

/// A call about the entities in the op.
pub(crate) async fn call_of_several(node: &Node, op: Op) -> Outcome {
    node.routers.any(Call { entity: 0, epoch: 0, op: Some(op) }).await
}

pub(crate) fn entity_refs(entities: impl IntoIterator<Item = u64>) -> Vec<EntityRef> {
    entities.into_iter().map(|entity| EntityRef { entity, epoch: 0 }).collect()
}

/// Those of these users that exist and whose shard answered.
pub(crate) async fn users(
    node: &Node,
    users: impl IntoIterator<Item = u64>,
    limit: Duration,
) -> Result<Vec<User>, Refusal> {
    let entities = entity_refs(users);
    if entities.is_empty() {
        return Ok(Vec::new());
    }
    let op = Op::GetUsers(GetUsers { entities });
    let call = Call { entity: 0, epoch: 0, op: Some(op) };
    let outcome = node.routers.call_until(call, Instant::now() + limit).await;
    Ok(answered!(outcome, Users)?.users)
}
