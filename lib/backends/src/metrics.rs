//! Names of this crate's metrics.

/// Records acknowledged by the bus.
pub(crate) const PUBLISHED: &str = "shardline_bus_published_records_total";
pub(crate) const PUBLISHED_BYTES: &str = "shardline_bus_published_bytes_total";
/// From handing a record over to its acknowledgement.
#[cfg(feature = "kafka")]
pub(crate) const PUBLISH_SECONDS: &str = "shardline_bus_publish_seconds";
/// Records not stored, or not known to be; by `reason`: full, too_large, failed.
pub(crate) const PUBLISH_FAILURES: &str = "shardline_bus_publish_failures_total";
pub(crate) const CONSUMED: &str = "shardline_bus_consumed_records_total";
pub(crate) const CONSUMED_BYTES: &str = "shardline_bus_consumed_bytes_total";
/// Records that fell out of the in-process bus before a reader came to them.
pub(crate) const DROPPED: &str = "shardline_bus_dropped_records_total";
#[cfg(feature = "kafka")]
pub(crate) const CONSUME_FAILURES: &str = "shardline_bus_consume_failures_total";
/// Calls to Redis, by `system` (presence, cursors) and `call`.
#[cfg(feature = "redis")]
pub(crate) const REDIS_SECONDS: &str = "shardline_redis_call_seconds";
/// Calls that failed, by `system` and `call`.
#[cfg(feature = "redis")]
pub(crate) const REDIS_FAILURES: &str = "shardline_redis_failures_total";
