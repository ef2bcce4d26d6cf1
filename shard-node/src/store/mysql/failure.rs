//! What an error of the driver or the server means to us. Texts of errors that quote values are left
//! out: values may be what people wrote.

use crate::store::{CommitError, StoreError};
use mysql_async::{Error, ServerError};

const DUPLICATE_KEY: u16 = 1062;
const NO_SUCH_TABLE: u16 = 1146;
const NO_SUCH_THREAD: u16 = 1094;
const NOT_OWNER_OF_THREAD: u16 = 1095;
/// Codes whose text holds values: duplicate key, out of range, wrong value, too long.
const QUOTING: [u16; 5] = [DUPLICATE_KEY, 1264, 1292, 1366, 1406];
/// A step of a migration that was done already: table exists, column exists, key exists, nothing to drop.
const DONE_BEFORE: [u16; 4] = [1050, 1060, 1061, 1091];

pub(super) fn describe(error: &Error) -> String {
    match error {
        Error::Server(ServerError { code, state, .. }) if QUOTING.contains(code) => {
            format!("server error {code} ({state})")
        }
        Error::Server(ServerError { code, state, message }) => {
            format!("server error {code} ({state}): {message}")
        }
        error => error.to_string(),
    }
}

impl From<Error> for StoreError {
    fn from(error: Error) -> StoreError {
        StoreError::Unavailable(describe(&error))
    }
}

impl From<Error> for CommitError {
    fn from(error: Error) -> CommitError {
        CommitError::NotStored(describe(&error))
    }
}

/// The name of the key that would be doubled, without its table.
pub(super) fn doubled_key(error: &Error) -> Option<&str> {
    let Error::Server(ServerError { code: DUPLICATE_KEY, message, .. }) = error else {
        return None;
    };
    // … for key 'dedupe' or, from MySQL 8.0.19 on, 'messages.dedupe'. What is before is data.
    let quoted = message.trim_end().strip_suffix('\'')?.rsplit('\'').next()?;
    Some(quoted.rsplit('.').next().unwrap_or(quoted))
}

pub(super) fn is_done_before(error: &Error) -> bool {
    matches!(error, Error::Server(ServerError { code, .. }) if DONE_BEFORE.contains(code))
}

pub(super) fn is_no_such_table(error: &Error) -> bool {
    matches!(error, Error::Server(ServerError { code: NO_SUCH_TABLE, .. }))
}

/// A KILL for which there is nothing to end: no such session, or by now somebody else's.
pub(super) fn is_no_such_session(error: &Error) -> bool {
    let codes = [NO_SUCH_THREAD, NOT_OWNER_OF_THREAD];
    matches!(error, Error::Server(ServerError { code, .. }) if codes.contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn duplicate(message: &str) -> Error {
        let (code, state) = (DUPLICATE_KEY, "23000".to_owned());
        Error::Server(ServerError { code, state, message: message.to_owned() })
    }

    #[test]
    fn a_doubled_key_is_known_by_its_name_whatever_the_server() {
        for (message, key) in [
            ("Duplicate entry '7-1' for key 'dedupe'", "dedupe"),
            ("Duplicate entry '7-1' for key 'messages.dedupe'", "dedupe"),
            ("Duplicate entry ''dedupe'-1' for key 'PRIMARY'", "PRIMARY"),
            ("Duplicate entry 'for key 'dedupe'' for key 'messages.PRIMARY'", "PRIMARY"),
        ] {
            assert_eq!(doubled_key(&duplicate(message)), Some(key), "{message}");
        }
    }

    #[test]
    fn texts_that_quote_values_are_not_passed_on() {
        assert!(!describe(&duplicate("Duplicate entry 'secret' for key 'x'")).contains("secret"));
    }
}
