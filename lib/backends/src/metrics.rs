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

/// Tells the recorder what each of them is.
pub(crate) fn describe_all() {
    let describe = |name: &'static str, help: &'static str| metrics::describe_gauge!(name, help);
    describe(PUBLISHED, "Records acknowledged by the bus.");
    describe(PUBLISHED_BYTES, "Bytes of the records acknowledged by the bus.");
    describe(PUBLISH_FAILURES, "Records not stored, or not known to be, by reason.");
    describe(CONSUMED, "Records read from the bus.");
    describe(CONSUMED_BYTES, "Bytes of the records read from the bus.");
    describe(DROPPED, "Records that fell out of the in-process bus before a reader came to them.");
    #[cfg(feature = "kafka")]
    {
        describe(PUBLISH_SECONDS, "From handing a record to the bus to its acknowledgement.");
        describe(CONSUME_FAILURES, "Failures of reading from the bus.");
    }
    #[cfg(feature = "redis")]
    {
        describe(REDIS_SECONDS, "Calls to Redis, by system (presence, cursors) and call.");
        describe(REDIS_FAILURES, "Calls to Redis that failed, by system and call.");
    }
}
