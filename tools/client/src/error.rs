//! What can go wrong for a caller: refused, try again (nothing happened), unknown (it may have happened).

use crate::frames;
use crate::reconnect::Stop;
use serde::Deserialize;
use shardline_domain::error::{Code, Retry};
use std::time::Duration;
use thiserror::Error;

/// The server's own answer that it did not do it.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
#[error("{code}: {message}")]
pub struct Refused {
    /// One of the contract's codes, or one this client does not know.
    pub code: String,
    pub message: String,
    pub field: Option<String>,
    pub retry: Retry,
    pub retry_after: Option<Duration>,
}

impl Refused {
    /// The code, if this client knows it.
    pub fn known_code(&self) -> Option<Code> {
        Code::from_name(&self.code)
    }
}

/// A word this client does not know is taken as "never": repeating on a guess could do harm.
fn retry_of(word: &str) -> Retry {
    match word {
        "later" => Retry::Later,
        "same" => Retry::Same,
        _ => Retry::Never,
    }
}

impl From<frames::Error> for Refused {
    fn from(error: frames::Error) -> Refused {
        Refused {
            retry: retry_of(&error.retry),
            code: error.code,
            message: error.message,
            field: error.field,
            retry_after: error.retry_after_ms.map(Duration::from_millis),
        }
    }
}

/// problem+json, as far as a client acts on it.
#[derive(Deserialize)]
pub(crate) struct Problem {
    code: String,
    #[serde(default)]
    title: String,
    #[serde(default)]
    detail: String,
    #[serde(default)]
    field: Option<String>,
    #[serde(default)]
    retry: Option<String>,
    #[serde(default)]
    retry_after_ms: Option<u64>,
}

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Refused {
        let by_code = Code::from_name(&problem.code).map_or(Retry::Never, Code::retry);
        Refused {
            retry: problem.retry.as_deref().map_or(by_code, retry_of),
            message: if problem.detail.is_empty() { problem.title } else { problem.detail },
            code: problem.code,
            field: problem.field,
            retry_after: problem.retry_after_ms.map(Duration::from_millis),
        }
    }
}

/// Why a message was not acknowledged.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum SendError {
    #[error("refused: {0}")]
    Refused(Refused),
    /// The deadline passed or the client stopped, and no attempt can have stored it.
    #[error("not stored: {0}")]
    NotStored(String),
    /// It may be stored: send again with the same client id to know.
    #[error("it is not known whether it was stored: {0}")]
    Unknown(String),
}

/// Why a call got no answer.
#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum CallError {
    #[error("refused: {0}")]
    Refused(Refused),
    /// No answer within the deadline. What the call changes may have happened.
    #[error("no answer within the deadline")]
    NoAnswer,
    #[error("the client has stopped: {0}")]
    Stopped(Stop),
    /// The answer was of another kind than the call wants.
    #[error("an unexpected answer")]
    Unexpected,
}

#[derive(Debug, Error)]
pub enum HttpError {
    #[error("{status}: {refused}")]
    Refused { status: u16, refused: Refused },
    /// No address answered. What the call changes may have happened.
    #[error("no server answered: {0}")]
    Unreachable(String),
    #[error("the answer makes no sense: {0}")]
    Unreadable(String),
}

impl HttpError {
    pub fn code(&self) -> Option<Code> {
        match self {
            HttpError::Refused { refused, .. } => refused.known_code(),
            _ => None,
        }
    }
}
