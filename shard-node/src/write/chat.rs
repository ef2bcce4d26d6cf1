//! A chat begins, changes its settings, and ends.

use super::message::chat_and_member;
use super::{Decided, Verdict, sixteen, user_id};
use crate::entity::{Chat, Member};
use crate::events;
use crate::lanes::staging::Staging;
use crate::refusals;
use crate::store::{ChatRow, HeadRow};
use shardline_domain::chat::{History, Kind, Role, may_change_settings, may_end};
use shardline_domain::id::{ChatId, UserId};
use shardline_domain::membership::{Identity, founders};
use shardline_domain::user::check_title;
use shardline_wire::call::Answer;
use shardline_wire::internal::{Changed, ChatView, CreateChat, EndChat, PatchChat};
use shardline_wire::refusal::{Code, Refusal};
use std::sync::Arc;

/// The same identity again finds the chat (`created` is false). An id that belongs to something else
/// is a clash: the caller takes the next.
pub(crate) fn create(staging: &mut Staging, id: u64, create: &CreateChat) -> Decided {
    let creator = user_id("creator", create.creator)?;
    let wanted = Wanted::parse(id, creator, create)?;
    if let Some(chat) = staging.find_chat(id)? {
        if identity(chat)? != wanted.identity {
            return Err(refusals::id_clash());
        }
        if chat.row.ended {
            return Err(refusals::no_chat());
        }
        let member = chat.members.get(creator.get()).ok_or_else(refusals::not_member)?;
        return Ok(Verdict::Answer(Answer::Chat(view(chat, member, false))));
    }

    let at_ms = staging.at_ms();
    let founders: Vec<Member> =
        wanted.founders.iter().map(|user| wanted.founder(*user, creator)).collect();
    staging.create_chat(wanted.chat(id, creator, at_ms), founders);
    let chat = staging.chat(id)?;
    let member = chat.members.get(creator.get()).ok_or_else(refusals::not_member)?;
    let fact = (id, member.joined_ver, member.user);
    Ok(Verdict::AfterFact(Answer::Chat(view(chat, member, true)), fact))
}

/// Title and settings. What is already so is not written again.
pub(crate) fn patch(staging: &mut Staging, id: u64, patch: &PatchChat) -> Decided {
    if let Some(title) = &patch.title {
        check_title(title).map_err(|error| refusals::text("title", error))?;
    }
    let history = patch.history.as_deref().map(parse_history).transpose()?;
    let (chat, member) = chat_and_member(staging, id, patch.actor)?;
    may_change_settings(chat.kind, member.role).map_err(refusals::denied)?;
    let changes = patch.title.as_ref().is_some_and(|title| *title != chat.row.title)
        || history.is_some_and(|history| history != chat.history);
    if changes {
        if patch.if_ver.is_some_and(|seen| seen < chat.row.settings_ver) {
            let message = format!("the chat changed at ver {}", chat.row.settings_ver);
            return Err(Refusal::of_field(Code::Conflict, "if_ver", message));
        }
        staging.change_settings(id, |row| {
            if let Some(title) = &patch.title {
                row.title.clone_from(title);
            }
            if let Some(history) = history {
                row.history = history.name().to_owned();
            }
        });
    }
    let (chat, member) = chat_and_member(staging, id, patch.actor)?;
    Ok(Verdict::Answer(Answer::Chat(view(chat, member, false))))
}

/// Ends the chat for all, once.
pub(crate) fn end(staging: &mut Staging, id: u64, end: &EndChat) -> Decided {
    let (chat, member) = chat_and_member(staging, id, end.actor)?;
    may_end(chat.kind, member.role).map_err(refusals::denied)?;
    let log = chat.head.log;
    let ver = staging.end_chat(id);
    let answer = Answer::Changed(Changed { seq: 0, ver, log });
    Ok(Verdict::AfterFact(answer, (id, ver, end.actor)))
}

/// A well-formed request.
struct Wanted {
    kind: Kind,
    title: String,
    history: History,
    identity: Identity,
    client_chat_id: [u8; 16],
    founders: Vec<UserId>,
}

impl Wanted {
    fn parse(id: u64, creator: UserId, create: &CreateChat) -> Result<Wanted, Refusal> {
        let kind = Kind::from_name(&create.kind)
            .ok_or_else(|| refusals::bad_field("kind", "it is direct, group or channel"))?;
        let others = create
            .members
            .iter()
            .map(|user| user_id("members", *user))
            .collect::<Result<Vec<_>, _>>()?;
        let founders = founders(kind, creator, &others).map_err(refusals::members)?;
        let (identity, client_chat_id) = match (kind, founders.as_slice()) {
            (Kind::Direct, [one, other]) => (Identity::direct(*one, *other), [0; 16]),
            _ => {
                let client_chat_id = sixteen("client_chat_id", &create.client_chat_id)?;
                (Identity::Group { creator, client_chat_id }, client_chat_id)
            }
        };
        let chat = ChatId::new(id).map_err(|_| Refusal::internal("a chat's id is out of range"))?;
        if !identity.may_have(chat) {
            return Err(Refusal::internal("a chat's id does not come from its identity"));
        }
        let title = match kind {
            Kind::Direct => String::new(),
            _ => {
                check_title(&create.title).map_err(|error| refusals::text("title", error))?;
                create.title.clone()
            }
        };
        let history =
            if create.history.is_empty() { History::All } else { parse_history(&create.history)? };
        Ok(Wanted { kind, title, history, identity, client_chat_id, founders })
    }

    fn founder(&self, user: UserId, creator: UserId) -> Member {
        let role = match self.kind {
            Kind::Direct => Role::Member,
            _ if user == creator => Role::Owner,
            _ => Role::Member,
        };
        // Staging gives the ver.
        Member { user: user.get(), role, joined_ver: 0, joined_seq: 0, read_seq: 0 }
    }

    fn chat(&self, id: u64, creator: UserId, at_ms: i64) -> Chat {
        let row = ChatRow {
            chat: id,
            kind: self.kind.name().to_owned(),
            title: self.title.clone(),
            history: self.history.name().to_owned(),
            creator: creator.get(),
            client_chat_id: self.client_chat_id,
            created_at_ms: at_ms,
            settings_ver: 1,
            trimmed_seq: 0,
            trimmed_ver: 0,
            ended: false,
        };
        Chat {
            head: HeadRow { entity: id, seq: 0, ver: 0, log: new_log(), activity_ms: at_ms },
            kind: self.kind,
            history: self.history,
            row: Arc::new(row),
            members: Arc::default(),
            read: Arc::default(),
            last: None,
        }
    }
}

/// Random, not 0, and within what a signed column holds.
pub(crate) fn new_log() -> u64 {
    (rand::random::<u64>() >> 1).max(1)
}

fn identity(chat: &Chat) -> Result<Identity, Refusal> {
    let damaged = || Refusal::internal("the shard found damaged data");
    if chat.kind != Kind::Direct {
        let creator = UserId::new(chat.row.creator).map_err(|_| damaged())?;
        return Ok(Identity::Group { creator, client_chat_id: chat.row.client_chat_id });
    }
    let mut members = chat.members.iter().map(|member| UserId::new(member.user));
    match (members.next(), members.next()) {
        (Some(Ok(one)), Some(Ok(other))) => Ok(Identity::direct(one, other)),
        _ => Err(damaged()),
    }
}

fn view(chat: &Chat, member: &Member, created: bool) -> ChatView {
    let last = chat.last.as_deref();
    ChatView { created, ..events::chat_view(chat, member, last) }
}

fn parse_history(name: &str) -> Result<History, Refusal> {
    History::from_name(name).ok_or_else(|| refusals::bad_field("history", "it is all or joined"))
}
