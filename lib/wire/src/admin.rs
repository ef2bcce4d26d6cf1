//! What an operator asks of any router: the answers of `AdminService`, in one process or over the
//! network.

use crate::internal::{
    ListNodesAnswer, ListNodesRequest, ListShardsAnswer, ListShardsRequest, ListSlotsAnswer,
    ListSlotsRequest, WhereAnswer, WhereRequest,
};
use crate::refusal::Refusal;
use async_trait::async_trait;

/// Reads only; refused with TRY_AGAIN while the catalog is away.
#[async_trait]
pub trait AdminApi: Send + Sync {
    /// All shards by number, with their writers and how many slots each has.
    async fn list_shards(&self, request: ListShardsRequest) -> Result<ListShardsAnswer, Refusal>;

    /// The slots of one shard, or all, by number.
    async fn list_slots(&self, request: ListSlotsRequest) -> Result<ListSlotsAnswer, Refusal>;

    /// Where an entity is: by its id, or a user by name. NOT_FOUND if nobody has that name; an id is
    /// not looked up, every one has a place.
    async fn where_is(&self, request: WhereRequest) -> Result<WhereAnswer, Refusal>;

    /// The live routers, the shards' writers and the conn-nodes this router knows.
    async fn list_nodes(&self, request: ListNodesRequest) -> Result<ListNodesAnswer, Refusal>;
}
