//! Running conn-nodes, and the one place that knows how to call them.

use crate::toy::{ADDRESS, Toy, ToyConnect};
use async_trait::async_trait;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use shardline_backends::Unavailable;
use shardline_backends::cursors::memory::MemoryCursors;
use shardline_backends::cursors::{Cursors, Mark};
use shardline_backends::presence::memory::MemoryPresence;
use shardline_conn_node::ConnNode;
use shardline_conn_node::config::Config;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::id::{ChatId, UserId};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep, timeout};

pub(crate) const SECRET: &str = "a secret for tests only";
pub(crate) const PASSWORD: &str = "correct horse";

/// Two conn-nodes on one system.
pub(crate) struct World {
    pub(crate) toy: Arc<Toy>,
    pub(crate) cursors: Arc<MemoryCursors>,
    nodes: Vec<SocketAddr>,
    lifecycle: Lifecycle,
    client: Client,
}

/// An answer, with its JSON if it has one.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) body: Value,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) text: String,
}

/// A user who is logged in.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    pub(crate) id: String,
    pub(crate) token: String,
    pub(crate) refresh_token: String,
    pub(crate) session: String,
}

pub(crate) async fn world() -> World {
    world_with(|_| {}).await
}

pub(crate) async fn world_with(change: impl Fn(&mut Config)) -> World {
    let cursors = Arc::new(MemoryCursors::new());
    world_on(cursors.clone(), cursors, change).await
}

/// As if Redis were away.
pub(crate) async fn world_without_cache() -> World {
    world_on(Arc::new(MemoryCursors::new()), Arc::new(NoCursors), |_| {}).await
}

async fn world_on(
    cursors: Arc<MemoryCursors>,
    used: Arc<dyn Cursors>,
    change: impl Fn(&mut Config),
) -> World {
    let (toy, lifecycle) = (Toy::new(), Lifecycle::new());
    let presence = Arc::new(MemoryPresence::new());
    let mut nodes = Vec::new();
    for name in ["node-1", "node-2"] {
        let listen = "127.0.0.1:0".parse().expect("an address");
        let mut config = Config::new(name, listen, SECRET);
        config.routers = vec![ADDRESS.to_owned()];
        config.password_cost = shardline_conn_node::auth::Cost::new(64, 1, 1).expect("allowed");
        config.rates.limit_loopback = false;
        config.cursor_flush_every = Duration::from_millis(30);
        change(&mut config);
        let connect = Arc::new(ToyConnect(toy.clone()));
        let health = Health::new();
        let node =
            ConnNode::start(config, connect, presence.clone(), used.clone(), &lifecycle, &health);
        nodes.push(node.await.expect("starts").local_addr());
        until("the node is ready", async || health.is_ready()).await;
    }
    let client = Client::builder().no_proxy().build().expect("a client");
    World { toy, cursors, nodes, lifecycle, client }
}

struct NoCursors;

fn away<T>() -> Result<T, Unavailable> {
    Err(Unavailable { system: "cursors", reason: "away".to_owned() })
}

#[async_trait]
impl Cursors for NoCursors {
    async fn merge(&self, _: &[Mark]) -> Result<Vec<u64>, Unavailable> {
        away()
    }

    async fn get(&self, _: UserId, _: &[ChatId]) -> Result<Vec<Option<u64>>, Unavailable> {
        away()
    }

    async fn of_chat(&self, _: ChatId, _: &[UserId]) -> Result<Vec<Option<u64>>, Unavailable> {
        away()
    }

    async fn dirty(&self, _: Duration, _: usize) -> Result<Vec<Mark>, Unavailable> {
        away()
    }

    async fn flushed(&self, _: &[Mark]) -> Result<(), Unavailable> {
        away()
    }
}

/// Waits for what must come, not for a time.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let limit = Duration::from_secs(10);
    let deadline = Instant::now() + limit;
    while !is_so().await {
        assert!(Instant::now() < deadline, "{what} does not come");
        sleep(Duration::from_millis(5)).await;
    }
}

impl World {
    pub(crate) fn address(&self, node: usize) -> SocketAddr {
        self.nodes[node]
    }

    pub(crate) async fn at(
        &self,
        node: usize,
        method: Method,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Reply {
        let mut request = self.client.request(method, format!("http://{}{path}", self.nodes[node]));
        if let Some(token) = token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(&body);
        }
        let response = request.send().await.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let text = response.text().await.expect("a whole answer");
        let body = serde_json::from_str(&text).unwrap_or(Value::Null);
        Reply { status, body, headers, text }
    }

    pub(crate) async fn get(&self, person: &Person, path: &str) -> Reply {
        self.at(0, Method::GET, path, Some(&person.token), None).await
    }

    pub(crate) async fn post(&self, person: &Person, path: &str, body: Value) -> Reply {
        self.at(0, Method::POST, path, Some(&person.token), Some(body)).await
    }

    pub(crate) async fn patch(&self, person: &Person, path: &str, body: Value) -> Reply {
        self.at(0, Method::PATCH, path, Some(&person.token), Some(body)).await
    }

    pub(crate) async fn put(&self, person: &Person, path: &str, body: Value) -> Reply {
        self.at(0, Method::PUT, path, Some(&person.token), Some(body)).await
    }

    pub(crate) async fn delete(&self, person: &Person, path: &str) -> Reply {
        self.at(0, Method::DELETE, path, Some(&person.token), None).await
    }

    /// Without a token.
    pub(crate) async fn anyone(&self, method: Method, path: &str, body: Option<Value>) -> Reply {
        self.at(0, method, path, None, body).await
    }

    pub(crate) async fn register(&self, name: &str) -> Reply {
        let body = json!({"name": name, "password": PASSWORD});
        self.anyone(Method::POST, "/v1/users", Some(body)).await
    }

    pub(crate) async fn log_in(&self, name: &str) -> Person {
        let body = json!({"name": name, "password": PASSWORD, "device": "test"});
        let reply = self.anyone(Method::POST, "/v1/sessions", Some(body)).await.expect(201);
        person(&reply)
    }

    pub(crate) async fn person(&self, name: &str) -> Person {
        self.register(name).await.expect(201);
        self.log_in(name).await
    }

    pub(crate) async fn direct(&self, one: &Person, other: &Person) -> String {
        let body = json!({"kind": "direct", "user": other.id});
        self.post(one, "/v1/chats", body).await.ok().text_of("chat")
    }

    pub(crate) async fn group(&self, owner: &Person, members: &[&Person]) -> String {
        let members: Vec<&str> = members.iter().map(|person| person.id.as_str()).collect();
        let body = json!({"kind": "group", "title": "a group", "members": members});
        self.post(owner, "/v1/chats", body).await.expect(201).text_of("chat")
    }

    pub(crate) async fn send(&self, person: &Person, chat: &str, text: &str) -> Reply {
        let body = json!({"client_msg_id": new_id(), "body": {"text": text}});
        self.post(person, &format!("/v1/chats/{chat}/messages"), body).await
    }

    /// Bytes as they are, and what comes back until the connection ends.
    pub(crate) async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.nodes[0]).await.expect("listens");
        stream.write_all(bytes).await.expect("is read");
        let mut answer = Vec::new();
        let reading = stream.read_to_end(&mut answer);
        // A connection reset after the answer is fine, too.
        let _ = timeout(Duration::from_secs(15), reading).await.expect("ends");
        String::from_utf8_lossy(&answer).into_owned()
    }

    pub(crate) async fn stop(self) {
        assert!(self.lifecycle.finish(Duration::from_secs(20)).await, "stops in time");
        assert_eq!(self.lifecycle.failure(), None);
    }
}

pub(crate) fn person(reply: &Reply) -> Person {
    Person {
        id: reply.text_of("user"),
        token: reply.text_of("token"),
        refresh_token: reply.text_of("refresh_token"),
        session: reply.text_of("session"),
    }
}

pub(crate) fn new_id() -> String {
    uuid::Uuid::new_v4().to_string()
}

impl Reply {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Reply {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// 200 or 201.
    #[track_caller]
    pub(crate) fn ok(self) -> Reply {
        assert!(self.status == 200 || self.status == 201, "{} {}", self.status, self.text);
        self
    }

    #[track_caller]
    pub(crate) fn text_of(&self, field: &str) -> String {
        let text = self.body[field].as_str();
        text.unwrap_or_else(|| panic!("{field} is no text in {}", self.text)).to_owned()
    }

    #[track_caller]
    pub(crate) fn number(&self, field: &str) -> u64 {
        let number = self.body[field].as_u64();
        number.unwrap_or_else(|| panic!("{field} is no number in {}", self.text))
    }

    /// A problem document as the contract has it, about this field ("" if about none).
    #[track_caller]
    pub(crate) fn problem(self, status: u16, code: &str, field: &str) -> Reply {
        assert_eq!(self.status, status, "{}", self.text);
        let kind = self.headers.get("content-type").and_then(|kind| kind.to_str().ok());
        assert_eq!(kind, Some("application/problem+json"), "{}", self.text);
        assert_eq!(self.body["code"], code, "{}", self.text);
        assert_eq!(self.body["field"].as_str().unwrap_or(""), field, "{}", self.text);
        assert_eq!(self.body["status"], status, "{}", self.text);
        assert_eq!(self.body["type"], "about:blank");
        for part in ["title", "detail"] {
            assert!(self.body[part].as_str().is_some_and(|text| !text.is_empty()), "{}", self.text);
        }
        let retry = match code {
            "rate_limited" | "try_again" | "unavailable" => "later",
            "unknown" => "same",
            _ => "never",
        };
        assert_eq!(self.body["retry"], retry, "{}", self.text);
        assert_eq!(self.body["retry_after_ms"].is_u64(), retry == "later", "{}", self.text);
        self
    }
}
