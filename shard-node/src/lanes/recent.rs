//! The latest sends of a lane by their keys: what repeats and predecessors are looked up in before
//! the database is asked. A bounded memory, not a truth: what is not here may still be stored.

use crate::store::MessageKey;
use shardline_domain::append::First;
use std::collections::HashMap;

/// Two generations; when the younger is full, the older is forgotten.
pub(crate) struct Recent {
    young: HashMap<MessageKey, First>,
    old: HashMap<MessageKey, First>,
    generation_max: usize,
}

impl Recent {
    /// Remembers at least the last `generation_max` sends, at most twice as many.
    pub(crate) fn new(generation_max: usize) -> Recent {
        Recent { young: HashMap::new(), old: HashMap::new(), generation_max }
    }

    pub(crate) fn get(&self, key: &MessageKey) -> Option<First> {
        self.young.get(key).or_else(|| self.old.get(key)).copied()
    }

    pub(crate) fn put(&mut self, key: MessageKey, first: First) {
        if self.generation_max <= self.young.len() {
            self.old = std::mem::take(&mut self.young);
            self.young.reserve(self.generation_max);
        }
        self.young.insert(key, first);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: u8) -> MessageKey {
        MessageKey { chat: 1, sender: 2, client_msg_id: [number; 16] }
    }

    fn first(seq: u64) -> First {
        First { seq, ver: seq, sent_at_ms: 0, hash: [0; 16] }
    }

    #[test]
    fn the_latest_are_remembered_and_the_rest_is_bounded() {
        let mut recent = Recent::new(3);
        for number in 1..=7 {
            recent.put(key(number), first(number.into()));
        }
        for number in 4..=7 {
            assert_eq!(recent.get(&key(number)), Some(first(number.into())));
        }
        assert_eq!(recent.get(&key(3)), None);
    }
}
