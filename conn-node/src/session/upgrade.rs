//! GET /v1/ws: from an HTTP request to a connection.

use super::connection;
use super::outgoing::Encoding;
use crate::node::Node;
use crate::problem::Problem;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::response::{IntoResponse, Response};
use shardline_domain::error::Code;
use shardline_domain::limits::{FRAME_BYTES_MAX, SESSION_QUEUE_BYTES_MAX};
use std::sync::Arc;

const JSON: &str = "shardline.v1+json";
const PROTO: &str = "shardline.v1+proto";
/// Per connection, held all the time: most frames fit, larger ones take a few reads.
const READ_BUFFER_BYTES: usize = 4 * 1024;
const WRITE_BUFFER_BYTES: usize = 4 * 1024;
/// Up to here a message that is too large is read and refused; beyond, the connection ends.
const MESSAGE_BYTES_READ_MAX: usize = 2 * FRAME_BYTES_MAX;

pub(crate) async fn upgrade(State(node): State<Arc<Node>>, request: WebSocketUpgrade) -> Response {
    if node.draining.is_cancelled() {
        return Problem::new(Code::Unavailable, "this node is stopping").into_response();
    }
    if node.config.connections_max <= node.connections.len() {
        return Problem::new(Code::Unavailable, "this node has all the connections it can hold")
            .into_response();
    }
    let request = request
        .protocols([PROTO, JSON])
        .read_buffer_size(READ_BUFFER_BYTES)
        .write_buffer_size(WRITE_BUFFER_BYTES)
        .max_write_buffer_size(2 * SESSION_QUEUE_BYTES_MAX)
        .max_message_size(MESSAGE_BYTES_READ_MAX)
        .max_frame_size(MESSAGE_BYTES_READ_MAX);
    let is_proto = request.selected_protocol().is_some_and(|protocol| protocol == PROTO);
    let encoding = if is_proto { Encoding::Proto } else { Encoding::Json };
    let tracked = node.connections.token();
    request.on_upgrade(async move |socket| {
        // Counted until the connection has ended, also while it is being upgraded.
        let _tracked = tracked;
        connection::serve(node, socket, encoding).await;
    })
}
