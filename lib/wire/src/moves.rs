//! How slots move: a shard-node as the coordinator and the other side of a move see it, in one process
//! or over the network.

use crate::internal::{
    ChangedAnswer, ChangedRequest, DigestsAnswer, DigestsRequest, HeadsAnswer, HeadsRequest,
    MoveOrder, MoveReport, RowsAnswer, RowsRequest, ShardDescription,
};
use crate::refusal::Refusal;
use async_trait::async_trait;
use std::sync::Arc;

/// One shard-node. Every call may be repeated: after UNAVAILABLE it may or may not have been heard.
#[async_trait]
pub trait Moves: Send + Sync {
    /// Also of a shard that is not in the cluster, or whose writer waits.
    async fn describe(&self) -> Result<ShardDescription, Refusal>;

    /// Its part in a move; answered with how the shard stands then, at the latest after `wait_ms`.
    /// CONFLICT: the order is of an older coordinator, move, attempt or epoch than the shard knows, and
    /// changed nothing. TRY_AGAIN: the shard is not the writer, or its database does not answer.
    async fn order(&self, order: MoveOrder) -> Result<MoveReport, Refusal>;

    // ---- What the side that copies asks of the other; each answer is true of a moment after the
    // question. CONFLICT: it has not these slots for this attempt. TRY_AGAIN: as for `order`. ----

    async fn changed(&self, request: ChangedRequest) -> Result<ChangedAnswer, Refusal>;

    async fn heads(&self, request: HeadsRequest) -> Result<HeadsAnswer, Refusal>;

    async fn rows(&self, request: RowsRequest) -> Result<RowsAnswer, Refusal>;

    async fn digests(&self, request: DigestsRequest) -> Result<DigestsAnswer, Refusal>;
}

/// How coordinators and shard-nodes reach shard-nodes for moves.
pub trait MovesConnect: Send + Sync {
    /// Connects when first used, and again by itself. Calls to who is not there end with UNAVAILABLE.
    fn open(&self, address: &str) -> Arc<dyn Moves>;
}
