//! The fake server and what it says.

use futures::{SinkExt, StreamExt};
use parking_lot::Mutex;
use prost::Message as _;
use shardline_client::frames::client_frame::Call;
use shardline_client::frames::server_frame::Frame;
use shardline_client::frames::{
    Ack, ChatItem, ChatsPage, ClientFrame, ClientFrames, Error, Event, Limits, Message, Open,
    Opened, Send, ServerFrame, ServerFrames, Welcome,
};
use shardline_client::{Encoding, Session};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::{Receiver, Sender, channel};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::Message as Ws;
use tokio_tungstenite::tungstenite::handshake::server::{Request, Response};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::{WebSocketStream, accept_hdr_async};

pub(crate) const SERVER_TIME_MS: i64 = 1_700_000_000_000;
const SOON: Duration = Duration::from_secs(5);

/// Listens for WebSockets, and on the same port for refreshes.
pub(crate) struct Fake {
    address: String,
    pub(crate) encoding: Encoding,
    granted: Arc<Mutex<Option<Session>>>,
    sides: tokio::sync::Mutex<Receiver<Side>>,
}

/// The server's side of one connection.
pub(crate) struct Side {
    stream: WebSocketStream<TcpStream>,
    encoding: Encoding,
    frames: VecDeque<ClientFrame>,
}

impl Fake {
    pub(crate) async fn start(encoding: Encoding) -> Fake {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("listening"));
        let granted: Arc<Mutex<Option<Session>>> = Arc::default();
        let (accepted, sides) = channel(16);
        tokio::spawn(accept_all(listener, encoding, granted.clone(), accepted));
        Fake { address, encoding, granted, sides: sides.into() }
    }

    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// From now on a refresh is answered with this session; before, with 401.
    pub(crate) fn grant(&self, session: Session) {
        *self.granted.lock() = Some(session);
    }

    /// The next WebSocket.
    pub(crate) async fn accept(&self) -> Side {
        let mut sides = self.sides.lock().await;
        timeout(SOON, sides.recv()).await.expect("a connection in time").expect("listening")
    }

    /// The next WebSocket, after hello and welcome.
    pub(crate) async fn welcomed(&self) -> Side {
        let mut side = self.accept().await;
        let (id, call) = side.call().await;
        assert!(matches!(call, Call::Hello(_)), "not a hello: {call:?}");
        side.reply(id, welcome(60_000)).await;
        side
    }
}

async fn accept_all(
    listener: TcpListener,
    encoding: Encoding,
    granted: Arc<Mutex<Option<Session>>>,
    accepted: Sender<Side>,
) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let mut start = [0; 4];
        while socket.peek(&mut start).await.expect("a request") < 4 {}
        if &start == b"POST" {
            let granted = granted.lock().clone();
            answer_refresh(&mut socket, granted).await;
            continue;
        }
        // The library's own type.
        #[allow(clippy::result_large_err)]
        let agree = |request: &Request, mut response: Response| {
            let offered = request.headers().get("sec-websocket-protocol").cloned();
            let offered = offered.expect("a subprotocol is offered");
            assert_eq!(offered, encoding.subprotocol());
            assert_eq!(request.uri().path(), "/v1/ws");
            response.headers_mut().insert("sec-websocket-protocol", offered);
            Ok(response)
        };
        let stream = accept_hdr_async(socket, agree).await.expect("a handshake");
        if accepted.send(Side { stream, encoding, frames: VecDeque::new() }).await.is_err() {
            return;
        }
    }
}

async fn answer_refresh(socket: &mut TcpStream, granted: Option<Session>) {
    let mut request = vec![0; 4096];
    let _ = socket.read(&mut request).await;
    let (status, body) = match granted {
        Some(session) => ("200 OK", serde_json::to_string(&session).expect("json")),
        None => ("401 Unauthorized", r#"{"code":"unauthenticated","title":"no"}"#.to_owned()),
    };
    let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = socket.write_all(format!("{head}{body}").as_bytes()).await;
}

impl Side {
    /// The next frame with an id.
    pub(crate) async fn call(&mut self) -> (u64, Call) {
        let (id, call) = self.frame().await;
        (id.expect("a call has an id"), call)
    }

    pub(crate) async fn frame(&mut self) -> (Option<u64>, Call) {
        let frame = timeout(SOON, self.next()).await.expect("a frame in time");
        (frame.id, frame.call.expect("a frame of a known type"))
    }

    async fn next(&mut self) -> ClientFrame {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return frame;
            }
            let message = self.stream.next().await.expect("not closed").expect("a message");
            match (self.encoding, message) {
                (Encoding::Json, Ws::Text(text)) if text.starts_with('[') => {
                    let frames: Vec<ClientFrame> = serde_json::from_str(&text).expect("frames");
                    self.frames.extend(frames);
                }
                (Encoding::Json, Ws::Text(text)) => {
                    self.frames.push_back(serde_json::from_str(&text).expect("a frame"));
                }
                (Encoding::Proto, Ws::Binary(bytes)) => {
                    self.frames.extend(ClientFrames::decode(bytes).expect("frames").frames);
                }
                (_, other) => panic!("not a frame: {other:?}"),
            }
        }
    }

    pub(crate) async fn send(&mut self) -> (u64, Send) {
        match self.call().await {
            (id, Call::Send(send)) => (id, send),
            other => panic!("not a send: {other:?}"),
        }
    }

    pub(crate) async fn open(&mut self) -> (u64, Open) {
        match self.call().await {
            (id, Call::Open(open)) => (id, open),
            other => panic!("not an open: {other:?}"),
        }
    }

    pub(crate) async fn reply(&mut self, id: u64, frame: Frame) {
        self.write(vec![ServerFrame { id: Some(id), frame: Some(frame) }]).await;
    }

    pub(crate) async fn push(&mut self, frame: Frame) {
        self.push_all(vec![frame]).await;
    }

    pub(crate) async fn push_all(&mut self, frames: Vec<Frame>) {
        let frames = frames.into_iter().map(|frame| ServerFrame { id: None, frame: Some(frame) });
        self.write(frames.collect()).await;
    }

    async fn write(&mut self, frames: Vec<ServerFrame>) {
        let message = match self.encoding {
            Encoding::Json => Ws::text(serde_json::to_string(&frames).expect("json")),
            Encoding::Proto => Ws::binary(ServerFrames { frames }.encode_to_vec()),
        };
        self.stream.send(message).await.expect("written");
    }

    pub(crate) async fn close(&mut self, code: u16, reason: &'static str) {
        let frame = CloseFrame { code: code.into(), reason: reason.into() };
        self.stream.close(Some(frame)).await.expect("closed");
    }

    /// Goes without a word.
    pub(crate) fn vanish(self) {
        drop(self);
    }
}

pub(crate) fn session(token: &str) -> Session {
    Session {
        token: token.to_owned(),
        expires_at_ms: SERVER_TIME_MS + 900_000,
        refresh_token: "refresh".to_owned(),
        user: 5,
        session: 6,
    }
}

pub(crate) fn welcome(idle_ms: u64) -> Frame {
    let limits = Limits {
        body_bytes: 16_384,
        frame_bytes: 524_288,
        array_frames: 256,
        page: 200,
        members_page: 200,
        title_chars: 128,
    };
    Frame::Welcome(Welcome {
        user: 5,
        session: 6,
        node: "fake".to_owned(),
        list_ver: 5,
        heads_every_ms: 5_000,
        idle_ms,
        limits: Some(limits),
        durability: "none".to_owned(),
        server_time_ms: SERVER_TIME_MS,
    })
}

pub(crate) fn ack(send: &Send, seq: u64) -> Frame {
    Frame::Ack(Ack {
        chat: Some(send.chat),
        client_msg_id: send.client_msg_id.clone(),
        seq: Some(seq),
        ver: Some(seq),
        log: Some("9".to_owned()),
        sent_at_ms: Some(SERVER_TIME_MS),
        duplicate: Some(send.retry),
        ..Ack::default()
    })
}

pub(crate) fn error(code: &str, retry: &str, retry_after_ms: u64) -> Frame {
    Frame::Error(Error {
        code: code.to_owned(),
        message: "as the test says".to_owned(),
        field: None,
        retry: retry.to_owned(),
        retry_after_ms: Some(retry_after_ms),
    })
}

fn message(ver: u64) -> Message {
    Message {
        chat: 7,
        seq: ver,
        ver,
        changed_ver: ver,
        sender: 5,
        client_msg_id: vec![1; 16],
        ..Message::default()
    }
}

pub(crate) fn event(ver: u64) -> Frame {
    Frame::Event(Event {
        chat: 7,
        ver,
        log: "9".to_owned(),
        kind: "message".to_owned(),
        message: Some(message(ver)),
        ..Event::default()
    })
}

pub(crate) fn item(log: &str, head_ver: u64) -> ChatItem {
    ChatItem {
        chat: 7,
        kind: "direct".to_owned(),
        head_seq: head_ver,
        head_ver,
        log: log.to_owned(),
        history: "all".to_owned(),
        ..ChatItem::default()
    }
}

pub(crate) fn opened(state: &str, vers: &[u64], to_ver: u64, head_ver: u64) -> Opened {
    Opened {
        chat: Some(item("9", head_ver)),
        state: state.to_owned(),
        messages: vers.iter().copied().map(message).collect(),
        to_ver,
        more: to_ver < head_ver,
        ..Opened::default()
    }
}

pub(crate) fn page(items: Vec<ChatItem>) -> ChatsPage {
    ChatsPage { items, list_ver: 5, ..ChatsPage::default() }
}
