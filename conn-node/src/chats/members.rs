//! Members of a chat: pages of them, to add, to change, to remove, to leave.

use super::page_limit;
use crate::accounts::users;
use crate::calls::{answered, call};
use crate::node::Node;
use crate::problem::{Answer, Problem};
use crate::profiles;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use shardline_domain::chat::Role;
use shardline_domain::id::{ChatId, UserId};
use shardline_domain::limits::MEMBERS_ADDED_MAX;
use shardline_wire::client::Member;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{AddMembers, ListMembers, MembersChanged, RemoveMember, SetRole};

#[derive(Serialize)]
pub(crate) struct MembersPage {
    pub(crate) items: Vec<Member>,
    pub(crate) next_cursor: Option<String>,
}

/// Members by user id.
pub(crate) async fn page(
    node: &Node,
    user: UserId,
    chat: ChatId,
    limit: Option<u64>,
    cursor: Option<&str>,
) -> Answer<MembersPage> {
    let limit = page_limit(limit)?;
    let after = match cursor {
        None => 0,
        Some(text) => decode(text)
            .ok_or_else(|| Problem::bad_field("cursor", "this cursor is not one of ours"))?,
    };
    let op = Op::ListMembers(ListMembers { user: user.get(), after, limit, min_ver: 0 });
    let mut page = answered!(call(node, chat, op).await, Members)?;
    name(node, &mut page.members).await;
    let last = page.members.last().filter(|_| page.more);
    Ok(MembersPage { next_cursor: last.map(|member| encode(member.user)), items: page.members })
}

/// Adds who they are, by one read of profiles; whose shard does not answer stays without a name.
pub(crate) async fn name(node: &Node, members: &mut [Member]) {
    let users: Vec<u64> = members.iter().map(|member| member.user).collect();
    let profiles = profiles::of(node, &users).await;
    for member in members {
        if let Some(profile) = profiles.get(&member.user) {
            member.name = Some(profile.name.clone());
            member.display_name = Some(profile.display_name.clone());
        }
    }
}

/// The answer to a change of members, with their names.
async fn changed(node: &Node, chat: ChatId, op: Op) -> Answer<MembersChanged> {
    let mut changed = answered!(call(node, chat, op).await, MembersChanged)?;
    name(node, &mut changed.members).await;
    Ok(changed)
}

#[derive(Deserialize)]
pub(crate) struct Additions {
    #[serde(with = "shardline_wire::json::ids")]
    pub(crate) users: Vec<u64>,
    #[serde(default)]
    pub(crate) role: Option<String>,
}

/// Adds users; who is a member already is left as it is.
pub(crate) async fn add(
    node: &Node,
    actor: UserId,
    chat: ChatId,
    new: Additions,
) -> Answer<MembersChanged> {
    if new.users.is_empty() {
        return Err(Problem::bad_field("users", "no users were given"));
    }
    if MEMBERS_ADDED_MAX < new.users.len() {
        let why = format!("{} users were given, {MEMBERS_ADDED_MAX} are allowed", new.users.len());
        return Err(Problem::bad_field("users", why));
    }
    let role = role(new.role.as_deref().unwrap_or(Role::Member.name()))?;
    users::check_exist(node, "users", &new.users).await?;
    let op = Op::AddMembers(AddMembers {
        actor: actor.get(),
        users: new.users,
        role: role.name().to_owned(),
    });
    changed(node, chat, op).await
}

pub(crate) async fn set_role(
    node: &Node,
    actor: UserId,
    chat: ChatId,
    user: UserId,
    name: &str,
) -> Answer<MembersChanged> {
    let role = role(name)?.name().to_owned();
    let op = Op::SetRole(SetRole { actor: actor.get(), user: user.get(), role });
    changed(node, chat, op).await
}

/// Removes a member; oneself: leaves.
pub(crate) async fn remove(
    node: &Node,
    actor: UserId,
    chat: ChatId,
    user: UserId,
) -> Answer<MembersChanged> {
    let op = Op::RemoveMember(RemoveMember { actor: actor.get(), user: user.get() });
    changed(node, chat, op).await
}

fn role(name: &str) -> Answer<Role> {
    Role::from_name(name).ok_or_else(|| {
        Problem::bad_field("role", "role is owner, admin, moderator, member or muted")
    })
}

fn encode(user: u64) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(user.to_be_bytes())
}

fn decode(text: &str) -> Option<u64> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let user = u64::from_be_bytes(bytes.try_into().ok()?);
    UserId::new(user).ok().map(UserId::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is() {
        assert_eq!(decode(&encode(77)), Some(77));
        let zero = encode(0);
        let huge = encode(u64::MAX);
        for bad in ["", "AAAA", "!", &zero, &huge, &"A".repeat(999)] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
