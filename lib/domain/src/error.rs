//! What a client can act on when something does not work.

use std::fmt;

/// Why a request was not carried out. The names are part of the client contract.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Code {
    BadRequest,
    TooLarge,
    Unauthenticated,
    Forbidden,
    NotMember,
    Muted,
    NotFound,
    NameTaken,
    Conflict,
    RateLimited,
    TryAgain,
    Unknown,
    Unavailable,
    Internal,
}

/// What to do after an error.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Retry {
    /// It ends here.
    Never,
    /// Nothing was stored; repeat after the delay.
    Later,
    /// It may or may not have been stored; repeat with the same client_msg_id.
    Same,
}

impl Code {
    pub const ALL: [Code; 14] = [
        Code::BadRequest,
        Code::TooLarge,
        Code::Unauthenticated,
        Code::Forbidden,
        Code::NotMember,
        Code::Muted,
        Code::NotFound,
        Code::NameTaken,
        Code::Conflict,
        Code::RateLimited,
        Code::TryAgain,
        Code::Unknown,
        Code::Unavailable,
        Code::Internal,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Code::BadRequest => "bad_request",
            Code::TooLarge => "too_large",
            Code::Unauthenticated => "unauthenticated",
            Code::Forbidden => "forbidden",
            Code::NotMember => "not_member",
            Code::Muted => "muted",
            Code::NotFound => "not_found",
            Code::NameTaken => "name_taken",
            Code::Conflict => "conflict",
            Code::RateLimited => "rate_limited",
            Code::TryAgain => "try_again",
            Code::Unknown => "unknown",
            Code::Unavailable => "unavailable",
            Code::Internal => "internal",
        }
    }

    pub fn from_name(name: &str) -> Option<Code> {
        Code::ALL.into_iter().find(|code| code.name() == name)
    }

    pub fn retry(self) -> Retry {
        match self {
            Code::RateLimited | Code::TryAgain | Code::Unavailable => Retry::Later,
            Code::Unknown => Retry::Same,
            _ => Retry::Never,
        }
    }
}

impl Retry {
    pub fn name(self) -> &'static str {
        match self {
            Retry::Never => "never",
            Retry::Later => "later",
            Retry::Same => "same",
        }
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
