//! Cursors inside one process: bounded, forgetting clean ones first; [`MemoryCursors::wipe`] forgets
//! all, as an operator's FLUSHALL would.

use super::{Cursors, Mark};
use crate::Unavailable;
use async_trait::async_trait;
use parking_lot::Mutex;
use shardline_domain::id::{ChatId, UserId};
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

/// Cursors held before the clean ones are forgotten: a few tens of megabytes.
const HELD_MAX: usize = 200_000;

#[derive(Debug, Default)]
pub struct MemoryCursors {
    held: Mutex<HashMap<(UserId, ChatId), Cursor>>,
}

#[derive(Debug)]
struct Cursor {
    seq: u64,
    dirty_since: Option<Instant>,
}

impl MemoryCursors {
    pub fn new() -> MemoryCursors {
        MemoryCursors::default()
    }

    /// Forgets everything.
    pub fn wipe(&self) {
        self.held.lock().clear();
    }
}

#[async_trait]
impl Cursors for MemoryCursors {
    async fn merge(&self, marks: &[Mark]) -> Result<Vec<u64>, Unavailable> {
        let now = Instant::now();
        let mut held = self.held.lock();
        let mut merge = |mark: &Mark| {
            let fresh = Cursor { seq: 0, dirty_since: None };
            let cursor = held.entry((mark.user, mark.chat)).or_insert(fresh);
            if cursor.seq < mark.seq {
                cursor.seq = mark.seq;
                cursor.dirty_since.get_or_insert(now);
            }
            cursor.seq
        };
        let merged = marks.iter().map(&mut merge).collect();
        if HELD_MAX < held.len() {
            held.retain(|_, cursor| cursor.dirty_since.is_some());
        }
        Ok(merged)
    }

    async fn get(&self, user: UserId, chats: &[ChatId]) -> Result<Vec<Option<u64>>, Unavailable> {
        let held = self.held.lock();
        Ok(chats.iter().map(|chat| held.get(&(user, *chat)).map(|cursor| cursor.seq)).collect())
    }

    async fn of_chat(
        &self,
        chat: ChatId,
        users: &[UserId],
    ) -> Result<Vec<Option<u64>>, Unavailable> {
        let held = self.held.lock();
        Ok(users.iter().map(|user| held.get(&(*user, chat)).map(|cursor| cursor.seq)).collect())
    }

    async fn dirty(&self, older_than: Duration, limit: usize) -> Result<Vec<Mark>, Unavailable> {
        let now = Instant::now();
        let held = self.held.lock();
        let mut due: Vec<(Instant, Mark)> = held
            .iter()
            .filter_map(|((user, chat), cursor)| {
                let since = cursor.dirty_since?;
                let mark = Mark { chat: *chat, user: *user, seq: cursor.seq };
                (older_than <= now - since).then_some((since, mark))
            })
            .collect();
        due.sort();
        due.truncate(limit);
        Ok(due.into_iter().map(|(_, mark)| mark).collect())
    }

    async fn flushed(&self, marks: &[Mark]) -> Result<(), Unavailable> {
        let now = Instant::now();
        let mut held = self.held.lock();
        for mark in marks {
            if let Some(cursor) = held.get_mut(&(mark.user, mark.chat)) {
                let grew = mark.seq < cursor.seq;
                cursor.dirty_since = cursor.dirty_since.filter(|_| grew).map(|_| now);
            }
        }
        Ok(())
    }
}
