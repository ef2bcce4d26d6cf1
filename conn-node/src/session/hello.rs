//! From `hello` to `welcome`: the token is checked, its turn awaited, the session looked up and announced,
//! and its chats are followed. What the client reads after `welcome` starts after all of that.

use super::Session;
use super::outgoing::encode;
use super::queue::Queue;
use crate::admission::Turn;
use crate::announce;
use crate::auth::Principal;
use crate::auth::bearer::{self, Denied};
use crate::calls::answered;
use crate::chats::list;
use crate::metrics::HELLOS;
use crate::node::Node;
use shardline_daemon::clock;
use shardline_domain::error::Code as ClientCode;
use shardline_domain::limits::{
    ARRAY_FRAMES_MAX, BODY_BYTES_MAX, DEVICE_CHARS_MAX, FRAME_BYTES_MAX, MEMBERS_PAGE_MAX,
    PAGE_MESSAGES_MAX, TITLE_CHARS_MAX,
};
use shardline_wire::client::{self, ServerFrame, server_frame::Frame};
use shardline_wire::codes::{self, Close};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{Call, CheckSession, SessionView};
use shardline_wire::refusal::{Code, Refusal};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// Clients that cannot be let in now come back over this time.
const RETRY_SPREAD_MS: std::ops::Range<u64> = 500..2_500;
/// For the heads of the chats this node did not follow yet. A shard that does not answer holds up
/// nobody: its chats are compared later, and `heads` tells.
const HEADS_TIME_MAX: Duration = Duration::from_millis(500);
/// From a hello's turn to its welcome. A user whose shard does not answer is sent away to come back, rather
/// than kept on the line.
const WELCOME_TIME_MAX: Duration = Duration::from_secs(4);

pub(super) struct Welcomed {
    pub(super) session: Arc<Session>,
    pub(super) expires_at: Instant,
}

/// Why somebody is not let in: an error frame, then the close.
#[derive(Debug)]
pub(super) struct TurnedAway {
    pub(super) refusal: Refusal,
    pub(super) close: Close,
    pub(super) retry_after_ms: u64,
}

impl TurnedAway {
    fn never(refusal: Refusal, close: Close) -> TurnedAway {
        TurnedAway { refusal, close, retry_after_ms: 0 }
    }

    /// Nothing is wrong with the client: the frame and the close say when to come back.
    fn later(refusal: Refusal) -> TurnedAway {
        let retry_after_ms = rand::random_range(RETRY_SPREAD_MS);
        let refusal = match codes::to_client(refusal.code()) {
            ClientCode::RateLimited | ClientCode::TryAgain => refusal,
            // Nothing was asked that could be half done, and what failed inside is not the client's.
            _ => Refusal::new(Code::Unavailable, "the user's shard does not answer now"),
        };
        let refusal = Refusal { retry_after_ms: Some(retry_after_ms), ..refusal };
        TurnedAway { refusal, close: Close::Unavailable, retry_after_ms }
    }

    /// Too many come at once: each is told its own time.
    fn crowded(away: Duration) -> TurnedAway {
        let retry_after_ms = u64::try_from(away.as_millis()).unwrap_or(u64::MAX);
        let refusal = Refusal::new(Code::RateLimited, "too many connect to this node at once");
        let refusal = Refusal { retry_after_ms: Some(retry_after_ms), ..refusal };
        TurnedAway { refusal, close: Close::Overloaded, retry_after_ms }
    }

    fn unanswered() -> TurnedAway {
        TurnedAway::later(Refusal::unknown("no answer in time"))
    }
}

impl From<Denied> for TurnedAway {
    fn from(denied: Denied) -> TurnedAway {
        let close = match denied {
            Denied::Expired => Close::TokenExpired,
            Denied::Invalid => Close::Unauthenticated,
            Denied::Revoked => Close::SessionRevoked,
        };
        TurnedAway::never(Refusal::new(Code::Unauthenticated, denied.to_string()), close)
    }
}

/// Lets a session in, or says why not, within a bounded time. Whoever calls this also calls
/// [`announce::leave`] for what it finds in `entered`, however this ends: it may be dropped half way.
pub(super) async fn welcome(
    node: &Arc<Node>,
    queue: &Arc<Queue>,
    id: Option<u64>,
    hello: client::Hello,
    entered: &mut Option<Arc<Session>>,
) -> Result<Welcomed, TurnedAway> {
    if DEVICE_CHARS_MAX < hello.device.chars().count() {
        let message = format!("a device's name has at most {DEVICE_CHARS_MAX} characters");
        let refusal = Refusal::of_field(Code::BadRequest, "device", message);
        return Err(TurnedAway::never(refusal, Close::Unauthenticated));
    }
    let verified = bearer::check(&node.keys, &node.revoked, &hello.token, clock::now_ms())?;
    await_turn(node).await?;
    let deadline = Instant::now() + WELCOME_TIME_MAX;
    let view = check_session(node, verified.principal, deadline).await?;
    let name = view.user.map(|user| user.display_name).unwrap_or_default();
    let session = Arc::new(Session::new(
        node.hub.next_connection(),
        verified.principal,
        &name,
        queue.clone(),
    ));
    *entered = Some(session.clone());
    node.hub.enter(&session);
    match timeout_at(deadline, follow(node, &session)).await {
        Ok(Ok(list_ver)) => {
            let frame = Frame::Welcome(welcome_frame(node, &session, list_ver));
            let frame = ServerFrame { id, frame: Some(frame) };
            queue.push(encode(&frame, queue.encoding()));
            session.go_live();
            let expires_at = instant_of(verified.expires_at_ms);
            // Its end may have come after it was checked and before it could be found here.
            if node.revoked.contains(session.session) {
                queue.close(Close::SessionRevoked, 0);
            }
            Ok(Welcomed { session, expires_at })
        }
        Ok(Err(refusal)) => Err(TurnedAway::later(refusal)),
        Err(_) => Err(TurnedAway::unanswered()),
    }
}

/// What comes next is reads on several shards, for each who comes.
async fn await_turn(node: &Node) -> Result<(), TurnedAway> {
    let turn = node.rate_limits.admit();
    let name = match turn {
        Turn::At(at) if at <= Instant::now() => "at_once",
        Turn::At(_) => "in_line",
        Turn::Away(_) => "away",
    };
    metrics::counter!(HELLOS, "turn" => name).increment(1);
    match turn {
        Turn::At(at) => {
            sleep_until(at).await;
            Ok(())
        }
        Turn::Away(away) => Err(TurnedAway::crowded(away)),
    }
}

/// Asks the user's shard, which knows of every log-out.
async fn check_session(
    node: &Node,
    who: Principal,
    deadline: Instant,
) -> Result<SessionView, TurnedAway> {
    let op = Op::CheckSession(CheckSession { session: who.session.get() });
    let call = Call { entity: who.user.get(), epoch: 0, op: Some(op) };
    let outcome = node.routers.call_until(call, deadline).await;
    answered!(outcome, Session).map_err(|refusal| match refusal.code() {
        Code::SessionRevoked | Code::NotFound | Code::Unauthenticated => {
            TurnedAway::from(Denied::Revoked)
        }
        _ => TurnedAway::later(refusal),
    })
}

/// Announces the session, then reads its list and follows what is on it.
async fn follow(node: &Arc<Node>, session: &Arc<Session>) -> Result<u64, Refusal> {
    let announced = node.announcer.announce(node, session).await;
    announced.map_err(|_| Refusal::try_again("the session cannot be announced", 1_000))?;
    let user = session.user().map_err(|_| Refusal::internal("a session of nobody"))?;
    let place = node.routers.owner(session.user).map(|link| link.place());
    let list = list::rows(node, user, None).await?;
    if let Some(profile) = &list.user {
        session.set_name(&profile.display_name);
    }
    let unknown = node.hub.take_list(session.user, list.list_ver, &list.rows);
    if let Some(place) = place {
        node.hub.set_user_checked(session.user, place);
    }
    if !unknown.is_empty() {
        let chats = announce::with_places(node, unknown);
        announce::compare(node, &chats, HEADS_TIME_MAX).await;
    }
    Ok(list.list_ver)
}

fn welcome_frame(node: &Node, session: &Session, list_ver: u64) -> client::Welcome {
    let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    client::Welcome {
        user: session.user,
        session: session.session,
        node: node.config.node.clone(),
        list_ver,
        heads_every_ms: millis(node.config.heads_every),
        idle_ms: millis(node.config.idle),
        limits: Some(client::Limits {
            body_bytes: BODY_BYTES_MAX as u64,
            frame_bytes: FRAME_BYTES_MAX as u64,
            array_frames: ARRAY_FRAMES_MAX as u64,
            page: PAGE_MESSAGES_MAX,
            members_page: MEMBERS_PAGE_MAX,
            title_chars: TITLE_CHARS_MAX as u64,
        }),
        durability: node.config.durability.clone(),
        server_time_ms: clock::now_ms(),
    }
}

/// `auth`: a newer token of the same session renews the connection. Until when.
///
/// # Errors
/// UNAUTHENTICATED; the connection goes on until its own token expires.
pub(super) async fn renew(
    node: &Node,
    session: &Session,
    auth: &client::Auth,
) -> Result<i64, TurnedAway> {
    let verified = bearer::check(&node.keys, &node.revoked, &auth.token, clock::now_ms())?;
    let who = verified.principal;
    if (who.user.get(), who.session.get()) != (session.user, session.session) {
        let message = "this token is of another session";
        let refusal = Refusal::of_field(Code::Unauthenticated, "token", message);
        return Err(TurnedAway::never(refusal, Close::Unauthenticated));
    }
    check_session(node, who, Instant::now() + WELCOME_TIME_MAX).await?;
    Ok(verified.expires_at_ms)
}

/// A time of the wall clock on the clock of timers.
pub(super) fn instant_of(at_ms: i64) -> Instant {
    let left_ms = u64::try_from(at_ms.saturating_sub(clock::now_ms())).unwrap_or(0);
    // No token lives for a day; a time beyond what timers take would be a defect.
    Instant::now() + Duration::from_millis(left_ms).min(Duration::from_secs(24 * 60 * 60))
}
