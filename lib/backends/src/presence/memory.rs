//! Presence inside one process. Nothing is lost here by itself; [`MemoryPresence::wipe`] does it for
//! tests, as an operator's FLUSHALL would.

use super::{ENTRY_LIFE, Entry, Mark, NodeId, Presence, Standing};
use crate::Unavailable;
use async_trait::async_trait;
use parking_lot::Mutex;
use shardline_domain::id::UserId;
use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use tokio::time::Instant;

#[derive(Debug)]
pub struct MemoryPresence {
    life: Duration,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    /// The boot of each node that began, until when it counts.
    marks: HashMap<NodeId, (u64, Instant)>,
    users: HashMap<UserId, Vec<Seat>>,
}

#[derive(Debug)]
struct Seat {
    mark: Mark,
    connection: u64,
    until: Instant,
}

impl MemoryPresence {
    #[expect(clippy::new_without_default, reason = "a second one would hold other things")]
    pub fn new() -> MemoryPresence {
        MemoryPresence::with_life(ENTRY_LIFE)
    }

    pub fn with_life(life: Duration) -> MemoryPresence {
        MemoryPresence { life, held: Mutex::default() }
    }

    /// Forgets everything.
    pub fn wipe(&self) {
        *self.held.lock() = Held::default();
    }

    fn write(&self, mark: &Mark, entries: &[Entry], must_be_there: bool) -> Standing {
        let now = Instant::now();
        let until = now + self.life;
        let held = &mut *self.held.lock();
        let mut standing = match held.marks.get_mut(&mark.node) {
            Some((boot, life)) if *boot == mark.boot && now < *life => {
                *life = until;
                Standing::Whole
            }
            _ => Standing::Lost,
        };
        for entry in entries {
            let seats = held.users.entry(entry.user).or_default();
            seats.retain(|seat| now < seat.until);
            match seats.iter_mut().find(|seat| seat.is(mark, entry)) {
                Some(seat) => seat.until = until,
                None => {
                    if must_be_there {
                        standing = Standing::Lost;
                    }
                    let connection = entry.connection;
                    seats.push(Seat { mark: mark.clone(), connection, until });
                }
            }
        }
        standing
    }
}

impl Seat {
    fn is(&self, mark: &Mark, entry: &Entry) -> bool {
        self.connection == entry.connection && self.mark == *mark
    }
}

#[async_trait]
impl Presence for MemoryPresence {
    async fn begin(&self, mark: &Mark) -> Result<(), Unavailable> {
        let until = Instant::now() + self.life;
        self.held.lock().marks.insert(mark.node.clone(), (mark.boot, until));
        Ok(())
    }

    async fn enter(&self, mark: &Mark, entries: &[Entry]) -> Result<Standing, Unavailable> {
        Ok(self.write(mark, entries, false))
    }

    async fn leave(&self, mark: &Mark, entries: &[Entry]) -> Result<(), Unavailable> {
        let held = &mut *self.held.lock();
        for entry in entries {
            if let Some(seats) = held.users.get_mut(&entry.user) {
                seats.retain(|seat| !seat.is(mark, entry));
                if seats.is_empty() {
                    held.users.remove(&entry.user);
                }
            }
        }
        Ok(())
    }

    async fn refresh(&self, mark: &Mark, entries: &[Entry]) -> Result<Standing, Unavailable> {
        Ok(self.write(mark, entries, true))
    }

    async fn nodes_of(&self, users: &[UserId]) -> Result<Vec<Vec<NodeId>>, Unavailable> {
        let now = Instant::now();
        let held = self.held.lock();
        let nodes_of = |user: &UserId| {
            let seats = held.users.get(user).into_iter().flatten();
            let alive = seats.filter(|seat| now < seat.until);
            let nodes: BTreeSet<NodeId> = alive.map(|seat| seat.mark.node.clone()).collect();
            nodes.into_iter().collect()
        };
        Ok(users.iter().map(nodes_of).collect())
    }
}
