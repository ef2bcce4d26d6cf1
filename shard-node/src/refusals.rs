//! Why a rule says no, as it travels back to the caller. One place, so that each error has one code.

use crate::gate::Verdict;
use crate::store::StoreError;
use shardline_domain::append::SendRefused;
use shardline_domain::body::BodyError;
use shardline_domain::chat::Denied;
use shardline_domain::error::Code as DomainCode;
use shardline_domain::membership::MembersError;
use shardline_domain::slot::Epoch;
use shardline_domain::user::TextError;
use shardline_wire::refusal::{Code, Refusal};

/// After which a send whose predecessor is still on its way comes again.
const BEHIND_PREDECESSOR_MS: u64 = 20;
/// After which something that needs the database is tried again.
const DATABASE_RETRY_MS: u64 = 500;
/// After which a lane that was behind may have caught up.
const OVERLOADED_RETRY_MS: u64 = 500;

pub(crate) fn denied(denied: Denied) -> Refusal {
    Refusal::new(code(denied.code()), denied.to_string())
}

pub(crate) fn send_refused(refused: SendRefused) -> Refusal {
    let refusal = Refusal::new(code(refused.code()), refused.to_string());
    match refused {
        SendRefused::NoSuchReply(_) => Refusal { field: Some("reply_to".to_owned()), ..refusal },
        _ => refusal,
    }
}

pub(crate) fn predecessor_missing() -> Refusal {
    Refusal::try_again("the send before it is not stored yet", BEHIND_PREDECESSOR_MS)
}

pub(crate) fn body(error: BodyError) -> Refusal {
    let code = match error {
        BodyError::TooLong { .. } => Code::TooLarge,
        BodyError::Empty | BodyError::Nul => Code::BadRequest,
    };
    Refusal::of_field(code, "body", error.to_string())
}

pub(crate) fn text(field: &str, error: TextError) -> Refusal {
    let code = match error {
        TextError::TooLong { .. } => Code::TooLarge,
        TextError::Empty | TextError::Nul | TextError::BadName => Code::BadRequest,
    };
    Refusal::of_field(code, field, error.to_string())
}

pub(crate) fn members(error: MembersError) -> Refusal {
    match error {
        MembersError::NotTwo => Refusal::of_field(Code::BadRequest, "user", error.to_string()),
        MembersError::TooManyAtOnce { .. } | MembersError::TooManyMembers { .. } => {
            Refusal::of_field(Code::TooLarge, "users", error.to_string())
        }
    }
}

/// What a call gets that the gate does not let through.
pub(crate) fn gate(verdict: Verdict) -> Refusal {
    match verdict {
        Verdict::WrongEpoch(known) => wrong_epoch(known),
        Verdict::Frozen(known) => {
            let refusal = Refusal::new(Code::Frozen, "the slot is frozen");
            Refusal { epoch: known.0, ..refusal }
        }
        Verdict::Quarantined => {
            let message = "the shard waits for the catalog to grant its slots again";
            Refusal::new(Code::Unavailable, message)
        }
        Verdict::AskCatalog | Verdict::Serve => Refusal::try_again("the slot is on its way", 100),
    }
}

pub(crate) fn wrong_epoch(known: Epoch) -> Refusal {
    let refusal = Refusal::new(Code::WrongEpoch, "the slot is at another epoch");
    Refusal { epoch: known.0, ..refusal }
}

pub(crate) fn bad_field(field: &str, message: impl Into<String>) -> Refusal {
    Refusal::of_field(Code::BadRequest, field, message)
}

pub(crate) fn no_chat() -> Refusal {
    denied(Denied::NoChat)
}

pub(crate) fn not_member() -> Refusal {
    denied(Denied::NotMember)
}

pub(crate) fn no_message(seq: u64) -> Refusal {
    Refusal::new(Code::NotFound, format!("there is no message {seq}"))
}

pub(crate) fn no_user() -> Refusal {
    Refusal::new(Code::NotFound, "there is no such user")
}

pub(crate) fn id_clash() -> Refusal {
    Refusal::new(Code::IdClash, "this id belongs to something else")
}

pub(crate) fn session_ended() -> Refusal {
    Refusal::new(Code::SessionRevoked, "this session has ended")
}

pub(crate) fn behind() -> Refusal {
    Refusal { retry_after_ms: Some(20), ..Refusal::new(Code::Behind, "older than was asked for") }
}

pub(crate) fn not_writer() -> Refusal {
    let refusal = Refusal::new(Code::Unavailable, "this process does not write the shard now");
    Refusal { retry_after_ms: Some(DATABASE_RETRY_MS), ..refusal }
}

pub(crate) fn database_busy() -> Refusal {
    Refusal::try_again("the shard's database does not answer", DATABASE_RETRY_MS)
}

pub(crate) fn overloaded() -> Refusal {
    Refusal::try_again("too much is waiting on this shard", OVERLOADED_RETRY_MS)
}

/// A read that failed, or a load before a write: nothing was stored.
pub(crate) fn store(error: &StoreError) -> Refusal {
    match error {
        StoreError::Fenced { .. } => not_writer(),
        StoreError::Unavailable(reason) => {
            tracing::debug!(reason, "a read of the database failed");
            database_busy()
        }
        StoreError::Corrupt(reason) => {
            tracing::error!(reason, "the database holds what cannot be");
            Refusal::internal("the shard found damaged data")
        }
    }
}

fn code(code: DomainCode) -> Code {
    match code {
        DomainCode::BadRequest => Code::BadRequest,
        DomainCode::TooLarge => Code::TooLarge,
        DomainCode::Unauthenticated => Code::Unauthenticated,
        DomainCode::Forbidden => Code::Forbidden,
        DomainCode::NotMember => Code::NotMember,
        DomainCode::Muted => Code::Muted,
        DomainCode::NotFound => Code::NotFound,
        DomainCode::NameTaken => Code::NameTaken,
        DomainCode::Conflict => Code::Conflict,
        DomainCode::RateLimited => Code::RateLimited,
        DomainCode::TryAgain => Code::TryAgain,
        DomainCode::Unknown => Code::Unknown,
        DomainCode::Unavailable => Code::Unavailable,
        DomainCode::Internal => Code::Internal,
    }
}
