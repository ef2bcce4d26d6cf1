//! What an operator asks to have checked, through any router: the answers of `CheckService`, in one
//! process or over the network.

use crate::internal::{
    CheckCatalogAnswer, CheckCatalogRequest, FsckAnswer, FsckRequest, RebuildCatalogAnswer,
    RebuildCatalogRequest,
};
use crate::refusal::Refusal;
use async_trait::async_trait;

/// TRY_AGAIN and UNAVAILABLE: the catalog, or the shard that was asked about, is away. BAD_REQUEST for
/// values that never make sense, NOT_FOUND for a shard that is not there.
#[async_trait]
pub trait Checks: Send + Sync {
    /// One page of a walk over one shard, with the other side of what it holds on all others. Bounded in
    /// rows and in time; a page that is asked again finds the same. With `repair`, what can be repaired is
    /// told again by the shard that decides, and looked at once more; each repair is journaled before it
    /// is made.
    async fn fsck(&self, request: FsckRequest) -> Result<FsckAnswer, Refusal>;

    /// The catalog against the slot and lane rows of all shards, read twice.
    async fn check_catalog(
        &self,
        request: CheckCatalogRequest,
    ) -> Result<CheckCatalogAnswer, Refusal>;

    /// CONFLICT, saying what, if the catalog is not empty or the shards' rows do not say whose the slots
    /// are: nothing is changed then. UNAVAILABLE: it may have been written; asking again says so.
    async fn rebuild_catalog(
        &self,
        request: RebuildCatalogRequest,
    ) -> Result<RebuildCatalogAnswer, Refusal>;
}
