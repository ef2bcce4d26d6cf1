//! The one task of a client: connects, writes what is due, hands out what comes. Decisions are made by
//! `sends`, `requests`, `following` and `reconnect`; here are the socket, the clock and the channels.

mod connecting;
mod incoming;
mod link;
mod lists;

use crate::client::Options;
use crate::driver::link::{Link, LinkEvent};
use crate::driver::lists::Lists;
use crate::error::{CallError, SendError};
use crate::following::Following;
use crate::frames::client_frame::Call;
use crate::frames::server_frame::Frame;
use crate::frames::{Ack, ClientFrame, Closing, Open, Ping, Send};
use crate::http::{Http, Session};
use crate::reconnect::{Backoff, Stop};
use crate::requests::Requests;
use crate::seen::{Seen, State};
use crate::sends::Sends;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

/// Unanswered frames of one connection: half of what a server allows.
const IN_FLIGHT_MAX: usize = 512;
/// What the user has not taken: beyond, nothing is read from the server.
const BACKLOG_MAX: usize = 1_024;
const COMMANDS_AT_ONCE: usize = 64;
/// Of the server's `chats` page when catching up.
const CHATS_PAGE: u64 = 200;
const SPREAD_AT_LEAST: Duration = Duration::from_millis(100);
const FAR: Duration = Duration::from_secs(24 * 3600);

pub(crate) enum Command {
    Send { send: Send, done: oneshot::Sender<Result<Ack, SendError>> },
    Call { call: Call, done: oneshot::Sender<Result<Frame, CallError>> },
    Open { open: Open, done: oneshot::Sender<Result<Frame, CallError>> },
    Resume { chat: u64, log: String, ver: u64 },
    Forget { chat: u64 },
    Stop,
}

/// Who waits for the answer to a call.
enum Waiter {
    User(oneshot::Sender<Result<Frame, CallError>>),
    /// The user, who opened this chat.
    Opener {
        chat: u64,
        done: oneshot::Sender<Result<Frame, CallError>>,
    },
    /// A gap or a new connection; the chat is to be closed again if `passing`.
    Follow {
        chat: u64,
        passing: bool,
    },
    Lists,
    /// A page of all chats, to see which of the unopened ones are behind.
    CatchUp,
    Renewal,
    Nobody,
}

pub(crate) struct Driver {
    http: Http,
    session: Arc<Mutex<Session>>,
    options: Options,
    commands: mpsc::Receiver<Command>,
    seen: mpsc::Sender<Seen>,
    /// Seen, and not in the channel yet.
    backlog: VecDeque<Seen>,
    state: watch::Sender<State>,
    /// Answers to sends that said to repeat them.
    repeats_asked: Arc<AtomicU64>,
    link: Link,
    address: usize,
    backoff: Backoff,
    sends: Sends<oneshot::Sender<Result<Ack, SendError>>>,
    requests: Requests<Waiter>,
    following: Following,
    lists: Lists,
    next_id: u64,
    /// The server's last word, just before it closes.
    closing: Option<Closing>,
    idle: Duration,
    idle_check: Instant,
    silent_checks: u32,
    renew_at: Instant,
    /// The server's clock minus ours, for expiry only.
    server_ahead_ms: i64,
    started: Instant,
    stop: Option<Stop>,
}

impl Driver {
    pub(crate) fn new(
        http: Http,
        session: Arc<Mutex<Session>>,
        options: Options,
        commands: mpsc::Receiver<Command>,
        seen: mpsc::Sender<Seen>,
        state: watch::Sender<State>,
        repeats_asked: Arc<AtomicU64>,
    ) -> Driver {
        let now = Instant::now();
        let timing = options.timing.clone();
        Driver {
            address: options.first_address % http.addresses().len(),
            http,
            session,
            commands,
            seen,
            backlog: VecDeque::new(),
            state,
            repeats_asked,
            link: Link::down(now),
            backoff: Backoff::new(timing.reconnect_first, timing.reconnect_max),
            sends: Sends::new(),
            requests: Requests::new(),
            following: Following::new(timing.gap_wait.clone(), Box::new(rand::random)),
            lists: Lists::new(timing.gap_wait),
            next_id: 1,
            closing: None,
            idle: FAR,
            idle_check: now + FAR,
            silent_checks: 0,
            renew_at: now + FAR,
            server_ahead_ms: 0,
            started: now,
            stop: None,
            options,
        }
    }

    pub(crate) async fn run(mut self) {
        let mut commands = Vec::with_capacity(COMMANDS_AT_ONCE);
        let mut timer = std::pin::pin!(sleep_until(Instant::now()));
        while self.stop.is_none() {
            let now = Instant::now();
            self.do_due(now);
            let next = self.next_due(now);
            // A timer that is early only costs a look; moving it costs more.
            if next < timer.deadline() || timer.is_elapsed() {
                timer.as_mut().reset(next);
            }
            let reading = self.backlog.len() < BACKLOG_MAX;
            let taking = self.sends.queued() + self.requests.pending() < self.options.queue;
            // Each branch is safe to drop: its state is in the field it borrows.
            tokio::select! {
                biased;
                count = self.commands.recv_many(&mut commands, COMMANDS_AT_ONCE), if taking => {
                    if count == 0 {
                        self.stop = Some(Stop::Here);
                    }
                    for command in commands.drain(..) {
                        self.on_command(command, Instant::now());
                    }
                }
                // Room for what `hand_out` could not hand out.
                () = room(&self.seen), if !self.backlog.is_empty() => {}
                event = self.link.event(reading) => self.on_link(event, Instant::now()),
                () = timer.as_mut() => {}
            }
            self.hand_out();
        }
        self.end().await;
    }

    // ---- What is due ----

    fn do_due(&mut self, now: Instant) {
        self.sends.expire(now, |ended| {
            let _ = ended.done.send(ended.outcome);
        });
        let mut late = Vec::new();
        self.requests.expire(now, |answer| late.push(answer));
        for answer in late {
            self.on_answer(answer, now);
        }
        if self.link.is_due(now) {
            self.connect();
        }
        if self.renew_at <= now {
            self.renew_at = now + FAR;
            self.renew();
        }
        if !self.link.is_up() {
            return;
        }
        if self.idle_check <= now {
            self.check_idle(now);
        }
        self.ask(now);
        self.write(now);
    }

    /// Asks about chats and lists that are behind.
    fn ask(&mut self, now: Instant) {
        let deadline = now + self.options.call_deadline;
        while let Some(ask) = self.following.take_due(now) {
            let (log, since_ver) = ask.since.unzip();
            let open = Open { chat: ask.chat, since_ver, log, limit: None };
            let waiter = Waiter::Follow { chat: ask.chat, passing: ask.passing };
            self.requests.push(Call::Open(open), waiter, now, deadline);
        }
        if let Some(chats) = self.lists.take_due(now) {
            self.requests.push(Call::Chats(chats), Waiter::Lists, now, deadline);
        }
    }

    /// Gives the connection what goes out now.
    fn write(&mut self, now: Instant) {
        let before = self.out();
        let Some(connection) = self.link.up() else { return };
        let mut room = IN_FLIGHT_MAX.saturating_sub(before);
        let next_id = &mut self.next_id;
        let mut fresh_id = || {
            room = room.checked_sub(1)?;
            *next_id += 1;
            Some(*next_id)
        };
        self.requests.take_due(now, &mut fresh_id, |id, call| {
            connection.queue(ClientFrame { id: Some(id), call: Some(call) });
        });
        self.sends.wake(now);
        self.sends.take_due(now, &mut fresh_id, |id, send| {
            connection.queue(ClientFrame { id: Some(id), call: Some(Call::Send(send)) });
        });
        if before == 0 && 0 < self.out() {
            self.silent_checks = 0;
            self.idle_check = self.idle_check.min(now + self.check_interval());
        }
    }

    /// What waits for an answer of this connection.
    fn out(&self) -> usize {
        self.sends.out() + self.requests.out()
    }

    /// Silence of three of them, with a ping after the first, is the end.
    fn check_interval(&self) -> Duration {
        let idle = self.idle / 2;
        if self.out() == 0 { idle } else { idle.min(self.options.timing.silence_max / 3) }
    }

    fn next_due(&self, now: Instant) -> Instant {
        let mut next = self.renew_at;
        let mut at = |when: Option<Instant>| next = when.map_or(next, |when| when.min(next));
        at(self.sends.next_expiry());
        at(self.requests.next_due(now));
        at(self.link.due());
        if self.link.is_up() {
            at(Some(self.idle_check));
            at(self.sends.next_repeat());
            at(self.following.next_due());
            at(self.lists.next_due());
        }
        next
    }

    /// Both sides close after the idle time without a frame: speaks in time, and notices a dead server.
    fn check_idle(&mut self, now: Instant) {
        self.idle_check = now + self.check_interval();
        let reading = self.backlog.len() < BACKLOG_MAX;
        let Some(connection) = self.link.up() else { return };
        let (heard, said) = connection.take_activity();
        // Who does not read cannot hear.
        self.silent_checks = if heard || !reading { 0 } else { self.silent_checks + 1 };
        if 3 <= self.silent_checks {
            self.on_lost(None, "nothing was heard for too long", now);
        } else if !heard || !said {
            let deadline = now + self.options.call_deadline;
            self.requests.push(Call::Ping(Ping {}), Waiter::Nobody, now, deadline);
        }
    }

    // ---- What is seen ----

    fn see(&mut self, seen: Seen) {
        if !self.seen.is_closed() {
            self.backlog.push_back(seen);
        }
    }

    fn seeing(&mut self, decide: impl FnOnce(&mut Following, &mut Vec<Seen>)) {
        let mut out = Vec::new();
        decide(&mut self.following, &mut out);
        out.into_iter().for_each(|seen| self.see(seen));
    }

    /// Moves what fits into the channel without waiting.
    fn hand_out(&mut self) {
        while let Some(seen) = self.backlog.pop_front() {
            match self.seen.try_send(seen) {
                Ok(()) => {}
                Err(mpsc::error::TrySendError::Full(seen)) => {
                    self.backlog.push_front(seen);
                    return;
                }
                Err(mpsc::error::TrySendError::Closed(_)) => self.backlog.clear(),
            }
        }
    }

    async fn end(mut self) {
        let stop = self.stop.take().unwrap_or(Stop::Here);
        self.sends.end(|ended| {
            let _ = ended.done.send(ended.outcome);
        });
        let error = CallError::Stopped(stop.clone());
        self.requests.end(&error, |answer| match answer.done {
            Waiter::User(done) | Waiter::Opener { done, .. } => {
                let _ = done.send(answer.outcome);
            }
            _ => {}
        });
        self.commands.close();
        while let Some(command) = self.commands.recv().await {
            match command {
                Command::Send { done, .. } => {
                    let _ = done.send(Err(SendError::NotStored(stop.to_string())));
                }
                Command::Call { done, .. } | Command::Open { done, .. } => {
                    let _ = done.send(Err(error.clone()));
                }
                Command::Resume { .. } | Command::Forget { .. } | Command::Stop => {}
            }
        }
        self.link.close().await;
        self.state.send_replace(State::Stopped(stop));
    }
}

async fn room(seen: &mpsc::Sender<Seen>) {
    // Closed is found out by who hands out.
    let _ = seen.reserve().await;
}
