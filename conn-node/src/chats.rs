//! Chats as their members see them: the list, one item, what is done in them. Used by HTTP and by
//! sockets alike; each function checks what needs no shard and leaves the rest to the chat's shard.

pub(crate) mod change;
pub(crate) mod create;
pub(crate) mod item;
pub(crate) mod list;
pub(crate) mod members;
pub(crate) mod messages;
mod order;
pub(crate) mod read;

pub(crate) use item::item;
pub(crate) use list::{PageRequest, page};

use shardline_domain::limits::{PAGE_MESSAGES_DEFAULT, PAGE_MESSAGES_MAX};
use shardline_wire::refusal::{Code, Refusal};

/// How much of a list is answered: 50 unless told, at most 200.
///
/// # Errors
/// BAD_REQUEST below 1.
pub(crate) fn page_limit(asked: Option<u64>) -> Result<u64, Refusal> {
    match asked {
        None => Ok(PAGE_MESSAGES_DEFAULT),
        Some(0) => Err(Refusal::of_field(Code::BadRequest, "limit", "limit is at least 1")),
        Some(asked) => Ok(asked.min(PAGE_MESSAGES_MAX)),
    }
}

/// A number a shard can keep.
///
/// # Errors
/// BAD_REQUEST above 2^63 - 1, naming the field.
pub(crate) fn number(field: &str, value: u64) -> Result<u64, Refusal> {
    if i64::try_from(value).is_ok() {
        return Ok(value);
    }
    let why = format!("{field} is a number from 0 to {}", i64::MAX);
    Err(Refusal::of_field(Code::BadRequest, field, why))
}

pub(crate) fn optional_number(field: &str, value: Option<u64>) -> Result<Option<u64>, Refusal> {
    value.map(|value| number(field, value)).transpose()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_is_from_1_to_200_and_50_unless_told() {
        assert_eq!(page_limit(None), Ok(50));
        assert_eq!(page_limit(Some(1)), Ok(1));
        assert_eq!(page_limit(Some(u64::MAX)), Ok(200));
        let refusal = page_limit(Some(0)).expect_err("none is not a page");
        assert_eq!(refusal.field.as_deref(), Some("limit"));
    }

    #[test]
    fn a_number_fits_a_database() {
        assert_eq!(number("seq", i64::MAX as u64), Ok(i64::MAX as u64));
        let refusal = optional_number("if_ver", Some(1 << 63)).expect_err("too large");
        assert_eq!(refusal.field.as_deref(), Some("if_ver"));
        assert_eq!(optional_number("if_ver", None), Ok(None));
    }
}
