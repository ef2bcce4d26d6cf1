//! Sessions: to log in, to renew, to log out.

use super::{owner_of, rules};
use crate::auth::Principal;
use crate::auth::refresh::RefreshToken;
use crate::calls::{answered, call};
use crate::node::Node;
use crate::problem::{Answer, Problem};
use serde::{Deserialize, Serialize};
use shardline_daemon::clock;
use shardline_domain::error::Code;
use shardline_domain::id::{NameId, SessionId, UserId};
use shardline_domain::user::Nonce;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    CreateSession, Credentials, EndSession, GetCredentials, RefreshSession, SessionView,
};
use shardline_wire::refusal::{Code as WireCode, Refusal};
use tokio::time::Instant;

#[derive(Deserialize)]
pub(crate) struct LogIn {
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    password: Option<String>,
    /// Of the outside provider, where there is one, in place of name and password.
    #[serde(default)]
    token: Option<String>,
    #[serde(default)]
    device: Option<String>,
}

/// What log-in and refresh answer: whoever has it acts as the user.
#[derive(Serialize)]
pub(crate) struct Session {
    pub(crate) token: String,
    pub(crate) expires_at_ms: i64,
    pub(crate) refresh_token: String,
    #[serde(with = "shardline_wire::json::id")]
    pub(crate) user: u64,
    #[serde(with = "shardline_wire::json::id")]
    pub(crate) session: u64,
}

/// A new session. The eleventh of a user ends the one idle longest.
///
/// # Errors
/// The same for an unknown name and a wrong password, after about the same time.
pub(crate) async fn log_in(node: &Node, log_in: LogIn) -> Answer<Session> {
    let LogIn { name, password, token, device } = log_in;
    let device = device.unwrap_or_default();
    if let Some(outside) = &node.outside {
        let token = token.ok_or_else(token_is_missing)?;
        return super::outside::log_in(node, outside, &token, device).await;
    }
    if token.is_some() {
        return Err(Problem::bad_field("token", "this server has no outside identity provider"));
    }
    let name = name.ok_or_else(|| Problem::bad_field("name", "name is missing"))?;
    let password = password.ok_or_else(|| Problem::bad_field("password", "password is missing"))?;
    rules::check_device(&device)?;
    rules::check_password_size(&password)?;
    let credentials = credentials_of(node, &name).await?;
    let hash = credentials.as_ref().map(|(_, credentials)| credentials.password_hash.clone());
    let is_right = node.passwords.verify(password, hash).await?;
    let Some((user, credentials)) = credentials.filter(|_| is_right) else {
        return Err(Problem::new(Code::Unauthenticated, "the name or the password is wrong"));
    };
    if let Some(profile) = credentials.user {
        node.profiles.put(profile);
    }
    begin(node, user, device).await
}

fn token_is_missing() -> Problem {
    Problem::bad_field("token", "log in with a token of the identity provider")
}

/// A new session of somebody who has shown who they are.
pub(super) async fn begin(node: &Node, user: UserId, device: String) -> Answer<Session> {
    let session = SessionId::from_random(rand::random());
    let nonce: Nonce = rand::random();
    let create = CreateSession { session: session.get(), device, nonce: nonce.to_vec() };
    let view = match create_session(node, user, create.clone()).await {
        // The same session and nonce again finds what was created.
        Err(refusal) if refusal.code() == WireCode::Unknown => {
            create_session(node, user, create).await?
        }
        outcome => outcome?,
    };
    Ok(issue(node, Principal { user, session }, &view, nonce))
}

async fn create_session(
    node: &Node,
    user: UserId,
    create: CreateSession,
) -> Result<SessionView, Refusal> {
    answered!(call(node, user, Op::CreateSession(create)).await, Session)
}

async fn credentials_of(node: &Node, name: &str) -> Result<Option<(UserId, Credentials)>, Refusal> {
    // What cannot be a name is nobody's.
    if rules::check_name(name).is_err() {
        return Ok(None);
    }
    // For an unknown name somebody is asked for all the same, to take as long.
    let nobody = UserId::from_random(NameId::of_name(name, 0).get() << 1);
    let owner = owner_of(node, name).await?;
    let op = Op::GetCredentials(GetCredentials {});
    match answered!(call(node, owner.unwrap_or(nobody), op).await, Credentials) {
        Ok(credentials) => Ok(owner.map(|user| (user, credentials))),
        Err(refusal) if refusal.code() == WireCode::NotFound => Ok(None),
        Err(refusal) => Err(refusal),
    }
}

/// The session goes on with new tokens. The old refresh token stays good until the new one is used,
/// so an answer that was lost can be asked for again.
///
/// # Errors
/// `unauthenticated` for a token that is not ours or was used up; the latter ends the session.
pub(crate) async fn refresh(
    node: &Node,
    refresh_token: &str,
    outside_token: Option<&str>,
) -> Answer<Session> {
    let ended = || Problem::new(Code::Unauthenticated, "the refresh token is not valid: log in");
    let token = node.keys.unseal(refresh_token).ok_or_else(ended)?;
    if let Some(outside) = &node.outside {
        let shown = outside_token.ok_or_else(token_is_missing)?;
        super::outside::check_same_user(node, outside, shown, token.principal.user).await?;
    }
    let new_nonce: Nonce = rand::random();
    let op = Op::RefreshSession(RefreshSession {
        session: token.principal.session.get(),
        generation: token.generation,
        nonce: token.nonce.to_vec(),
        new_nonce: new_nonce.to_vec(),
    });
    match answered!(call(node, token.principal.user, op).await, Session) {
        Ok(view) => Ok(issue(node, token.principal, &view, new_nonce)),
        Err(refusal) => match refusal.code() {
            WireCode::SessionRevoked | WireCode::NotFound | WireCode::Unauthenticated => {
                node.revoked.add(token.principal.session.get(), clock::now_ms());
                Err(ended())
            }
            _ => Err(refusal.into()),
        },
    }
}

/// Ends a session of this user for ever. Ending it again changes nothing.
pub(crate) async fn log_out(node: &Node, user: UserId, session: SessionId) -> Result<(), Refusal> {
    let op = Op::EndSession(EndSession { session: session.get() });
    call(node, user, op).await?;
    // Here at once; other nodes hear of it.
    node.revoked.add(session.get(), clock::now_ms());
    Ok(())
}

fn issue(node: &Node, principal: Principal, view: &SessionView, nonce: Nonce) -> Session {
    node.seen_sessions.put(principal.session.get(), Instant::now());
    let issued = node.keys.issue(principal, clock::now_ms());
    let refresh = RefreshToken { principal, generation: view.generation, nonce };
    Session {
        token: issued.token,
        expires_at_ms: issued.expires_at_ms,
        refresh_token: node.keys.seal(&refresh),
        user: principal.user.get(),
        session: principal.session.get(),
    }
}
