//! How a journal row's entries are kept: one compact blob, the same in every database. An entry takes
//! about ten bytes: the entity as it is, then the first ver and how many more, as variable-length numbers.

use crate::store::JournalEntry;

/// The form's number, the first byte of every blob.
const FORM: u8 = 1;

pub(super) fn encode(entries: &[JournalEntry]) -> Vec<u8> {
    let mut blob = Vec::with_capacity(1 + entries.len() * 12);
    blob.push(FORM);
    for entry in entries {
        blob.extend_from_slice(&entry.entity.to_be_bytes());
        put_number(&mut blob, entry.first_ver);
        put_number(&mut blob, entry.last_ver - entry.first_ver);
    }
    blob
}

/// None if the blob is not one that `encode` makes.
pub(super) fn decode(blob: &[u8]) -> Option<Vec<JournalEntry>> {
    let (form, mut rest) = blob.split_first()?;
    if *form != FORM {
        return None;
    }
    let mut entries = Vec::new();
    while !rest.is_empty() {
        let (entity, after) = rest.split_first_chunk::<8>()?;
        rest = after;
        let entity = u64::from_be_bytes(*entity);
        let first_ver = take_number(&mut rest)?;
        let last_ver = first_ver.checked_add(take_number(&mut rest)?)?;
        entries.push(JournalEntry { entity, first_ver, last_ver });
    }
    Some(entries)
}

/// Seven bits a byte, lowest first; the top bit says that more follow.
fn put_number(blob: &mut Vec<u8>, mut number: u64) {
    loop {
        let low = (number & 0x7f).to_le_bytes()[0];
        number >>= 7;
        if number == 0 {
            blob.push(low);
            return;
        }
        blob.push(low | 0x80);
    }
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        let bits = u64::from(byte & 0x7f);
        if bits << shift >> shift != bits {
            return None;
        }
        number |= bits << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were() {
        let entries = vec![
            JournalEntry { entity: 1, first_ver: 1, last_ver: 1 },
            JournalEntry { entity: i64::MAX as u64, first_ver: 127, last_ver: 128 + 255 },
            JournalEntry { entity: 7, first_ver: u64::MAX - 1, last_ver: u64::MAX },
        ];
        assert_eq!(decode(&encode(&entries)), Some(entries));
        assert_eq!(decode(&encode(&[])), Some(Vec::new()));
    }

    #[test]
    fn what_is_cut_or_of_another_form_is_not_read() {
        let blob = encode(&[JournalEntry { entity: 9, first_ver: 300, last_ver: 301 }]);
        for cut in 2..blob.len() {
            assert_eq!(decode(&blob[..cut]), None, "{cut} of {} bytes", blob.len());
        }
        assert_eq!(decode(&[]), None);
        assert_eq!(decode(&[FORM + 1]), None);
        let too_large = [&[FORM][..], &[0; 8], &[0xff; 9], &[0x7f], &[0]].concat();
        assert_eq!(decode(&too_large), None);
    }
}
