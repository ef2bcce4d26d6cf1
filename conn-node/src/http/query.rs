//! The query of a URL: numbers and texts by name. Unknown names are ignored, repeated ones refused.

use super::path::parse_number;
use crate::problem::{Answer, Problem};
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;

pub(super) struct QueryParts(Vec<(String, String)>);

impl<S: Send + Sync> FromRequestParts<S> for QueryParts {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        let Query(pairs) = Query::<Vec<(String, String)>>::from_request_parts(parts, state)
            .await
            .map_err(|_| Problem::bad_field("query", "the query cannot be read"))?;
        Ok(QueryParts(pairs))
    }
}

impl QueryParts {
    pub(super) fn text(&self, name: &str) -> Answer<Option<&str>> {
        let mut values = self.0.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, text)| text.as_str());
        if values.next().is_some() {
            return Err(Problem::bad_field(name, format!("{name} is given twice")));
        }
        Ok(value)
    }

    pub(super) fn number(&self, name: &str) -> Answer<Option<u64>> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        parse_number(text).map(Some).ok_or_else(|| {
            Problem::bad_field(name, format!("{name} is a number from 0 to {}", i64::MAX))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts() -> QueryParts {
        let pairs = [("limit", "5"), ("before_seq", "-1"), ("cursor", "a"), ("cursor", "b")];
        QueryParts(pairs.iter().map(|(name, text)| (name.to_string(), text.to_string())).collect())
    }

    #[test]
    fn a_value_is_there_once_or_not_at_all() {
        assert_eq!(parts().number("limit"), Ok(Some(5)));
        assert_eq!(parts().number("min_ver"), Ok(None));
        let problem = parts().number("before_seq").expect_err("negative");
        assert_eq!(problem.field.as_deref(), Some("before_seq"));
        let problem = parts().text("cursor").expect_err("twice");
        assert_eq!(problem.field.as_deref(), Some("cursor"));
    }
}
