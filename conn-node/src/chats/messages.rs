//! Messages over HTTP: pages of history, sends, edits, deletions.

use super::{number, optional_number, page_limit};
use crate::calls::{answered, call};
use crate::node::Node;
use crate::problem::{Answer, Problem};
use crate::{profiles, rate_limit};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use shardline_domain::body::{Body, BodyError};
use shardline_domain::error::Code;
use shardline_domain::id::{ChatId, UserId};
use shardline_wire::client::{self, Ack, HistoryPage};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{Changed, Delete, Edit, GetHistory, Send};
use shardline_wire::refusal::{Code as WireCode, Refusal};
use std::fmt;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct HistoryRequest {
    pub(crate) before_seq: Option<u64>,
    pub(crate) after_seq: Option<u64>,
    pub(crate) limit: Option<u64>,
    pub(crate) min_ver: Option<u64>,
}

/// A page of history, ascending; without bounds the latest.
pub(crate) async fn history(
    node: &Node,
    user: UserId,
    chat: ChatId,
    request: HistoryRequest,
) -> Result<HistoryPage, Refusal> {
    if request.before_seq.is_some() && request.after_seq.is_some() {
        let why = "before_seq and after_seq exclude each other";
        return Err(Refusal::of_field(WireCode::BadRequest, "after_seq", why));
    }
    let min_ver = optional_number("min_ver", request.min_ver)?;
    let op = Op::GetHistory(GetHistory {
        user: user.get(),
        before_seq: optional_number("before_seq", request.before_seq)?,
        after_seq: optional_number("after_seq", request.after_seq)?,
        limit: page_limit(request.limit)?,
        min_ver: min_ver.unwrap_or(0),
    });
    let page = match answered!(call(node, chat, op).await, History) {
        // The chat's owner says so, whatever map it was found by.
        Err(refusal) if refusal.code() == WireCode::Behind => {
            let why = "min_ver lies beyond the head of this chat";
            return Err(Refusal::of_field(WireCode::BadRequest, "min_ver", why));
        }
        outcome => outcome?,
    };
    Ok(HistoryPage {
        chat: chat.get(),
        messages: page.messages,
        head_seq: page.head_seq,
        head_ver: page.head_ver,
        log: page.log.to_string(),
        at_start: page.at_start,
        at_end: page.at_end,
    })
}

#[derive(Deserialize)]
pub(crate) struct NewMessage {
    #[serde(with = "shardline_wire::json::uuid")]
    pub(crate) client_msg_id: Vec<u8>,
    #[serde(deserialize_with = "object")]
    pub(crate) body: client::Body,
    #[serde(default)]
    pub(crate) reply_to: Option<u64>,
}

/// Sends a message, or gets the first answer to the same one.
pub(crate) async fn send(
    node: &Node,
    sender: UserId,
    chat: ChatId,
    new: NewMessage,
) -> Answer<Ack> {
    let body = body(new.body)?;
    let reply_to = optional_number("reply_to", new.reply_to)?;
    node.rate_limits
        .check_send(sender.get())
        .map_err(|wait_ms| rate_limit::too_many("messages", wait_ms))?;
    let sender_name = profiles::display_name(node, sender).await?;
    let op = Op::Send(Send {
        sender: sender.get(),
        sender_name,
        client_msg_id: new.client_msg_id.clone(),
        body: Some(body),
        reply_to,
        // Any request over HTTP may be the second one.
        retry: true,
        predecessor: Vec::new(),
    });
    let sent = answered!(call(node, chat, op).await, Sent)?;
    Ok(Ack {
        chat: Some(chat.get()),
        client_msg_id: new.client_msg_id,
        seq: Some(sent.seq),
        ver: Some(sent.ver),
        log: Some(sent.log.to_string()),
        sent_at_ms: Some(sent.sent_at_ms),
        duplicate: Some(sent.duplicate),
        ..Ack::default()
    })
}

#[derive(Deserialize)]
pub(crate) struct NewBody {
    #[serde(deserialize_with = "object")]
    pub(crate) body: client::Body,
    #[serde(default)]
    pub(crate) if_ver: Option<u64>,
}

pub(crate) async fn edit(
    node: &Node,
    user: UserId,
    chat: ChatId,
    seq: u64,
    new: NewBody,
) -> Answer<Changed> {
    let op = Op::Edit(Edit {
        actor: user.get(),
        seq: number("seq", seq)?,
        body: Some(body(new.body)?),
        if_ver: optional_number("if_ver", new.if_ver)?,
    });
    Ok(answered!(call(node, chat, op).await, Changed)?)
}

pub(crate) async fn delete(
    node: &Node,
    user: UserId,
    chat: ChatId,
    seq: u64,
    if_ver: Option<u64>,
) -> Answer<Changed> {
    let op = Op::Delete(Delete {
        actor: user.get(),
        seq: number("seq", seq)?,
        if_ver: optional_number("if_ver", if_ver)?,
    });
    Ok(answered!(call(node, chat, op).await, Changed)?)
}

/// A JSON object, and not an array in the order of its fields.
fn object<'de, D: Deserializer<'de>>(from: D) -> Result<client::Body, D::Error> {
    struct Object;

    impl<'de> Visitor<'de> for Object {
        type Value = client::Body;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object with a text")
        }

        fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<client::Body, A::Error> {
            client::Body::deserialize(MapAccessDeserializer::new(map))
        }
    }

    from.deserialize_map(Object)
}

/// Checked, and otherwise verbatim.
fn body(body: client::Body) -> Answer<client::Body> {
    let body = Body::parse(body.text).map_err(|error| {
        let code = match error {
            BodyError::TooLong { .. } => Code::TooLarge,
            BodyError::Empty | BodyError::Nul => Code::BadRequest,
        };
        Problem { field: Some("body.text".to_owned()), ..Problem::new(code, error.to_string()) }
    })?;
    Ok(client::Body { text: body.into_text() })
}
