//! Cursors in Redis: per user one hash (chat -> seq). Users are spread over a few groups, each with
//! one sorted set of what is dirty, so that a cluster can hold a group on one server.

use super::{Cursors, Mark};
use crate::Unavailable;
use crate::redis::{Link, RedisSettings, RedisSettingsError, Script};
use async_trait::async_trait;
use deadpool_redis::redis::Pipeline;
use shardline_domain::id::{ChatId, UserId};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

static MERGE: Script = Script::new(include_str!("redis/merge.lua"));
static DIRTY: Script = Script::new(include_str!("redis/dirty.lua"));
static FLUSHED: Script = Script::new(include_str!("redis/flushed.lua"));

/// Marks in one round trip: about a millisecond of Redis.
const MARKS_PER_CALL: usize = 256;
/// Sets of dirty cursors. Fixed: another number would lose sight of what is dirty.
const GROUPS: u64 = 16;
/// A user's cursors stay this long after the last one grew: far longer than any flush takes, since a
/// dirty one must not go.
const LIFE: Duration = Duration::from_secs(3 * 24 * 60 * 60);

pub struct RedisCursors {
    link: Link,
    settings: RedisSettings,
    life_ms: String,
    /// Which group is looked at first, so that a small limit starves none.
    turn: AtomicU64,
}

impl RedisCursors {
    /// Connects at the first call.
    pub fn new(settings: RedisSettings) -> Result<RedisCursors, RedisSettingsError> {
        Ok(RedisCursors {
            link: Link::new("cursors", &settings)?,
            settings,
            life_ms: LIFE.as_millis().to_string(),
            turn: AtomicU64::new(0),
        })
    }

    /// The braces keep a group on one server of a cluster.
    fn group(&self, group: u64) -> String {
        format!("{}cursors:{{{}}}", self.settings.prefix, group % GROUPS)
    }

    fn user_key(&self, user: UserId) -> String {
        format!("{}:user:{user}", self.group(user.get()))
    }

    fn dirty_key(&self, group: u64) -> String {
        format!("{}:dirty", self.group(group))
    }

    /// One script call for each mark.
    fn calls(&self, script: &Script, marks: &[Mark], more: &[&str]) -> Pipeline {
        let mut pipe = Pipeline::with_capacity(marks.len());
        let mut script = script.calls();
        for mark in marks {
            let keys = [self.user_key(mark.user), self.dirty_key(mark.user.get())];
            let args = [mark.chat.to_string(), mark.user.to_string(), mark.seq.to_string()];
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            let args: Vec<&str> = args.iter().map(String::as_str).chain(more.to_owned()).collect();
            script.add(&mut pipe, &keys, &args);
        }
        pipe
    }

    async fn candidates(
        &self,
        older_than: Duration,
        limit: usize,
    ) -> Result<Vec<(ChatId, UserId)>, Unavailable> {
        let first = self.turn.fetch_add(1, Ordering::Relaxed);
        let mut pipe = Pipeline::new();
        let mut dirty = DIRTY.calls();
        let (age, share) =
            (older_than.as_millis().to_string(), (limit as u64).div_ceil(GROUPS).to_string());
        for group in first..first + GROUPS {
            let key = self.dirty_key(group);
            dirty.add(&mut pipe, &[&key], &[&age, &share]);
        }
        let found: Vec<Vec<String>> =
            self.link.ask("dirty", self.settings.write_time, &pipe).await?;
        let members = found.iter().flatten().filter_map(|member| parse_member(member));
        Ok(members.take(limit).collect())
    }
}

fn parse_member(member: &str) -> Option<(ChatId, UserId)> {
    let (chat, user) = member.split_once(':')?;
    Some((chat.parse().ok()?, user.parse().ok()?))
}

#[async_trait]
impl Cursors for RedisCursors {
    async fn merge(&self, marks: &[Mark]) -> Result<Vec<u64>, Unavailable> {
        let mut merged = Vec::with_capacity(marks.len());
        for chunk in marks.chunks(MARKS_PER_CALL) {
            let pipe = self.calls(&MERGE, chunk, &[&self.life_ms]);
            let part: Vec<u64> = self.link.ask("merge", self.settings.write_time, &pipe).await?;
            merged.extend(part);
        }
        Ok(merged)
    }

    async fn get(&self, user: UserId, chats: &[ChatId]) -> Result<Vec<Option<u64>>, Unavailable> {
        if chats.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = Pipeline::with_capacity(1);
        pipe.cmd("HMGET").arg(self.user_key(user));
        for chat in chats {
            pipe.arg(chat.get());
        }
        let (cursors,) = self.link.ask("get", self.settings.read_time, &pipe).await?;
        Ok(cursors)
    }

    async fn of_chat(
        &self,
        chat: ChatId,
        users: &[UserId],
    ) -> Result<Vec<Option<u64>>, Unavailable> {
        let mut cursors = Vec::with_capacity(users.len());
        for chunk in users.chunks(MARKS_PER_CALL) {
            let mut pipe = Pipeline::with_capacity(chunk.len());
            for user in chunk {
                pipe.cmd("HGET").arg(self.user_key(*user)).arg(chat.get());
            }
            let part: Vec<Option<u64>> =
                self.link.ask("of_chat", self.settings.read_time, &pipe).await?;
            cursors.extend(part);
        }
        Ok(cursors)
    }

    async fn dirty(&self, older_than: Duration, limit: usize) -> Result<Vec<Mark>, Unavailable> {
        let candidates = self.candidates(older_than, limit).await?;
        let mut due = Vec::with_capacity(candidates.len());
        let mut lost = Vec::new();
        for chunk in candidates.chunks(MARKS_PER_CALL) {
            let mut pipe = Pipeline::with_capacity(chunk.len());
            for (chat, user) in chunk {
                pipe.cmd("HGET").arg(self.user_key(*user)).arg(chat.get());
            }
            let held: Vec<Option<u64>> =
                self.link.ask("dirty", self.settings.write_time, &pipe).await?;
            for ((chat, user), seq) in chunk.iter().zip(held) {
                match seq {
                    Some(seq) => due.push(Mark { chat: *chat, user: *user, seq }),
                    None => lost.push(Mark { chat: *chat, user: *user, seq: 0 }),
                }
            }
        }
        // Marks of cursors that are not here any more would come first again and again.
        self.flushed(&lost).await?;
        Ok(due)
    }

    async fn flushed(&self, marks: &[Mark]) -> Result<(), Unavailable> {
        for chunk in marks.chunks(MARKS_PER_CALL) {
            let pipe = self.calls(&FLUSHED, chunk, &[]);
            self.link.ask::<Vec<u64>>("flushed", self.settings.write_time, &pipe).await?;
        }
        Ok(())
    }
}
