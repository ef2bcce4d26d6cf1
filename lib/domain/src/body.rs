//! A message's body, checked on construction. Text is kept verbatim: no trimming, no normalisation.

use crate::limits::BODY_BYTES_MAX;
use thiserror::Error;

#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Body {
    text: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum BodyError {
    #[error("the text is empty")]
    Empty,
    #[error("the text has {bytes} bytes, {BODY_BYTES_MAX} are allowed")]
    TooLong { bytes: usize },
    #[error("the text has the character U+0000")]
    Nul,
}

impl Body {
    pub fn parse(text: String) -> Result<Body, BodyError> {
        if text.is_empty() {
            return Err(BodyError::Empty);
        }
        if BODY_BYTES_MAX < text.len() {
            return Err(BodyError::TooLong { bytes: text.len() });
        }
        if text.contains('\0') {
            return Err(BodyError::Nul);
        }
        Ok(Body { text })
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn into_text(self) -> String {
        self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Result<(), BodyError>) {
        assert_eq!(Body::parse(text.to_owned()).map(|_| ()), expected);
    }

    #[test]
    fn a_body_is_never_empty() {
        check("", Err(BodyError::Empty));
    }

    #[test]
    fn a_body_of_the_largest_size_is_taken_and_one_byte_more_is_not() {
        check(&"x".repeat(BODY_BYTES_MAX), Ok(()));
        let bytes = BODY_BYTES_MAX + 1;
        check(&"x".repeat(bytes), Err(BodyError::TooLong { bytes }));
    }

    #[test]
    fn only_the_nul_character_is_refused() {
        check("a\0b", Err(BodyError::Nul));
        check(" \u{7f}\u{202e}'; DROP TABLE messages; <script>", Ok(()));
    }
}
