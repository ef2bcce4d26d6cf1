//! A conn-node in its world, and clients that talk to it through real sockets.

use crate::world::World;
use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use shardline_backends::cursors::memory::MemoryCursors;
use shardline_backends::presence::memory::MemoryPresence;
use shardline_conn_node::ConnNode;
use shardline_conn_node::auth::{Cost, Keys, Principal};
use shardline_conn_node::config::Config;
use shardline_daemon::clock;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::id::{SessionId, UserId};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::{Bytes, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

const SECRET: &str = "a secret for these tests";
/// For whatever should come soon.
const SOON: Duration = Duration::from_secs(5);

pub struct Bench {
    pub world: World,
    pub node: ConnNode,
    pub presence: Arc<MemoryPresence>,
    pub lifecycle: Lifecycle,
}

impl Bench {
    pub async fn start() -> Bench {
        Bench::start_with(|_| {}).await
    }

    pub async fn start_with(change: impl FnOnce(&mut Config)) -> Bench {
        let mut config = Config::new("node-1", "127.0.0.1:0".parse().expect("an address"), SECRET);
        config.routers = vec!["one".to_owned()];
        config.password_cost = Cost::new(64, 1, 1).expect("a cost");
        config.rates.sends_a_second = 100_000.try_into().expect("not zero");
        // Tests that are not about the beacon must not be saved by it.
        config.heads_every = Duration::from_secs(60);
        change(&mut config);
        let world = World::new();
        let presence = Arc::new(MemoryPresence::new());
        let lifecycle = Lifecycle::new();
        let node = ConnNode::start(
            config,
            Arc::new(world.clone()),
            presence.clone(),
            Arc::new(MemoryCursors::new()),
            &lifecycle,
            &Health::new(),
        )
        .await
        .expect("starts");
        Bench { world, node, presence, lifecycle }
    }

    /// Connected, nothing said.
    pub async fn connect(&self) -> Client {
        self.connect_as(None).await
    }

    pub async fn connect_as(&self, protocol: Option<&'static str>) -> Client {
        let address = format!("ws://{}/v1/ws", self.node.local_addr());
        let mut request = address.into_client_request().expect("an address");
        if let Some(protocol) = protocol {
            let value = HeaderValue::from_static(protocol);
            request.headers_mut().insert("sec-websocket-protocol", value);
        }
        let (socket, response) = connect_async(request).await.expect("connects");
        let chosen = response.headers().get("sec-websocket-protocol");
        assert_eq!(chosen.and_then(|chosen| chosen.to_str().ok()), protocol);
        Client { socket, waiting: VecDeque::new() }
    }

    /// Connected and welcomed.
    pub async fn client(&self, user: u64) -> Client {
        let mut client = self.connect().await;
        client
            .say(json!({"type": "hello", "id": 0, "token": token(user, user), "device": "test"}))
            .await;
        let welcome = client.frame().await;
        assert_eq!(welcome["type"], "welcome", "{welcome}");
        client
    }
}

pub fn token(user: u64, session: u64) -> String {
    token_issued_at(user, session, clock::now_ms())
}

pub fn token_issued_at(user: u64, session: u64, at_ms: i64) -> String {
    let principal = Principal {
        user: UserId::new(user).expect("an id"),
        session: SessionId::new(session).expect("an id"),
    };
    Keys::derive(SECRET).issue(principal, at_ms).token
}

pub struct Client {
    pub socket: WebSocketStream<MaybeTlsStream<TcpStream>>,
    waiting: VecDeque<Value>,
}

impl Client {
    pub async fn say(&mut self, frame: Value) {
        self.text(&frame.to_string()).await;
    }

    pub async fn text(&mut self, text: &str) {
        self.raw(Message::text(text)).await;
    }

    pub async fn raw(&mut self, message: Message) {
        self.socket.send(message).await.expect("sends");
    }

    pub async fn bytes(&mut self, bytes: Vec<u8>) {
        self.raw(Message::Binary(Bytes::from(bytes))).await;
    }

    /// The next frame.
    pub async fn frame(&mut self) -> Value {
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                return frame;
            }
            match timeout(SOON, self.socket.next()).await.expect("a message in time") {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text).expect("JSON") {
                    Value::Array(frames) => self.waiting.extend(frames),
                    frame => self.waiting.push_back(frame),
                },
                Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                other => panic!("no frame: {other:?}"),
            }
        }
    }

    /// The next frame of this type; others are skipped.
    pub async fn next(&mut self, kind: &str) -> Value {
        loop {
            let frame = self.frame().await;
            if frame["type"] == kind {
                return frame;
            }
        }
    }

    pub async fn binary(&mut self) -> Bytes {
        match timeout(SOON, self.socket.next()).await.expect("a message in time") {
            Some(Ok(Message::Binary(bytes))) => bytes,
            other => panic!("nothing binary: {other:?}"),
        }
    }

    /// Nothing comes for a while.
    pub async fn hears_nothing(&mut self) {
        let silence = timeout(Duration::from_millis(200), self.frame()).await;
        assert!(silence.is_err(), "{silence:?}");
    }

    /// Asks and gets the answer; pushed frames before it are skipped.
    pub async fn ask(&mut self, frame: Value) -> Value {
        let id = frame["id"].clone();
        self.say(frame).await;
        loop {
            let answer = self.frame().await;
            if answer["id"] == id {
                return answer;
            }
        }
    }

    pub async fn open(&mut self, chat: u64) -> Value {
        let opened = self.ask(json!({"type": "open", "id": 1000, "chat": chat.to_string()})).await;
        assert_eq!(opened["type"], "opened", "{opened}");
        opened
    }

    /// The vers of the next events.
    pub async fn vers(&mut self, count: u64) -> Vec<u64> {
        let mut vers = Vec::new();
        for _ in 0..count {
            vers.push(self.next("event").await["ver"].as_u64().expect("a ver"));
        }
        vers
    }

    /// The closing frame and the close code.
    pub async fn closed(&mut self) -> (Value, u16) {
        let mut closing = Value::Null;
        loop {
            if let Some(frame) = self.waiting.pop_front() {
                if frame["type"] == "closing" {
                    closing = frame;
                }
                continue;
            }
            match timeout(SOON, self.socket.next()).await.expect("a close in time") {
                Some(Ok(Message::Text(text))) => match serde_json::from_str(&text).expect("JSON") {
                    Value::Array(frames) => self.waiting.extend(frames),
                    frame => self.waiting.push_back(frame),
                },
                Some(Ok(Message::Close(Some(frame)))) => return (closing, frame.code.into()),
                Some(Ok(_)) => {}
                other => panic!("no close: {other:?}"),
            }
        }
    }
}

pub fn send(id: u64, chat: u64, text: &str) -> Value {
    let msg_id = uuid::Uuid::new_v4().to_string();
    json!({"type": "send", "id": id, "chat": chat.to_string(), "client_msg_id": msg_id, "body": {"text": text}})
}

/// Waits until something is true.
pub async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let wait = async {
        while !is_true() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(SOON, wait).await.unwrap_or_else(|_| panic!("not in time: {what}"));
}
