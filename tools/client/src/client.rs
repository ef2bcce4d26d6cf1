//! A user's connection that keeps itself up. The handle; the work is in `driver`.

use crate::codec::Encoding;
use crate::driver::{Command, Driver};
use crate::error::{CallError, SendError};
use crate::frames::client_frame::Call;
use crate::frames::server_frame::Frame;
use crate::frames::{
    Ack, Body, Chats, ChatsPage, CloseChat, Delete, Edit, History, HistoryPage, Open, Opened, Read,
    Send,
};
use crate::http::{Http, Session};
use crate::reconnect::Stop;
use crate::seen::{Seen, State};
use parking_lot::Mutex;
use std::future::Future;
use std::ops::RangeInclusive;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use uuid::Builder;

/// Commands not yet taken by the driver; more wait in `submit`.
const COMMANDS_MAX: usize = 64;
/// What the user has not taken yet; more stays in the driver, and then on the server.
const SEEN_MAX: usize = 256;

#[derive(Clone, Debug)]
pub struct Options {
    pub encoding: Encoding,
    /// Shown among the user's sessions.
    pub device: String,
    /// Index into the addresses of [`Http`]: tried first; the others in turn.
    pub first_address: usize,
    /// Used when the refresh token is no longer good.
    pub password: Option<(String, String)>,
    /// From `send` to giving up.
    pub send_deadline: Duration,
    /// From any other call to giving up.
    pub call_deadline: Duration,
    /// Sends and calls that are not ended; more wait in `submit` and `call`.
    pub queue: usize,
    pub timing: Timing,
}

/// Waits of the client's own choosing. Shorter ones are for tests.
#[derive(Clone, Debug)]
pub struct Timing {
    /// How long a gap in a chat may close by itself.
    pub gap_wait: RangeInclusive<Duration>,
    pub reconnect_first: Duration,
    pub reconnect_max: Duration,
    /// From connecting to `welcome`.
    pub connect_deadline: Duration,
    /// A server that owes an answer and says nothing for about so long is given up; a ping asks before.
    /// While it owes nothing, its own idle time counts.
    pub silence_max: Duration,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            encoding: Encoding::Json,
            device: "rust".to_owned(),
            first_address: 0,
            password: None,
            send_deadline: Duration::from_secs(30),
            call_deadline: Duration::from_secs(15),
            queue: 512,
            timing: Timing::default(),
        }
    }
}

impl Default for Timing {
    fn default() -> Timing {
        Timing {
            gap_wait: Duration::from_secs(1)..=Duration::from_secs(3),
            reconnect_first: Duration::from_millis(200),
            reconnect_max: Duration::from_secs(10),
            connect_deadline: Duration::from_secs(10),
            silence_max: Duration::from_secs(10),
        }
    }
}

/// Cheap to clone; when the last clone is dropped, the connection is closed.
#[derive(Clone, Debug)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<State>,
    session: Arc<Mutex<Session>>,
    repeats_asked: Arc<AtomicU64>,
}

impl Client {
    /// Begins to connect, in one task, and goes on for ever until `stop` or a reason to stop
    /// ([`State::Stopped`]). What is seen comes out of the receiver; drop it if nobody wants it. If it
    /// is kept and not read, the client stops reading from the server, acknowledgements included.
    pub fn connect(
        http: &Http,
        session: Session,
        options: Options,
    ) -> (Client, mpsc::Receiver<Seen>) {
        let (commands, command_queue) = mpsc::channel(COMMANDS_MAX);
        let (seen, seen_queue) = mpsc::channel(SEEN_MAX);
        let (state_sender, state) = watch::channel(State::Connecting);
        let session = Arc::new(Mutex::new(session));
        let repeats_asked = Arc::<AtomicU64>::default();
        let driver = Driver::new(
            http.clone(),
            session.clone(),
            options,
            command_queue,
            seen,
            state_sender,
            repeats_asked.clone(),
        );
        // A client has no lifecycle above it: it ends with its last handle.
        #[allow(clippy::disallowed_methods)]
        tokio::spawn(driver.run());
        (Client { commands, state, session, repeats_asked }, seen_queue)
    }

    /// The tokens as they are now; they change with each renewal.
    pub fn session(&self) -> Session {
        self.session.lock().clone()
    }

    /// For HTTP calls.
    pub fn token(&self) -> String {
        self.session.lock().token.clone()
    }

    pub fn user(&self) -> u64 {
        self.session.lock().user
    }

    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// How many answers to sends said to repeat them, so far; it does so by itself.
    pub fn repeats_asked(&self) -> u64 {
        self.repeats_asked.load(Ordering::Relaxed)
    }

    /// Waits until connected, or stopped.
    pub async fn connected(&self) -> Result<(), Stop> {
        let mut state = self.state.clone();
        loop {
            match &*state.borrow_and_update() {
                State::Connected { .. } => return Ok(()),
                State::Stopped(stop) => return Err(stop.clone()),
                State::Connecting | State::Waiting { .. } => {}
            }
            if state.changed().await.is_err() {
                return Err(Stop::Here);
            }
        }
    }

    /// Sends a text and waits for its acknowledgement. Repeated with the same client id until the
    /// deadline. Sends to one chat are stored in the order in which their calls were first polled.
    pub async fn send(&self, chat: u64, text: impl Into<String>) -> Result<Ack, SendError> {
        self.submit(chat, text).await.await
    }

    /// Queues a text (waits while the queue is full); the result is its acknowledgement to be.
    pub async fn submit(&self, chat: u64, text: impl Into<String>) -> Pending {
        let send = Send {
            chat,
            client_msg_id: Builder::from_random_bytes(rand::random())
                .into_uuid()
                .into_bytes()
                .to_vec(),
            body: Some(Body { text: text.into() }),
            reply_to: None,
            retry: false,
        };
        self.submit_raw(send).await
    }

    /// Any send, with a client id of the caller's. Set `retry` if it was sent before.
    pub async fn submit_raw(&self, send: Send) -> Pending {
        if send.client_msg_id.len() != 16 {
            let why = format!("the client id has {} bytes, not 16", send.client_msg_id.len());
            return Pending::ended(SendError::NotStored(why));
        }
        let (done, pending) = oneshot::channel();
        if self.commands.send(Command::Send { send, done }).await.is_err() {
            return Pending::ended(SendError::NotStored(self.why_stopped().to_string()));
        }
        Pending(Waiting::Answer(pending))
    }

    pub async fn send_raw(&self, send: Send) -> Result<Ack, SendError> {
        self.submit_raw(send).await.await
    }

    /// Opens a chat and follows it on every connection from now on: the answer is its latest page,
    /// what happens after its `to_ver` comes as events.
    pub async fn open(&self, chat: u64, limit: Option<u64>) -> Result<Opened, CallError> {
        let open = Open { chat, limit, ..Open::default() };
        let (done, answer) = oneshot::channel();
        match self.command(Command::Open { open, done }, answer).await? {
            Frame::Opened(opened) => Ok(opened),
            _ => Err(CallError::Unexpected),
        }
    }

    /// The same for a chat of which everything up to (log, ver) is held: what came after comes as
    /// events, or a resync does.
    pub async fn resume(&self, chat: u64, log: &str, ver: u64) -> Result<(), CallError> {
        let resume = Command::Resume { chat, log: log.to_owned(), ver };
        self.commands.send(resume).await.map_err(|_| self.stopped())
    }

    /// Follows a chat no more.
    pub async fn close_chat(&self, chat: u64) -> Result<(), CallError> {
        self.commands.send(Command::Forget { chat }).await.map_err(|_| self.stopped())?;
        self.call(Call::CloseChat(CloseChat { chat })).await.map(|_| ())
    }

    pub async fn history(&self, history: History) -> Result<HistoryPage, CallError> {
        match self.call(Call::History(history)).await? {
            Frame::History(page) => Ok(page),
            _ => Err(CallError::Unexpected),
        }
    }

    pub async fn chats(&self, chats: Chats) -> Result<ChatsPage, CallError> {
        match self.call(Call::Chats(chats)).await? {
            Frame::Chats(page) => Ok(page),
            _ => Err(CallError::Unexpected),
        }
    }

    /// Answers the cursor as it is now.
    pub async fn read(&self, chat: u64, seq: u64) -> Result<u64, CallError> {
        let ack = self.acknowledged(Call::Read(Read { chat, seq })).await?;
        ack.read_seq.ok_or(CallError::Unexpected)
    }

    pub async fn edit(&self, chat: u64, seq: u64, text: &str) -> Result<Ack, CallError> {
        let body = Some(Body { text: text.to_owned() });
        self.acknowledged(Call::Edit(Edit { chat, seq, body, if_ver: None })).await
    }

    pub async fn delete(&self, chat: u64, seq: u64) -> Result<Ack, CallError> {
        self.acknowledged(Call::Delete(Delete { chat, seq, if_ver: None })).await
    }

    /// Any call; its answer is any frame but an error.
    pub async fn call(&self, call: Call) -> Result<Frame, CallError> {
        let (done, answer) = oneshot::channel();
        self.command(Command::Call { call, done }, answer).await
    }

    /// Closes the connection and ends everything that waits.
    pub async fn stop(&self) {
        let _ = self.commands.send(Command::Stop).await;
        let mut state = self.state.clone();
        let _ = state.wait_for(|state| matches!(state, State::Stopped(_))).await;
    }

    async fn acknowledged(&self, call: Call) -> Result<Ack, CallError> {
        match self.call(call).await? {
            Frame::Ack(ack) => Ok(ack),
            _ => Err(CallError::Unexpected),
        }
    }

    async fn command(
        &self,
        command: Command,
        answer: oneshot::Receiver<Result<Frame, CallError>>,
    ) -> Result<Frame, CallError> {
        self.commands.send(command).await.map_err(|_| self.stopped())?;
        answer.await.map_err(|_| self.stopped())?
    }

    fn stopped(&self) -> CallError {
        CallError::Stopped(self.why_stopped())
    }

    fn why_stopped(&self) -> Stop {
        match &*self.state.borrow() {
            State::Stopped(stop) => stop.clone(),
            _ => Stop::Here,
        }
    }
}

/// An acknowledgement to be. Dropping it does not take the send back.
#[derive(Debug)]
pub struct Pending(Waiting);

#[derive(Debug)]
enum Waiting {
    Answer(oneshot::Receiver<Result<Ack, SendError>>),
    Ended(Option<SendError>),
}

impl Pending {
    fn ended(error: SendError) -> Pending {
        Pending(Waiting::Ended(Some(error)))
    }
}

impl Future for Pending {
    type Output = Result<Ack, SendError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let gone = || SendError::Unknown("the client stopped".to_owned());
        match &mut self.0 {
            Waiting::Answer(answer) => {
                Pin::new(answer).poll(cx).map(|answer| answer.unwrap_or_else(|_| Err(gone())))
            }
            Waiting::Ended(error) => Poll::Ready(Err(error.take().unwrap_or_else(gone))),
        }
    }
}
