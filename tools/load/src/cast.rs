//! The users of a run: each sender has a direct chat with a receiver who is connected to another
//! address and has it open.

use crate::accounts::{self, Account, patiently};
use crate::body::Label;
use crate::ledger::{Balance, Ledger};
use crate::measure::Meter;
use crate::recording::{self, Caller};
use anyhow::{Context, Result, anyhow, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use shardline_client::frames::Opened;
use shardline_client::{Client, Encoding, Http, Seen, Session};
use shardline_history::Writer;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

const CONNECTING_AT_ONCE: usize = 32;
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub struct CastPlan {
    pub servers: Vec<String>,
    pub senders: usize,
    pub encoding: Encoding,
    pub users_file: Option<PathBuf>,
    pub writer: Option<Writer>,
}

pub struct Cast {
    pub pairs: Vec<Arc<Pair>>,
    pub meter: Arc<Meter>,
    pub writer: Option<Writer>,
    pub run: u32,
    pub began: Instant,
    http: Http,
    users_file: Option<PathBuf>,
    receivers: JoinSet<()>,
}

pub struct Pair {
    pub index: u32,
    pub chat: u64,
    pub sender: Client,
    pub receiver: Client,
    /// Of the chat as it was found.
    pub base_seq: u64,
    ledger: Mutex<Ledger>,
}

impl Pair {
    pub fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How the sender's connection is called in a history.
    pub fn sender_number(&self) -> u32 {
        2 * self.index
    }

    pub fn receiver_number(&self) -> u32 {
        2 * self.index + 1
    }
}

impl Cast {
    /// Makes users and chats where they are missing, and connects all.
    pub async fn gather(plan: CastPlan) -> Result<Cast> {
        let http = Http::new(plan.servers.clone())?;
        let accounts =
            accounts::gather(&http, 2 * plan.senders, plan.users_file.as_deref()).await?;
        let (meter, run) = (Arc::new(Meter::default()), rand::random());
        let began = Instant::now();
        let made: Vec<(Arc<Pair>, Receiver<Seen>)> = stream::iter(accounts.chunks_exact(2))
            .zip(stream::iter(0_u32..))
            .map(|(two, index)| pair(&http, &plan, index, two))
            .buffered(CONNECTING_AT_ONCE)
            .try_collect()
            .await?;
        let mut receivers = JoinSet::new();
        let mut pairs = Vec::new();
        for (pair, seen) in made {
            let writer = plan.writer.clone();
            receivers.spawn(receive(pair.clone(), seen, meter.clone(), writer, run, began));
            pairs.push(pair);
        }
        let CastPlan { writer, users_file, .. } = plan;
        Ok(Cast { pairs, meter, writer, run, began, http, users_file, receivers })
    }

    pub fn balance(&self) -> Balance {
        self.pairs
            .iter()
            .map(|pair| pair.ledger().balance())
            .fold(Balance::default(), |sum, one| sum + one)
    }

    /// Waits until all that was acknowledged is delivered, at most for `patience`.
    pub async fn settled(&self, patience: Duration) -> Balance {
        let until = Instant::now() + patience;
        loop {
            let balance = self.balance();
            if balance.missing == 0 || until <= Instant::now() {
                return balance;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Has every receiver read everything, and puts each chat as it ends into the history: its messages,
    /// and its item as either of the two sees it.
    pub async fn record_final_states(&self) -> Result<()> {
        let Some(writer) = &self.writer else { return Ok(()) };
        stream::iter(&self.pairs)
            .map(|pair| self.record_end(writer, pair))
            .buffer_unordered(CONNECTING_AT_ONCE)
            .try_collect::<Vec<()>>()
            .await?;
        Ok(())
    }

    async fn record_end(&self, writer: &Writer, pair: &Pair) -> Result<()> {
        let caller = |client: &Client, number| Caller::new(writer.clone(), client.clone(), number);
        let receiver = caller(&pair.receiver, pair.receiver_number());
        let sender = caller(&pair.sender, pair.sender_number());
        // Beyond the head is the head.
        let head_seq = pair.base_seq + pair.ledger().balance().delivered;
        receiver.mark(pair.chat, head_seq).await.map_err(|e| anyhow!("reading: {e}"))?;
        receiver.final_state(pair.chat, pair.base_seq, None).await?;
        for one in [receiver, sender] {
            one.direct_item(&self.http, pair.chat).await?;
        }
        Ok(())
    }

    pub async fn end(mut self) -> Result<()> {
        let clients = || self.pairs.iter().flat_map(|pair| [&pair.sender, &pair.receiver]);
        stream::iter(clients()).for_each_concurrent(CONNECTING_AT_ONCE, Client::stop).await;
        if let Some(file) = &self.users_file {
            let sessions: Vec<Session> = clients().map(Client::session).collect();
            accounts::keep_sessions(file, &sessions)?;
        }
        while self.receivers.join_next().await.is_some() {}
        Ok(())
    }
}

async fn pair(
    http: &Http,
    plan: &CastPlan,
    index: u32,
    two: &[Account],
) -> Result<(Arc<Pair>, Receiver<Seen>)> {
    let [Some(sender), Some(receiver)] = [two[0].session.clone(), two[1].session.clone()] else {
        return Err(anyhow!("an account without a session"));
    };
    let (token, other) = (sender.token.clone(), receiver.user);
    let made = patiently(|| http.create_direct(&token, other)).await.context("making a chat")?;
    let chat = made.item.chat;
    let addresses = plan.servers.len();
    let place = usize::try_from(index)? % addresses;
    // Nobody looks at what the sender sees.
    let (sender, _) = Client::connect(http, sender, two[0].options(plan.encoding, place));
    let other_place = (place + 1) % addresses;
    let options = two[1].options(plan.encoding, other_place);
    let (receiver, seen) = Client::connect(http, receiver, options);
    sender.connected().await?;
    let opened = open(&receiver, chat).await?;
    let base_seq = opened.chat.as_ref().map_or(0, |item| item.head_seq);
    ensure!(opened.to_ver > 0, "a chat without a ver");
    if let Some(writer) = &plan.writer {
        recording::found(writer, &opened);
    }
    let ledger = Mutex::default();
    Ok((Arc::new(Pair { index, chat, sender, receiver, base_seq, ledger }), seen))
}

async fn open(receiver: &Client, chat: u64) -> Result<Opened> {
    receiver.connected().await?;
    receiver.open(chat, Some(1)).await.map_err(|e| anyhow!("opening {chat}: {e}"))
}

/// Takes what the receiver sees until its client stops.
async fn receive(
    pair: Arc<Pair>,
    mut seen: Receiver<Seen>,
    meter: Arc<Meter>,
    writer: Option<Writer>,
    run: u32,
    began: Instant,
) {
    let label = |text: &str| Label::of_body(text).filter(|label| label.run == run);
    while let Some(seen) = seen.recv().await {
        if let Some(writer) = &writer {
            recording::seen(writer, pair.receiver_number(), &seen);
        }
        match seen {
            Seen::Event(event) if event.chat == pair.chat => {
                let text = event.message.as_ref().and_then(|message| message.body.as_ref());
                let Some(label) = text.and_then(|body| label(&body.text)) else { continue };
                if pair.ledger().delivered(label.number) {
                    let sent = Duration::from_micros(label.sent_us);
                    meter.delivered(began.elapsed().saturating_sub(sent));
                }
            }
            Seen::Resynced(page) => {
                let texts = page.messages.iter().filter_map(|message| message.body.as_ref());
                let mut ledger = pair.ledger();
                for label in texts.filter_map(|body| label(&body.text)) {
                    if !ledger.is_delivered(label.number) {
                        ledger.delivered(label.number);
                    }
                }
            }
            _ => {}
        }
    }
}
