//! One WebSocket from its upgrade to its end: reads frames, starts what they ask for, and watches the
//! clock. Written is by `writer`, side by side in the same task.

use super::frames::{self, Incoming};
use super::hello::{self, Welcomed};
use super::outgoing::{Encoding, encode, error_frame};
use super::queue::Queue;
use super::requests::{self, Request};
use super::sends::Sends;
use super::{Session, writer};
use crate::metrics::{CONNECTIONS, FRAMES_IN};
use crate::node::Node;
use axum::extract::ws::{Message, WebSocket};
use futures::{Stream, StreamExt};
use shardline_domain::limits::{FRAME_BYTES_MAX, HELLO_TIME_MAX};
use shardline_wire::client::client_frame::Call;
use shardline_wire::client::{self, ServerFrame, server_frame::Frame};
use shardline_wire::codes::Close;
use shardline_wire::refusal::{Code, Refusal};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio::time::{Instant, Sleep, sleep_until, timeout};

/// Requests of one connection (sends apart) that are worked on at the same time; reading pauses at it.
const REQUESTS_MAX: usize = 64;
/// How often unanswered sends are looked at.
const SENDS_EVERY: Duration = Duration::from_secs(1);
/// For the other side to take our last frames and to answer the close.
const LINGER_TIME: Duration = Duration::from_secs(1);
/// Clients of a stopping node come back over this time.
const DRAIN_SPREAD_MS: u64 = 2_000;

pub(super) async fn serve(node: Arc<Node>, socket: WebSocket, encoding: Encoding) {
    metrics::gauge!(CONNECTIONS).increment(1.0);
    let queue = Arc::new(Queue::new(encoding));
    let (sink, mut stream) = socket.split();
    let mut connection = Connection::new(node.clone(), queue.clone());
    {
        let mut writing = pin!(writer::write(sink, &queue));
        tokio::select! {
            () = &mut writing => {}
            () = connection.read(&mut stream) => {
                // Whatever made the reading end, its reason is still to be told.
                drop(timeout(writer::CLOSE_TIME_MAX, writing).await);
            }
        }
    }
    queue.abandon();
    connection.leave().await;
    // A connection that is cut while the other side still writes may lose what we wrote last.
    let drained = async { while let Some(Ok(_)) = stream.next().await {} };
    drop(timeout(LINGER_TIME, drained).await);
    metrics::gauge!(CONNECTIONS).decrement(1.0);
}

struct Connection {
    node: Arc<Node>,
    queue: Arc<Queue>,
    /// From before it is announced, to be taken out again however its hello or this connection ends.
    entered: Option<Arc<Session>>,
    /// Once welcomed.
    inside: Option<Inside>,
    requests: JoinSet<Option<i64>>,
    last_heard: Instant,
    has_pinged: bool,
    give_up_hello_at: Instant,
    alarm: Pin<Box<Sleep>>,
    is_draining: bool,
    drain_until: Option<Instant>,
}

struct Inside {
    session: Arc<Session>,
    sends: Arc<Sends>,
    expires_at: Instant,
    look_at_sends_at: Option<Instant>,
}

impl Connection {
    fn new(node: Arc<Node>, queue: Arc<Queue>) -> Connection {
        let now = Instant::now();
        let give_up_hello_at = now + HELLO_TIME_MAX;
        Connection {
            node,
            queue,
            entered: None,
            inside: None,
            requests: JoinSet::new(),
            last_heard: now,
            has_pinged: false,
            give_up_hello_at,
            alarm: Box::pin(sleep_until(give_up_hello_at)),
            is_draining: false,
            drain_until: None,
        }
    }

    /// Until the other side is gone, or the queue was told to close.
    async fn read<S>(&mut self, stream: &mut S)
    where
        S: Stream<Item = Result<Message, axum::Error>> + Unpin,
    {
        let draining = self.node.draining.clone();
        while !self.queue.is_closing() {
            let has_room = self.requests.len() < REQUESTS_MAX && !self.is_draining;
            let sends = self.inside.as_ref().map(|inside| inside.sends.clone());
            let paused = async {
                match &sends {
                    Some(sends) => sends.paused.notified().await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                message = stream.next(), if has_room => match message {
                    Some(Ok(message)) => {
                        self.last_heard = Instant::now();
                        self.has_pinged = false;
                        if !self.take(message).await {
                            return;
                        }
                    }
                    // Bad UTF-8, bad framing, too large, or a broken connection: where it still
                    // stands, it is told so.
                    Some(Err(_)) => return self.queue.close(Close::BadFraming, 0),
                    None => return,
                },
                Some(ended) = self.requests.join_next(), if !self.requests.is_empty() => {
                    self.on_request_ended(ended.unwrap_or(None));
                }
                () = self.alarm.as_mut() => self.on_alarm(),
                () = paused => self.on_sends(),
                () = draining.cancelled(), if !self.is_draining => self.begin_drain(),
            }
        }
    }

    /// False once the other side closed.
    async fn take(&mut self, message: Message) -> bool {
        let encoding = self.queue.encoding();
        let size = match &message {
            Message::Text(text) => text.as_str().len(),
            Message::Binary(bytes) => bytes.len(),
            Message::Ping(_) | Message::Pong(_) => return true,
            Message::Close(_) => return false,
        };
        if FRAME_BYTES_MAX < size {
            let text = format!("the message has {size} bytes, {FRAME_BYTES_MAX} are allowed");
            self.answer_error(None, &Refusal::new(Code::TooLarge, text));
            return true;
        }
        let frames = match (message, encoding) {
            (Message::Text(text), Encoding::Json) => Ok(frames::decode_text(text.as_str())),
            (Message::Binary(bytes), Encoding::Proto) => frames::decode_binary(&bytes),
            _ => Err(frames::BadFraming),
        };
        let Ok(frames) = frames else {
            self.queue.close(Close::BadFraming, 0);
            return true;
        };
        metrics::counter!(FRAMES_IN).increment(frames.len() as u64);
        for frame in frames {
            if self.queue.is_closing() {
                break;
            }
            self.take_frame(frame).await;
        }
        true
    }

    async fn take_frame(&mut self, Incoming { id, call }: Incoming) {
        if self.inside.is_none() {
            return self.take_hello(id, call).await;
        }
        let call = match call {
            Ok(call) => call,
            Err(refusal) => return self.answer_error(id, &refusal),
        };
        match call {
            Call::Hello(_) => {
                let refusal = Refusal::of_field(Code::BadRequest, "type", "hello was said already");
                self.answer_error(id, &refusal);
            }
            Call::Send(send) => self.send(id, send),
            Call::Ping(_) => self.answer(id, Frame::Pong(client::Pong {})),
            Call::Auth(auth) => self.start(id, Request::Auth(auth)),
            Call::Edit(edit) => self.start(id, Request::Edit(edit)),
            Call::Delete(delete) => self.start(id, Request::Delete(delete)),
            Call::Open(open) => self.start(id, Request::Open(open)),
            Call::CloseChat(close) => self.close_chat(id, &close),
            Call::History(history) => self.start(id, Request::History(history)),
            Call::Chats(chats) => self.start(id, Request::Chats(chats)),
            Call::Read(read) => self.start(id, Request::Read(read)),
            // Refused by `frames`; here only so that each kind of frame is named once.
            Call::React(_) | Call::Hide(_) | Call::Typing(_) => {}
        }
    }

    async fn take_hello(&mut self, id: Option<u64>, call: Result<Call, Refusal>) {
        let hello = match call {
            Ok(Call::Hello(hello)) => hello,
            _ => {
                let refusal = Refusal::new(Code::Unauthenticated, "the first frame is hello");
                self.answer_error(id, &refusal);
                return self.queue.close(Close::Unauthenticated, 0);
            }
        };
        match hello::welcome(&self.node, &self.queue, id, hello, &mut self.entered).await {
            Ok(Welcomed { session, expires_at }) => {
                let sends = Sends::new(self.node.clone(), session.clone());
                self.inside = Some(Inside { session, sends, expires_at, look_at_sends_at: None });
                self.set_alarm();
            }
            Err(turned_away) => {
                self.answer_error(id, &turned_away.refusal);
                self.queue.close(turned_away.close, turned_away.retry_after_ms);
            }
        }
    }

    fn send(&mut self, id: Option<u64>, send: client::Send) {
        let Some(inside) = &mut self.inside else { return };
        let offered = requests::check_send(send)
            .and_then(|(msg_id, send)| inside.sends.offer(id, msg_id, send));
        if inside.look_at_sends_at.is_none() {
            inside.look_at_sends_at = Some(Instant::now() + SENDS_EVERY);
            self.set_alarm();
        }
        if let Err(refusal) = offered {
            self.answer_error(id, &refusal);
        }
    }

    fn start(&mut self, id: Option<u64>, request: Request) {
        let Some(inside) = &self.inside else { return };
        let (node, session) = (self.node.clone(), inside.session.clone());
        self.requests.spawn(requests::carry_out(node, session, id, request));
    }

    /// At once, so that an `open` behind it comes after it.
    fn close_chat(&mut self, id: Option<u64>, close: &client::CloseChat) {
        let Some(inside) = &self.inside else { return };
        match frames::check_chat(close.chat) {
            Ok(chat) => {
                crate::announce::close_chat(&self.node, &inside.session, chat);
                let ack = client::Ack { chat: Some(chat), ..Default::default() };
                self.answer(id, Frame::Ack(ack));
            }
            Err(refusal) => self.answer_error(id, &refusal),
        }
    }

    /// A request that renewed the token says until when.
    fn on_request_ended(&mut self, expires_at_ms: Option<i64>) {
        if let (Some(inside), Some(at_ms)) = (&mut self.inside, expires_at_ms) {
            inside.expires_at = hello::instant_of(at_ms);
            self.set_alarm();
        }
        self.end_drain();
    }

    fn on_sends(&mut self) {
        if let Some(inside) = &mut self.inside {
            let next = inside.sends.on_time();
            let latest = Instant::now() + SENDS_EVERY;
            inside.look_at_sends_at = next.map(|at| at.min(latest));
        }
        self.set_alarm();
    }

    fn on_alarm(&mut self) {
        let now = Instant::now();
        let idle = self.node.config.idle;
        match &self.inside {
            None if self.give_up_hello_at <= now => {
                let refusal = Refusal::new(Code::Unauthenticated, "no hello came in time");
                self.answer_error(None, &refusal);
                self.queue.close(Close::Unauthenticated, 0);
            }
            Some(inside) if inside.expires_at <= now => self.queue.close(Close::TokenExpired, 0),
            Some(_) if self.last_heard + idle <= now => self.queue.close(Close::Idle, 0),
            Some(_) if self.last_heard + idle / 2 <= now && !self.has_pinged => {
                self.has_pinged = true;
                self.queue.ping();
            }
            _ => {}
        }
        let are_sends_due = self
            .inside
            .as_ref()
            .and_then(|inside| inside.look_at_sends_at)
            .is_some_and(|at| at <= now);
        if are_sends_due {
            self.on_sends();
        }
        self.end_drain();
        self.set_alarm();
    }

    fn set_alarm(&mut self) {
        let idle = self.node.config.idle;
        let at = match &self.inside {
            None => self.give_up_hello_at,
            Some(inside) => {
                let silent = if self.has_pinged { idle } else { idle / 2 };
                let mut at = inside.expires_at.min(self.last_heard + silent);
                for other in [inside.look_at_sends_at, self.drain_until] {
                    at = other.map_or(at, |other| at.min(other));
                }
                at
            }
        };
        self.alarm.as_mut().reset(at);
    }

    /// Takes nothing more; closes when what was taken is answered, or at the deadline.
    fn begin_drain(&mut self) {
        self.is_draining = true;
        self.drain_until = Some(Instant::now() + self.node.config.drain);
        if let Some(inside) = &mut self.inside {
            inside.look_at_sends_at = None;
        }
        self.end_drain();
        self.set_alarm();
    }

    fn end_drain(&mut self) {
        let Some(until) = self.drain_until else { return };
        let is_done = self.requests.is_empty()
            && self.inside.as_ref().is_none_or(|inside| inside.sends.is_empty());
        if is_done || until <= Instant::now() {
            self.queue.close(Close::Draining, rand::random_range(0..DRAIN_SPREAD_MS));
        } else {
            // Answers to sends come without passing here: look again soon.
            self.drain_until = Some(until);
            let soon = Instant::now() + Duration::from_millis(20);
            if let Some(inside) = &mut self.inside {
                inside.look_at_sends_at = Some(soon);
            }
        }
    }

    fn answer(&self, id: Option<u64>, frame: Frame) {
        let frame = ServerFrame { id, frame: Some(frame) };
        self.queue.push(encode(&frame, self.queue.encoding()));
    }

    fn answer_error(&self, id: Option<u64>, refusal: &Refusal) {
        self.queue.push(encode(&error_frame(id, refusal), self.queue.encoding()));
    }

    async fn leave(&mut self) {
        self.requests.shutdown().await;
        self.inside = None;
        if let Some(session) = self.entered.take() {
            crate::announce::leave(&self.node, &session).await;
        }
    }
}
