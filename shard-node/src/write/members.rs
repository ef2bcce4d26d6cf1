//! Who is in a chat, and with what role.

use super::message::chat_and_member;
use super::{Decided, Verdict, user_id};
use crate::entity::Member;
use crate::events;
use crate::lanes::staging::Staging;
use crate::refusals;
use shardline_domain::chat::{
    Leaving, Role, may_add, may_hand_over, may_leave, may_remove, may_set_role,
};
use shardline_domain::membership::additions;
use shardline_wire::call::Answer;
use shardline_wire::client;
use shardline_wire::internal::{AddMembers, MembersChanged, RemoveMember, SetRole};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::HashSet;

/// Adds those who are not members yet, each with a ver of its own; answers all who were named.
pub(crate) fn add(staging: &mut Staging, id: u64, add: &AddMembers) -> Decided {
    let role = match parse_role(&add.role) {
        _ if add.role.is_empty() => Role::Member,
        Ok(Role::Owner) => return Err(refusals::bad_field("role", "nobody is added as owner")),
        role => role?,
    };
    let users =
        add.users.iter().map(|user| user_id("users", *user)).collect::<Result<Vec<_>, _>>()?;
    if users.is_empty() {
        return Err(refusals::bad_field("users", "it is empty"));
    }
    let (chat, actor) = chat_and_member(staging, id, add.actor)?;
    may_add(chat.kind, actor.role, role).map_err(refusals::denied)?;
    let is_member = |user: shardline_domain::id::UserId| chat.members.get(user.get()).is_some();
    let new = additions(&users, chat.members.len(), is_member).map_err(refusals::members)?;
    let head_seq = chat.head.seq;
    for user in new {
        // Staging gives the ver. What was written before is no news to who joins now.
        let (user, joined_seq, read_seq) = (user.get(), head_seq, head_seq);
        staging.put_member(id, Member { user, role, joined_ver: 0, joined_seq, read_seq }, true);
    }
    let chat = staging.chat(id)?;
    let mut named = HashSet::new();
    let members = users
        .iter()
        .filter(|user| named.insert(**user))
        .filter_map(|user| chat.members.get(user.get()))
        .map(|member| events::member(member, None))
        .collect();
    Ok(Verdict::Answer(changed(staging, id, members)?))
}

pub(crate) fn set_role(staging: &mut Staging, id: u64, set: &SetRole) -> Decided {
    let role = parse_role(&set.role)?;
    let (chat, actor) = chat_and_member(staging, id, set.actor)?;
    let target = *member(chat, set.user)?;
    if role == Role::Owner {
        let actor = *actor;
        return hand_over(staging, id, actor, target);
    }
    may_set_role(chat.kind, actor.role, target.role, role).map_err(refusals::denied)?;
    let target = Member { role, ..target };
    if chat.members.get(set.user).is_some_and(|known| known.role != role) {
        staging.put_member(id, target, false);
    }
    Ok(Verdict::Answer(changed(staging, id, vec![events::member(&target, None)])?))
}

/// The target becomes the owner, then the owner an admin: two vers of one commit, so that nobody ever
/// sees the chat without an owner. Asked again by who was the owner, it is answered as it is.
fn hand_over(staging: &mut Staging, id: u64, actor: Member, target: Member) -> Decided {
    let chat = staging.chat(id)?;
    let is_done = target.role == Role::Owner && actor.role <= Role::Admin;
    let (target, actor) = if is_done {
        (target, actor)
    } else {
        may_hand_over(chat.kind, actor.role, target.role).map_err(refusals::denied)?;
        let target = Member { role: Role::Owner, ..target };
        let actor = Member { role: Role::Admin, ..actor };
        staging.put_member(id, target, false);
        staging.put_member(id, actor, false);
        (target, actor)
    };
    let mut members = vec![events::member(&target, None)];
    if actor.user != target.user {
        members.push(events::member(&actor, None));
    }
    Ok(Verdict::Answer(changed(staging, id, members)?))
}

/// Leaves (actor and user are one) or removes somebody.
pub(crate) fn remove(staging: &mut Staging, id: u64, remove: &RemoveMember) -> Decided {
    let (chat, actor) = chat_and_member(staging, id, remove.actor)?;
    let leaves = remove.actor == remove.user;
    let target = *member(chat, remove.user)?;
    let ends = if leaves {
        let leaving = may_leave(chat.kind, actor.role, chat.members.len());
        leaving.map_err(refusals::denied)? == Leaving::EndsTheChat
    } else {
        may_remove(chat.kind, actor.role, target.role).map_err(refusals::denied)?;
        false
    };
    if ends {
        staging.change_settings(id, |row| row.ended = true);
    }
    let ver = staging.remove_member(id, target);
    let answer = changed(staging, id, vec![events::member(&target, Some(ver))])?;
    if leaves {
        Ok(Verdict::AfterFact(answer, (id, ver, remove.user)))
    } else {
        Ok(Verdict::Answer(answer))
    }
}

fn member(chat: &crate::entity::Chat, user: u64) -> Result<&Member, Refusal> {
    chat.members
        .get(user)
        .ok_or_else(|| Refusal::of_field(Code::NotFound, "user", "there is no such member"))
}

fn changed(staging: &Staging, id: u64, members: Vec<client::Member>) -> Result<Answer, Refusal> {
    let head = staging.chat(id)?.head;
    Ok(Answer::MembersChanged(MembersChanged { members, ver: head.ver, log: head.log }))
}

fn parse_role(name: &str) -> Result<Role, Refusal> {
    let roles = "it is owner, admin, moderator, member or muted";
    Role::from_name(name).ok_or_else(|| refusals::bad_field("role", roles))
}
