//! What a frame asks for, sends apart: one call or a few, then the answer with the frame's id.

use super::Session;
use super::chain::MsgId;
use super::frames::{check_body, check_chat, check_client_msg_id};
use super::hello;
use super::outgoing::{encode, error_frame};
use crate::calls::{answered, call};
use crate::chats::messages::{self, HistoryRequest, NewBody};
use crate::chats::{self, PageRequest, list, optional_number, page_limit};
use crate::hub::chat::Held;
use crate::node::Node;
use crate::problem::Problem;
use crate::{announce, cursors};
use shardline_domain::id::{ChatId, UserId};
use shardline_domain::limits::CHATS_PER_USER;
use shardline_wire::client::{self, Ack, ServerFrame, server_frame::Frame};
use shardline_wire::codes::Close;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{self, Changed, OpenChat};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// For an `open` to find its chat's router.
const REGISTER_TIME_MAX: Duration = Duration::from_secs(5);

pub(super) enum Request {
    Auth(client::Auth),
    Edit(client::Edit),
    Delete(client::Delete),
    Open(client::Open),
    History(client::History),
    Chats(client::Chats),
    Read(client::Read),
}

/// Carries out a request and answers it. Of one that renewed the token: until when.
pub(super) async fn carry_out(
    node: Arc<Node>,
    session: Arc<Session>,
    id: Option<u64>,
    request: Request,
) -> Option<i64> {
    let mut expires_at_ms = None;
    let answer = match request {
        Request::Auth(auth) => renew(&node, &session, &auth).await.map(|at_ms| {
            expires_at_ms = Some(at_ms);
            Frame::Ack(Ack { expires_at_ms: Some(at_ms), ..Ack::default() })
        }),
        Request::Edit(edit) => self::edit(&node, &session, edit).await,
        Request::Delete(delete) => self::delete(&node, &session, delete).await,
        Request::Open(open) => match self::open(&node, &session, id, open).await {
            // It went out together with what came meanwhile.
            Ok(()) => return None,
            Err(refusal) => Err(refusal),
        },
        Request::History(history) => self::history(&node, &session, history).await,
        Request::Chats(chats) => self::chats(&node, &session, chats).await,
        Request::Read(read) => self::read(&node, &session, read).await,
    };
    let frame = match answer {
        Ok(frame) => ServerFrame { id, frame: Some(frame) },
        Err(refusal) => error_frame(id, &refusal),
    };
    let bytes = encode(&frame, session.queue.encoding());
    session.queue.has_room().await;
    session.queue.push(bytes);
    expires_at_ms
}

pub(super) fn check_send(send: client::Send) -> Result<(MsgId, client::Send), Refusal> {
    check_chat(send.chat)?;
    let msg_id = check_client_msg_id(&send.client_msg_id)?;
    optional_number("reply_to", send.reply_to)?;
    let body = Some(check_body(send.body)?);
    Ok((msg_id, client::Send { body, ..send }))
}

fn chat_id(chat: u64) -> Result<ChatId, Refusal> {
    ChatId::new(check_chat(chat)?)
        .map_err(|error| Refusal::of_field(Code::BadRequest, "chat", error.to_string()))
}

fn user_id(session: &Session) -> Result<UserId, Refusal> {
    session.user().map_err(|_| Refusal::internal("a session of nobody"))
}

async fn renew(node: &Node, session: &Session, auth: &client::Auth) -> Result<i64, Refusal> {
    hello::renew(node, session, auth).await.map_err(|turned_away| {
        if turned_away.close == Close::SessionRevoked {
            session.queue.close(Close::SessionRevoked, 0);
        }
        turned_away.refusal
    })
}

async fn edit(node: &Node, session: &Session, edit: client::Edit) -> Result<Frame, Refusal> {
    let chat = chat_id(edit.chat)?;
    let body = check_body(edit.body)?;
    let new = NewBody { body, if_ver: edit.if_ver };
    let changed = messages::edit(node, user_id(session)?, chat, edit.seq, new).await;
    Ok(changed_ack(chat, changed.map_err(Problem::into_refusal)?))
}

async fn delete(node: &Node, session: &Session, delete: client::Delete) -> Result<Frame, Refusal> {
    let chat = chat_id(delete.chat)?;
    let changed = messages::delete(node, user_id(session)?, chat, delete.seq, delete.if_ver).await;
    Ok(changed_ack(chat, changed.map_err(Problem::into_refusal)?))
}

fn changed_ack(chat: ChatId, changed: Changed) -> Frame {
    Frame::Ack(Ack {
        chat: Some(chat.get()),
        seq: Some(changed.seq),
        ver: Some(changed.ver),
        log: Some(changed.log.to_string()),
        ..Ack::default()
    })
}

async fn history(
    node: &Node,
    session: &Session,
    history: client::History,
) -> Result<Frame, Refusal> {
    let request = HistoryRequest {
        before_seq: history.before_seq,
        after_seq: history.after_seq,
        limit: history.limit,
        min_ver: history.min_ver,
    };
    let page = messages::history(node, user_id(session)?, chat_id(history.chat)?, request).await?;
    Ok(Frame::History(page))
}

async fn chats(node: &Node, session: &Session, chats: client::Chats) -> Result<Frame, Refusal> {
    let request = PageRequest {
        limit: chats.limit,
        cursor: chats.cursor,
        since_list_ver: chats.since_list_ver,
    };
    let page = chats::page(node, user_id(session)?, request).await?;
    for item in &page.items {
        node.hub.note_read(session.user, item.chat, item.read_seq.unwrap_or(0));
    }
    Ok(Frame::Chats(page))
}

async fn read(node: &Node, session: &Session, read: client::Read) -> Result<Frame, Refusal> {
    let chat = chat_id(read.chat)?;
    let read_seq = chats::read::read(node, user_id(session)?, chat, read.seq).await?;
    Ok(Frame::Ack(Ack { chat: Some(read.chat), read_seq: Some(read_seq), ..Ack::default() }))
}

async fn open(
    node: &Arc<Node>,
    session: &Arc<Session>,
    id: Option<u64>,
    open: client::Open,
) -> Result<(), Refusal> {
    let chat = chat_id(open.chat)?;
    let (limit, since_ver) =
        (page_limit(open.limit)?, optional_number("since_ver", open.since_ver)?);
    let (is_open, count) = {
        let opened = session.opened.lock();
        (opened.contains(&open.chat), opened.len())
    };
    if !is_open && CHATS_PER_USER <= count {
        let message = format!("a connection has at most {CHATS_PER_USER} chats open");
        return Err(Refusal::new(Code::RateLimited, message));
    }
    let position = node.hub.begin_open(session, open.chat);
    let outcome = read_opened(node, session, chat, position, since_ver, limit, &open).await;
    let (opened, item) = match outcome {
        Ok(read) => read,
        Err(refusal) => {
            // One that was open stays so, unless it turns out that the user may not see it.
            let may_stay = is_open && !is_final(&refusal);
            if !may_stay {
                announce::close_chat(node, session, open.chat);
            }
            return Err(refusal);
        }
    };
    let view = opened.chat.as_ref();
    let joined_ver = view.map_or(0, |view| view.joined_ver);
    let log = item.log.parse().unwrap_or(0);
    node.hub.note_read(session.user, open.chat, item.read_seq.unwrap_or(0));
    let members = item.members_count;
    let to_ver = opened.to_ver;
    let encoding = session.queue.encoding();
    let mut frame = client::Opened {
        chat: Some(item),
        state: if opened.resumed { "resumed" } else { "resynced" }.to_owned(),
        messages: opened.messages,
        changes: opened.changes,
        to_ver,
        more: opened.more,
        at_start: opened.at_start,
        read: opened.read,
        members: opened.members,
    };
    session.queue.has_room().await;
    node.hub.opened(session, open.chat, joined_ver, (log, to_ver), members, move |held| {
        frame.more |= held == Held::NotAll;
        encode(&ServerFrame { id, frame: Some(Frame::Opened(frame)) }, encoding)
    });
    Ok(())
}

/// Registers the node's interest, then reads: what happens after the read is pushed.
async fn read_opened(
    node: &Arc<Node>,
    session: &Arc<Session>,
    chat: ChatId,
    position: Option<(u64, u64)>,
    since_ver: Option<u64>,
    limit: u64,
    open: &client::Open,
) -> Result<(internal::Opened, client::ChatItem), Refusal> {
    announce::register(node, chat.get(), Instant::now() + REGISTER_TIME_MAX).await?;
    // Not older than what this node has shown already, in the history that the client knows.
    let is_same_log = |log: u64| open.log.as_ref().is_none_or(|given| *given == log.to_string());
    let min_ver = position.filter(|(log, _)| is_same_log(*log)).map_or(0, |(_, ver)| ver);
    let op = OpenChat { user: session.user, since_ver, log: open.log.clone(), limit, min_ver };
    let user = user_id(session)?;
    let (opened, row) =
        tokio::join!(call(node, chat, Op::OpenChat(op)), list::row(node, user, chat.get()));
    let mut opened = answered!(opened, Opened)?;
    let view = opened.chat.clone().ok_or_else(|| Refusal::internal("opened without a chat"))?;
    let members: Vec<u64> = opened.read.iter().map(|mark| mark.user).collect();
    let (item, cursors, ()) = tokio::join!(
        chats::item(node, user, view, row.as_ref()),
        cursors::known_of_chat(node, chat, &members),
        chats::members::name(node, &mut opened.members)
    );
    let item = item.ok_or_else(|| Refusal::internal("a chat without an item"))?;
    raise_marks(&mut opened.read, &cursors, session.user, &item);
    Ok((opened, item))
}

/// What members read and is not stored yet; one's own mark is that of the chat item.
fn raise_marks(
    marks: &mut [client::ReadMark],
    cursors: &HashMap<u64, u64>,
    own: u64,
    item: &client::ChatItem,
) {
    for mark in marks {
        let known = cursors.get(&mark.user).copied().unwrap_or(0).min(item.head_seq);
        mark.seq = mark.seq.max(known);
        if mark.user == own {
            mark.seq = mark.seq.max(item.read_seq.unwrap_or(0));
        }
    }
}

fn is_final(refusal: &Refusal) -> bool {
    let code = shardline_wire::codes::to_client(refusal.code());
    code.retry() == shardline_domain::error::Retry::Never
}
