//! A shard-node as a router reads it to check the cluster, in one process or over the network.

use crate::internal::{
    LookAnswer, LookRequest, ScanAnswer, ScanRequest, SurveyAnswer, SurveyRequest,
};
use crate::refusal::Refusal;
use async_trait::async_trait;
use std::sync::Arc;

/// Plain reads of the shard's database, also where the node is not the writer: every answer is true of a
/// moment after the question. TRY_AGAIN: the database does not answer.
#[async_trait]
pub trait Inspect: Send + Sync {
    /// Slot rows, a page, with what the lane rows say. Also of a shard that is in no catalog.
    async fn survey(&self, request: SurveyRequest) -> Result<SurveyAnswer, Refusal>;

    /// The next entities, at most `CHECKED_ROWS_MAX` rows of them. What is wrong with a shard's rows by
    /// themselves was seen twice.
    async fn scan(&self, request: ScanRequest) -> Result<ScanAnswer, Refusal>;

    /// At most `CHECKED_ROWS_MAX` of each; more is BAD_REQUEST.
    async fn look(&self, request: LookRequest) -> Result<LookAnswer, Refusal>;

    /// The shard asks the catalog about its slots now rather than with the first call for each.
    /// TRY_AGAIN: it is not the writer, or the catalog does not answer.
    async fn ask_catalog(&self) -> Result<(), Refusal>;
}

pub trait InspectConnect: Send + Sync {
    /// Connects when first used. Calls to who is not there end with UNAVAILABLE.
    fn open(&self, address: &str) -> Arc<dyn Inspect>;
}
