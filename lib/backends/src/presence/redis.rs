//! Presence in Redis: one key per user (its seats, as text) and one per node (its mark). Every
//! command touches one key, so that a cluster can hold them; reading a batch is one MGET.
//!
//! How a loss is noticed. A node's mark counts the node's calls; the count is raised after the
//! entries of a call, on the same connection. If Redis loses writes (emptied, restarted from a
//! snapshot, failed over to a replica that was behind), the mark is gone, or counts fewer calls than
//! were acknowledged. A call whose outcome is unknown could hide a later loss of one: callers begin
//! anew after an error, and a new round counts from zero.

use super::{ENTRY_LIFE, Entry, Mark, NodeId, Presence, Standing};
use crate::Unavailable;
use crate::redis::{Link, RedisSettings, RedisSettingsError, Script};
use async_trait::async_trait;
use deadpool_redis::redis::Pipeline;
use parking_lot::Mutex;
use shardline_domain::id::UserId;
use std::collections::HashMap;
use std::time::Duration;

static BEGIN: Script = Script::new(include_str!("redis/begin.lua"));
static COUNT: Script = Script::new(include_str!("redis/count.lua"));
static ENTER: Script = Script::new(include_str!("redis/enter.lua"));
static LEAVE: Script = Script::new(include_str!("redis/leave.lua"));

/// Entries in one round trip: about a millisecond of Redis.
const ENTRIES_PER_CALL: usize = 256;
/// Seats of one user. Past it the oldest goes, and its node notices at its next refresh; many more
/// than a user may have connections, because dead ones count until their life ends.
const SEATS_MAX: &str = "256";
/// Node names remembered to spare an allocation per look-up.
const NAMES_MAX: usize = 10_000;

pub struct RedisPresence {
    link: Link,
    settings: RedisSettings,
    life_ms: String,
    accounts: Mutex<HashMap<NodeId, Account>>,
    names: Mutex<HashMap<String, NodeId>>,
}

/// What this process knows of a node's mark: of its own node; in tests of several.
#[derive(Clone, Debug)]
struct Account {
    boot: u64,
    begun: u64,
    /// Calls of this round known to be counted.
    acknowledged: u64,
}

impl Account {
    fn round(&self) -> String {
        format!("{}.{}", self.boot, self.begun)
    }
}

impl RedisPresence {
    /// Connects at the first call.
    pub fn new(settings: RedisSettings) -> Result<RedisPresence, RedisSettingsError> {
        RedisPresence::with_life(settings, ENTRY_LIFE)
    }

    pub fn with_life(
        settings: RedisSettings,
        life: Duration,
    ) -> Result<RedisPresence, RedisSettingsError> {
        Ok(RedisPresence {
            link: Link::new("presence", &settings)?,
            life_ms: life.as_millis().to_string(),
            settings,
            accounts: Mutex::default(),
            names: Mutex::default(),
        })
    }

    fn user_key(&self, user: UserId) -> String {
        format!("{}presence:user:{user}", self.settings.prefix)
    }

    fn mark_key(&self, node: &NodeId) -> String {
        format!("{}presence:node:{node}", self.settings.prefix)
    }

    async fn write(
        &self,
        call: &'static str,
        mark: &Mark,
        entries: &[Entry],
        must_be_there: bool,
    ) -> Result<Standing, Unavailable> {
        let mut standing = Standing::Whole;
        let mut rest = entries;
        loop {
            let (chunk, later) = rest.split_at(rest.len().min(ENTRIES_PER_CALL));
            if self.write_chunk(call, mark, chunk, must_be_there).await? == Standing::Lost {
                standing = Standing::Lost;
            }
            rest = later;
            if rest.is_empty() {
                return Ok(standing);
            }
        }
    }

    async fn write_chunk(
        &self,
        call: &'static str,
        mark: &Mark,
        entries: &[Entry],
        must_be_there: bool,
    ) -> Result<Standing, Unavailable> {
        let account = self.accounts.lock().get(&mark.node).cloned();
        let account = account.filter(|account| account.boot == mark.boot);

        let mut pipe = Pipeline::with_capacity(entries.len() + 1);
        let mut enter = ENTER.calls();
        for entry in entries {
            let (key, seat) = (self.user_key(entry.user), seat(mark, entry));
            enter.add(&mut pipe, &[&key], &[&seat, &self.life_ms, SEATS_MAX]);
        }
        // After the entries: what is counted was written.
        let round = account.as_ref().map(Account::round).unwrap_or_default();
        let key = self.mark_key(&mark.node);
        COUNT.calls().add(&mut pipe, &[&key], &[&round, &self.life_ms]);

        let mut answers: Vec<u64> = self.link.ask(call, self.settings.write_time, &pipe).await?;
        let counted = answers.pop().unwrap_or(0);
        let (Some(account), true) = (account, 0 < counted) else { return Ok(Standing::Lost) };
        if let Some(now) = self.accounts.lock().get_mut(&mark.node)
            && now.round() == account.round()
        {
            now.acknowledged += 1;
        }
        let all_counted = account.acknowledged < counted;
        let all_there = !must_be_there || answers.iter().all(|was_there| *was_there == 1);
        Ok(if all_counted && all_there { Standing::Whole } else { Standing::Lost })
    }

    fn named(&self, names: &mut HashMap<String, NodeId>, name: &str) -> Option<NodeId> {
        if let Some(node) = names.get(name) {
            return Some(node.clone());
        }
        let node = NodeId::parse(name).ok()?;
        if NAMES_MAX <= names.len() {
            names.clear();
        }
        names.insert(name.to_owned(), node.clone());
        Some(node)
    }
}

fn seat(mark: &Mark, entry: &Entry) -> String {
    format!("{} {:x} {:x}", mark.node, mark.boot, entry.connection)
}

#[async_trait]
impl Presence for RedisPresence {
    async fn begin(&self, mark: &Mark) -> Result<(), Unavailable> {
        let account = {
            let mut accounts = self.accounts.lock();
            let begun = accounts.get(&mark.node).map_or(0, |account| account.begun + 1);
            let account = Account { boot: mark.boot, begun, acknowledged: 0 };
            accounts.insert(mark.node.clone(), account.clone());
            account
        };
        let mut pipe = Pipeline::new();
        let (key, round) = (self.mark_key(&mark.node), account.round());
        BEGIN.calls().add(&mut pipe, &[&key], &[&round, &self.life_ms]);
        self.link.ask::<(u64,)>("begin", self.settings.write_time, &pipe).await?;
        Ok(())
    }

    async fn enter(&self, mark: &Mark, entries: &[Entry]) -> Result<Standing, Unavailable> {
        self.write("enter", mark, entries, false).await
    }

    async fn leave(&self, mark: &Mark, entries: &[Entry]) -> Result<(), Unavailable> {
        for chunk in entries.chunks(ENTRIES_PER_CALL) {
            let mut pipe = Pipeline::with_capacity(chunk.len());
            let mut leave = LEAVE.calls();
            for entry in chunk {
                let (key, seat) = (self.user_key(entry.user), seat(mark, entry));
                leave.add(&mut pipe, &[&key], &[&seat]);
            }
            self.link.ask::<Vec<u64>>("leave", self.settings.write_time, &pipe).await?;
        }
        Ok(())
    }

    async fn refresh(&self, mark: &Mark, entries: &[Entry]) -> Result<Standing, Unavailable> {
        self.write("refresh", mark, entries, true).await
    }

    async fn nodes_of(&self, users: &[UserId]) -> Result<Vec<Vec<NodeId>>, Unavailable> {
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipe = Pipeline::with_capacity(1);
        pipe.cmd("MGET");
        for user in users {
            pipe.arg(self.user_key(*user));
        }
        let (values,): (Vec<Option<String>>,) =
            self.link.ask("nodes_of", self.settings.read_time, &pipe).await?;
        let mut names = self.names.lock();
        let mut nodes_of = |value: Option<String>| {
            let mut nodes: Vec<NodeId> = Vec::new();
            for seat in value.iter().flat_map(|value| value.split_terminator(';')) {
                let name = seat.split(' ').next().unwrap_or_default();
                if nodes.iter().all(|node| node.as_str() != name) {
                    nodes.extend(self.named(&mut names, name));
                }
            }
            nodes
        };
        Ok(values.into_iter().map(&mut nodes_of).collect())
    }
}
