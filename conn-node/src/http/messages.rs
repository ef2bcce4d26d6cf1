//! /v1/chats/{chat}/messages.

use super::body::{JsonBody, OptionalJsonBody};
use super::path::PathParts;
use super::query::QueryParts;
use crate::auth::Principal;
use crate::chats::messages::{self, HistoryRequest, NewBody, NewMessage};
use crate::node::Node;
use crate::problem::Answer;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use shardline_domain::id::ChatId;
use shardline_wire::client::{Ack, HistoryPage};
use shardline_wire::internal::Changed;
use std::sync::Arc;

pub(super) async fn history(
    State(node): State<Arc<Node>>,
    principal: Principal,
    path: PathParts,
    query: QueryParts,
) -> Answer<Json<HistoryPage>> {
    let request = HistoryRequest {
        before_seq: query.number("before_seq")?,
        after_seq: query.number("after_seq")?,
        limit: query.number("limit")?,
        min_ver: query.number("min_ver")?,
    };
    let page = messages::history(&node, principal.user, path.id("chat")?, request).await?;
    Ok(Json(page))
}

pub(super) async fn send(
    State(node): State<Arc<Node>>,
    principal: Principal,
    path: PathParts,
    JsonBody(new): JsonBody<NewMessage>,
) -> Answer<(StatusCode, Json<Ack>)> {
    let ack = messages::send(&node, principal.user, path.id("chat")?, new).await?;
    let is_repeat = ack.duplicate == Some(true);
    let status = if is_repeat { StatusCode::OK } else { StatusCode::CREATED };
    Ok((status, Json(ack)))
}

#[derive(Serialize)]
pub(super) struct MessageChanged {
    #[serde(with = "shardline_wire::json::id")]
    chat: u64,
    seq: u64,
    ver: u64,
    log: String,
}

fn shown(chat: ChatId, changed: &Changed) -> Json<MessageChanged> {
    let Changed { seq, ver, log } = *changed;
    Json(MessageChanged { chat: chat.get(), seq, ver, log: log.to_string() })
}

pub(super) async fn edit(
    State(node): State<Arc<Node>>,
    principal: Principal,
    path: PathParts,
    JsonBody(new): JsonBody<NewBody>,
) -> Answer<Json<MessageChanged>> {
    let chat = path.id("chat")?;
    let changed = messages::edit(&node, principal.user, chat, path.seq()?, new).await?;
    Ok(shown(chat, &changed))
}

#[derive(Deserialize, Default)]
pub(super) struct Condition {
    #[serde(default)]
    if_ver: Option<u64>,
}

pub(super) async fn delete(
    State(node): State<Arc<Node>>,
    principal: Principal,
    path: PathParts,
    OptionalJsonBody(condition): OptionalJsonBody<Condition>,
) -> Answer<Json<MessageChanged>> {
    let (chat, seq) = (path.id("chat")?, path.seq()?);
    let changed = messages::delete(&node, principal.user, chat, seq, condition.if_ver).await?;
    Ok(shown(chat, &changed))
}
