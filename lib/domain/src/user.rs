//! A user's own things: sessions and their refresh tokens, the chat list, and checks of names.

use crate::limits::{ABOUT_CHARS_MAX, DEVICE_CHARS_MAX, DISPLAY_NAME_CHARS_MAX, NAME_CHARS_MAX};
use crate::limits::{SESSIONS_PER_USER, TITLE_CHARS_MAX};
use thiserror::Error;

/// What a refresh token says and a session keeps: 16 random bytes of one generation.
pub type Nonce = [u8; 16];

/// A session's refresh tokens. The first generation is 1.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Tokens {
    pub generation: u64,
    pub current: Nonce,
    /// Of the generation before; of no meaning in the first.
    pub previous: Nonce,
}

impl Tokens {
    pub fn first(nonce: Nonce) -> Tokens {
        Tokens { generation: 1, current: nonce, previous: [0; 16] }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refresh {
    Renewed(Tokens),
    /// A token that was used up: somebody else may have it, so nobody goes on with it.
    EndSession,
}

/// The current token moves on to the next generation. The previous one is still good while the
/// current one was never used: its answer may have been lost, and the one in it is replaced.
pub fn refresh(tokens: Tokens, generation: u64, nonce: Nonce, new: Nonce) -> Refresh {
    if generation == tokens.generation && nonce == tokens.current {
        let generation = generation + 1;
        return Refresh::Renewed(Tokens { generation, current: new, previous: nonce });
    }
    let is_previous =
        1 < tokens.generation && generation == tokens.generation - 1 && nonce == tokens.previous;
    if is_previous {
        return Refresh::Renewed(Tokens { current: new, ..tokens });
    }
    Refresh::EndSession
}

/// Which sessions a new one replaces, given (session, used_at_ms) of those there are: the ones idle
/// longest, so that with the new one the limit is kept.
pub fn replaced_sessions(sessions: &[(u64, i64)]) -> Vec<u64> {
    let surplus = (sessions.len() + 1).saturating_sub(SESSIONS_PER_USER);
    let mut by_idleness: Vec<(i64, u64)> = sessions.iter().map(|(id, used)| (*used, *id)).collect();
    by_idleness.sort_unstable();
    by_idleness.into_iter().take(surplus).map(|(_, id)| id).collect()
}

/// Whether a fact (joined or left a chat, at that chat's `ver`) is news to a row of the chat list that
/// knows of `fact_ver`. A tombstone keeps its fact_ver, so a late "joined" cannot revive what was
/// left later.
pub fn is_newer_fact(fact_ver: Option<u64>, ver: u64) -> bool {
    fact_ver.is_none_or(|known| known < ver)
}

#[derive(Clone, PartialEq, Eq, Debug, Error)]
pub enum TextError {
    #[error("it is empty")]
    Empty,
    #[error("it has {chars} characters, {max} are allowed")]
    TooLong { chars: usize, max: usize },
    #[error("it has the character U+0000")]
    Nul,
    #[error("a name has lower-case letters, digits, '_', '-' and '.' only")]
    BadName,
}

/// A name as it is claimed.
pub fn check_name(name: &str) -> Result<(), TextError> {
    check_text(name, 1, NAME_CHARS_MAX)?;
    let good =
        |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '_' | '-' | '.');
    if name.chars().all(good) { Ok(()) } else { Err(TextError::BadName) }
}

pub fn check_display_name(text: &str) -> Result<(), TextError> {
    check_text(text, 1, DISPLAY_NAME_CHARS_MAX)
}

pub fn check_about(text: &str) -> Result<(), TextError> {
    check_text(text, 0, ABOUT_CHARS_MAX)
}

pub fn check_device(text: &str) -> Result<(), TextError> {
    check_text(text, 0, DEVICE_CHARS_MAX)
}

pub fn check_title(text: &str) -> Result<(), TextError> {
    check_text(text, 1, TITLE_CHARS_MAX)
}

fn check_text(text: &str, min: usize, max: usize) -> Result<(), TextError> {
    let chars = text.chars().count();
    if chars < min {
        return Err(TextError::Empty);
    }
    if max < chars {
        return Err(TextError::TooLong { chars, max });
    }
    if text.contains('\0') { Err(TextError::Nul) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn tokens() -> Tokens {
        Tokens { generation: 5, current: [5; 16], previous: [4; 16] }
    }

    #[test]
    fn the_current_token_moves_on() {
        let next = Tokens { generation: 6, current: [9; 16], previous: [5; 16] };
        assert_eq!(refresh(tokens(), 5, [5; 16], [9; 16]), Refresh::Renewed(next));
    }

    #[test]
    fn the_previous_token_is_good_until_the_new_one_is_used() {
        let replaced = Tokens { current: [9; 16], ..tokens() };
        assert_eq!(refresh(tokens(), 4, [4; 16], [9; 16]), Refresh::Renewed(replaced));
        // Again, because that answer was lost too.
        let again = Tokens { current: [8; 16], ..tokens() };
        assert_eq!(refresh(replaced, 4, [4; 16], [8; 16]), Refresh::Renewed(again));
        // The one in between was never used and is dead now.
        assert_eq!(refresh(again, 5, [9; 16], [7; 16]), Refresh::EndSession);
    }

    #[test]
    fn an_older_or_made_up_token_ends_the_session() {
        for (generation, nonce) in [(3, 4), (4, 5), (5, 4), (6, 5), (0, 0)] {
            let verdict = refresh(tokens(), generation, [nonce; 16], [9; 16]);
            assert_eq!(verdict, Refresh::EndSession, "{generation} {nonce}");
        }
        // The first generation has no previous one.
        assert_eq!(refresh(Tokens::first([1; 16]), 0, [0; 16], [9; 16]), Refresh::EndSession);
    }

    #[test]
    fn the_eleventh_session_replaces_the_one_idle_longest() {
        let ten: Vec<(u64, i64)> =
            (1..=10).map(|n| (n, 100 - i64::try_from(n).expect("small"))).collect();
        assert_eq!(replaced_sessions(&ten), [10]);
        assert_eq!(replaced_sessions(&ten[..9]), [0_u64; 0]);
    }

    #[test]
    fn a_late_fact_does_not_revive_what_was_left() {
        assert!(is_newer_fact(None, 3));
        assert!(is_newer_fact(Some(3), 7));
        assert!(!is_newer_fact(Some(7), 3));
        assert!(!is_newer_fact(Some(7), 7));
    }

    #[test]
    fn names_are_plain_and_bounded() {
        assert_eq!(check_name("a.b-c_9"), Ok(()));
        for bad in ["A", "é", "a b", "a\0"] {
            assert!(check_name(bad).is_err(), "{bad:?}");
        }
        assert_eq!(check_name(""), Err(TextError::Empty));
        assert_eq!(check_title(&"ä".repeat(TITLE_CHARS_MAX)), Ok(()));
        let chars = TITLE_CHARS_MAX + 1;
        let too_long = TextError::TooLong { chars, max: TITLE_CHARS_MAX };
        assert_eq!(check_title(&"ä".repeat(chars)), Err(too_long));
    }

    proptest! {
        /// In whatever order the facts of one chat arrive, and however often, the row ends as the
        /// newest says.
        #[test]
        fn facts_in_any_order_end_as_the_newest_says(
            order in proptest::collection::vec(1_u64..20, 1..60),
        ) {
            // Membership alternates: odd vers join, even vers leave.
            let mut row: Option<(u64, bool)> = None;
            for ver in &order {
                if is_newer_fact(row.map(|(fact_ver, _)| fact_ver), *ver) {
                    row = Some((*ver, ver % 2 == 0));
                }
            }
            let newest = order.iter().max().copied().expect("not empty");
            prop_assert_eq!(row, Some((newest, newest % 2 == 0)));
        }
    }
}
