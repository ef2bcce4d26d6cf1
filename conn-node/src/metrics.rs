//! Names of all metrics of a conn-node.

shardline_daemon::metric_names! {
    /// Open WebSocket connections.
    CONNECTIONS = "shardline_conn_node_connections";
    /// Hellos with a good token, by turn: at_once, in_line or away (told when to come again).
    HELLOS = "shardline_conn_node_hellos_total";
    /// Connections closed because their queue was full.
    SLOW_READERS = "shardline_conn_node_slow_readers_total";
    /// Frames from clients.
    FRAMES_IN = "shardline_conn_node_frames_in_total";
    /// Sends acknowledged to clients, by whether they were repeats.
    SENDS_ACKNOWLEDGED = "shardline_conn_node_sends_acknowledged_total";
    /// Sends answered with an error, by what the client may do.
    SENDS_REFUSED = "shardline_conn_node_sends_refused_total";
    /// Events from routers, repeats included.
    EVENTS_IN = "shardline_conn_node_events_in_total";
    /// Frames of events put into session queues.
    EVENTS_OUT = "shardline_conn_node_events_out_total";
    /// Gaps repaired from the store, by how it ended.
    REPAIRS = "shardline_conn_node_repairs_total";
    /// From an event's commit to its being put into queues.
    DELIVERY_SECONDS = "shardline_conn_node_delivery_seconds";
    /// Requests over HTTP, by method, route and status.
    HTTP_REQUESTS = "shardline_conn_node_http_requests_total";
    /// From a request over HTTP to its answer, by method, route and status.
    HTTP_SECONDS = "shardline_conn_node_http_request_seconds";
    /// Read cursors written to their chats' shards.
    CURSORS_FLUSHED = "shardline_conn_node_cursors_flushed_total";
    /// Read cursors whose shard did not take them; they are tried again.
    CURSORS_NOT_FLUSHED = "shardline_conn_node_cursors_not_flushed_total";
}
