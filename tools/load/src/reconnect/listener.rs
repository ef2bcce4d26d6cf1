//! One who listens, loses its connection, and is back.

use super::rooms::Room;
use crate::body::Label;
use shardline_client::{Client, Seen, State};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::mpsc::Receiver;
use tokio::time::Instant;

/// As a close says it.
const OVERLOADED: &str = "overloaded";

pub(super) struct Listener {
    room: Arc<Room>,
    client: Client,
    state: Mutex<Heard>,
}

#[derive(Default)]
struct Heard {
    /// The next message of the speaker that is news.
    next: u32,
    struck_at: Option<Instant>,
    is_lost: bool,
    back: Back,
}

/// What became of it since the strike.
#[derive(Clone, Copy, Default, Debug)]
pub(super) struct Back {
    pub(super) welcomed_after: Option<Duration>,
    /// The first message since.
    pub(super) heard_after: Option<Duration>,
    pub(super) told_to_wait: u64,
    pub(super) doubled: u64,
    pub(super) out_of_order: u64,
}

impl Listener {
    pub(super) fn new(room: Arc<Room>, client: Client) -> Listener {
        Listener { room, client, state: Mutex::default() }
    }

    pub(super) fn strike(&self, at: Instant) {
        self.heard().struck_at = Some(at);
    }

    pub(super) fn is_back(&self) -> bool {
        self.heard().back.heard_after.is_some()
    }

    pub(super) fn back(&self) -> Back {
        self.heard().back
    }

    /// What was acknowledged and not heard.
    pub(super) fn missing(&self) -> u64 {
        u64::from(self.room.spoken().saturating_sub(self.heard().next))
    }

    pub(super) async fn stop(&self) {
        self.client.stop().await;
    }

    /// Follows the connection until the client stops.
    pub(super) async fn watch(self: Arc<Listener>) {
        let mut states = self.client.state();
        loop {
            let state = states.borrow_and_update().clone();
            {
                let mut heard = self.heard();
                match state {
                    State::Stopped(_) => return,
                    State::Waiting { why, .. } => {
                        heard.is_lost = true;
                        heard.back.told_to_wait += u64::from(why == OVERLOADED);
                    }
                    State::Connecting => heard.is_lost = true,
                    State::Connected { .. } if heard.is_lost => {
                        let since = heard.struck_at.map(|at| at.elapsed());
                        heard.back.welcomed_after = heard.back.welcomed_after.or(since);
                    }
                    State::Connected { .. } => {}
                }
            }
            if states.changed().await.is_err() {
                return;
            }
        }
    }

    /// Takes what comes until the client stops.
    pub(super) async fn listen(self: Arc<Listener>, mut seen: Receiver<Seen>) {
        while let Some(seen) = seen.recv().await {
            match seen {
                Seen::Event(event) if event.chat == self.room.chat => {
                    let text = event.message.as_ref().and_then(|message| message.body.as_ref());
                    if let Some(label) = text.and_then(|body| self.label(&body.text)) {
                        self.hear(label.number, false);
                    }
                }
                Seen::Resynced(page) => {
                    let texts = page.messages.iter().filter_map(|message| message.body.as_ref());
                    for label in texts.filter_map(|body| self.label(&body.text)) {
                        self.hear(label.number, true);
                    }
                }
                _ => {}
            }
        }
    }

    fn label(&self, text: &str) -> Option<Label> {
        Label::of_body(text).filter(|label| label.run == self.room.run)
    }

    /// A page may repeat what was heard; events may not. A speaker's messages come one after the other,
    /// and one without an acknowledgement may come twice under its number.
    fn hear(&self, number: u32, in_page: bool) {
        let mut heard = self.heard();
        if number == heard.next {
            heard.next += 1;
        } else if heard.next < number {
            heard.back.out_of_order += 1;
            heard.next = number + 1;
        } else if !in_page {
            heard.back.doubled += 1;
        }
        if heard.back.welcomed_after.is_some() && heard.back.heard_after.is_none() {
            heard.back.heard_after = heard.struck_at.map(|at| at.elapsed());
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
