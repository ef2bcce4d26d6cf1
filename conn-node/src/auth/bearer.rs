//! The `Authorization` header: a request's principal, or why it has none.

use super::access::{TokenError, Verified};
use super::{Keys, Principal, Revoked};
use crate::calls::call;
use crate::node::Node;
use crate::problem::Problem;
use axum::extract::FromRequestParts;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use shardline_daemon::clock;
use shardline_domain::error::Code;
use shardline_wire::internal::CheckSession;
use shardline_wire::internal::call::Op;
use shardline_wire::refusal::Code as WireCode;
use std::sync::Arc;
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, timeout};

const ASKING_TIME_MAX: Duration = Duration::from_secs(2);

/// Why a token was not taken. Each has its own close code on a socket.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub(crate) enum Denied {
    #[error("the token has expired: refresh it")]
    Expired,
    #[error("the token is not valid")]
    Invalid,
    #[error("this session has ended: log in again")]
    Revoked,
}

/// Checks a token and that its session is not known to have ended.
pub(crate) fn check(
    keys: &Keys,
    revoked: &Revoked,
    token: &str,
    now_ms: i64,
) -> Result<Verified, Denied> {
    let verified = keys.verify(token, now_ms).map_err(|error| match error {
        TokenError::Expired => Denied::Expired,
        TokenError::Invalid => Denied::Invalid,
    })?;
    if revoked.contains(verified.principal.session.get()) {
        return Err(Denied::Revoked);
    }
    Ok(verified)
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Problem {
        Problem::new(Code::Unauthenticated, denied.to_string())
    }
}

/// A handler that takes a `Principal` answers 401 to whoever has no good token.
impl FromRequestParts<Arc<Node>> for Principal {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, node: &Arc<Node>) -> Result<Self, Problem> {
        let token = token_of(&parts.headers)?;
        let verified = check(&node.keys, &node.revoked, token, clock::now_ms())?;
        check_alive(node, verified.principal).await?;
        Ok(verified.principal)
    }
}

/// Asks the user's shard now and then whether the session has ended. If it does not answer, the token
/// has to do: a shard that is away must not lock its users out of all others.
async fn check_alive(node: &Node, principal: Principal) -> Result<(), Denied> {
    let (session, now) = (principal.session.get(), Instant::now());
    if node.seen_sessions.is_fresh(session, now) {
        return Ok(());
    }
    let check = Op::CheckSession(CheckSession { session });
    let outcome = timeout(ASKING_TIME_MAX, call(node, principal.user, check)).await;
    if let Ok(Err(refusal)) = outcome
        && matches!(refusal.code(), WireCode::SessionRevoked | WireCode::NotFound)
    {
        node.revoked.add(session, clock::now_ms());
        return Err(Denied::Revoked);
    }
    node.seen_sessions.put(session, now);
    Ok(())
}

fn token_of(headers: &HeaderMap) -> Result<&str, Problem> {
    let missing = |why| Problem::new(Code::Unauthenticated, why);
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let value = values.next().ok_or_else(|| missing("the request has no Authorization header"))?;
    if values.next().is_some() {
        return Err(missing("the request has several Authorization headers"));
    }
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or_else(|| missing("Authorization must be `Bearer <token>`"))?;
    if !scheme.eq_ignore_ascii_case("bearer") {
        return Err(missing("Authorization must be `Bearer <token>`"));
    }
    Ok(token.trim())
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;
    use shardline_domain::id::{SessionId, UserId};

    #[test]
    fn a_session_that_ended_is_told_apart() {
        let (keys, revoked) = (Keys::derive("a secret for tests"), Revoked::new());
        let principal = Principal {
            user: UserId::new(1).expect("in range"),
            session: SessionId::new(2).expect("in range"),
        };
        let token = keys.issue(principal, 0).token;
        let check = |now_ms| check(&keys, &revoked, &token, now_ms);
        assert_eq!(check(5).map(|verified| verified.principal), Ok(principal));
        assert_eq!(check(900_000), Err(Denied::Expired));
        revoked.add(2, 0);
        assert_eq!(check(5), Err(Denied::Revoked));
    }

    #[test]
    fn the_header_is_one_bearer_token() {
        let token = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_static(value));
            }
            token_of(&headers).map(str::to_owned).map_err(|problem| problem.code)
        };
        assert_eq!(token(&["Bearer abc"]), Ok("abc".to_owned()));
        assert_eq!(token(&["bearer  abc"]), Ok("abc".to_owned()));
        for bad in [vec![], vec!["abc"], vec!["Basic abc"], vec!["Bearer a", "Bearer b"]] {
            assert_eq!(token(&bad), Err(Code::Unauthenticated), "{bad:?}");
        }
    }
}
