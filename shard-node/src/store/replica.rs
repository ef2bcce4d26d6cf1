//! A replica of the shard's database, as far as a copy has to know of it.

use super::StoreError;
use async_trait::async_trait;
use std::time::Duration;

#[async_trait]
pub trait Replica: Send + Sync {
    /// Where it is, without secrets: host:port.
    fn name(&self) -> &str;

    /// Everything the primary has committed by now, in the server's own terms; None: this server is the
    /// primary, and behind nobody.
    async fn goal(&self) -> Result<Option<String>, StoreError>;

    /// Whether it has applied all of `goal`. Waits for that, for some seconds at most.
    async fn has(&self, goal: &str, within: Duration) -> Result<bool, StoreError>;
}
