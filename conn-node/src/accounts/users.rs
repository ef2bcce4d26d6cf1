//! What is shown of users: oneself, another by id, and those whose name begins with something.

use super::{owner_of, rules};
use crate::calls::{self, answered, call, call_of_several};
use crate::node::Node;
use crate::problem::{Answer, Problem};
use serde::Deserialize;
use shardline_domain::id::UserId;
use shardline_domain::limits::CALL_TIME_MAX;
use shardline_wire::client::User;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{GetCredentials, NameView, PatchUser, SearchNames};
use shardline_wire::refusal::Refusal;
use std::collections::HashMap;

/// As it is now, not from this node's memory.
///
/// # Errors
/// NOT_FOUND only if there is no such user; if its shard does not answer, that shard's refusal.
pub(crate) async fn get(node: &Node, user: UserId) -> Result<User, Refusal> {
    if let Some(found) = calls::users(node, [user.get()], CALL_TIME_MAX).await?.pop() {
        node.profiles.put(found.clone());
        return Ok(found);
    }
    // Missing among several means unknown or not reachable; asked alone, the shard says which.
    let op = Op::GetCredentials(GetCredentials {});
    let credentials = answered!(call(node, user, op).await, Credentials)?;
    credentials.user.ok_or_else(|| Refusal::internal("credentials without a user"))
}

/// Fields left out stay as they are.
#[derive(Deserialize)]
pub(crate) struct Patch {
    #[serde(default)]
    pub(crate) display_name: Option<String>,
    #[serde(default)]
    pub(crate) about: Option<String>,
}

pub(crate) async fn patch(node: &Node, user: UserId, patch: Patch) -> Answer<User> {
    let Patch { display_name, about } = patch;
    if let Some(text) = &display_name {
        rules::check_display_name(text)?;
    }
    if let Some(text) = &about {
        rules::check_about(text)?;
    }
    if display_name.is_none() && about.is_none() {
        return Ok(get(node, user).await?);
    }
    let op = Op::PatchUser(PatchUser { display_name, about });
    let view = answered!(call(node, user, op).await, User)?;
    let user = view.user.ok_or_else(|| Refusal::internal("a user without a profile"))?;
    node.profiles.put(user.clone());
    Ok(user)
}

/// Users by the beginning of their name, in the order of names: who is called exactly so comes first,
/// and is looked up, so that no limit and no shard that was late leaves him out.
pub(crate) async fn search(node: &Node, prefix: &str, limit: u64) -> Answer<Vec<User>> {
    rules::check_name(prefix)?;
    let op = Op::SearchNames(SearchNames { prefix: prefix.to_owned(), limit });
    let (exact, names) = tokio::join!(owner_of(node, prefix), call_of_several(node, op));
    let mut names = answered!(names, Names)?.names;
    if let Some(user) = exact? {
        names.push(NameView { name: prefix.to_owned(), user: user.get() });
    }
    names.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    names.dedup_by(|one, other| one.name == other.name);
    names.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
    let found = calls::users(node, names.iter().map(|name| name.user), CALL_TIME_MAX).await?;
    let mut by_id: HashMap<u64, User> = found.into_iter().map(|user| (user.user, user)).collect();
    Ok(names.iter().filter_map(|name| by_id.remove(&name.user)).collect())
}

/// Refuses ids of users that do not exist, naming the field they came in.
pub(crate) async fn check_exist(node: &Node, field: &str, users: &[u64]) -> Answer<()> {
    let found = calls::users(node, users.iter().copied(), CALL_TIME_MAX).await?;
    for user in users {
        if found.iter().any(|known| known.user == *user) {
            continue;
        }
        let id =
            UserId::new(*user).map_err(|error| Problem::bad_field(field, error.to_string()))?;
        if let Err(refusal) = get(node, id).await {
            let problem = Problem::from(refusal);
            return Err(Problem { field: Some(field.to_owned()), ..problem });
        }
    }
    Ok(())
}
