//! Around every request: counts and times by route, and a refusal while the node stops.

use crate::metrics::{HTTP_REQUESTS, HTTP_SECONDS};
use crate::node::Node;
use crate::problem::Problem;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use metrics::{counter, histogram};
use shardline_daemon::clock::Stopwatch;
use shardline_domain::error::Code;
use std::sync::Arc;

/// Labels are the route's pattern, never a path.
pub(super) async fn count(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>();
    let route = route.map_or_else(|| "none".to_owned(), |route| route.as_str().to_owned());
    let started = Stopwatch::start();
    let response = next.run(request).await;
    let status = response.status().as_str().to_owned();
    counter!(HTTP_REQUESTS, "route" => route.clone(), "status" => status).increment(1);
    histogram!(HTTP_SECONDS, "route" => route).record(started.seconds());
    response
}

/// A kept-alive connection may bring one more request; it belongs to another node.
pub(super) async fn refuse_when_draining(
    State(node): State<Arc<Node>>,
    request: Request,
    next: Next,
) -> Response {
    if node.draining.is_cancelled() {
        return Problem::new(Code::Unavailable, "this node is stopping").into_response();
    }
    next.run(request).await
}
