//! New chats. A chat's id follows from who made it and what it was called by the client, so asking
//! again finds the same chat.

use super::change;
use super::item::item;
use crate::accounts::{rules, users};
use crate::calls::{answered, call};
use crate::node::Node;
use crate::problem::{Answer, Problem};
use serde::Deserialize;
use shardline_domain::chat::{History, Kind};
use shardline_domain::id::{ChatId, PROBES, UserId};
use shardline_domain::limits::MEMBERS_ADDED_MAX;
use shardline_wire::client::ChatItem;
use shardline_wire::internal::CreateChat;
use shardline_wire::internal::call::Op;
use shardline_wire::refusal::{Code, Refusal};
use uuid::Uuid;

#[derive(Deserialize)]
pub(crate) struct NewChat {
    pub(crate) kind: String,
    /// Of a direct chat: the other one.
    #[serde(default, with = "shardline_wire::json::optional_id")]
    pub(crate) user: Option<u64>,
    #[serde(default)]
    pub(crate) title: Option<String>,
    /// Besides its creator.
    #[serde(default, with = "shardline_wire::json::ids")]
    pub(crate) members: Vec<u64>,
    #[serde(default)]
    pub(crate) client_chat_id: Option<String>,
    /// What new members see of earlier messages: "all" unless told, or "joined".
    #[serde(default)]
    pub(crate) history: Option<String>,
}

pub(crate) struct Created {
    pub(crate) item: ChatItem,
    /// False: it was there already.
    pub(crate) is_new: bool,
}

pub(crate) async fn create(node: &Node, creator: UserId, new: NewChat) -> Answer<Created> {
    let kind = Kind::from_name(&new.kind)
        .ok_or_else(|| Problem::bad_field("kind", "kind is direct, group or channel"))?;
    let view = match kind {
        Kind::Direct => create_direct(node, creator, new).await?,
        Kind::Group | Kind::Channel => create_group(node, creator, kind, new).await?,
    };
    if !view.created {
        let chat = view.item.as_ref().map_or(0, |item| item.chat);
        let chat = ChatId::new(chat).map_err(|_| Refusal::internal("a chat without an id"))?;
        return Ok(Created { item: change::get(node, creator, chat).await?, is_new: false });
    }
    let item = item(node, creator, view, None).await;
    let item = item.ok_or_else(|| Refusal::internal("a new chat without an item"))?;
    Ok(Created { item, is_new: true })
}

type View = shardline_wire::internal::ChatView;

async fn create_direct(node: &Node, creator: UserId, new: NewChat) -> Answer<View> {
    let user =
        new.user.ok_or_else(|| Problem::bad_field("user", "a direct chat is with a user"))?;
    if user == creator.get() {
        return Err(Problem::bad_field("user", "a direct chat is between two different users"));
    }
    let other = UserId::new(user).map_err(|error| Problem::bad_field("user", error.to_string()))?;
    users::check_exist(node, "user", &[user]).await?;
    let create = CreateChat {
        creator: creator.get(),
        kind: Kind::Direct.name().to_owned(),
        history: History::All.name().to_owned(),
        members: vec![user],
        client_chat_id: vec![0; 16],
        ..CreateChat::default()
    };
    first_free(node, &create, |probe| ChatId::of_direct(creator, other, probe)).await
}

async fn create_group(node: &Node, creator: UserId, kind: Kind, new: NewChat) -> Answer<View> {
    let title =
        new.title.ok_or_else(|| Problem::bad_field("title", format!("a {kind} has a title")))?;
    rules::check_title(&title)?;
    if MEMBERS_ADDED_MAX < new.members.len() {
        let why =
            format!("{} members were given, {MEMBERS_ADDED_MAX} are allowed", new.members.len());
        return Err(Problem::bad_field("members", why));
    }
    let history = match new.history {
        None => History::All,
        Some(name) => change::history(&name)?,
    };
    let id = match new.client_chat_id {
        None => Uuid::new_v4(),
        Some(text) => client_chat_id(&text)?,
    };
    users::check_exist(node, "members", &new.members).await?;
    let create = CreateChat {
        creator: creator.get(),
        kind: kind.name().to_owned(),
        title,
        history: history.name().to_owned(),
        client_chat_id: id.as_bytes().to_vec(),
        members: new.members,
    };
    first_free(node, &create, |probe| ChatId::of_group(creator, id.as_bytes(), probe)).await
}

/// The hyphenated form in any case, as of messages.
fn client_chat_id(text: &str) -> Answer<Uuid> {
    let uuid = Uuid::try_parse(text).ok().filter(|_| text.len() == 36);
    uuid.ok_or_else(|| Problem::bad_field("client_chat_id", "client_chat_id is a UUID"))
}

/// Creates or finds the chat at the first id that is not another chat's.
async fn first_free(node: &Node, create: &CreateChat, id: impl Fn(u32) -> ChatId) -> Answer<View> {
    for probe in 0..PROBES {
        let op = Op::CreateChat(create.clone());
        match answered!(call(node, id(probe), op).await, Chat) {
            Err(refusal) if refusal.code() == Code::IdClash => {}
            outcome => return Ok(outcome?),
        }
    }
    Err(Refusal::internal("every id of the chat is another chat's").into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_chat_id_is_a_hyphenated_uuid_in_any_case() {
        let text = "6F1C0B5E-0000-4000-8000-00000000000a";
        assert_eq!(client_chat_id(text).map(|id| id.to_string()), Ok(text.to_lowercase()));
        for bad in
            ["", "6f1c0b5e000040008000000000000000", "{6f1c0b5e-0000-4000-8000-000000000000}"]
        {
            let problem = client_chat_id(bad).expect_err("no UUID");
            assert_eq!(problem.field.as_deref(), Some("client_chat_id"));
        }
    }
}
