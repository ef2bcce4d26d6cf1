//! Names of all metrics of a conn-node.

/// Open WebSocket connections.
pub(crate) const CONNECTIONS: &str = "shardline_conn_node_connections";
/// Connections closed because their queue was full.
pub(crate) const SLOW_READERS: &str = "shardline_conn_node_slow_readers_total";
/// Frames from clients.
pub(crate) const FRAMES_IN: &str = "shardline_conn_node_frames_in_total";
/// Sends acknowledged to clients, by whether they were repeats.
pub(crate) const SENDS_ACKNOWLEDGED: &str = "shardline_conn_node_sends_acknowledged_total";
/// Sends answered with an error, by what the client may do.
pub(crate) const SENDS_REFUSED: &str = "shardline_conn_node_sends_refused_total";
/// Events from routers, repeats included.
pub(crate) const EVENTS_IN: &str = "shardline_conn_node_events_in_total";
/// Frames of events put into session queues.
pub(crate) const EVENTS_OUT: &str = "shardline_conn_node_events_out_total";
/// Gaps repaired from the store, by how it ended.
pub(crate) const REPAIRS: &str = "shardline_conn_node_repairs_total";
/// From an event's commit to its being put into queues.
pub(crate) const DELIVERY_SECONDS: &str = "shardline_conn_node_delivery_seconds";

/// Requests over HTTP, by method, route and status.
pub(crate) const HTTP_REQUESTS: &str = "shardline_conn_node_http_requests_total";
pub(crate) const HTTP_SECONDS: &str = "shardline_conn_node_http_request_seconds";
/// Read cursors written to their chats' shards.
pub(crate) const CURSORS_FLUSHED: &str = "shardline_conn_node_cursors_flushed_total";
/// Read cursors whose shard did not take them; they are tried again.
pub(crate) const CURSORS_NOT_FLUSHED: &str = "shardline_conn_node_cursors_not_flushed_total";
