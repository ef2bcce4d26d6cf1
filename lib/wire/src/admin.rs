//! What an operator asks of any router and changes through it: the answers of `AdminService` and
//! `OperationsService`, in one process or over the network.

use crate::internal::{
    AddShardRequest, DrainShardRequest, ExplainAnswer, ExplainRequest, GetThrottleRequest,
    ListChangesAnswer, ListChangesRequest, ListMovesAnswer, ListMovesRequest, ListNodesAnswer,
    ListNodesRequest, ListShardsAnswer, ListShardsRequest, ListSlotsAnswer, ListSlotsRequest,
    MoveInfo, PlanAnswer, PlanRequest, RebalanceAnswer, RebalanceInfo, RebalanceRequest,
    RemoveShardRequest, ReweightShardRequest, SetThrottleRequest, ShardChanged, ShowMoveAnswer,
    ShowMoveRequest, StopRebalanceRequest, Throttle, WhereAnswer, WhereRequest, WishMoveRequest,
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

    /// The stages of one message, without its body. NOT_FOUND if there is no such chat or message; what
    /// a process did not say in time is missing, and the answer says so.
    async fn explain(&self, request: ExplainRequest) -> Result<ExplainAnswer, Refusal>;
}

/// What an operator changes. Every change is one step in the catalog, made by whichever router is
/// asked and carried out by the coordinator; repeating it does no harm. Refused with CONFLICT if the
/// cluster is not as the change needs it, BAD_REQUEST for values that never make sense, NOT_FOUND for
/// shards and moves that are not there: nothing is changed then. TRY_AGAIN and UNAVAILABLE: the catalog
/// is away; it may have happened.
#[async_trait]
pub trait Operations: Send + Sync {
    /// Asks the node at the address who it is, and lets it join. Refused if it does not answer, or has
    /// another schema, other partitions, data of another cluster, or a shard that is already there.
    async fn add_shard(&self, request: AddShardRequest) -> Result<ShardChanged, Refusal>;

    /// The shard gets no more slots; the next rebalance takes those it has.
    async fn drain_shard(&self, request: DrainShardRequest) -> Result<ShardChanged, Refusal>;

    /// Refused while it holds anything, saying what.
    async fn remove_shard(&self, request: RemoveShardRequest) -> Result<ShardChanged, Refusal>;

    /// The next rebalance goes by it.
    async fn reweight_shard(&self, request: ReweightShardRequest) -> Result<ShardChanged, Refusal>;

    /// Asks every shard how much it has. UNAVAILABLE if one does not answer.
    async fn plan(&self, request: PlanRequest) -> Result<PlanAnswer, Refusal>;

    /// Refused while one runs.
    async fn rebalance(&self, request: RebalanceRequest) -> Result<RebalanceAnswer, Refusal>;

    /// NOT_FOUND if none runs.
    async fn stop_rebalance(&self, request: StopRebalanceRequest)
    -> Result<RebalanceInfo, Refusal>;

    async fn list_moves(&self, request: ListMovesRequest) -> Result<ListMovesAnswer, Refusal>;

    async fn show_move(&self, request: ShowMoveRequest) -> Result<ShowMoveAnswer, Refusal>;

    /// The latest wish counts. An abort after the flip is refused: reverse it.
    async fn wish_move(&self, request: WishMoveRequest) -> Result<MoveInfo, Refusal>;

    async fn get_throttle(&self, request: GetThrottleRequest) -> Result<Throttle, Refusal>;

    async fn set_throttle(&self, request: SetThrottleRequest) -> Result<Throttle, Refusal>;

    async fn list_changes(&self, request: ListChangesRequest)
    -> Result<ListChangesAnswer, Refusal>;
}
