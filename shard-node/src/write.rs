//! What each write does: rules decide, staging takes the change. Called in a batch's order; a refusal
//! leaves the batch as it was (but for a session that a misused token ends).

pub(crate) mod chat;
pub(crate) mod cursor;
pub(crate) mod members;
pub(crate) mod message;
pub(crate) mod name;
pub(crate) mod repair;
pub(crate) mod send;
pub(crate) mod session;
pub(crate) mod user;

use crate::lanes::recent::Recent;
use crate::lanes::staging::Staging;
use crate::refusals;
use crate::store::{MessageKey, MessageRow};
use shardline_domain::append::First;
use shardline_domain::id::UserId;
use shardline_wire::call::Answer;
use shardline_wire::internal::{Call, call};
use shardline_wire::refusal::Refusal;
use std::collections::{HashMap, HashSet};

/// (chat, ver, user) of an outbox row.
pub(crate) type FactKey = (u64, u64, u64);

pub(crate) enum Verdict {
    Answer(Answer),
    /// The answer waits, a while, until this fact shows in its user's list.
    AfterFact(Answer, FactKey),
}

pub(crate) type Decided = Result<Verdict, Refusal>;

/// What was looked up for a batch, beside its entities.
pub(crate) struct LookedUp<'a> {
    pub(crate) recent: &'a Recent,
    /// Sends that were found.
    pub(crate) sends: HashMap<MessageKey, First>,
    /// Sends that would have to be looked up, but the database did not answer.
    pub(crate) unknown_sends: HashSet<MessageKey>,
    /// By (chat, seq), as far as they exist.
    pub(crate) messages: HashMap<(u64, u64), MessageRow>,
    pub(crate) unknown_messages: HashSet<(u64, u64)>,
}

impl LookedUp<'_> {
    /// The first answer to a send, if it was stored; refused if that cannot be known now.
    pub(crate) fn send(
        &self,
        staging: &Staging,
        key: &MessageKey,
    ) -> Result<Option<First>, Refusal> {
        let first = staging
            .sent(key)
            .or_else(|| self.recent.get(key))
            .or_else(|| self.sends.get(key).copied());
        if first.is_none() && self.unknown_sends.contains(key) {
            return Err(refusals::database_busy());
        }
        Ok(first)
    }

    pub(crate) fn message<'a>(
        &'a self,
        staging: &'a Staging,
        chat: u64,
        seq: u64,
    ) -> Result<&'a MessageRow, Refusal> {
        if self.unknown_messages.contains(&(chat, seq)) {
            return Err(refusals::database_busy());
        }
        staging
            .changed_message(chat, seq)
            .or_else(|| self.messages.get(&(chat, seq)))
            .ok_or_else(|| refusals::no_message(seq))
    }
}

/// Decides one call against everything decided before it in the batch.
pub(crate) fn decide(staging: &mut Staging, looked_up: &LookedUp<'_>, call: &Call) -> Decided {
    let id = call.entity;
    let Some(op) = &call.op else {
        return Err(Refusal::internal("a call without an operation"));
    };
    match op {
        call::Op::Send(send) => send::send(staging, looked_up, id, send),
        call::Op::Edit(edit) => message::edit(staging, looked_up, id, edit),
        call::Op::Delete(delete) => message::delete(staging, looked_up, id, delete),
        call::Op::CreateChat(create) => chat::create(staging, id, create),
        call::Op::PatchChat(patch) => chat::patch(staging, id, patch),
        call::Op::EndChat(end) => chat::end(staging, id, end),
        call::Op::AddMembers(add) => members::add(staging, id, add),
        call::Op::SetRole(set) => members::set_role(staging, id, set),
        call::Op::RemoveMember(remove) => members::remove(staging, id, remove),
        call::Op::CreateUser(create) => user::create(staging, id, create),
        call::Op::PatchUser(patch) => user::patch(staging, id, patch),
        call::Op::ApplyFact(fact) => user::apply_fact(staging, id, fact),
        call::Op::CreateSession(create) => session::create(staging, id, create),
        call::Op::RefreshSession(refresh) => session::refresh(staging, id, refresh),
        call::Op::EndSession(end) => session::end(staging, id, end),
        call::Op::ClaimName(claim) => name::claim(staging, id, claim),
        call::Op::EmitFact(emit) => repair::emit_fact(staging, id, emit),
        call::Op::RemoveUser(remove) => repair::remove_user(staging, id, remove),
        _ => Err(Refusal::internal("a read came to a lane")),
    }
}

fn user_id(field: &str, number: u64) -> Result<UserId, Refusal> {
    UserId::new(number).map_err(|error| refusals::bad_field(field, error.to_string()))
}

fn sixteen(field: &str, bytes: &[u8]) -> Result<[u8; 16], Refusal> {
    bytes.try_into().map_err(|_| refusals::bad_field(field, "it has to have 16 bytes"))
}
