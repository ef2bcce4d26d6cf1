//! What an operator has checked, through whichever router was asked: what stands on the shards against
//! each other, and the catalog against the shards. Nothing is kept here between two questions: a walk's
//! place is with whoever asks.

mod catalog;
mod fsck;
mod others;
mod rebuild;
mod repair;
mod survey;

use crate::catalog::{ShardRow, WholeCatalog};
use crate::catalog_service::{Route, refusal};
use crate::coordinator::Reach;
use async_trait::async_trait;
use parking_lot::Mutex;
use shardline_domain::id::ShardId;
use shardline_wire::checks::Checks;
use shardline_wire::inspect::{Inspect, InspectConnect};
use shardline_wire::internal::{
    CheckCatalogAnswer, CheckCatalogRequest, FsckAnswer, FsckRequest, RebuildCatalogAnswer,
    RebuildCatalogRequest,
};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Links that are kept open: more than a cluster has shards.
const LINKS_MAX: usize = 4_096;
/// Who asks, in bytes: what its column holds.
const BY_BYTES_MAX: usize = 255;

pub struct Checker {
    catalog: Arc<dyn WholeCatalog>,
    reach: Reach,
    route: Arc<dyn Route>,
    inspect: Arc<dyn InspectConnect>,
    /// By address.
    links: Mutex<BTreeMap<String, Arc<dyn Inspect>>>,
}

impl Checker {
    /// `route` is this process's router, `inspect` how shard-nodes are read.
    pub fn new(
        catalog: Arc<dyn WholeCatalog>,
        reach: Reach,
        route: Arc<dyn Route>,
        inspect: Arc<dyn InspectConnect>,
    ) -> Checker {
        Checker { catalog, reach, route, inspect, links: Mutex::default() }
    }

    fn link(&self, address: &str) -> Arc<dyn Inspect> {
        let mut links = self.links.lock();
        if LINKS_MAX <= links.len() {
            // Shards come and go rarely: those that are still there are opened again.
            links.clear();
        }
        let open = || self.inspect.open(address);
        links.entry(address.to_owned()).or_insert_with(open).clone()
    }

    async fn shards(&self) -> Result<BTreeMap<ShardId, ShardRow>, Refusal> {
        let rows = self.catalog.shards().await.map_err(refusal)?;
        Ok(rows.into_iter().map(|row| (row.shard, row)).collect())
    }

    /// The shard's last known writer.
    fn writer(&self, row: &ShardRow) -> Result<Arc<dyn Inspect>, Refusal> {
        if row.address.is_empty() {
            let message = format!("shard {} has no writer", row.shard);
            return Err(Refusal::new(Code::Unavailable, message));
        }
        Ok(self.link(&row.address))
    }
}

#[async_trait]
impl Checks for Checker {
    async fn fsck(&self, request: FsckRequest) -> Result<FsckAnswer, Refusal> {
        by(&request.by)?;
        fsck::page(self, &request).await
    }

    async fn check_catalog(&self, _: CheckCatalogRequest) -> Result<CheckCatalogAnswer, Refusal> {
        catalog::check(self).await
    }

    async fn rebuild_catalog(
        &self,
        request: RebuildCatalogRequest,
    ) -> Result<RebuildCatalogAnswer, Refusal> {
        rebuild::rebuild(self, &request).await
    }
}

fn by(by: &str) -> Result<&str, Refusal> {
    if BY_BYTES_MAX < by.len() {
        let message = format!("it has {} bytes, {BY_BYTES_MAX} are allowed", by.len());
        return Err(Refusal::of_field(Code::BadRequest, "by", message));
    }
    Ok(if by.is_empty() { "somebody" } else { by })
}
