//! Reading what a slot's new owner lacks: of each entity everything above a ver, in pages.
//!
//! The head is read before everything else, so what an answer holds may be more than its head says,
//! never less; no snapshot is needed, and writes go on. New messages are found without an index, as for
//! clients that resume (`read/news.rs`). A difference needs the change rows above its ver: where they
//! were trimmed, the entity is sent whole.

mod course;

pub(super) use course::subjects;

use crate::store::transfer::ROW_BYTES;
use crate::store::*;
use course::Course;
use futures::{StreamExt, TryStreamExt, stream};
use std::collections::HashMap;

/// An entity of which the asker has everything up to `since`; 0: nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Wanted {
    pub entity: u64,
    pub since: u64,
}

/// Entities read at the same time.
const READ_AHEAD: usize = 4;

/// How much an answer may hold; it holds something whatever these say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PageSize {
    pub rows: usize,
    pub bytes: usize,
}

impl PageSize {
    pub const FULL: PageSize = PageSize { rows: TRANSFER_ROWS_MAX, bytes: TRANSFER_BYTES_MAX };
}

/// A page: the parts of the first of the wanted entities.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Exported {
    pub parts: Vec<EntityPart>,
    /// How many of the wanted are done with, from the first on. One that does not exist has no part.
    pub finished: usize,
    /// Where the next one goes on, if some of it is in this page.
    pub place: Option<Place>,
}

/// Where an entity goes on in the next page.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Place {
    head: HeadRow,
    /// Everything, not a difference.
    whole: bool,
    stage: Stage,
}

/// Rows in the order in which they are sent, each kind above a key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Stage {
    Messages(u64),
    Changes(u64),
    Members(u64),
    /// (ver, user)
    Outbox(u64, u64),
    List(u64),
    Closing,
}

/// The form's number, the first byte of every encoded place.
const FORM: u8 = 1;

impl Place {
    /// Short enough for a progress row, also behind an entity's id.
    pub fn encode(&self) -> Vec<u8> {
        let HeadRow { entity, seq, ver, log, activity_ms } = self.head;
        let (stage, key, rest) = match self.stage {
            Stage::Messages(seq) => (1, seq, 0),
            Stage::Changes(ver) => (2, ver, 0),
            Stage::Members(user) => (3, user, 0),
            Stage::Outbox(ver, user) => (4, ver, user),
            Stage::List(chat) => (5, chat, 0),
            Stage::Closing => (6, 0, 0),
        };
        let mut bytes = vec![FORM, u8::from(self.whole), stage];
        for number in [entity, seq, ver, log, activity_ms.cast_unsigned(), key, rest] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes
    }

    /// None if these are not bytes that `encode` makes.
    pub fn decode(bytes: &[u8]) -> Option<Place> {
        let (&[form, whole, stage], numbers) = bytes.split_first_chunk::<3>()?;
        if form != FORM || 1 < whole || numbers.len() != 7 * 8 {
            return None;
        }
        let mut numbers = numbers
            .chunks_exact(8)
            .map(|chunk| chunk.iter().fold(0_u64, |number, byte| number << 8 | u64::from(*byte)));
        let mut next = || numbers.next();
        let head = HeadRow {
            entity: next()?,
            seq: next()?,
            ver: next()?,
            log: next()?,
            activity_ms: next()?.cast_signed(),
        };
        let (key, rest) = (next()?, next()?);
        let stage = match stage {
            1 => Stage::Messages(key),
            2 => Stage::Changes(key),
            3 => Stage::Members(key),
            4 => Stage::Outbox(key, rest),
            5 => Stage::List(key),
            6 => Stage::Closing,
            _ => return None,
        };
        Some(Place { head, whole: whole == 1, stage })
    }
}

/// The next page of what is wanted. `place`: where the first of them goes on. To go on, ask again
/// without those that are finished, until none is left.
pub async fn export(
    store: &dyn Store,
    wanted: &[Wanted],
    place: Option<Place>,
    size: PageSize,
) -> Result<Exported, StoreError> {
    let wanted = &wanted[..wanted.len().min(size.rows.max(1))];
    let entities: Vec<u64> = wanted.iter().map(|wanted| wanted.entity).collect();
    let heads = store.heads(&entities).await?;
    let heads: HashMap<u64, HeadRow> = heads.into_iter().map(|row| (row.entity, row)).collect();
    let rows = store.entity_rows(&entities).await?;
    let rows: HashMap<u64, EntityRow> = rows.into_iter().map(|row| (row.entity(), row)).collect();

    let mut exported = Exported::default();
    let mut room = Room { rows: size.rows.max(1), bytes: size.bytes.max(1) };
    let mut place = place.filter(|place| Some(place.head.entity) == entities.first().copied());
    // Small ones, of which there are many, are read beside each other; one that fills pages is read alone.
    let ahead = if place.is_some() { 1 } else { READ_AHEAD };
    let share = Room { rows: (room.rows / ahead).max(1), bytes: (room.bytes / ahead).max(1) };
    let read = |&Wanted { entity, since }: &Wanted| {
        let (head, row) = (heads.get(&entity).copied(), rows.get(&entity));
        Begin { entity, since, head, row, place: place.take() }.read(store, share)
    };
    let reads: Vec<_> = wanted.iter().map(read).collect();
    let mut reads = stream::iter(reads).buffered(ahead);
    while let Some((course, left)) = reads.try_next().await? {
        if let Some(mut course) = course {
            room.take_part(share, left);
            course.fill(&mut room).await?;
            let Course { place, part, .. } = course;
            let closed = part.closing.is_some();
            exported.parts.push(part);
            if !closed {
                exported.place = Some(place);
                return Ok(exported);
            }
        }
        exported.finished += 1;
        if room.is_full() {
            break;
        }
    }
    Ok(exported)
}

/// An entity that is to be read, and what was found of it.
struct Begin<'a> {
    entity: u64,
    since: u64,
    head: Option<HeadRow>,
    row: Option<&'a EntityRow>,
    place: Option<Place>,
}

impl<'a> Begin<'a> {
    /// As far as the room is enough, and what is left of it; None if there is no such entity.
    async fn read(
        self,
        store: &'a dyn Store,
        mut room: Room,
    ) -> Result<(Option<Course<'a>>, Room), StoreError> {
        let Begin { entity, since, head, row, place } = self;
        let Some(head) = head else { return Ok((None, room)) };
        let Some(row) = row else {
            return Err(StoreError::Corrupt(format!("entity {entity} has a head, and is nothing")));
        };
        let place = place.unwrap_or_else(|| first_place(head, row, since));
        let part = EntityPart::of(entity, place.head.ver);
        let mut course = Course { store, row, since, place, part };
        course.fill(&mut room).await?;
        Ok((Some(course), room))
    }
}

/// What is left of a page. Each row that was read takes some, also if it is not sent.
#[derive(Clone, Copy)]
struct Room {
    rows: usize,
    bytes: usize,
}

impl Room {
    fn is_full(&self) -> bool {
        self.rows == 0 || self.bytes == 0
    }

    /// How many rows are to be read at most.
    fn limit(&self) -> u64 {
        self.rows.min(self.bytes.div_ceil(ROW_BYTES)) as u64
    }

    fn take(&mut self, rows: usize, text_bytes: usize) {
        self.rows = self.rows.saturating_sub(rows);
        self.bytes = self.bytes.saturating_sub(rows * ROW_BYTES + text_bytes);
    }

    /// What of a share was used.
    fn take_part(&mut self, share: Room, left: Room) {
        self.rows = self.rows.saturating_sub(share.rows - left.rows);
        self.bytes = self.bytes.saturating_sub(share.bytes - left.bytes);
    }
}

fn first_place(head: HeadRow, row: &EntityRow, since: u64) -> Place {
    let whole = since == 0 || since < row.trimmed_ver();
    let stage = match row {
        EntityRow::Chat(_) if whole => Stage::Messages(0),
        EntityRow::Chat(_) => Stage::Messages(before_news(head, since)),
        EntityRow::User(row) => Stage::Changes(if whole { row.trimmed_ver } else { since }),
        EntityRow::Name(_) => Stage::Closing,
    };
    Place { head, whole, stage }
}

/// Messages born above `since` have a higher seq than this: each takes a ver, and both grow together.
pub(super) fn before_news(head: HeadRow, since: u64) -> u64 {
    head.seq.saturating_sub(head.ver.saturating_sub(since))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_read_back_as_it_was() {
        let head = HeadRow { entity: 5, seq: 6, ver: 7, log: u64::MAX, activity_ms: -8 };
        let stages = [
            Stage::Messages(1),
            Stage::Changes(u64::MAX),
            Stage::Members(3),
            Stage::Outbox(4, u64::MAX),
            Stage::List(5),
            Stage::Closing,
        ];
        for stage in stages {
            for whole in [true, false] {
                let place = Place { head, whole, stage };
                let bytes = place.encode();
                assert!(bytes.len() <= CONTINUATION_BYTES_MAX);
                assert_eq!(Place::decode(&bytes), Some(place));
                for cut in 0..bytes.len() {
                    assert_eq!(Place::decode(&bytes[..cut]), None);
                }
                assert_eq!(Place::decode(&[bytes.as_slice(), &[0]].concat()), None);
            }
        }
        let mut bytes = Place { head, whole: true, stage: Stage::Closing }.encode();
        for (at, wrong) in [(0, 2), (1, 2), (2, 0), (2, 7)] {
            let right = std::mem::replace(&mut bytes[at], wrong);
            assert_eq!(Place::decode(&bytes), None);
            bytes[at] = right;
        }
    }

    #[test]
    fn news_begin_behind_what_was_known() {
        let head = |seq, ver| HeadRow { entity: 1, seq, ver, log: 0, activity_ms: 0 };
        assert_eq!(before_news(head(10, 15), 15), 10);
        assert_eq!(before_news(head(10, 15), 12), 7);
        assert_eq!(before_news(head(10, 15), 1), 0);
        assert_eq!(before_news(head(10, 15), 99), 10);
    }
}
