//! /v1/users, /v1/sessions, /v1/me.

use super::body::JsonBody;
use super::path::PathParts;
use super::query::QueryParts;
use crate::accounts::log_in::{self, LogIn, Session};
use crate::accounts::register::{self, NewAccount};
use crate::accounts::users;
use crate::auth::Principal;
use crate::chats::page_limit;
use crate::node::Node;
use crate::problem::{Answer, Problem};
use crate::rate_limit::client_address;
use axum::Json;
use axum::extract::{ConnectInfo, FromRequestParts, State};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::{Deserialize, Serialize};
use shardline_domain::id::UserId;
use shardline_wire::client::User;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

#[derive(Serialize)]
pub(super) struct Items<T> {
    items: Vec<T>,
}

/// Where a request came from.
pub(super) struct From(IpAddr);

impl FromRequestParts<Arc<Node>> for From {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Answer<Self> {
        let peer = parts.extensions.get::<ConnectInfo<SocketAddr>>();
        // Without a socket (a test that calls the routes directly) everyone is one address.
        let peer = peer.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |info| info.0.ip());
        let lines = parts.headers.get_all("x-forwarded-for").iter();
        let lines: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
        Ok(From(client_address(peer, &lines, node.config.proxies)))
    }
}

pub(super) async fn register(
    State(node): State<Arc<Node>>,
    From(address): From,
    JsonBody(new): JsonBody<NewAccount>,
) -> Answer<(StatusCode, Json<User>)> {
    node.rate_limits.check_registration(address)?;
    Ok((StatusCode::CREATED, Json(register::register(&node, new).await?)))
}

pub(super) async fn log_in(
    State(node): State<Arc<Node>>,
    From(address): From,
    JsonBody(with): JsonBody<LogIn>,
) -> Answer<(StatusCode, Json<Session>)> {
    node.rate_limits.check_log_in(address)?;
    Ok((StatusCode::CREATED, Json(log_in::log_in(&node, with).await?)))
}

#[derive(Deserialize)]
pub(super) struct Refresh {
    refresh_token: String,
    /// Where there is an outside provider: its token of now.
    #[serde(default)]
    token: Option<String>,
}

pub(super) async fn refresh(
    State(node): State<Arc<Node>>,
    From(address): From,
    JsonBody(with): JsonBody<Refresh>,
) -> Answer<Json<Session>> {
    node.rate_limits.check_log_in(address)?;
    Ok(Json(log_in::refresh(&node, &with.refresh_token, with.token.as_deref()).await?))
}

/// A session id, or "current".
pub(super) async fn log_out(
    State(node): State<Arc<Node>>,
    principal: Principal,
    path: PathParts,
) -> Answer<StatusCode> {
    let session = match path.text("session") {
        "current" => principal.session,
        _ => path.id("session")?,
    };
    log_in::log_out(&node, principal.user, session).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn me(State(node): State<Arc<Node>>, principal: Principal) -> Answer<Json<User>> {
    Ok(Json(users::get(&node, principal.user).await?))
}

pub(super) async fn patch_me(
    State(node): State<Arc<Node>>,
    principal: Principal,
    JsonBody(patch): JsonBody<users::Patch>,
) -> Answer<Json<User>> {
    Ok(Json(users::patch(&node, principal.user, patch).await?))
}

pub(super) async fn user(
    State(node): State<Arc<Node>>,
    _: Principal,
    path: PathParts,
) -> Answer<Json<User>> {
    let user: UserId = path.id("user")?;
    Ok(Json(users::get(&node, user).await?))
}

pub(super) async fn search(
    State(node): State<Arc<Node>>,
    _: Principal,
    query: QueryParts,
) -> Answer<Json<Items<User>>> {
    let limit = page_limit(query.number("limit")?)?;
    let prefix = query.text("name")?;
    let prefix = prefix.ok_or_else(|| Problem::bad_field("name", "name is missing"))?;
    Ok(Json(Items { items: users::search(&node, prefix, limit).await? }))
}
