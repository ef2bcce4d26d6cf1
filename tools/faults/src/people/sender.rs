//! Who sends: in bursts, some messages once more under the same id, each until it is answered.

use super::deeds::Own;
use super::{BREATH, SEND_TIME_MAX, Talk, Tally};
use parking_lot::Mutex;
use shardline_client::frames::{Body, Send};
use shardline_client::{Client, Pending, SendError};
use shardline_history::{Record, Writer};
use shardline_load::recording;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Messages in flight of one person in one chat.
const BURST: usize = 2;
/// One of so many messages is sent once more with its id.
const REPEATS: u32 = 10;

/// One person in one chat.
pub(super) struct Sender {
    pub(super) number: u32,
    pub(super) client: Client,
    pub(super) talk: Talk,
    pub(super) writer: Writer,
    pub(super) stop: Arc<AtomicBool>,
    pub(super) tally: Arc<Mutex<Tally>>,
    pub(super) own: Arc<Mutex<Own>>,
}

impl Sender {
    /// Bursts until told to stop; ends when all is answered.
    pub(super) async fn run(self) {
        let mut count = 0_u32;
        while !self.stop.load(Ordering::Relaxed) {
            let mut burst = Vec::new();
            for _ in 0..BURST {
                count += 1;
                let send = Send {
                    chat: self.talk.chat,
                    client_msg_id: rand::random::<u128>().to_be_bytes().to_vec(),
                    body: Some(Body { text: format!("{} says {count}", self.number) }),
                    reply_to: None,
                    retry: false,
                };
                burst.push(self.submit(send).await);
            }
            for (send, began, pending) in burst {
                let outcome = self.outcome(&send, began, pending).await;
                if outcome && rand::random::<u32>().is_multiple_of(REPEATS) {
                    let again = Send { retry: true, ..send };
                    let (send, began, pending) = self.submit(again).await;
                    self.outcome(&send, began, pending).await;
                }
            }
            sleep(BREATH).await;
        }
    }

    async fn submit(&self, send: Send) -> (Send, Instant, Pending) {
        self.writer.record(Record::Send {
            client: self.number,
            user: self.client.user(),
            chat: send.chat,
            id: recording::message_id(&send.client_msg_id),
            body: send.body.as_ref().map_or(String::new(), |body| recording::digest(&body.text)),
        });
        let began = Instant::now();
        let pending = self.client.submit_raw(send.clone()).await;
        (send, began, pending)
    }

    /// Whether it was acknowledged.
    async fn outcome(&self, send: &Send, began: Instant, pending: Pending) -> bool {
        let late = SEND_TIME_MAX + Duration::from_secs(10);
        let outcome = timeout(late, pending)
            .await
            .unwrap_or_else(|_| Err(SendError::Unknown("the client does not answer".to_owned())));
        let id = recording::message_id(&send.client_msg_id);
        let (chat, user) = (send.chat, self.client.user());
        recording::outcome(&self.writer, self.number, user, chat, id, &outcome);
        let mut tally = self.tally.lock();
        match &outcome {
            Ok(ack) => {
                if self.talk.moves {
                    tally.newest = tally.newest.max(Some(began));
                }
                let longest = &mut tally.longest[usize::from(self.talk.moves)];
                *longest = began.elapsed().max(*longest);
                let ver = ack.ver.unwrap_or(0);
                tally.acknowledged(chat, ver);
                let mut own = self.own.lock();
                own.ver = ver.max(own.ver);
                if !send.retry {
                    own.seqs.extend(ack.seq);
                }
            }
            Err(error) => {
                eprintln!("a send to chat {chat} failed: {error}");
                tally.failed += 1;
            }
        }
        outcome.is_ok()
    }
}
