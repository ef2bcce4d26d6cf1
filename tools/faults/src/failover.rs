//! Failover of a shard's writer: two processes of one shard, and people who talk through whichever writes.
//!
//! The active one is killed, and how long it takes is measured; then it is paused until it was replaced,
//! and woken: it must not write any more.

use crate::cluster::{Cluster, signal};
use crate::operator::Operator;
use crate::people::{Act, Habits, People, Recording};
use anyhow::{Context, Result, bail, ensure};
use nix::sys::signal::Signal;
use shardline_client::Http;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

const SHARD: u32 = 0;
const PEOPLE: usize = 12;
const CHATS: usize = 8;
/// Far beyond what is promised: what takes longer does not come.
const PATIENCE: Duration = Duration::from_secs(30);
/// People talk for so long before each fault.
const CALM: Duration = Duration::from_secs(2);
/// A process that was replaced while it was paused is watched for so long after it woke.
const AFTER_WAKING: Duration = Duration::from_secs(3);
const LOOK: Duration = Duration::from_millis(5);

/// From the fault: until the standby is ready, and until a send that was begun after it is acknowledged.
#[derive(Clone, Copy, Debug)]
pub struct Took {
    pub ready: Duration,
    pub acknowledged: Duration,
}

#[derive(Clone, Debug)]
pub struct Figures {
    pub killed: Vec<Took>,
    pub paused: Took,
    pub sends: usize,
}

impl Figures {
    /// Of the kills, in their middle: one slow moment of the machine is no finding.
    pub fn median(&self) -> Took {
        let middle = |of: fn(&Took) -> Duration| {
            let mut times: Vec<Duration> = self.killed.iter().map(of).collect();
            times.sort_unstable();
            times.get(times.len() / 2).copied().unwrap_or(Duration::MAX)
        };
        Took { ready: middle(|took| took.ready), acknowledged: middle(|took| took.acknowledged) }
    }
}

impl fmt::Display for Took {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Took { ready, acknowledged } = self;
        write!(f, "{:.2}/{:.2} s", ready.as_secs_f64(), acknowledged.as_secs_f64())
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "standby ready / sends acknowledged again, after kill -9:")?;
        for took in &self.killed {
            write!(f, " {took}")?;
        }
        let (paused, median, sends) = (self.paused, self.median(), self.sends);
        write!(f, "; median {median}; after a pause: {paused}; {sends} sends checked, 0 violations")
    }
}

/// The two processes that may write the shard.
struct Pair {
    active: String,
    waiting: String,
}

struct Scene<'a> {
    cluster: &'a Cluster,
    operator: Operator,
    /// Where each of the two says whether it is ready.
    operations: BTreeMap<String, String>,
    act: Act,
}

/// On a cluster that runs: gives shard 0 a standby, kills its writer so many times, then pauses it.
///
/// # Errors
/// If nobody writes again, a replaced process writes, or anybody's view is wrong.
pub async fn play(cluster: &Cluster, recordings: &Path, times: u32) -> Result<Figures> {
    std::fs::create_dir_all(recordings)?;
    cluster.run(&["add-standby", &SHARD.to_string()])?;
    let people = People::gather(Http::new(cluster.servers()?)?, PEOPLE, Habits::Sends).await?;
    let operator = Operator::of(cluster)?;
    let slots: BTreeSet<u16> = operator.slots(SHARD).await?;
    let recording = recordings.join("failover");
    let act = people.begin(&slots, CHATS, CHATS / 2, Recording::File(recording)).await?;
    let names = [format!("shard-node-{SHARD}"), format!("standby-{SHARD}")];
    let operations = cluster.operations(&names.each_ref().map(String::as_str))?;
    let operations = names.into_iter().zip(operations).collect();
    let scene = Scene { cluster, operator, operations, act };
    let fails = scene.all(times).await;
    let played = people.end(scene.act).await;
    let (killed, paused) = fails?;
    let played = played?;
    ensure!(played.verdict.holds(), "{}\n{}", played.recording, played.verdict);
    ensure!(played.failed == 0, "{} sends failed", played.failed);
    played.recording.remove()?;
    Ok(Figures { killed, paused, sends: played.sends })
}

impl Scene<'_> {
    async fn all(&self, times: u32) -> Result<(Vec<Took>, Took)> {
        let mut killed = Vec::new();
        for _ in 0..times {
            let pair = self.pair().await?;
            let took = self.replaced(&pair, Signal::SIGKILL).await?;
            eprintln!("{} killed: {took}", pair.active);
            killed.push(took);
            self.cluster.run_aside(&["up", &pair.active]).await?;
        }
        let pair = self.pair().await?;
        let pid = *self.cluster.pids()?.get(&pair.active).context("the writer runs")?;
        let took = self.replaced(&pair, Signal::SIGSTOP).await;
        signal(pid, Signal::SIGCONT)?;
        let paused = took?;
        eprintln!("{} paused: {paused}", pair.active);
        sleep(AFTER_WAKING).await;
        ensure!(self.writer().await? == pair.waiting, "the process that woke writes again");
        ensure!(!self.is_ready(&pair.active).await?, "the process that woke says it is ready");
        Ok((killed, paused))
    }

    async fn writer(&self) -> Result<String> {
        let shards = self.operator.shards().await?;
        let shard = shards.into_iter().find(|info| info.shard == SHARD);
        Ok(shard.context("the shard is listed")?.writer)
    }

    /// Once one of them writes.
    async fn pair(&self) -> Result<Pair> {
        sleep(CALM).await;
        let until = Instant::now() + PATIENCE;
        let (one, other) = (format!("shard-node-{SHARD}"), format!("standby-{SHARD}"));
        loop {
            let writer = self.writer().await?;
            if writer == one {
                return Ok(Pair { active: one, waiting: other });
            } else if writer == other {
                return Ok(Pair { active: other, waiting: one });
            }
            ensure!(Instant::now() < until, "nobody writes shard {SHARD}");
            sleep(LOOK).await;
        }
    }

    async fn replaced(&self, pair: &Pair, how: Signal) -> Result<Took> {
        let pid = *self.cluster.pids()?.get(&pair.active).context("the writer runs")?;
        let began = Instant::now();
        signal(pid, how)?;
        let waiting = async {
            let ready = async {
                while !self.is_ready(&pair.waiting).await? {
                    sleep(LOOK).await;
                }
                anyhow::Ok(began.elapsed())
            };
            let acknowledged = async {
                while self.act.newest_acked().is_none_or(|newest| newest < began) {
                    sleep(LOOK).await;
                }
                anyhow::Ok(began.elapsed())
            };
            tokio::try_join!(ready, acknowledged)
        };
        match timeout(PATIENCE, waiting).await {
            Ok(took) => took.map(|(ready, acknowledged)| Took { ready, acknowledged }),
            Err(_) => bail!("{} does not take over from {}", pair.waiting, pair.active),
        }
    }

    /// As /readyz says.
    async fn is_ready(&self, name: &str) -> Result<bool> {
        let operations = self.operations.get(name).context("one of the two")?;
        let asking = async {
            let mut stream = TcpStream::connect(operations).await?;
            stream.write_all(b"GET /readyz HTTP/1.0\r\n\r\n").await?;
            let mut answer = [0; 12];
            stream.read_exact(&mut answer).await?;
            std::io::Result::Ok(answer.ends_with(b" 200"))
        };
        Ok(matches!(timeout(Duration::from_secs(1), asking).await, Ok(Ok(true))))
    }
}
