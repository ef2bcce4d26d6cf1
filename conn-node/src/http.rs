//! The HTTP half of the client contract: which path leads where, and what holds for all of them.
//! Rules are in `accounts`, `chats` and `cursors`; here requests are read and answers written.

mod accounts;
mod body;
mod chats;
mod cors;
mod listener;
mod members;
mod messages;
mod path;
mod query;
mod socket;
mod watch;

use crate::node::Node;
use crate::page;
use crate::problem::Problem;
use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::StatusCode;
use axum::middleware::{from_fn, from_fn_with_state};
use axum::routing::{MethodRouter, delete, get, patch, post, put};
use axum::serve::{Listener, ListenerExt};
use listener::BoundedListener;
use shardline_domain::error::Code;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

/// A message of 16 KiB whose every byte JSON writes with six.
const BODY_BYTES_MAX: usize = 128 * 1024;

/// Connections for requests, when all sockets there may be are open.
const HTTP_CONNECTIONS: usize = 1_024;
/// A socket ends by its own rule first.
const SILENCE_BEYOND_IDLE: Duration = Duration::from_secs(15);

/// One method of one path.
pub struct Route {
    pub method: &'static str,
    pub path: &'static str,
    handler: MethodRouter<Arc<Node>>,
}

/// Every route there is. docs/openapi.yaml lists the same, which a test checks.
pub fn routes() -> Vec<Route> {
    let route = |method, path, handler| Route { method, path, handler };
    vec![
        route("GET", "/", get(page::show)),
        route("GET", "/v1/ws", get(socket::upgrade)),
        route("POST", "/v1/users", post(accounts::register)),
        route("GET", "/v1/users", get(accounts::search)),
        route("GET", "/v1/users/{user}", get(accounts::user)),
        route("POST", "/v1/sessions", post(accounts::log_in)),
        route("POST", "/v1/sessions/refresh", post(accounts::refresh)),
        route("DELETE", "/v1/sessions/{session}", delete(accounts::log_out)),
        route("GET", "/v1/me", get(accounts::me)),
        route("PATCH", "/v1/me", patch(accounts::patch_me)),
        route("POST", "/v1/chats", post(chats::create)),
        route("GET", "/v1/chats", get(chats::list)),
        route("GET", "/v1/chats/{chat}", get(chats::get)),
        route("PATCH", "/v1/chats/{chat}", patch(chats::patch)),
        route("DELETE", "/v1/chats/{chat}", delete(chats::end)),
        route("PUT", "/v1/chats/{chat}/read", put(chats::read)),
        route("GET", "/v1/chats/{chat}/messages", get(messages::history)),
        route("POST", "/v1/chats/{chat}/messages", post(messages::send)),
        route("PATCH", "/v1/chats/{chat}/messages/{seq}", patch(messages::edit)),
        route("DELETE", "/v1/chats/{chat}/messages/{seq}", delete(messages::delete)),
        route("GET", "/v1/chats/{chat}/members", get(members::page)),
        route("POST", "/v1/chats/{chat}/members", post(members::add)),
        route("PATCH", "/v1/chats/{chat}/members/{user}", patch(members::set_role)),
        route("DELETE", "/v1/chats/{chat}/members/{user}", delete(members::remove)),
    ]
}

/// All of it, with a problem document for whatever fits no route.
pub(crate) fn router(node: Arc<Node>) -> Router {
    let all = routes()
        .into_iter()
        .fold(Router::new(), |all, route| all.route(route.path, route.handler))
        .fallback(async || Problem::not_found("there is nothing at this path"))
        .method_not_allowed_fallback(async || {
            Problem::new(Code::BadRequest, "this path does not take this method")
                .with_status(StatusCode::METHOD_NOT_ALLOWED)
        })
        .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
        .layer(from_fn(watch::count));
    let all = if node.config.cors { all.layer(from_fn(cors::allow)) } else { all };
    // Outermost, so that nothing is done for a node that stops.
    all.layer(from_fn_with_state(node.clone(), watch::refuse_when_draining)).with_state(node)
}

/// Answers clients until the node drains, then finishes what is under way. Sockets end by
/// themselves.
pub(crate) async fn serve(
    node: Arc<Node>,
    listener: impl Listener<Addr = SocketAddr>,
) -> std::io::Result<()> {
    let draining = node.draining.clone();
    let config = node.config.clone();
    let app = router(node).into_make_service_with_connect_info::<SocketAddr>();
    let connections_max = config.connections_max + HTTP_CONNECTIONS;
    let silence_max = config.idle + SILENCE_BEYOND_IDLE;
    let listener = BoundedListener::new(listener, connections_max, silence_max);
    // Only a listener that is tapped tells handlers the peer's address.
    let listener = ListenerExt::tap_io(listener, |_| {});
    axum::serve(listener, app).with_graceful_shutdown(draining.cancelled_owned()).await
}
