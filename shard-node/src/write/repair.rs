//! What an operator's check asks to have done again. The shard that decides says it anew; it is delivered
//! and applied like everything else.

use super::{Decided, Verdict, user_id};
use crate::lanes::staging::Staging;
use crate::refusals;
use shardline_domain::check::facts::{Fact, can_be_told};
use shardline_domain::check::names::is_leftover;
use shardline_wire::call::Answer;
use shardline_wire::internal::{EmitFact, RemoveUser, Repaired};
use shardline_wire::refusal::{Code, Refusal};
use std::time::Duration;

/// Whether the user is a member now is told as of the chat's head: that is newer than every fact that was
/// told before, and older than every one to come.
pub(crate) fn emit_fact(staging: &mut Staging, id: u64, emit: &EmitFact) -> Decided {
    let user = user_id("user", emit.user)?.get();
    let chat = staging.chat(id)?;
    let head_ver = chat.head.ver;
    let joined = !chat.row.ended && chat.members.get(user).is_some();
    let known = Some(Fact { ver: emit.known_ver, joined });
    if !can_be_told(head_ver, known) {
        let known = emit.known_ver;
        let message = format!("the list knows ver {known}, the chat is at {head_ver}");
        return Err(Refusal::new(Code::Conflict, message));
    }
    staging.tell_fact(id, user, joined);
    Ok(Verdict::Answer(Answer::Repaired(Repaired { ver: head_ver })))
}

/// A user who is not there is removed already.
pub(crate) fn remove_user(staging: &mut Staging, id: u64, remove: &RemoveUser) -> Decided {
    let done = Ok(Verdict::Answer(Answer::Repaired(Repaired { ver: 0 })));
    let Some(user) = staging.find_user(id)? else { return done };
    let age = u64::try_from(staging.at_ms() - user.row.created_at_ms).unwrap_or(0);
    let why = if user.row.name != remove.name {
        "the user has another name"
    } else if !is_leftover(Duration::from_millis(age)) {
        "the user may be about to claim the name"
    } else if !user.sessions.is_empty() || !user.list.is_empty() {
        "the user has sessions or chats"
    } else if !staging.remove_user(id) {
        return Err(refusals::overloaded());
    } else {
        return done;
    };
    Err(Refusal::new(Code::Conflict, why))
}
