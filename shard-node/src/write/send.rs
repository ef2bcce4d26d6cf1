//! A new message, or the answer that its first arrival got.

use super::{Decided, LookedUp, Verdict, sixteen, user_id};
use crate::entity::Chat;
use crate::lanes::staging::Staging;
use crate::refusals;
use crate::store::{MessageKey, MessageRow};
use shardline_domain::append::{self, Asked, First, Head, Predecessor, body_hash};
use shardline_domain::body::{Body, BodyError};
use shardline_domain::user::check_display_name;
use shardline_wire::call::Answer;
use shardline_wire::internal::{Send, Sent};
use shardline_wire::refusal::Refusal;

pub(crate) fn send(
    staging: &mut Staging,
    looked_up: &LookedUp<'_>,
    id: u64,
    send: &Send,
) -> Decided {
    let (key, body) = checked(id, send)?;
    let hash = body_hash(body.text(), send.reply_to);
    let first = looked_up.send(staging, &key)?;
    let predecessor = predecessor(staging, looked_up, &key, send)?;
    let chat = staging.chat(id)?;
    let head = chat.head;
    let verdict = append::decide(&Asked {
        kind: chat.kind,
        ended: chat.row.ended,
        head: Head { seq: head.seq, ver: head.ver, activity_ms: head.activity_ms },
        role: role(chat, send.sender),
        reply_to: send.reply_to,
        hash,
        first,
        predecessor,
        now_ms: staging.at_ms(),
    });
    match verdict {
        append::Verdict::Store(first) => {
            let row = MessageRow {
                chat: id,
                seq: first.seq,
                ver: first.ver,
                changed_ver: first.ver,
                sender: key.sender,
                sender_name: send.sender_name.clone(),
                client_msg_id: key.client_msg_id,
                body_hash: hash,
                text: body.into_text(),
                reply_to: send.reply_to,
                sent_at_ms: first.sent_at_ms,
                edited_at_ms: None,
                deleted: false,
            };
            staging.append(row, key, first);
            Ok(answer(first, head.log, false))
        }
        append::Verdict::Repeat(first) => Ok(answer(first, head.log, true)),
        append::Verdict::Refuse(refused) => Err(refusals::send_refused(refused)),
        append::Verdict::Later => Err(refusals::predecessor_missing()),
    }
}

/// What can be said without the chat.
fn checked(id: u64, send: &Send) -> Result<(MessageKey, Body), Refusal> {
    let sender = user_id("sender", send.sender)?.get();
    let client_msg_id = sixteen("client_msg_id", &send.client_msg_id)?;
    let text = send.body.as_ref().map(|body| body.text.clone()).unwrap_or_default();
    let body = Body::parse(text).map_err(refusals::body)?;
    check_display_name(&send.sender_name).map_err(|error| refusals::text("sender_name", error))?;
    Ok((MessageKey { chat: id, sender, client_msg_id }, body))
}

fn predecessor(
    staging: &Staging,
    looked_up: &LookedUp<'_>,
    key: &MessageKey,
    send: &Send,
) -> Result<Predecessor, Refusal> {
    if send.predecessor.is_empty() {
        return Ok(Predecessor::None);
    }
    let client_msg_id = sixteen("predecessor", &send.predecessor)?;
    let before = looked_up.send(staging, &MessageKey { client_msg_id, ..*key })?;
    Ok(if before.is_some() { Predecessor::Stored } else { Predecessor::Missing })
}

fn role(chat: &Chat, user: u64) -> Option<shardline_domain::chat::Role> {
    chat.members.get(user).map(|member| member.role)
}

fn answer(first: First, log: u64, duplicate: bool) -> Verdict {
    Verdict::Answer(Answer::Sent(Sent {
        seq: first.seq,
        ver: first.ver,
        log,
        sent_at_ms: first.sent_at_ms,
        duplicate,
    }))
}

/// The keys that a send may have to be looked up by: its own, and its predecessor's. None for a send
/// that will be refused as malformed.
pub(crate) fn keys(id: u64, send: &Send) -> Option<(MessageKey, Option<MessageKey>)> {
    let client_msg_id: [u8; 16] = send.client_msg_id.as_slice().try_into().ok()?;
    let key = MessageKey { chat: id, sender: send.sender, client_msg_id };
    let before: Option<[u8; 16]> = send.predecessor.as_slice().try_into().ok();
    Some((key, before.map(|client_msg_id| MessageKey { client_msg_id, ..key })))
}

/// An edit's new body.
pub(super) fn parse_body(body: Option<&shardline_wire::client::Body>) -> Result<Body, Refusal> {
    let body = body.ok_or_else(|| refusals::body(BodyError::Empty))?;
    Body::parse(body.text.clone()).map_err(refusals::body)
}
