//! Accounts of people whom an outside provider knows: the name its token claims is their name here, and
//! the account is made at the first log-in. Everything after that is as with our own passwords.

use super::{log_in, owner_of, register, rules};
use crate::node::Node;
use crate::outside::{Claimed, Outside};
use crate::problem::{Answer, Problem};
use shardline_domain::error::Code;
use shardline_domain::id::UserId;
use shardline_wire::client::User;

/// What is stored for a password: no password has it.
const NO_PASSWORD: &str = "*";

/// A new session for whom the token names.
///
/// # Errors
/// `unauthenticated` for a token that is not good, `forbidden` for a name that cannot be one here,
/// `unavailable` while the provider's keys are not known.
pub(crate) async fn log_in(
    node: &Node,
    outside: &Outside,
    token: &str,
    device: String,
) -> Answer<log_in::Session> {
    rules::check_device(&device)?;
    let claimed = outside.check(token).await?;
    let user = match user_of(node, &claimed).await? {
        Some(user) => user,
        None => create(node, &claimed).await?,
    };
    log_in::begin(node, user, device).await
}

/// Whether a token that renews a session is of the session's own user: who the provider no longer
/// vouches for does not go on here.
pub(crate) async fn check_same_user(
    node: &Node,
    outside: &Outside,
    token: &str,
    user: UserId,
) -> Answer<()> {
    let claimed = outside.check(token).await?;
    if user_of(node, &claimed).await? == Some(user) {
        return Ok(());
    }
    let why = "the token is not of this session's user";
    Err(Problem { field: Some("token".to_owned()), ..Problem::new(Code::Unauthenticated, why) })
}

async fn user_of(node: &Node, claimed: &Claimed) -> Answer<Option<UserId>> {
    rules::check_name(&claimed.name).map_err(|problem| Problem {
        field: Some("token".to_owned()),
        ..Problem::new(Code::Forbidden, format!("the token's {}", problem.message))
    })?;
    Ok(owner_of(node, &claimed.name).await?)
}

async fn create(node: &Node, claimed: &Claimed) -> Answer<UserId> {
    let shown = claimed.display_name.clone();
    let shown = shown.filter(|text| rules::check_display_name(text).is_ok());
    let display_name = shown.unwrap_or_else(|| claimed.name.clone());
    let account = register::NewUser {
        name: claimed.name.clone(),
        display_name,
        password_hash: NO_PASSWORD.to_owned(),
    };
    match register::create(node, account).await {
        Ok(User { user, .. }) => Ok(id(user)?),
        // Two first log-ins at once.
        Err(problem) if problem.code == Code::NameTaken => {
            let user = owner_of(node, &claimed.name).await?;
            user.ok_or(problem)
        }
        Err(problem) => Err(problem),
    }
}

fn id(user: u64) -> Answer<UserId> {
    UserId::new(user).map_err(|_| Problem::new(Code::Internal, "a new user without an id"))
}
