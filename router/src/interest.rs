//! Which conn-nodes' streams follow which chats: where events of large chats go, and of every chat
//! that somebody has open.

use parking_lot::RwLock;
use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use thiserror::Error;

/// Looked at by deliveries and written by every `open`: parts keep the two apart.
const PARTS: usize = 64;
/// Entries of all streams, some 100 bytes each: every chat that somebody has open, once for each
/// conn-node.
const ENTRIES_MAX: usize = 8_000_000;

/// More chats are open than this router can hold.
#[derive(Debug, PartialEq, Eq, Error)]
#[error("{ENTRIES_MAX} chats are followed through this router, the most it takes")]
pub(crate) struct Full;

pub(crate) struct Interest {
    /// Chat -> numbers of streams, each once.
    parts: Vec<RwLock<HashMap<u64, Vec<u64>>>>,
    entries: AtomicUsize,
}

impl Default for Interest {
    fn default() -> Interest {
        let parts = std::iter::repeat_with(RwLock::default).take(PARTS).collect();
        Interest { parts, entries: AtomicUsize::new(0) }
    }
}

impl Interest {
    /// Following twice is following once.
    pub(crate) fn follow(&self, stream: u64, chat: u64) -> Result<(), Full> {
        let mut part = self.part(chat).write();
        let streams = part.entry(chat).or_default();
        if streams.contains(&stream) {
            return Ok(());
        }
        if ENTRIES_MAX <= self.entries.load(Ordering::Relaxed) {
            if streams.is_empty() {
                part.remove(&chat);
            }
            return Err(Full);
        }
        streams.push(stream);
        self.entries.fetch_add(1, Ordering::Relaxed);
        Ok(())
    }

    pub(crate) fn unfollow(&self, stream: u64, chat: u64) {
        let mut part = self.part(chat).write();
        let Some(streams) = part.get_mut(&chat) else { return };
        let before = streams.len();
        streams.retain(|other| *other != stream);
        self.entries.fetch_sub(before - streams.len(), Ordering::Relaxed);
        if streams.is_empty() {
            part.remove(&chat);
        }
    }

    /// The stream is gone. Looks at every entry: rare.
    pub(crate) fn forget_stream(&self, stream: u64) {
        self.retain(|_, other| other != stream);
    }

    /// Keeps only chats that `belongs` says are still ours. Looks at every entry: rare.
    pub(crate) fn forget_chats(&self, belongs: impl Fn(u64) -> bool) {
        self.retain(|chat, _| belongs(chat));
    }

    pub(crate) fn each(&self, chat: u64, mut tell: impl FnMut(u64)) {
        if let Some(streams) = self.part(chat).read().get(&chat) {
            streams.iter().for_each(|stream| tell(*stream));
        }
    }

    fn retain(&self, keep: impl Fn(u64, u64) -> bool) {
        for part in &self.parts {
            let mut dropped = 0;
            part.write().retain(|chat, streams| {
                let before = streams.len();
                streams.retain(|stream| keep(*chat, *stream));
                dropped += before - streams.len();
                !streams.is_empty()
            });
            self.entries.fetch_sub(dropped, Ordering::Relaxed);
        }
    }

    fn part(&self, chat: u64) -> &RwLock<HashMap<u64, Vec<u64>>> {
        // The low bits of a random id.
        &self.parts[usize::try_from(chat % PARTS as u64).unwrap_or(0)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(interest: &Interest, chat: u64, expected: &[u64]) {
        let mut streams = Vec::new();
        interest.each(chat, |stream| streams.push(stream));
        assert_eq!(streams, expected);
    }

    #[test]
    fn a_stream_follows_a_chat_once() {
        let interest = Interest::default();
        for stream in [1, 2, 1] {
            assert_eq!(interest.follow(stream, 77), Ok(()));
        }
        check(&interest, 77, &[1, 2]);
        interest.unfollow(1, 77);
        interest.unfollow(1, 77);
        check(&interest, 77, &[2]);
        assert_eq!(interest.entries.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn nothing_stays_of_a_stream_that_is_gone() {
        let interest = Interest::default();
        for (stream, chat) in [(1, 5), (1, 6), (2, 6)] {
            assert_eq!(interest.follow(stream, chat), Ok(()));
        }
        interest.forget_stream(1);
        check(&interest, 5, &[]);
        check(&interest, 6, &[2]);
        interest.forget_chats(|chat| chat != 6);
        check(&interest, 6, &[]);
        assert_eq!(interest.entries.load(Ordering::Relaxed), 0);
    }
}
