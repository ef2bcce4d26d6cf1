//! The one task of a client: connects, writes what is due, hands out what comes. Decisions are made by
//! `sends`, `requests`, `following` and `reconnect`; here are the socket, the clock and the channels.

mod link;
mod lists;

use crate::client::Options;
use crate::connection::{ConnectionError, Turn};
use crate::driver::link::{Link, LinkEvent};
use crate::driver::lists::Lists;
use crate::error::{CallError, HttpError, SendError};
use crate::following::Following;
use crate::frames::client_frame::Call;
use crate::frames::server_frame::Frame;
use crate::frames::{
    Ack, Auth, Chats, ClientFrame, CloseChat, Closing, Open, Ping, Send, ServerFrame, Welcome,
};
use crate::http::{Http, Session};
use crate::reconnect::{After, Backoff, Stop, after_close, spread};
use crate::requests::{Answer, Requests};
use crate::seen::{Seen, State};
use crate::sends::Sends;
use parking_lot::Mutex;
use std::collections::VecDeque;
use std::sync::Arc;
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
        let Some(connection) = self.link.up() else { return };
        let mut room = IN_FLIGHT_MAX.saturating_sub(self.sends.out() + self.requests.out());
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
        self.idle_check = now + self.idle / 2;
        let reading = self.backlog.len() < BACKLOG_MAX;
        let Some(connection) = self.link.up() else { return };
        let (heard, said) = connection.take_activity();
        // Who does not read cannot hear.
        self.silent_checks = if heard || !reading { 0 } else { self.silent_checks + 1 };
        if 3 <= self.silent_checks {
            self.on_lost(None, "nothing was heard for the idle time", now);
        } else if !heard || !said {
            let deadline = now + self.options.call_deadline;
            self.requests.push(Call::Ping(Ping {}), Waiter::Nobody, now, deadline);
        }
    }

    // ---- What comes ----

    fn on_command(&mut self, command: Command, now: Instant) {
        let deadline = now + self.options.call_deadline;
        match command {
            Command::Send { send, done } => {
                self.sends.push(send, done, now + self.options.send_deadline);
            }
            Command::Call { call, done } => {
                self.requests.push(call, Waiter::User(done), now, deadline);
            }
            Command::Open { open, done } => {
                let chat = open.chat;
                self.following.want(chat);
                self.requests.push(Call::Open(open), Waiter::Opener { chat, done }, now, deadline);
            }
            Command::Resume { chat, log, ver } => self.following.want_since(chat, log, ver, now),
            Command::Forget { chat } => self.following.forget(chat),
            Command::Stop => self.stop = Some(Stop::Here),
        }
    }

    fn on_link(&mut self, event: LinkEvent, now: Instant) {
        match event {
            LinkEvent::Connected(Ok((connection, welcome))) => {
                let mut connection = connection;
                let kept = connection.take_kept();
                self.link.set_up(connection);
                self.on_welcome(&welcome, now);
                for frame in kept {
                    self.on_frame(frame, now);
                }
            }
            LinkEvent::Connected(Err(error)) => self.on_not_connected(error, now),
            LinkEvent::Renewed(result) => self.on_renewed(result, now),
            LinkEvent::Turn(Ok(Turn::Frames(frames))) => {
                for frame in frames {
                    self.on_frame(frame, now);
                }
            }
            LinkEvent::Turn(Ok(Turn::Closed { code, reason })) => self.on_lost(code, &reason, now),
            LinkEvent::Turn(Err(error)) => self.on_lost(None, &error.to_string(), now),
        }
    }

    fn on_welcome(&mut self, welcome: &Welcome, now: Instant) {
        self.backoff.reset();
        self.closing = None;
        self.idle = Duration::from_millis(welcome.idle_ms.max(1_000));
        self.idle_check = now + self.idle / 2;
        self.silent_checks = 0;
        self.server_ahead_ms = welcome.server_time_ms - self.own_ms(now);
        let expires_at_ms = self.session.lock().expires_at_ms;
        self.plan_renewal(expires_at_ms, now);
        self.following.on_connected(now);
        if self.following.has_unopened() {
            self.catch_up(None, now);
        }
        self.lists.on_welcome(welcome.list_ver, now);
        let address = self.http.addresses()[self.address].clone();
        self.state.send_replace(State::Connected { address, node: welcome.node.clone() });
    }

    fn on_frame(&mut self, frame: ServerFrame, now: Instant) {
        let Some(inner) = frame.frame else { return };
        match (frame.id, inner) {
            (Some(id), inner) => self.on_reply(id, inner, now),
            (None, Frame::Event(event)) => {
                self.seeing(|following, out| following.on_event(event, now, out));
            }
            (None, Frame::Heads(heads)) => {
                self.following.on_heads(&heads.chats, now);
                self.lists.on_head(heads.list_ver, now);
                self.see(Seen::Heads(heads));
            }
            (None, Frame::List(list)) => {
                let mut out = Vec::new();
                self.lists.on_list(list, now, &mut out);
                out.into_iter().for_each(|list| self.see(Seen::List(list)));
            }
            (None, Frame::Signal(signal)) => self.see(Seen::Signal(signal)),
            (None, Frame::Closing(closing)) => self.closing = Some(closing),
            // An error without an id is about nothing that waits here.
            (None, _) => {}
        }
    }

    fn on_reply(&mut self, id: u64, frame: Frame, now: Instant) {
        if !self.sends.is_out(id) {
            if let Some(answer) = self.requests.on_frame(id, frame, now) {
                self.on_answer(answer, now);
            }
            return;
        }
        let ended = match frame {
            Frame::Ack(ack) => {
                if let (Some(chat), Some(log), Some(ver)) = (ack.chat, &ack.log, ack.ver) {
                    self.following.on_head(chat, log, ver, now);
                }
                self.sends.on_ack(id, ack)
            }
            Frame::Error(error) => self.sends.on_error(id, error.into(), now, rand::random()),
            // Not an answer to a send; the deadline will end it.
            _ => None,
        };
        if let Some(ended) = ended {
            // Who no longer waits does not want to know.
            let _ = ended.done.send(ended.outcome);
        }
    }

    fn on_answer(&mut self, answer: Answer<Waiter>, now: Instant) {
        let retry = self.options.timing.reconnect_max;
        match (answer.done, answer.outcome) {
            (Waiter::User(done), outcome) => {
                let _ = done.send(outcome);
            }
            (Waiter::Opener { chat, done }, outcome) => {
                match &outcome {
                    Ok(Frame::Opened(opened)) => {
                        self.seeing(|following, out| following.on_page(opened, now, out));
                    }
                    _ => self.following.forget(chat),
                }
                let _ = done.send(outcome);
            }
            (Waiter::Follow { chat, passing }, Ok(Frame::Opened(opened))) => {
                self.seeing(|following, out| following.on_opened(opened, now, out));
                if passing && let Some(connection) = self.link.up() {
                    let call = Some(Call::CloseChat(CloseChat { chat }));
                    connection.queue(ClientFrame { id: None, call });
                }
            }
            // No longer a member, or it ended: nothing more to follow.
            (Waiter::Follow { chat, .. }, Err(CallError::Refused(_))) => {
                self.following.forget(chat);
            }
            (Waiter::Follow { chat, .. }, _) => self.following.on_failed(chat, now, retry),
            (Waiter::Lists, Ok(Frame::Chats(page))) => {
                let mut out = Vec::new();
                self.lists.on_page(&page, now, &mut out);
                self.see(Seen::Lists(Box::new(page)));
                out.into_iter().for_each(|list| self.see(Seen::List(list)));
            }
            (Waiter::Lists, _) => self.lists.on_failed(now, retry),
            (Waiter::CatchUp, Ok(Frame::Chats(page))) => {
                for item in &page.items {
                    self.following.on_head(item.chat, &item.log, item.head_ver, now);
                }
                if page.next_cursor.is_some() {
                    self.catch_up(page.next_cursor, now);
                }
            }
            (Waiter::Renewal, Ok(Frame::Ack(Ack { expires_at_ms: Some(expires), .. }))) => {
                self.plan_renewal(expires, now);
            }
            // The heads beacon, or the server's close, will say the same.
            (Waiter::CatchUp | Waiter::Renewal | Waiter::Nobody, _) => {}
        }
    }

    fn catch_up(&mut self, cursor: Option<String>, now: Instant) {
        let chats = Chats { limit: Some(CHATS_PAGE), cursor, since_list_ver: None };
        let deadline = now + self.options.call_deadline;
        self.requests.push(Call::Chats(chats), Waiter::CatchUp, now, deadline);
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

    // ---- Connecting ----

    fn connect(&mut self) {
        let token = self.session.lock().token.clone();
        let address = self.http.addresses()[self.address].clone();
        self.state.send_replace(State::Connecting);
        self.link.connect(address, token, &self.options);
    }

    fn renew(&mut self) {
        let refresh_token = self.session.lock().refresh_token.clone();
        self.link.renew(self.http.clone(), refresh_token, &self.options);
    }

    fn on_not_connected(&mut self, error: ConnectionError, now: Instant) {
        let why = error.to_string();
        match error {
            ConnectionError::Closed { code, reason, closing } => {
                self.closing = closing;
                self.on_lost(code, &reason, now);
            }
            _ => self.on_lost(None, &why, now),
        }
    }

    fn on_lost(&mut self, code: Option<u16>, reason: &str, now: Instant) {
        self.sends.on_disconnected();
        let mut ended = Vec::new();
        let wanted = |waiter: &Waiter| matches!(waiter, Waiter::User(_) | Waiter::Opener { .. });
        self.requests.on_disconnected(wanted, |answer| ended.push(answer));
        for answer in ended {
            self.on_answer(answer, now);
        }
        let closing = self.closing.take();
        match after_close(code, reason, closing.as_ref()) {
            After::Stop(stop) => self.stop = Some(stop),
            After::Renew => {
                let delay = self.backoff.next(rand::random());
                self.wait(delay, "the token expired", now);
                self.link.idle();
                self.renew_at = now + delay;
            }
            After::Connect { delay } => {
                // Never sooner than the own pace: a server that closes at once must not be hammered.
                let own = self.backoff.next(rand::random());
                let delay = delay
                    .map_or(own, |asked| spread(asked, SPREAD_AT_LEAST, rand::random()).max(own));
                self.address = (self.address + 1) % self.http.addresses().len();
                let why = closing.map_or(reason.to_owned(), |closing| closing.reason);
                self.wait(delay, &why, now);
            }
        }
    }

    fn wait(&mut self, delay: Duration, why: &str, now: Instant) {
        self.link.set_down(now + delay);
        self.state.send_replace(State::Waiting { why: why.to_owned(), retry_in: delay });
    }

    /// Milliseconds of our own clock, from an arbitrary start.
    fn own_ms(&self, now: Instant) -> i64 {
        i64::try_from(now.duration_since(self.started).as_millis()).unwrap_or(i64::MAX)
    }

    /// Renews when four fifths of what is left of the token have passed.
    fn plan_renewal(&mut self, expires_at_ms: i64, now: Instant) {
        let left_ms = expires_at_ms - self.server_ahead_ms - self.own_ms(now);
        let left = Duration::from_millis(u64::try_from(left_ms).unwrap_or(0));
        self.renew_at = now + (left * 4 / 5).max(Duration::from_secs(1));
    }

    fn on_renewed(&mut self, result: Result<Session, HttpError>, now: Instant) {
        match result {
            Ok(session) => {
                let token = session.token.clone();
                self.plan_renewal(session.expires_at_ms, now);
                *self.session.lock() = session;
                if self.link.is_up() {
                    let deadline = now + self.options.call_deadline;
                    let auth = Call::Auth(Auth { token });
                    self.requests.push(auth, Waiter::Renewal, now, deadline);
                } else if self.link.due().is_none() {
                    self.link.set_down(now);
                }
            }
            Err(HttpError::Refused { status: 401, refused }) if !self.link.is_up() => {
                self.stop = Some(Stop::SessionEnded(refused.to_string()));
            }
            Err(error) if self.link.is_up() => {
                // The connection is good until the token expires; then the server says so.
                let _ = error;
                self.renew_at = now + self.backoff.next(rand::random());
            }
            Err(error) => {
                let delay = self.backoff.next(rand::random());
                let retry_in = delay;
                self.state.send_replace(State::Waiting { why: error.to_string(), retry_in });
                self.renew_at = now + delay;
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
