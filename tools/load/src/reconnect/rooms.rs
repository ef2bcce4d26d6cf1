//! Rooms with a speaker and listeners, made where they are missing.

use super::ReconnectPlan;
use crate::accounts::{self, Account, patiently};
use crate::body::{BYTES_MIN, Label};
use anyhow::{Context, Result, anyhow};
use futures::{StreamExt, TryStreamExt, stream};
use shardline_client::{Client, Http, Seen, SendError, Session};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::mpsc::Receiver;
use uuid::Uuid;

const CONNECTING_AT_ONCE: usize = 32;
/// As many as one call takes.
const MEMBERS_AT_ONCE: usize = 190;

/// A client, and what it sees.
pub(super) type Entered = (Client, Receiver<Seen>);

pub(super) struct Room {
    pub(super) chat: u64,
    pub(super) index: u32,
    pub(super) run: u32,
    speaker: Client,
    /// Messages acknowledged; they are numbered from 0.
    spoken: AtomicU32,
}

impl Room {
    pub(super) fn spoken(&self) -> u32 {
        self.spoken.load(Ordering::Acquire)
    }

    pub(super) async fn speak(&self) -> Result<(), SendError> {
        let number = self.spoken();
        let label = Label { run: self.run, pair: self.index, number, sent_us: 0 };
        self.speaker.send(self.chat, label.to_body(BYTES_MIN)).await?;
        self.spoken.store(number + 1, Ordering::Release);
        Ok(())
    }
}

/// Each with its listeners, who have it open.
pub(super) async fn gather(plan: &ReconnectPlan) -> Result<Vec<(Arc<Room>, Vec<Entered>)>> {
    let http = Http::new(plan.servers.clone())?;
    let rooms = plan.clients.div_ceil(plan.room);
    eprintln!("{} clients in {rooms} rooms: users, chats, connections…", plan.clients);
    let accounts =
        accounts::gather(&http, plan.clients + rooms, plan.users_file.as_deref()).await?;
    let (speakers, listeners) = accounts.split_at(rooms);
    let run = rand::random();
    let mut gathered = Vec::with_capacity(rooms);
    for ((index, speaker), listeners) in (0..).zip(speakers).zip(listeners.chunks(plan.room)) {
        gathered.push(enter(&http, plan, run, index, speaker, listeners).await?);
        if rooms <= 10 || index % 5 == 4 {
            eprintln!("{} of {rooms} rooms", index + 1);
        }
    }
    Ok(gathered)
}

async fn enter(
    http: &Http,
    plan: &ReconnectPlan,
    run: u32,
    index: u32,
    speaker: &Account,
    listeners: &[Account],
) -> Result<(Arc<Room>, Vec<Entered>)> {
    let chat = make(http, session(speaker)?, listeners).await.context("making a room")?;
    let options = |account: &Account, first_address| account.options(plan.encoding, first_address);
    let (speaker, _) = Client::connect(http, session(speaker)?.clone(), options(speaker, 1));
    speaker.connected().await?;
    let entered = stream::iter(listeners)
        .map(|account| async move {
            let (client, seen) =
                Client::connect(http, session(account)?.clone(), options(account, 0));
            client.connected().await?;
            client.open(chat, Some(1)).await.map_err(|e| anyhow!("opening {chat}: {e}"))?;
            Ok::<_, anyhow::Error>((client, seen))
        })
        .buffered(CONNECTING_AT_ONCE)
        .try_collect()
        .await?;
    let spoken = AtomicU32::new(0);
    Ok((Arc::new(Room { chat, index, run, speaker, spoken }), entered))
}

async fn make(http: &Http, speaker: &Session, listeners: &[Account]) -> Result<u64> {
    let users = listeners.iter().map(|account| Ok(session(account)?.user));
    let users = users.collect::<Result<Vec<u64>>>()?;
    let (first, rest) = users.split_at(users.len().min(MEMBERS_AT_ONCE));
    let id = Uuid::from_u128(rand::random());
    let made = patiently(|| http.create_group(&speaker.token, "group", "load", first, id)).await?;
    let chat = made.item.chat;
    for more in rest.chunks(MEMBERS_AT_ONCE) {
        patiently(|| http.add_members(&speaker.token, chat, more, None)).await?;
    }
    Ok(chat)
}

fn session(account: &Account) -> Result<&Session> {
    account.session.as_ref().context("an account without a session")
}
