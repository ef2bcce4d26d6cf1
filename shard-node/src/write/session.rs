//! A user's sessions: begun by a log-in, renewed by refresh tokens, ended by the user, by an eleventh
//! one, or by a refresh token that was used up.

use super::{Decided, Verdict, sixteen};
use crate::entity::User;
use crate::events;
use crate::lanes::staging::Staging;
use crate::refusals;
use crate::store::SessionRow;
use shardline_domain::id::SessionId;
use shardline_domain::user::{Refresh, Tokens, check_device, refresh as renew, replaced_sessions};
use shardline_wire::call::Answer;
use shardline_wire::internal::{CreateSession, EndSession, RefreshSession, SessionView};
use shardline_wire::refusal::Refusal;

pub(crate) fn create(staging: &mut Staging, id: u64, create: &CreateSession) -> Decided {
    let session = SessionId::new(create.session)
        .map_err(|error| refusals::bad_field("session", error.to_string()))?
        .get();
    let nonce = sixteen("nonce", &create.nonce)?;
    check_device(&create.device).map_err(|error| refusals::text("device", error))?;
    let user = staging.user(id)?;
    if user.session(session).is_none_or(|known| known.nonce != nonce) {
        let others: Vec<(u64, i64)> = user
            .sessions
            .iter()
            .filter(|known| known.session != session)
            .map(|known| (known.session, known.used_at_ms))
            .collect();
        for replaced in replaced_sessions(&others) {
            staging.end_session(id, replaced, "replaced");
        }
        let tokens = Tokens::first(nonce);
        let at_ms = staging.at_ms();
        staging.put_session(SessionRow {
            user: id,
            session,
            device: create.device.clone(),
            generation: tokens.generation,
            nonce: tokens.current,
            previous_nonce: tokens.previous,
            created_at_ms: at_ms,
            used_at_ms: at_ms,
        });
    }
    answer(staging, id, session)
}

/// A token that was used up ends the session: somebody else may hold it.
pub(crate) fn refresh(staging: &mut Staging, id: u64, refresh: &RefreshSession) -> Decided {
    let nonce = sixteen("nonce", &refresh.nonce)?;
    let new_nonce = sixteen("new_nonce", &refresh.new_nonce)?;
    let at_ms = staging.at_ms();
    let user = staging.find_user(id)?.ok_or_else(refusals::session_ended)?;
    let row = user.session(refresh.session).cloned().ok_or_else(refusals::session_ended)?;
    let tokens =
        Tokens { generation: row.generation, current: row.nonce, previous: row.previous_nonce };
    match renew(tokens, refresh.generation, nonce, new_nonce) {
        Refresh::Renewed(tokens) => {
            staging.put_session(SessionRow {
                generation: tokens.generation,
                nonce: tokens.current,
                previous_nonce: tokens.previous,
                used_at_ms: at_ms.max(row.used_at_ms),
                ..row
            });
            answer(staging, id, refresh.session)
        }
        Refresh::EndSession => {
            staging.end_session(id, refresh.session, "revoked");
            Err(refusals::session_ended())
        }
    }
}

/// Ending what has ended already is fine.
pub(crate) fn end(staging: &mut Staging, id: u64, end: &EndSession) -> Decided {
    if staging.user(id)?.session(end.session).is_some() {
        staging.end_session(id, end.session, "revoked");
    }
    Ok(Verdict::Answer(Answer::Session(SessionView {
        session: end.session,
        ..view(staging.user(id)?, None)
    })))
}

fn answer(staging: &Staging, id: u64, session: u64) -> Decided {
    let user = staging.user(id)?;
    let row: Option<&SessionRow> = user.session(session);
    let row = row.ok_or_else(|| Refusal::internal("a session that was written is not there"))?;
    Ok(Verdict::Answer(Answer::Session(view(user, Some(row)))))
}

pub(crate) fn view(user: &User, session: Option<&SessionRow>) -> SessionView {
    SessionView {
        session: session.map_or(0, |row| row.session),
        generation: session.map_or(0, |row| row.generation),
        user: Some(events::user(&user.row)),
        list_ver: user.head.ver,
    }
}
