//! A stretch of load: each sender keeps a number of messages in flight, until it is told to stop.

use crate::body::Label;
use crate::cast::{Cast, Pair};
use crate::measure::{Measured, Meter, Outcome, micros};
use crate::recording;
use shardline_client::frames::{Ack, Body, Send};
use shardline_client::{Pending, SendError};
use shardline_history::{MsgId, Record, Writer};
use std::collections::VecDeque;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval_at, sleep};

#[derive(Clone, Debug)]
pub struct Phase {
    /// The first so many of the pairs.
    pub senders: usize,
    pub in_flight: usize,
    pub body_bytes: usize,
    /// Sent, but not measured.
    pub warm_up: Duration,
    pub measured: Duration,
    /// Of acknowledged messages, how many are sent again with the same id, in 0..=1.
    pub repeats: f64,
    /// The number of the first message of each pair.
    pub first_number: u32,
}

/// A phase that is over.
#[derive(Clone, Copy, Debug)]
pub struct Played {
    pub measured: Measured,
    /// The time measured, as it really was.
    pub took: Duration,
    /// The next phase's first number.
    pub next_number: u32,
}

impl Played {
    pub fn acked_per_second(&self) -> f64 {
        per_second(self.measured.counts.acked, self.took)
    }

    pub fn delivered_per_second(&self) -> f64 {
        per_second(self.measured.counts.delivered, self.took)
    }
}

pub fn per_second(count: u64, time: Duration) -> f64 {
    // Exact for any count a run can reach.
    #[allow(clippy::cast_precision_loss)]
    let count = count as f64;
    count / time.as_secs_f64().max(f64::MIN_POSITIVE)
}

impl Cast {
    /// Plays a phase. `stop` ends it early; `progress` is called every second with what that second
    /// brought; `marks` when measuring begins and ends.
    pub async fn play(
        &self,
        phase: &Phase,
        stop: impl Future<Output = ()>,
        mut progress: impl FnMut(Duration, &Measured),
        mut marks: impl FnMut(),
    ) -> Played {
        let stopping = Arc::new(AtomicBool::new(false));
        let mut senders = JoinSet::new();
        for pair in self.pairs.iter().take(phase.senders) {
            senders.spawn(Sender::new(self, pair, phase, &stopping).play());
        }
        let (began, mut stop) = (Instant::now(), std::pin::pin!(stop));
        let mut second = interval_at(began + Duration::from_secs(1), Duration::from_secs(1));
        let mut measuring_since = None;
        let mut stage = std::pin::pin!(sleep(phase.warm_up));
        loop {
            tokio::select! {
                _ = second.tick() => progress(began.elapsed(), &self.meter.take_second()),
                () = &mut stop => break,
                () = &mut stage => {
                    if measuring_since.is_some() {
                        break;
                    }
                    marks();
                    self.meter.begin();
                    measuring_since = Some(Instant::now());
                    stage.as_mut().reset(Instant::now() + phase.measured);
                }
            }
        }
        let measured = self.meter.end();
        let took = measuring_since.map_or(Duration::ZERO, |since| since.elapsed());
        marks();
        stopping.store(true, Ordering::Relaxed);
        let mut next_number = phase.first_number;
        while let Some(ended) = senders.join_next().await {
            next_number = next_number.max(ended.unwrap_or(phase.first_number));
        }
        Played { measured, took, next_number }
    }
}

struct Sender {
    pair: Arc<Pair>,
    meter: Arc<Meter>,
    writer: Option<Writer>,
    phase: Phase,
    stopping: Arc<AtomicBool>,
    run: u32,
    run_began: Instant,
    user: u64,
    next_number: u32,
    out: VecDeque<Out>,
}

/// A message in flight. The server answers those of one chat in order.
struct Out {
    number: u32,
    send: Send,
    began: Instant,
    pending: Pending,
    is_repeat: bool,
}

impl Sender {
    fn new(cast: &Cast, pair: &Arc<Pair>, phase: &Phase, stopping: &Arc<AtomicBool>) -> Sender {
        Sender {
            pair: pair.clone(),
            meter: cast.meter.clone(),
            writer: cast.writer.clone(),
            phase: phase.clone(),
            stopping: stopping.clone(),
            run: cast.run,
            run_began: cast.began,
            user: pair.sender.user(),
            next_number: phase.first_number,
            out: VecDeque::new(),
        }
    }

    /// Ends when all is answered; the number after the last one used.
    async fn play(mut self) -> u32 {
        loop {
            while self.out.len() < self.phase.in_flight && !self.stopping.load(Ordering::Relaxed) {
                self.send_next().await;
            }
            let Some(mut out) = self.out.pop_front() else { return self.next_number };
            let outcome = (&mut out.pending).await;
            self.note(&out, &outcome);
            let again = outcome.is_ok() && !out.is_repeat && 0.0 < self.phase.repeats;
            if again && rand::random::<f64>() < self.phase.repeats {
                self.send_again(out).await;
            }
        }
    }

    async fn send_next(&mut self) {
        let number = self.next_number;
        self.next_number += 1;
        let began = Instant::now();
        let sent_us = micros(began.duration_since(self.run_began));
        let label = Label { run: self.run, pair: self.pair.index, number, sent_us };
        let send = Send {
            chat: self.pair.chat,
            client_msg_id: rand::random::<u128>().to_be_bytes().to_vec(),
            body: Some(Body { text: label.to_body(self.phase.body_bytes) }),
            reply_to: None,
            retry: false,
        };
        self.submit(number, send, began, false).await;
    }

    /// The same message once more: it must get the same answer.
    async fn send_again(&mut self, out: Out) {
        let send = Send { retry: true, ..out.send };
        self.submit(out.number, send, Instant::now(), true).await;
    }

    async fn submit(&mut self, number: u32, send: Send, began: Instant, is_repeat: bool) {
        if let Some(writer) = &self.writer {
            writer.record(Record::Send {
                client: self.pair.sender_number(),
                user: self.user,
                chat: send.chat,
                id: recording::message_id(&send.client_msg_id),
                body: send.body.as_ref().map_or(String::new(), |b| recording::digest(&b.text)),
            });
        }
        // Only kept for a repeat.
        let kept = if 0.0 < self.phase.repeats {
            send.clone()
        } else {
            Send { client_msg_id: send.client_msg_id.clone(), ..Send::default() }
        };
        let pending = self.pair.sender.submit_raw(send).await;
        self.out.push_back(Out { number, send: kept, began, pending, is_repeat });
    }

    fn note(&self, out: &Out, outcome: &Result<Ack, SendError>) {
        if let Some(writer) = &self.writer {
            let id: MsgId = recording::message_id(&out.send.client_msg_id);
            let client = self.pair.sender_number();
            recording::outcome(writer, client, self.user, self.pair.chat, id, outcome);
        }
        if out.is_repeat {
            return;
        }
        self.meter.sent(match outcome {
            Ok(_) => {
                self.pair.ledger().acked(out.number);
                Outcome::Acked(out.began.elapsed())
            }
            Err(SendError::Refused(_)) => Outcome::Refused,
            Err(SendError::NotStored(_)) => Outcome::NotStored,
            Err(SendError::Unknown(_)) => Outcome::Unknown,
        });
    }
}
