//! One fault after another on a cluster whose slots rest: every kind of process, and the servers below.

mod deleted_topic;
mod fault;
mod lost_catalog;

pub use fault::{Fault, How, On, all, short};

use crate::blow::{Blow, Deed};
use crate::cluster::{Cluster, is_server, signal};
use crate::lie::Lie;
use crate::links::Links;
use crate::operator::Operator;
use crate::people::{Habits, People, Recording};
use crate::proxy::Mode;
use crate::strike::ROUTERS;
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use shardline_client::Http;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

/// The shard whose process and database are hit; it has a database server of its own.
const SHARD: u32 = 1;
const PEOPLE: usize = 24;
/// Chats of that shard, and of the other.
const CHATS: usize = 6;
/// People talk for so long before a fault, and after all is whole again.
const CALM: Duration = Duration::from_secs(1);
const AFTERWARDS: Duration = Duration::from_secs(2);
const PAUSE_MS: std::ops::Range<u64> = 2_000..5_000;
/// A server that was killed is away at least for this long.
const SERVER_AWAY: Duration = Duration::from_millis(500);
const DELAY: Duration = Duration::from_millis(50);
/// What was delivered late is settled within this.
const AUDIT_MAX: Duration = Duration::from_secs(60);
const ANSWER_MAX: Duration = Duration::from_secs(2);

pub struct Storm {
    cluster: Cluster,
    links: Arc<Links>,
    operator: Operator,
    people: People,
    recordings: PathBuf,
    random: StdRng,
    /// How long a server is away that is not to come back at once.
    away: Duration,
    acts: u32,
}

/// What became of one fault.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub fault: Fault,
    /// The longest time from a send to its acknowledgement: in chats of the shard that is hit, if one
    /// is, and in those of the other.
    pub longest_here: Duration,
    pub longest_elsewhere: Duration,
    pub sends: usize,
    pub failed: u64,
    pub note: String,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Outcome { fault, sends, failed, note, .. } = self;
        let (here, elsewhere) =
            (self.longest_here.as_secs_f64(), self.longest_elsewhere.as_secs_f64());
        write!(f, "{fault}: longest wait {here:.1} s, elsewhere {elsewhere:.1} s, ")?;
        write!(f, "{sends} sends, {failed} failed, 0 violations; {note}")
    }
}

impl Storm {
    /// `cluster` runs over `links`. `recordings` is a folder for what clients saw.
    pub async fn enter(
        cluster: Cluster,
        links: Arc<Links>,
        recordings: PathBuf,
        seed: u64,
        away: Duration,
    ) -> Result<Storm> {
        std::fs::create_dir_all(&recordings)?;
        let people =
            People::gather(Http::new(cluster.servers()?)?, PEOPLE, Habits::Everything).await?;
        let operator = Operator::of(&cluster)?;
        let random = StdRng::seed_from_u64(seed);
        Ok(Storm { cluster, links, operator, people, recordings, random, away, acts: 0 })
    }

    /// An error: something did not come back, or is wrong.
    pub async fn play(&mut self, fault: Fault) -> Result<Outcome> {
        self.try_play(fault).await.with_context(|| fault.to_string())
    }

    async fn try_play(&mut self, fault: Fault) -> Result<Outcome> {
        let slots = self.operator.slots(SHARD).await?;
        self.acts += 1;
        let recording = self.recordings.join(format!("storm-{}", self.acts));
        let act = self.people.begin(&slots, CHATS, CHATS, Recording::File(recording)).await?;
        sleep(CALM).await;
        let struck = self.strike(fault).await;
        sleep(AFTERWARDS).await;
        // Also after an error: whoever looks for its reason wants the recording whole.
        let played = self.people.end(act).await;
        let note = struck?;
        let played = played?;
        if !played.verdict.holds() {
            bail!("{}\n{}", played.recording, played.verdict);
        }
        self.audit().await?;
        played.recording.remove()?;
        Ok(Outcome {
            fault,
            longest_here: played.longest_moving,
            longest_elsewhere: played.longest_other,
            sends: played.sends,
            failed: played.failed,
            note,
        })
    }

    /// Strikes and mends. Returns what there is to say of it.
    async fn strike(&mut self, fault: Fault) -> Result<String> {
        let Fault { on, how } = fault;
        match how {
            How::Flush => return self.flush().await.map(|()| String::new()),
            How::Lost => return lost_catalog::lose_and_rebuild(&self.cluster).await,
            How::Deleted => return deleted_topic::delete(&self.cluster).await,
            _ => {}
        }
        if matches!(on, On::Processes | On::Everything) {
            return self.kill_all(on == On::Everything).await;
        }
        let deed = match how {
            How::Kill => {
                Deed::Kill { away: if on.is_server() { SERVER_AWAY } else { Duration::ZERO } }
            }
            How::Away => Deed::Kill { away: self.away },
            How::Pause => Deed::Pause,
            How::Cut => Deed::Break(Mode::Cut),
            How::Silent => Deed::Break(Mode::Silent),
            How::OneWay => Deed::Break(Mode::SilentServer),
            How::Slow => Deed::Break(Mode::Slow(DELAY)),
            How::ClockAhead => Deed::Lie(Lie::ClockAhead),
            How::ClockBehind => Deed::Lie(Lie::ClockBehind),
            How::DiskFull => Deed::Lie(Lie::DiskFull),
            How::DiskSlow => Deed::Lie(Lie::DiskSlow),
            How::LostCommit => Deed::LoseAnswer("INSERT INTO messages"),
            How::Flush | How::Lost | How::Deleted => Deed::Nothing,
        };
        let blow = Blow::prepare(&self.cluster, self.name(on).await?, deed)?;
        blow.strike(&self.cluster, &self.links)?;
        let pause = Duration::from_millis(self.random.random_range(PAUSE_MS));
        let mended = blow.mend(&self.cluster, &self.links, pause).await?;
        ensure!(mended.hit != Some(false), "no such commit came by");
        Ok(mended.note)
    }

    async fn name(&self, on: On) -> Result<String> {
        Ok(match on {
            On::ConnNode => "conn-node-1".to_owned(),
            On::Coordinator => self.operator.coordinator().await?,
            On::OtherRouter => {
                let leads = self.operator.coordinator().await?;
                let other = ROUTERS.iter().find(|name| **name != leads);
                (*other.context("there is one router")?).to_owned()
            }
            On::ShardNode => format!("shard-node-{SHARD}"),
            On::Database => self.cluster.database_of(SHARD)?,
            On::Catalog => self.cluster.database_of(0)?,
            On::Kafka => "kafka".to_owned(),
            On::Redis => "redis".to_owned(),
            On::Processes | On::Everything => bail!("these are many"),
        })
    }

    /// All at once; they come back in any order.
    async fn kill_all(&mut self, with_servers: bool) -> Result<String> {
        let pids = self.cluster.pids()?;
        let hit = pids.iter().filter(|(name, _)| with_servers || !is_server(name));
        let mut names = Vec::new();
        for (name, pid) in hit {
            signal(*pid, Signal::SIGKILL)?;
            names.push(name.as_str());
        }
        names.shuffle(&mut self.random);
        self.cluster.bring_back(&names).await?;
        Ok(format!("{} processes", names.len()))
    }

    /// Presence and cursors are gone from Redis.
    async fn flush(&self) -> Result<()> {
        let port = *self.cluster.links()?.get("redis").context("a port of Redis")?;
        let asking = async {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).await?;
            stream.write_all(b"*1\r\n$8\r\nFLUSHALL\r\n").await?;
            let mut answer = [0; 5];
            stream.read_exact(&mut answer).await?;
            std::io::Result::Ok(answer)
        };
        let answer = timeout(ANSWER_MAX, asking).await.context("Redis does not answer")??;
        ensure!(&answer == b"+OK\r\n", "Redis refuses: {}", String::from_utf8_lossy(&answer));
        Ok(())
    }

    /// Nothing is wrong, once what waited has gone out.
    async fn audit(&self) -> Result<()> {
        let until = Instant::now() + AUDIT_MAX;
        loop {
            match self.cluster.audit() {
                Ok(()) => return Ok(()),
                Err(error) if until <= Instant::now() => return Err(error),
                Err(_) => sleep(CALM).await,
            }
        }
    }
}
