//! /v1/chats and /v1/chats/{chat}.

use super::body::JsonBody;
use super::path::PathParts;
use super::query::QueryParts;
use crate::auth::Principal;
use crate::chats::change::{self, Patch};
use crate::chats::create::{self, NewChat};
use crate::chats::{PageRequest, page, read};
use crate::node::Node;
use crate::problem::Answer;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shardline_wire::client::{ChatItem, ChatsPage};
use std::sync::Arc;

pub(super) async fn create(
    State(node): State<Arc<Node>>,
    principal: Principal,
    JsonBody(new): JsonBody<NewChat>,
) -> Answer<(StatusCode, Json<ChatItem>)> {
    let created = create::create(&node, principal.user, new).await?;
    let status = if created.is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(created.item)))
}

/// `next_cursor` is always there, null on the last page.
#[derive(Serialize)]
pub(super) struct Listed {
    items: Vec<ChatItem>,
    next_cursor: Option<String>,
    list_ver: u64,
}

pub(super) async fn list(
    State(node): State<Arc<Node>>,
    principal: Principal,
    query: QueryParts,
) -> Answer<Json<Listed>> {
    let request = PageRequest {
        limit: query.number("limit")?,
        cursor: query.text("cursor")?.map(str::to_owned),
        since_list_ver: None,
    };
    let ChatsPage { items, next_cursor, list_ver, .. } =
        page(&node, principal.user, request).await?;
    Ok(Json(Listed { items, next_cursor, list_ver }))
}

pub(super) async fn get(
    State(node): State<Arc<Node>>,
    principal: Principal,
    path: PathParts,
) -> Answer<Json<ChatItem>> {
    Ok(Json(change::get(&node, principal.user, path.id("chat")?).await?))
}

pub(super) async fn patch(
    State(node): State<Arc<Node>>,
    principal: Principal,
    path: PathParts,
    JsonBody(patch): JsonBody<Patch>,
) -> Answer<Json<ChatItem>> {
    Ok(Json(change::patch(&node, principal.user, path.id("chat")?, patch).await?))
}

pub(super) async fn end(
    State(node): State<Arc<Node>>,
    principal: Principal,
    path: PathParts,
) -> Answer<Json<ChatItem>> {
    Ok(Json(change::end(&node, principal.user, path.id("chat")?).await?))
}

#[derive(Deserialize)]
pub(super) struct Read {
    seq: u64,
}

#[derive(Serialize)]
pub(super) struct ReadSeq {
    read_seq: u64,
}

pub(super) async fn read(
    State(node): State<Arc<Node>>,
    principal: Principal,
    path: PathParts,
    JsonBody(Read { seq }): JsonBody<Read>,
) -> Answer<Json<ReadSeq>> {
    let read_seq = read::read(&node, principal.user, path.id("chat")?, seq).await?;
    Ok(Json(ReadSeq { read_seq }))
}
