//! The order of a chat list, and where in it a page begins: newest activity first, as of the moment
//! the first page was read, so that what happens meanwhile moves no chat from page to page.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use shardline_domain::id::ChatId;

/// A chat's place: by activity, then by id, so that no two are equal.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Place {
    pub(super) activity_ms: i64,
    pub(super) chat: u64,
}

/// Where the next page begins: after `last`, in the order as of `as_of_ms`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Cursor {
    pub(super) as_of_ms: i64,
    pub(super) last: Place,
}

const CURSOR_BYTES: usize = 24;

impl Cursor {
    pub(super) fn encode(self) -> String {
        let mut bytes = [0; CURSOR_BYTES];
        bytes[..8].copy_from_slice(&self.as_of_ms.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.last.activity_ms.to_be_bytes());
        bytes[16..].copy_from_slice(&self.last.chat.to_be_bytes());
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }

    /// None if it is none of ours.
    pub(super) fn decode(text: &str) -> Option<Cursor> {
        if text.len() != CURSOR_BYTES / 3 * 4 {
            return None;
        }
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let part = |at: usize| -> Option<[u8; 8]> { bytes.get(at..at + 8)?.try_into().ok() };
        let chat = ChatId::new(u64::from_be_bytes(part(16)?)).ok()?.get();
        let last = Place { activity_ms: i64::from_be_bytes(part(8)?), chat };
        Some(Cursor { as_of_ms: i64::from_be_bytes(part(0)?), last })
    }
}

/// The places of one page, newest first, and whether more come after it.
pub(super) fn select(
    mut places: Vec<Place>,
    after: Option<Place>,
    limit: usize,
) -> (Vec<Place>, bool) {
    if let Some(after) = after {
        places.retain(|place| *place < after);
    }
    places.sort_unstable_by(|one, other| other.cmp(one));
    let more = limit < places.len();
    places.truncate(limit);
    (places, more)
}

/// The moment a first page shows: its newest activity. What comes later is newer than that.
pub(super) fn moment(places: &[Place]) -> i64 {
    places.iter().map(|place| place.activity_ms).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(activity_ms: i64, chat: u64) -> Place {
        Place { activity_ms, chat }
    }

    #[test]
    fn a_cursor_is_read_back_and_nothing_else_is() {
        let cursor = Cursor { as_of_ms: 17, last: place(-3, i64::MAX as u64) };
        assert_eq!(Cursor::decode(&cursor.encode()), Some(cursor));
        let zero_chat = BASE64_URL_SAFE_NO_PAD.encode([0; 24]);
        for bad in ["", "AAAA", "not base64 but as long as one!!!", &zero_chat] {
            assert_eq!(Cursor::decode(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn the_newest_comes_first_and_equal_times_have_an_order() {
        let places = vec![place(5, 1), place(9, 2), place(5, 3)];
        let (page, more) = select(places, None, 10);
        assert_eq!(page, [place(9, 2), place(5, 3), place(5, 1)]);
        assert!(!more);
    }

    #[test]
    fn pages_hold_every_chat_once_whatever_their_size() {
        let places: Vec<Place> = (1..=23).map(|chat| place((chat % 4) as i64, chat)).collect();
        for limit in 1..=25 {
            let (mut seen, mut after) = (Vec::new(), None);
            loop {
                let (page, more) = select(places.clone(), after, limit);
                after = page.last().copied();
                seen.extend(page);
                if !more {
                    break;
                }
            }
            let mut expected = places.clone();
            expected.sort_unstable_by(|one, other| other.cmp(one));
            assert_eq!(seen, expected, "limit {limit}");
        }
    }
}
