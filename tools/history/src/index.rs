//! Maps by numbers. Recordings are our own, so nobody chooses keys to slow the judge down, and its time
//! goes into looking things up.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

pub(crate) type Index<K, V> = HashMap<K, V, BuildHasherDefault<Folding>>;

#[derive(Default)]
pub(crate) struct Folding(u64);

/// Odd, with its bits well mixed: the golden ratio's.
const MULTIPLIER: u64 = 0x9e37_79b9_7f4a_7c15;

impl Hasher for Folding {
    fn write(&mut self, bytes: &[u8]) {
        for chunk in bytes.chunks(8) {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            self.write_u64(u64::from_le_bytes(word));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = (self.0.rotate_left(5) ^ word).wrapping_mul(MULTIPLIER);
    }

    fn write_u32(&mut self, word: u32) {
        self.write_u64(word.into());
    }

    fn write_usize(&mut self, word: usize) {
        self.write(&word.to_le_bytes());
    }

    fn write_u128(&mut self, word: u128) {
        self.write(&word.to_le_bytes());
    }

    fn finish(&self) -> u64 {
        // Maps look at the lowest bits first, and those a multiplication mixes least.
        self.0 ^ (self.0 >> 32)
    }
}
