//! One chat: to see it, to change its title and settings, to end it.

use super::item::item;
use super::{list, optional_number};
use crate::accounts::rules;
use crate::calls::{answered, call};
use crate::node::Node;
use crate::problem::{Answer, Problem};
use serde::Deserialize;
use shardline_domain::chat::History;
use shardline_domain::id::{ChatId, UserId};
use shardline_wire::call::Answer as WireAnswer;
use shardline_wire::client::ChatItem;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{ChatView, EndChat, GetChat, PatchChat};
use shardline_wire::refusal::Refusal;

/// The chat as its shard knows it, for one member.
pub(crate) async fn view(
    node: &Node,
    user: UserId,
    chat: ChatId,
    min_ver: u64,
) -> Result<ChatView, Refusal> {
    let op = Op::GetChat(GetChat { user: user.get(), min_ver });
    answered!(call(node, chat, op).await, Chat)
}

pub(crate) async fn get(node: &Node, user: UserId, chat: ChatId) -> Answer<ChatItem> {
    let (view, row) = tokio::join!(view(node, user, chat, 0), list::row(node, user, chat.get()));
    let item = item(node, user, view?, row.as_ref()).await;
    Ok(item.ok_or_else(|| Refusal::internal("a chat without an item"))?)
}

/// Fields left out stay as they are.
#[derive(Deserialize)]
pub(crate) struct Patch {
    #[serde(default)]
    pub(crate) title: Option<String>,
    #[serde(default)]
    pub(crate) history: Option<String>,
    #[serde(default)]
    pub(crate) if_ver: Option<u64>,
}

pub(crate) async fn patch(
    node: &Node,
    user: UserId,
    chat: ChatId,
    patch: Patch,
) -> Answer<ChatItem> {
    let if_ver = optional_number("if_ver", patch.if_ver)?;
    if let Some(title) = &patch.title {
        rules::check_title(title)?;
    }
    let history = patch.history.as_deref().map(history).transpose()?;
    if patch.title.is_none() && history.is_none() {
        return get(node, user, chat).await;
    }
    let op = Op::PatchChat(PatchChat {
        actor: user.get(),
        title: patch.title,
        history: history.map(|history| history.name().to_owned()),
        if_ver,
    });
    answered!(call(node, chat, op).await, Chat)?;
    // What the shard answers may lack the last message.
    get(node, user, chat).await
}

/// Ends the chat for all and says how it ended.
pub(crate) async fn end(node: &Node, user: UserId, chat: ChatId) -> Answer<ChatItem> {
    // Read first: who is no longer a member sees nothing of it afterwards.
    let before = get(node, user, chat).await?;
    let op = Op::EndChat(EndChat { actor: user.get() });
    match call(node, chat, op).await? {
        WireAnswer::Chat(view) => {
            let item = item(node, user, view, None).await;
            Ok(item.unwrap_or(before))
        }
        WireAnswer::Changed(changed) => {
            Ok(ChatItem { head_ver: changed.ver, ended: true, ..before })
        }
        _ => Err(Refusal::internal("another answer than Chat or Changed").into()),
    }
}

pub(super) fn history(name: &str) -> Answer<History> {
    History::from_name(name)
        .ok_or_else(|| Problem::bad_field("history", "history is all or joined"))
}
