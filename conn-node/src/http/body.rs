//! JSON bodies: bounded in bytes, depth and time, with the field named when one is wrong.

use crate::problem::Problem;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, StatusCode, header};
use serde::de::DeserializeOwned;
use shardline_domain::error::Code;
use std::time::Duration;
use tokio::time::timeout;

/// From the headers to the last byte; a body is one or a few packets.
const BODY_TIME_MAX: Duration = Duration::from_secs(10);

/// A body that must be there.
pub(super) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        if !is_json {
            return Err(Problem::new(Code::BadRequest, "the body must be application/json")
                .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        parse(&read(request, state).await?).map(JsonBody)
    }
}

/// A body that may be left out.
pub(super) struct OptionalJsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Default> FromRequest<S> for OptionalJsonBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = read(request, state).await?;
        if bytes.is_empty() {
            return Ok(OptionalJsonBody(T::default()));
        }
        if !is_json {
            return Err(Problem::new(Code::BadRequest, "the body must be application/json")
                .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
        }
        parse(&bytes).map(OptionalJsonBody)
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    let kind = kind.to_ascii_lowercase();
    kind == "application/json" || (kind.starts_with("application/") && kind.ends_with("+json"))
}

async fn read<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Problem> {
    // Said in advance, so not waited for.
    let said = request.headers().get(header::CONTENT_LENGTH);
    let said = said.and_then(|bytes| bytes.to_str().ok()?.parse::<u64>().ok());
    if said.is_some_and(|bytes| super::BODY_BYTES_MAX as u64 <= bytes) {
        return Err(too_large());
    }
    let bytes = timeout(BODY_TIME_MAX, Bytes::from_request(request, state)).await;
    let bytes = bytes.map_err(|_| {
        Problem::new(Code::BadRequest, "the body did not come in time")
            .with_status(StatusCode::REQUEST_TIMEOUT)
    })?;
    bytes.map_err(|rejection: BytesRejection| {
        if rejection.status() == StatusCode::PAYLOAD_TOO_LARGE {
            too_large()
        } else {
            Problem::new(Code::BadRequest, "the body could not be read")
        }
    })
}

fn too_large() -> Problem {
    let why = format!("a body has less than {} bytes", super::BODY_BYTES_MAX);
    Problem::new(Code::TooLarge, why)
}

/// serde_json ends at a depth of 128, so nesting costs no stack.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // An array in the order of our fields would pass for the object.
    if bytes.trim_ascii_start().first() == Some(&b'[') {
        return Err(Problem::new(Code::BadRequest, "the body is a JSON object"));
    }
    let mut from = serde_json::Deserializer::from_slice(bytes);
    let value: T = serde_path_to_error::deserialize(&mut from).map_err(|error| {
        let path = error.path().to_string();
        let inner = error.into_inner();
        let is_syntax = inner.is_syntax() || inner.is_eof();
        let field = if is_syntax { None } else { field_of(&path, &inner.to_string()) };
        let why = format!("the body does not fit: {}", without_place(&inner.to_string()));
        Problem { field, ..Problem::new(Code::BadRequest, why) }
    })?;
    from.end().map_err(|_| Problem::new(Code::BadRequest, "the body goes on after its JSON"))?;
    Ok(value)
}

/// The path, and below it the name that a missing or repeated field's message has in backquotes.
fn field_of(path: &str, message: &str) -> Option<String> {
    let named = ["missing field `", "duplicate field `"]
        .iter()
        .find_map(|start| message.strip_prefix(start)?.split('`').next());
    match (path, named) {
        (".", named) => named.map(str::to_owned),
        (path, Some(named)) if !path.ends_with(named) => Some(format!("{path}.{named}")),
        (path, _) => Some(path.to_owned()),
    }
}

/// Without " at line 1 column 7", which nobody counts.
fn without_place(message: &str) -> &str {
    message.split(" at line ").next().unwrap_or(message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Deserialize, Debug)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Inner {
        text: String,
    }

    #[derive(Deserialize, Debug)]
    #[expect(dead_code, reason = "only its shape matters")]
    struct Shape {
        seq: u64,
        #[serde(default, with = "shardline_wire::json::ids")]
        users: Vec<u64>,
        #[serde(default)]
        body: Option<Inner>,
    }

    fn field(json: &str) -> Option<String> {
        let problem = parse::<Shape>(json.as_bytes()).expect_err(json);
        assert_eq!((problem.code, problem.status), (Code::BadRequest, StatusCode::BAD_REQUEST));
        problem.field
    }

    #[test]
    fn the_field_that_is_wrong_is_named() {
        for (json, named) in [
            (r#"{"seq":-1}"#, "seq"),
            (r#"{"seq":1.5}"#, "seq"),
            (r#"{"seq":1e400}"#, ""),
            (r#"{"seq":18446744073709551616}"#, "seq"),
            (r#"{"seq":"1"}"#, "seq"),
            (r#"{"seq":null}"#, "seq"),
            (r#"{}"#, "seq"),
            (r#"{"seq":1,"seq":2}"#, "seq"),
            (r#"{"seq":1,"users":["1","-2"]}"#, "users"),
            (r#"{"seq":1,"users":[3]}"#, "users[0]"),
            (r#"{"seq":1,"body":{}}"#, "body.text"),
            (r#"{"seq":1,"body":{"text":7}}"#, "body.text"),
            (r#"{"seq":1,"body":{"text":"a","text":"b"}}"#, "body.text"),
            (r#"[]"#, ""),
            (r#" [1,["2"],{"text":"x"}]"#, ""),
            (r#"7"#, ""),
            (r#"{"#, ""),
            (r#"{"seq":1,"body":{"text":"\ud800"}}"#, ""),
            ("", ""),
        ] {
            let found = field(json).unwrap_or_default();
            assert!(
                found == named || found.starts_with(named) && !named.is_empty(),
                "{json}: {found}"
            );
        }
    }

    #[test]
    fn what_follows_deep_nesting_and_bad_bytes_are_refused() {
        assert!(parse::<Shape>(br#"{"seq":1} {"seq":2}"#).is_err());
        assert!(parse::<Shape>(b"{\"seq\":1,\"body\":{\"text\":\"\xff\"}}").is_err());
        // Skipped, not followed: it costs no stack.
        let deep = format!("{{\"seq\":1,\"x\":{}{}}}", "[".repeat(50_000), "]".repeat(50_000));
        assert!(parse::<Shape>(deep.as_bytes()).is_ok());
        let deep = format!("{{\"body\":{}", "{\"text\":".repeat(50_000));
        assert!(parse::<Shape>(deep.as_bytes()).is_err());
    }

    #[test]
    fn unknown_fields_are_ignored() {
        assert!(parse::<Shape>(br#"{"seq":1,"future":{"a":[1]}}"#).is_ok());
    }

    #[test]
    fn json_has_its_own_content_type() {
        let of = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, header::HeaderValue::from_static(kind));
            is_json(&headers)
        };
        for good in ["application/json", "Application/JSON; charset=utf-8", "application/x+json"] {
            assert!(of(good), "{good}");
        }
        for bad in ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""] {
            assert!(!of(bad), "{bad}");
        }
        assert!(!is_json(&HeaderMap::new()));
    }
}
