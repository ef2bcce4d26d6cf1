//! What names, passwords and texts of an account may be. Texts are never changed to fit.

use crate::problem::{Answer, Problem};
use shardline_domain::error::Code;
use shardline_domain::limits::{PASSWORD_BYTES_MAX, PASSWORD_BYTES_MIN};
use shardline_domain::user::{self, TextError};

/// A name is claimed as it is written, or not at all: two that differ only by case never exist.
pub(crate) fn check_name(name: &str) -> Answer<()> {
    user::check_name(name).map_err(|error| bad_text("name", &error))?;
    if name.starts_with(|first: char| first.is_ascii_alphanumeric()) {
        Ok(())
    } else {
        Err(Problem::bad_field("name", "a name starts with a letter or a digit"))
    }
}

/// Any bytes; the length bounds the work of guessing from below and that of hashing from above.
pub(crate) fn check_password(password: &str) -> Answer<()> {
    if password.len() < PASSWORD_BYTES_MIN {
        let why = format!("a password has at least {PASSWORD_BYTES_MIN} bytes");
        return Err(Problem::bad_field("password", why));
    }
    check_password_size(password)
}

/// What of a password is checked at log-in: the rest is not the same for accounts of all ages.
pub(crate) fn check_password_size(password: &str) -> Answer<()> {
    if PASSWORD_BYTES_MAX < password.len() {
        let why = format!("a password has at most {PASSWORD_BYTES_MAX} bytes");
        return Err(Problem {
            field: Some("password".to_owned()),
            ..Problem::new(Code::BadRequest, why)
        });
    }
    Ok(())
}

pub(crate) fn check_display_name(text: &str) -> Answer<()> {
    user::check_display_name(text).map_err(|error| bad_text("display_name", &error))
}

pub(crate) fn check_about(text: &str) -> Answer<()> {
    user::check_about(text).map_err(|error| bad_text("about", &error))
}

pub(crate) fn check_device(text: &str) -> Answer<()> {
    user::check_device(text).map_err(|error| bad_text("device", &error))
}

pub(crate) fn check_title(text: &str) -> Answer<()> {
    user::check_title(text).map_err(|error| bad_text("title", &error))
}

fn bad_text(field: &str, error: &TextError) -> Problem {
    Problem::bad_field(field, format!("{field}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(answer: Answer<()>) -> Option<String> {
        answer.err().and_then(|problem| problem.field)
    }

    #[test]
    fn a_name_is_lower_case_and_starts_with_a_letter_or_digit() {
        for good in ["a", "7", "anna.b-c_9", &"x".repeat(32)] {
            assert_eq!(check_name(good), Ok(()), "{good}");
        }
        for bad in
            ["", "Anna", "_a", ".a", "-a", "a b", "ä", "a\u{0}", "a'--", "<b>", &"x".repeat(33)]
        {
            assert_eq!(field(check_name(bad)).as_deref(), Some("name"), "{bad:?}");
        }
    }

    #[test]
    fn a_password_is_measured_in_bytes() {
        assert!(check_password("ääää").is_ok());
        assert!(check_password("äää").is_err());
        assert!(check_password(&"x".repeat(256)).is_ok());
        assert_eq!(field(check_password(&"x".repeat(257))).as_deref(), Some("password"));
        assert!(check_password_size("x").is_ok());
    }

    #[test]
    fn texts_name_their_field() {
        assert_eq!(field(check_display_name("")).as_deref(), Some("display_name"));
        assert_eq!(field(check_about(&"x".repeat(513))).as_deref(), Some("about"));
        assert_eq!(field(check_title("a\0")).as_deref(), Some("title"));
        assert_eq!(field(check_device(&"x".repeat(65))).as_deref(), Some("device"));
        assert!(check_about("").is_ok() && check_device("").is_ok());
    }
}
