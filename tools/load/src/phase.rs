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
use tokio::time::{Instant, interval_at, sleep, sleep_until};

/// How soon a sender that waits for its time sees that it is to stop.
const LOOK_EVERY: Duration = Duration::from_millis(200);

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
    /// Messages a second, all senders together; None: the next goes out when there is room for it.
    pub rate: Option<f64>,
    /// The number of the first message of each pair.
    pub first_number: u32,
}

impl Phase {
    /// Between two messages of one sender, if a rate is kept.
    fn interval(&self) -> Option<Duration> {
        // Exact for any number of senders.
        #[allow(clippy::cast_precision_loss)]
        let senders = self.senders.max(1) as f64;
        self.rate.and_then(|rate| Duration::try_from_secs_f64(senders / rate).ok())
    }
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
    pace: Option<Pace>,
    out: VecDeque<Out>,
}

/// When a sender's messages are due. A message that is late, because none may go out before another is
/// answered, is measured from when it was due.
struct Pace {
    due: Instant,
    interval: Duration,
}

impl Pace {
    /// Senders begin anywhere in their first interval.
    fn new(interval: Duration) -> Pace {
        Pace { due: Instant::now() + interval.mul_f64(rand::random()), interval }
    }

    fn take(&mut self) -> Instant {
        let due = self.due;
        self.due += self.interval;
        due
    }
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
            pace: phase.interval().map(Pace::new),
            out: VecDeque::new(),
        }
    }

    /// Ends when all is answered; the number after the last one used.
    async fn play(mut self) -> u32 {
        loop {
            while self.may_send()
                && self.pace.as_ref().is_none_or(|pace| pace.due <= Instant::now())
            {
                let began = self.pace.as_mut().map_or_else(Instant::now, Pace::take);
                self.send_next(began).await;
            }
            let due = self.pace.as_ref().filter(|_| self.may_send()).map(|pace| pace.due);
            let Some(out) = self.out.front_mut() else {
                let Some(due) = due else { return self.next_number };
                sleep_until(due.min(Instant::now() + LOOK_EVERY)).await;
                continue;
            };
            let next = async {
                match due {
                    Some(due) => sleep_until(due).await,
                    None => std::future::pending().await,
                }
            };
            let outcome = tokio::select! {
                outcome = &mut out.pending => outcome,
                () = next => continue,
            };
            let Some(out) = self.out.pop_front() else { continue };
            self.note(&out, &outcome);
            let again = outcome.is_ok() && !out.is_repeat && 0.0 < self.phase.repeats;
            if again && rand::random::<f64>() < self.phase.repeats {
                self.send_again(out).await;
            }
        }
    }

    fn may_send(&self) -> bool {
        self.out.len() < self.phase.in_flight && !self.stopping.load(Ordering::Relaxed)
    }

    async fn send_next(&mut self, began: Instant) {
        let number = self.next_number;
        self.next_number += 1;
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
