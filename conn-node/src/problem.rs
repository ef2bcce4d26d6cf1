//! What a client is told when something does not work: RFC 9457 problem documents over HTTP, and the
//! `error` frame's fields, from one translation of what came from inside.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use shardline_domain::error::{Code, Retry};
use shardline_wire::client;
use shardline_wire::codes;
use shardline_wire::refusal::{Code as WireCode, Refusal};
use tracing::error;

/// For codes that say "later" where nobody gave a better delay.
const RETRY_AFTER_MS: u64 = 1_000;

/// One error, ready to be shown.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Problem {
    pub(crate) status: StatusCode,
    pub(crate) code: Code,
    pub(crate) message: String,
    /// What in the request it is about.
    pub(crate) field: Option<String>,
    pub(crate) retry_after_ms: Option<u64>,
}

pub(crate) type Answer<T> = Result<T, Problem>;

impl Problem {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Problem {
        let status =
            StatusCode::from_u16(codes::http_status(code)).expect("the table has statuses");
        let retry_after_ms = (code.retry() == Retry::Later).then_some(RETRY_AFTER_MS);
        Problem { status, code, message: message.into(), field: None, retry_after_ms }
    }

    pub(crate) fn bad_field(field: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { field: Some(field.into()), ..Problem::new(Code::BadRequest, message) }
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Problem {
        Problem::new(Code::NotFound, message)
    }

    /// As it travels inside, for those who answer in another form than HTTP's.
    pub(crate) fn into_refusal(self) -> Refusal {
        let code = match self.code {
            Code::BadRequest => WireCode::BadRequest,
            Code::TooLarge => WireCode::TooLarge,
            Code::Unauthenticated => WireCode::Unauthenticated,
            Code::Forbidden => WireCode::Forbidden,
            Code::NotMember => WireCode::NotMember,
            Code::Muted => WireCode::Muted,
            Code::NotFound => WireCode::NotFound,
            Code::NameTaken => WireCode::NameTaken,
            Code::Conflict => WireCode::Conflict,
            Code::RateLimited => WireCode::RateLimited,
            Code::TryAgain => WireCode::TryAgain,
            Code::Unknown => WireCode::Unknown,
            Code::Unavailable => WireCode::Unavailable,
            Code::Internal => WireCode::Internal,
        };
        Refusal {
            field: self.field,
            retry_after_ms: self.retry_after_ms,
            ..Refusal::new(code, self.message)
        }
    }

    /// With a status the table does not give its code: those of HTTP itself.
    pub(crate) fn with_status(self, status: StatusCode) -> Problem {
        Problem { status, ..self }
    }
}

/// Never the inner text of a defect, nor of what our processes settle among themselves.
impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Problem {
        let inner = refusal.code();
        let code = codes::to_client(inner);
        let message = match inner {
            WireCode::WrongRouter | WireCode::WrongEpoch | WireCode::Frozen | WireCode::Behind => {
                "this is just moving, try again".to_owned()
            }
            _ if code == Code::Internal => {
                error!(refusal = %refusal.message, code = inner.as_str_name(), "a call failed");
                "a defect on our side; it was logged".to_owned()
            }
            _ => refusal.message,
        };
        let problem = Problem::new(code, message);
        let retry_after_ms = match code.retry() {
            Retry::Never => None,
            Retry::Later | Retry::Same => refusal.retry_after_ms.or(problem.retry_after_ms),
        };
        Problem { field: refusal.field, retry_after_ms, ..problem }
    }
}

/// The fields of an `error` frame.
impl From<Problem> for client::Error {
    fn from(problem: Problem) -> client::Error {
        client::Error {
            code: problem.code.name().to_owned(),
            message: problem.message,
            field: problem.field,
            retry: problem.code.retry().name().to_owned(),
            retry_after_ms: problem.retry_after_ms,
        }
    }
}

#[derive(Serialize)]
struct Document<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    field: Option<&'a str>,
    retry: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    retry_after_ms: Option<u64>,
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            kind: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.message,
            code: self.code.name(),
            field: self.field.as_deref(),
            retry: self.code.retry().name(),
            retry_after_ms: self.retry_after_ms,
        };
        let mut response = (self.status, Json(document)).into_response();
        let headers = response.headers_mut();
        let kind = HeaderValue::from_static("application/problem+json");
        headers.insert(header::CONTENT_TYPE, kind);
        if let Some(after_ms) = self.retry_after_ms {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(after_ms.div_ceil(1000)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_status_and_verdict() {
        for code in Code::ALL {
            let problem = Problem::new(code, "why");
            assert_eq!(problem.status.as_u16(), codes::http_status(code), "{code}");
            assert_eq!(problem.retry_after_ms.is_some(), code.retry() == Retry::Later, "{code}");
        }
    }

    #[test]
    fn there_and_back_it_is_the_same() {
        for code in Code::ALL.into_iter().filter(|code| *code != Code::Internal) {
            let problem = Problem { field: Some("seq".to_owned()), ..Problem::new(code, "why") };
            assert_eq!(Problem::from(problem.clone().into_refusal()), problem);
        }
    }

    #[test]
    fn inner_texts_stay_inside() {
        for code in [WireCode::Internal, WireCode::IdClash, WireCode::WrongEpoch, WireCode::Frozen]
        {
            let problem = Problem::from(Refusal::new(code, "SELECT secret FROM t"));
            assert!(!problem.message.contains("secret"), "{}", problem.message);
        }
        let refusal = Refusal::of_field(WireCode::Conflict, "if_ver", "it changed at 7");
        let problem = Problem::from(refusal);
        assert_eq!((problem.code, problem.status), (Code::Conflict, StatusCode::CONFLICT));
        assert_eq!(problem.message, "it changed at 7");
        assert_eq!(problem.field.as_deref(), Some("if_ver"));
    }

    #[test]
    fn a_delay_is_given_only_where_repeating_helps() {
        let later = Problem::from(Refusal::try_again("full", 70));
        assert_eq!(later.retry_after_ms, Some(70));
        let mut never = Refusal::new(WireCode::NotMember, "not a member");
        never.retry_after_ms = Some(5);
        assert_eq!(Problem::from(never).retry_after_ms, None);
    }
}
