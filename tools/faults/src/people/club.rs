//! A group whose guest comes and goes while the others talk.

use super::{Sight, Tally};
use parking_lot::Mutex;
use rand::RngExt;
use shardline_client::Http;
use shardline_history::Bounds;
use shardline_load::recording::Caller;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// Between coming and going.
const PAUSE_MS: std::ops::Range<u64> = 700..2_500;
/// What became of a call without an answer by then is not known.
const LATE: Duration = Duration::from_secs(40);

/// Who is in it all the time, by index, its owner first; and who is not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Roles {
    pub(super) steady: [usize; 3],
    pub(super) guest: usize,
}

/// Where the guest comes in, and is shown out.
pub(super) struct Door {
    pub(super) chat: u64,
    pub(super) owner: Caller,
    pub(super) guest: Caller,
    pub(super) http: Http,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) tally: Arc<Mutex<Tally>>,
    pub(super) shared: Arc<Mutex<Option<Sight>>>,
}

impl Door {
    /// Until told to stop; the guest is out then, as far as anybody knows.
    pub(super) async fn run(self) {
        loop {
            self.pause().await;
            if self.stop.load(Ordering::Relaxed) {
                return;
            }
            self.admit().await;
            self.pause().await;
            self.look().await;
            self.show_out().await;
            // What it is told now is judged: it is no member.
            self.look().await;
        }
    }

    async fn pause(&self) {
        let pause = rand::rng().random_range(PAUSE_MS);
        sleep(Duration::from_millis(pause)).await;
    }

    async fn admit(&self) {
        if !self.change(true).await {
            return;
        }
        let opening = self.guest.client.open(self.chat, Some(20));
        match timeout(LATE, opening).await {
            Ok(Ok(_)) => {}
            Ok(Err(error)) => eprintln!("the guest does not come in: {error}"),
            Err(_) => eprintln!("the guest gets no answer at all"),
        }
    }

    async fn show_out(&self) {
        self.guest.leaves(self.chat);
        self.change(false).await;
        if let Err(error) = self.guest.client.close_chat(self.chat).await {
            eprintln!("the guest does not close the chat: {error}");
        }
    }

    /// Whether it was acknowledged.
    async fn change(&self, joins: bool) -> bool {
        let user = self.guest.client.user();
        let change = self.owner.change_membership(&self.http, self.chat, user, joins);
        match timeout(LATE, change).await {
            Ok(Ok(ver)) => {
                self.tally.lock().acknowledged(self.chat, ver);
                true
            }
            Ok(Err(error)) => {
                eprintln!("the guest of {}, in: {joins}: {error}", self.chat);
                false
            }
            Err(_) => false,
        }
    }

    /// The latest page, as new as what the guest saw.
    async fn look(&self) {
        let min_ver =
            self.shared.lock().as_ref().and_then(|sight| {
                sight.seen.get(&(self.guest.number, self.chat)).map(|(_, ver)| *ver)
            });
        let bounds = Bounds { limit: Some(20), min_ver, ..Bounds::default() };
        // Refused to who is no member; anything else is a fault's doing.
        drop(timeout(LATE, self.guest.page(self.chat, bounds)).await);
    }
}
