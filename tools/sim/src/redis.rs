//! Presence and cursors: those in memory, in a process of their own, which may die and then has forgotten
//! everything.

use crate::climate::Climate;
use async_trait::async_trait;
use futures::future::BoxFuture;
use shardline_backends::Unavailable;
use shardline_backends::cursors::memory::MemoryCursors;
use shardline_backends::cursors::{Cursors, Mark};
use shardline_backends::presence::memory::MemoryPresence;
use shardline_backends::presence::{self, Entry, NodeId, Presence, Standing};
use shardline_domain::id::{ChatId, UserId};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, mpsc, oneshot};
use tokio::time::timeout;

/// As the real form has it.
const ANSWER_WITHIN: Duration = Duration::from_millis(500);
const WAITING_MAX: usize = 4_096;

struct Held {
    presence: MemoryPresence,
    cursors: MemoryCursors,
}

type Job = Box<dyn FnOnce(Arc<Held>) -> BoxFuture<'static, ()> + Send>;

/// Every process's way there.
#[derive(Clone)]
pub struct SimRedis {
    jobs: mpsc::Sender<Job>,
    asked: Arc<Mutex<mpsc::Receiver<Job>>>,
    climate: Climate,
    /// Of an entry of presence.
    life: Duration,
}

impl SimRedis {
    pub fn new(climate: Climate, life: Duration) -> SimRedis {
        let (jobs, asked) = mpsc::channel(WAITING_MAX);
        SimRedis { jobs, asked: Arc::new(Mutex::new(asked)), climate, life }
    }

    /// It forgets everything, after what it was asked before.
    pub fn wipe(&self) {
        let job: Job = Box::new(|held| {
            held.presence.wipe();
            held.cursors.wipe();
            Box::pin(async {})
        });
        // Too much waits: then it answers nobody in time.
        drop(self.jobs.try_send(job));
    }

    /// The server's process. Entries end by its clock alone: those of other processes begin anew.
    pub async fn serve(&self) {
        let presence = MemoryPresence::with_life(self.life);
        let held = Arc::new(Held { presence, cursors: MemoryCursors::new() });
        let mut asked = self.asked.lock().await;
        while let Some(job) = asked.recv().await {
            job(held.clone()).await;
        }
    }

    async fn ask<T, F>(
        &self,
        call: impl FnOnce(Arc<Held>) -> F + Send + 'static,
    ) -> Result<T, Unavailable>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, Unavailable>> + Send + 'static,
    {
        let away = || Unavailable { system: "redis", reason: "no answer".to_owned() };
        let asked_and_answered = async {
            let (tell, told) = oneshot::channel();
            let job: Job =
                Box::new(move |held| Box::pin(async move { drop(tell.send(call(held).await)) }));
            self.jobs.send(job).await.map_err(|_| away())?;
            told.await.map_err(|_| away())?
        };
        let befallen = self.climate.befall(timeout(ANSWER_WITHIN, asked_and_answered)).await;
        match befallen {
            Some(Ok(answer)) => answer,
            _ => Err(away()),
        }
    }
}

#[async_trait]
impl Presence for SimRedis {
    async fn begin(&self, mark: &presence::Mark) -> Result<(), Unavailable> {
        let mark = mark.clone();
        self.ask(move |held| async move { held.presence.begin(&mark).await }).await
    }

    async fn enter(
        &self,
        mark: &presence::Mark,
        entries: &[Entry],
    ) -> Result<Standing, Unavailable> {
        let (mark, entries) = (mark.clone(), entries.to_vec());
        self.ask(move |held| async move { held.presence.enter(&mark, &entries).await }).await
    }

    async fn leave(&self, mark: &presence::Mark, entries: &[Entry]) -> Result<(), Unavailable> {
        let (mark, entries) = (mark.clone(), entries.to_vec());
        self.ask(move |held| async move { held.presence.leave(&mark, &entries).await }).await
    }

    async fn refresh(
        &self,
        mark: &presence::Mark,
        entries: &[Entry],
    ) -> Result<Standing, Unavailable> {
        let (mark, entries) = (mark.clone(), entries.to_vec());
        self.ask(move |held| async move { held.presence.refresh(&mark, &entries).await }).await
    }

    async fn nodes_of(&self, users: &[UserId]) -> Result<Vec<Vec<NodeId>>, Unavailable> {
        let users = users.to_vec();
        self.ask(move |held| async move { held.presence.nodes_of(&users).await }).await
    }
}

#[async_trait]
impl Cursors for SimRedis {
    async fn merge(&self, marks: &[Mark]) -> Result<Vec<u64>, Unavailable> {
        let marks = marks.to_vec();
        self.ask(move |held| async move { held.cursors.merge(&marks).await }).await
    }

    async fn get(&self, user: UserId, chats: &[ChatId]) -> Result<Vec<Option<u64>>, Unavailable> {
        let chats = chats.to_vec();
        self.ask(move |held| async move { held.cursors.get(user, &chats).await }).await
    }

    async fn of_chat(
        &self,
        chat: ChatId,
        users: &[UserId],
    ) -> Result<Vec<Option<u64>>, Unavailable> {
        let users = users.to_vec();
        self.ask(move |held| async move { held.cursors.of_chat(chat, &users).await }).await
    }

    async fn dirty(&self, older_than: Duration, limit: usize) -> Result<Vec<Mark>, Unavailable> {
        self.ask(move |held| async move { held.cursors.dirty(older_than, limit).await }).await
    }

    async fn flushed(&self, marks: &[Mark]) -> Result<(), Unavailable> {
        let marks = marks.to_vec();
        self.ask(move |held| async move { held.cursors.flushed(&marks).await }).await
    }
}
