//! Why a call was not carried out, as it travels between processes.

pub use crate::internal::{Code, Refusal};

impl Refusal {
    pub fn new(code: Code, message: impl Into<String>) -> Refusal {
        Refusal { code: code.into(), message: message.into(), ..Refusal::default() }
    }

    /// Refused for the value of one field.
    pub fn of_field(code: Code, field: &str, message: impl Into<String>) -> Refusal {
        Refusal { field: Some(field.to_owned()), ..Refusal::new(code, message) }
    }

    /// Nothing was stored; worth repeating after `retry_after_ms`.
    pub fn try_again(message: impl Into<String>, retry_after_ms: u64) -> Refusal {
        Refusal { retry_after_ms: Some(retry_after_ms), ..Refusal::new(Code::TryAgain, message) }
    }

    /// It may or may not have been stored.
    pub fn unknown(message: impl Into<String>) -> Refusal {
        Refusal::new(Code::Unknown, message)
    }

    pub fn internal(message: impl Into<String>) -> Refusal {
        Refusal::new(Code::Internal, message)
    }
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.code().as_str_name(), self.message)
    }
}

impl std::error::Error for Refusal {}
