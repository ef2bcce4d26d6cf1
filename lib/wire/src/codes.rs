//! Codes at each edge: between processes, in HTTP, in WebSocket error and close frames. One table,
//! and a test that it is total.

use crate::internal::Code as WireCode;
use shardline_domain::error::Code;

/// What a client is told for a code that came from inside. Codes between processes that were not
/// settled on the way mean that nothing was stored and the map is in motion: try again.
pub fn to_client(code: WireCode) -> Code {
    match code {
        WireCode::BadRequest => Code::BadRequest,
        WireCode::TooLarge => Code::TooLarge,
        WireCode::Unauthenticated | WireCode::SessionRevoked => Code::Unauthenticated,
        WireCode::Forbidden => Code::Forbidden,
        WireCode::NotMember => Code::NotMember,
        WireCode::Muted => Code::Muted,
        WireCode::NotFound => Code::NotFound,
        WireCode::NameTaken => Code::NameTaken,
        WireCode::Conflict => Code::Conflict,
        WireCode::RateLimited => Code::RateLimited,
        WireCode::TryAgain
        | WireCode::WrongRouter
        | WireCode::WrongEpoch
        | WireCode::Frozen
        | WireCode::Behind => Code::TryAgain,
        WireCode::Unknown => Code::Unknown,
        WireCode::Unavailable => Code::Unavailable,
        WireCode::Internal | WireCode::Unspecified | WireCode::IdClash => Code::Internal,
    }
}

pub fn http_status(code: Code) -> u16 {
    match code {
        Code::BadRequest => 400,
        Code::Unauthenticated => 401,
        Code::Forbidden | Code::NotMember | Code::Muted => 403,
        Code::NotFound => 404,
        Code::NameTaken | Code::Conflict => 409,
        Code::TooLarge => 413,
        Code::RateLimited => 429,
        Code::Internal => 500,
        Code::TryAgain | Code::Unknown | Code::Unavailable => 503,
    }
}

/// Why the server closes a WebSocket. 4000-4499: connect again; 4500-4999: not like this.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Close {
    /// The node is stopping: connect to another.
    Draining,
    /// The session's queue was full: connect again and resume.
    SlowReader,
    /// Nothing was heard for the idle time.
    Idle,
    /// Too many connections or hellos at once.
    Overloaded,
    /// What is needed to let the session in does not answer.
    Unavailable,
    /// What came was not a message of this subprotocol.
    BadFraming,
    TokenExpired,
    SessionRevoked,
    ClientTooOld,
    Replaced,
    Unauthenticated,
}

impl Close {
    pub fn code(self) -> u16 {
        match self {
            Close::Draining => 4000,
            Close::SlowReader => 4001,
            Close::Idle => 4002,
            Close::Overloaded => 4003,
            Close::Unavailable => 4004,
            Close::BadFraming => 4500,
            Close::TokenExpired => 4501,
            Close::SessionRevoked => 4502,
            Close::ClientTooOld => 4503,
            Close::Replaced => 4504,
            Close::Unauthenticated => 4505,
        }
    }

    pub fn reason(self) -> &'static str {
        match self {
            Close::Draining => "draining",
            Close::SlowReader => "slow_reader",
            Close::Idle => "idle",
            Close::Overloaded => "overloaded",
            Close::Unavailable => "unavailable",
            Close::BadFraming => "bad_framing",
            Close::TokenExpired => "token_expired",
            Close::SessionRevoked => "session_revoked",
            Close::ClientTooOld => "client_too_old",
            Close::Replaced => "replaced",
            Close::Unauthenticated => "unauthenticated",
        }
    }

    /// "later", "now" or "never".
    pub fn retry(self) -> &'static str {
        match self {
            Close::Draining | Close::SlowReader | Close::Idle => "now",
            Close::Overloaded | Close::Unavailable => "later",
            _ => "never",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_wire_has_a_client_code_and_a_status() {
        for number in 0..64 {
            let Ok(code) = WireCode::try_from(number) else { continue };
            let status = http_status(to_client(code));
            assert!((400..600).contains(&status), "{code:?}");
        }
    }

    #[test]
    fn every_client_code_can_come_over_the_wire() {
        for code in Code::ALL {
            let found = (0..64)
                .filter_map(|number| WireCode::try_from(number).ok())
                .any(|wire| to_client(wire) == code);
            assert!(found, "{code}");
        }
    }

    #[test]
    fn the_close_code_alone_says_whether_to_connect_again() {
        for close in [
            Close::Draining,
            Close::SlowReader,
            Close::Idle,
            Close::Overloaded,
            Close::Unavailable,
            Close::BadFraming,
            Close::TokenExpired,
            Close::SessionRevoked,
            Close::ClientTooOld,
            Close::Replaced,
            Close::Unauthenticated,
        ] {
            assert_eq!(close.retry() == "never", close.code() >= 4500, "{close:?}");
        }
    }
}
