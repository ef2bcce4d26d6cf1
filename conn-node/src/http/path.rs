//! The variable parts of a path, each parsed by its own rule and named when wrong.

use crate::problem::{Answer, Problem};
use axum::extract::{FromRequestParts, RawPathParams};
use axum::http::request::Parts;
use shardline_domain::id::IdError;
use std::str::FromStr;

pub(super) struct PathParts(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for PathParts {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let params = RawPathParams::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::not_found("this path is not UTF-8"))?;
        let parts = params.iter().map(|(name, text)| (name.to_owned(), text.to_owned()));
        Ok(PathParts(parts.collect()))
    }
}

impl PathParts {
    pub(super) fn text(&self, name: &str) -> &str {
        let part = self.0.iter().find(|(known, _)| known == name);
        part.map_or("", |(_, text)| text)
    }

    pub(super) fn id<T: FromStr<Err = IdError>>(&self, name: &str) -> Answer<T> {
        self.text(name)
            .parse()
            .map_err(|error: IdError| Problem::bad_field(name, error.to_string()))
    }

    /// A seq: digits only, from 1.
    pub(super) fn seq(&self) -> Answer<u64> {
        parse_number(self.text("seq")).filter(|seq| 1 <= *seq).ok_or_else(|| {
            Problem::bad_field("seq", format!("seq is a number from 1 to {}", i64::MAX))
        })
    }
}

/// Plain digits: no sign, no spaces; what fits a database's number.
pub(super) fn parse_number(text: &str) -> Option<u64> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|number| i64::try_from(*number).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_plain_digits_in_range() {
        assert_eq!(parse_number("9223372036854775807"), Some(i64::MAX as u64));
        assert_eq!(parse_number("0"), Some(0));
        for bad in ["", "-1", "+1", " 1", "1.0", "1e3", "0x1", "9223372036854775808", "٣"] {
            assert_eq!(parse_number(bad), None, "{bad:?}");
        }
    }
}
