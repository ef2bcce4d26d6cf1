//! What people do in their chats besides talking: read pages, edit and delete what they said, say how far
//! they read, look at their list. A fault may let any of it fail; what came of it is judged.

use super::{Habits, Sight, Talk, Tally};
use parking_lot::Mutex;
use rand::RngExt;
use shardline_client::{CallError, Http};
use shardline_history::Bounds;
use shardline_load::recording::Caller;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Between two deeds of one person in one chat: each of the five some twentieth as often as a message.
const PAUSE_MS: std::ops::Range<u64> = 800..1_800;
const PAGE_MAX: u64 = 50;
/// Whoever has no answer by then does something else; what became of the call is not known.
const LATE: Duration = Duration::from_secs(40);

/// One person in one chat.
pub(super) struct Deeds {
    pub(super) caller: Caller,
    pub(super) http: Http,
    pub(super) talk: Talk,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) own: Arc<Mutex<Own>>,
    pub(super) tally: Arc<Mutex<Tally>>,
    pub(super) shared: Arc<Mutex<Option<Sight>>>,
    pub(super) habits: Habits,
}

/// What a person knows of their own doing in one chat.
#[derive(Default)]
pub(super) struct Own {
    /// Their messages that were acknowledged and not deleted, by seq.
    pub(super) seqs: Vec<u64>,
    /// The highest ver acknowledged.
    pub(super) ver: u64,
}

impl Deeds {
    /// Until told to stop; ends when the last one is answered.
    pub(super) async fn run(self) {
        while !self.stop.load(Ordering::Relaxed) {
            let pause = rand::rng().random_range(PAUSE_MS);
            sleep(Duration::from_millis(pause)).await;
            if timeout(LATE, self.do_one()).await.is_err() {
                eprintln!("a call to chat {} gets no answer at all", self.talk.chat);
            }
        }
    }

    async fn do_one(&self) {
        let chat = self.talk.chat;
        let kinds = if self.habits == Habits::AllButCursors { 3 } else { 5 };
        let which = rand::rng().random_range(0..kinds);
        let outcome = match which {
            0 => self.edit().await,
            1 => self.delete().await,
            2 => self.read_page().await,
            3 => {
                let seq = rand::rng().random_range(self.talk.base_seq..=self.seen().0);
                self.caller.mark(chat, seq).await.map(drop)
            }
            _ => {
                if let Err(error) = self.caller.direct_item(&self.http, chat).await {
                    eprintln!("{error:#}");
                }
                Ok(())
            }
        };
        if let Err(error) = outcome {
            eprintln!("a call to chat {chat} failed: {error}");
        }
    }

    /// The highest seq and ver that this person saw, or heard of by an acknowledgement.
    fn seen(&self) -> (u64, u64) {
        let shared = self.shared.lock();
        let key = (self.caller.number, self.talk.chat);
        let seen = shared.as_ref().and_then(|sight| sight.seen.get(&key)).copied();
        let (seq, ver) = seen.unwrap_or_default();
        (seq.max(self.talk.base_seq), ver.max(self.own.lock().ver))
    }

    async fn edit(&self) -> Result<(), CallError> {
        let Some(seq) = self.pick(false) else { return Ok(()) };
        let text = format!("{} meant {:08x}", self.caller.number, rand::random::<u32>());
        self.changed(self.caller.change(self.talk.chat, seq, Some(&text)).await)
    }

    async fn delete(&self) -> Result<(), CallError> {
        let Some(seq) = self.pick(true) else { return Ok(()) };
        self.changed(self.caller.change(self.talk.chat, seq, None).await)
    }

    fn changed(&self, outcome: Result<u64, CallError>) -> Result<(), CallError> {
        let ver = outcome?;
        self.tally.lock().acknowledged(self.talk.chat, ver);
        let mut own = self.own.lock();
        own.ver = own.ver.max(ver);
        Ok(())
    }

    /// One of their own messages; one that is to go is not picked again.
    fn pick(&self, goes: bool) -> Option<u64> {
        let mut own = self.own.lock();
        if own.seqs.is_empty() {
            return None;
        }
        let index = rand::rng().random_range(0..own.seqs.len());
        Some(if goes { own.seqs.swap_remove(index) } else { own.seqs[index] })
    }

    async fn read_page(&self) -> Result<(), CallError> {
        let bounds = self.some_bounds();
        self.caller.page(self.talk.chat, bounds).await.map(drop)
    }

    /// Of any page, as new as what is known.
    fn some_bounds(&self) -> Bounds {
        let (seq, ver) = self.seen();
        let mut random = rand::rng();
        let somewhere = random.random_range(self.talk.base_seq..=seq);
        let (before_seq, after_seq) = match random.random_range(0..3) {
            0 => (None, None),
            1 => (Some(somewhere + 1), None),
            _ => (None, Some(somewhere)),
        };
        let limit = Some(random.random_range(1..=PAGE_MAX));
        Bounds { before_seq, after_seq, limit, min_ver: Some(ver) }
    }
}

/// Ends the recording of a chat: what is in it, and its item as both see it.
pub(super) async fn record_end(
    callers: &[Caller],
    http: &Http,
    talk: &Talk,
    min_ver: u64,
) -> anyhow::Result<()> {
    if let Some(caller) = callers.last() {
        caller.final_state(talk.chat, talk.base_seq, Some(min_ver)).await?;
    }
    for caller in callers {
        caller.direct_item(http, talk.chat).await?;
    }
    Ok(())
}
