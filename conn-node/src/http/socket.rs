//! GET /v1/ws: what is not an upgrade is answered in HTTP's own words.

use crate::node::Node;
use crate::problem::Problem;
use crate::session;
use axum::extract::State;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::response::{IntoResponse, Response};
use shardline_domain::error::Code;
use std::sync::Arc;

pub(super) async fn upgrade(
    node: State<Arc<Node>>,
    request: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    match request {
        Ok(request) => session::upgrade::upgrade(node, request).await,
        Err(rejection) => {
            let problem = Problem::new(Code::BadRequest, rejection.body_text());
            problem.with_status(rejection.status()).into_response()
        }
    }
}
