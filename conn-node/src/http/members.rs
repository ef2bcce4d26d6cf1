//! /v1/chats/{chat}/members.

use super::body::JsonBody;
use super::path::PathParts;
use super::query::QueryParts;
use crate::auth::Principal;
use crate::chats::members::{self, Additions, MembersPage};
use crate::node::Node;
use crate::problem::Answer;
use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use shardline_wire::client::Member;
use shardline_wire::internal::MembersChanged;
use std::sync::Arc;

pub(super) async fn page(
    State(node): State<Arc<Node>>,
    principal: Principal,
    path: PathParts,
    query: QueryParts,
) -> Answer<Json<MembersPage>> {
    let (chat, limit) = (path.id("chat")?, query.number("limit")?);
    let cursor = query.text("cursor")?;
    Ok(Json(members::page(&node, principal.user, chat, limit, cursor).await?))
}

/// The members as they are now, and the chat's ver of the change.
#[derive(Serialize)]
pub(super) struct Changed {
    items: Vec<Member>,
    ver: u64,
    log: String,
}

impl From<MembersChanged> for Changed {
    fn from(changed: MembersChanged) -> Changed {
        Changed { items: changed.members, ver: changed.ver, log: changed.log.to_string() }
    }
}

pub(super) async fn add(
    State(node): State<Arc<Node>>,
    principal: Principal,
    path: PathParts,
    JsonBody(new): JsonBody<Additions>,
) -> Answer<Json<Changed>> {
    let changed = members::add(&node, principal.user, path.id("chat")?, new).await?;
    Ok(Json(changed.into()))
}

#[derive(Deserialize)]
pub(super) struct NewRole {
    role: String,
}

pub(super) async fn set_role(
    State(node): State<Arc<Node>>,
    principal: Principal,
    path: PathParts,
    JsonBody(new): JsonBody<NewRole>,
) -> Answer<Json<Changed>> {
    let (chat, user) = (path.id("chat")?, path.id("user")?);
    let changed = members::set_role(&node, principal.user, chat, user, &new.role).await?;
    Ok(Json(changed.into()))
}

/// Removes a member; oneself: leaves.
pub(super) async fn remove(
    State(node): State<Arc<Node>>,
    principal: Principal,
    path: PathParts,
) -> Answer<Json<Changed>> {
    let (chat, user) = (path.id("chat")?, path.id("user")?);
    let changed = members::remove(&node, principal.user, chat, user).await?;
    Ok(Json(changed.into()))
}
