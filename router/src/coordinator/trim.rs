//! What has ended and is old is deleted from the catalog, a little at a time.

use crate::catalog::operations::Keep;
use crate::catalog::{CatalogError, WholeCatalog};
use shardline_daemon::clock::Stopwatch;
use shardline_domain::limits::TRIMMED_AT_ONCE_MAX;
use std::time::Duration;
use tracing::info;

/// How often it is looked whether there is anything; while there is, each round deletes some.
const LOOK_EVERY: Duration = Duration::from_secs(60);

/// Of one tenure: a new leader looks at once.
#[derive(Default)]
pub(super) struct Trimmer {
    nothing_since: Option<Stopwatch>,
}

impl Trimmer {
    pub(super) async fn trim(
        &mut self,
        catalog: &dyn WholeCatalog,
        term: u64,
    ) -> Result<(), CatalogError> {
        if self.nothing_since.is_some_and(|since| since.elapsed() < LOOK_EVERY) {
            return Ok(());
        }
        let trimmed = catalog.trim(term, &Keep::LIMITS, TRIMMED_AT_ONCE_MAX).await?;
        self.nothing_since = (trimmed == 0).then(Stopwatch::start);
        if 0 < trimmed {
            info!(trimmed, "old moves, rebalances and changes were deleted");
        }
        Ok(())
    }
}
