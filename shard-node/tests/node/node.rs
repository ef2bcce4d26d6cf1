//! A running node, and short words for calling it.

use crate::bus::TestBus;
use crate::catalog::TestCatalog;
use crate::faults::FaultyStore;
use prost::Message as _;
use shardline_backends::bus::Bus;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::id::{ChatId, UserId};
use shardline_shard_node::store::sqlite::SqliteStore;
use shardline_shard_node::{Config, ShardNode, parse_losses};
use shardline_wire::call::{Answer, Done, Outcome, Shard};
use shardline_wire::client;
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    Call, ChatView, CreateChat, CreateUser, Event, EventBatch, HistoryPage, OpenChat, Opened, Send,
    Sent,
};
use shardline_wire::moves::{Moves, MovesConnect};
use shardline_wire::refusal::Code;
use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

pub(crate) const SOON: Duration = Duration::from_secs(20);
pub(crate) const PARTITIONS: u32 = 4;

pub(crate) struct Node {
    pub(crate) shard: Arc<ShardNode>,
    pub(crate) store: Arc<FaultyStore>,
    pub(crate) bus: Arc<TestBus>,
    pub(crate) catalog: Arc<TestCatalog>,
    pub(crate) health: Health,
    lifecycle: Lifecycle,
    dir: tempfile::TempDir,
}

impl Node {
    pub(crate) async fn start() -> Node {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Node::start_in(dir, TestCatalog::new()).await
    }

    pub(crate) async fn start_in(dir: tempfile::TempDir, catalog: Arc<TestCatalog>) -> Node {
        Node::start_without_waiting(dir, catalog).await.writes().await
    }

    pub(crate) async fn start_without_waiting(
        dir: tempfile::TempDir,
        catalog: Arc<TestCatalog>,
    ) -> Node {
        Node::start_accepting(dir, catalog, "").await
    }

    pub(crate) async fn start_accepting(
        dir: tempfile::TempDir,
        catalog: Arc<TestCatalog>,
        losses: &str,
    ) -> Node {
        let file: PathBuf = dir.path().join("shard.db");
        let sqlite = SqliteStore::open(&file).await.expect("the file opens");
        Node::start_on(dir, FaultyStore::new(Arc::new(sqlite)), catalog, losses)
    }

    pub(crate) fn start_on(
        dir: tempfile::TempDir,
        store: Arc<FaultyStore>,
        catalog: Arc<TestCatalog>,
        losses: &str,
    ) -> Node {
        let bus = TestBus::new();
        let (lifecycle, health) = (Lifecycle::new(), Health::new());
        let mut config = Config::new(1, "node-1", "local")
            .with_lanes(2)
            .and_then(|config| config.with_partitions(PARTITIONS))
            .expect("a good configuration");
        config.accept_loss = parse_losses(losses).expect("losses");
        let shard = ShardNode::start(
            config,
            store.clone(),
            bus.clone(),
            catalog.clone(),
            Arc::new(NoPeers),
            &lifecycle,
            &health,
        );
        catalog.route_to(shard.clone());
        Node { shard, store, bus, catalog, health, lifecycle, dir }
    }

    pub(crate) async fn writes(self) -> Node {
        eventually("the node writes", async || self.shard.is_writer()).await;
        self
    }

    pub(crate) fn file(&self) -> PathBuf {
        self.dir.path().join("shard.db")
    }

    /// Stops in good order; what is left is the file and the catalog.
    pub(crate) async fn stop(self) -> (tempfile::TempDir, Arc<TestCatalog>) {
        self.catalog.forget_target();
        assert!(self.lifecycle.finish(SOON).await, "the node stops");
        assert_eq!(self.lifecycle.failure(), None);
        (self.dir, self.catalog)
    }

    pub(crate) async fn restart(self) -> Node {
        let (dir, catalog) = self.stop().await;
        Node::start_in(dir, catalog).await
    }

    pub(crate) fn submit(&self, entity: u64, op: Op) -> oneshot::Receiver<Outcome> {
        let (done, outcome) = Done::channel();
        self.shard.submit(Call { entity, epoch: self.catalog.epoch(), op: Some(op) }, done);
        outcome
    }

    pub(crate) async fn call(&self, entity: u64, op: Op) -> Outcome {
        answer(self.submit(entity, op)).await
    }

    // ---- Short words ----

    pub(crate) async fn user(&self, number: u64) -> u64 {
        let id = user_id(number);
        let create = CreateUser {
            name: format!("user{number}"),
            display_name: format!("User {number}"),
            password_hash: "hash".to_owned(),
        };
        self.call(id, Op::CreateUser(create)).await.expect("a new user");
        id
    }

    /// A group of these, the first its owner.
    pub(crate) async fn group(&self, members: &[u64]) -> u64 {
        let (id, create) = new_group(members, "all");
        chat_view(self.call(id, Op::CreateChat(create)).await);
        id
    }

    pub(crate) fn send_op(sender: u64, number: u8, text: &str) -> Send {
        Send {
            sender,
            sender_name: "Somebody".to_owned(),
            client_msg_id: vec![number; 16],
            body: Some(client::Body { text: text.to_owned() }),
            ..Send::default()
        }
    }

    pub(crate) async fn send(&self, chat: u64, sender: u64, number: u8, text: &str) -> Sent {
        sent(self.call(chat, Op::Send(Node::send_op(sender, number, text))).await)
    }

    pub(crate) async fn send_again(&self, chat: u64, sender: u64, number: u8, text: &str) -> Sent {
        let again = Send { retry: true, ..Node::send_op(sender, number, text) };
        sent(self.call(chat, Op::Send(again)).await)
    }

    pub(crate) async fn history(&self, chat: u64, user: u64) -> HistoryPage {
        let get = shardline_wire::internal::GetHistory {
            user,
            limit: 200,
            ..shardline_wire::internal::GetHistory::default()
        };
        match self.call(chat, Op::GetHistory(get)).await {
            Ok(Answer::History(page)) => page,
            other => panic!("not a page: {other:?}"),
        }
    }

    pub(crate) async fn texts(&self, chat: u64, user: u64) -> Vec<String> {
        let page = self.history(chat, user).await;
        page.messages.into_iter().map(text).collect()
    }

    pub(crate) async fn open(&self, chat: u64, user: u64, since_ver: Option<u64>) -> Opened {
        let open = OpenChat { user, since_ver, limit: 50, ..OpenChat::default() };
        match self.call(chat, Op::OpenChat(open)).await {
            Ok(Answer::Opened(opened)) => opened,
            other => panic!("not opened: {other:?}"),
        }
    }

    /// A reader of all partitions that has begun.
    pub(crate) async fn listen(&self) -> Listener {
        let consumer = self.bus.consume();
        let partitions: Vec<u32> = (0..PARTITIONS).collect();
        consumer.set_partitions(&partitions);
        eventually("the listener reads", async || consumer.consuming().len() == partitions.len())
            .await;
        Listener { consumer }
    }
}

/// These nodes are alone.
struct NoPeers;

impl MovesConnect for NoPeers {
    fn open(&self, address: &str) -> Arc<dyn Moves> {
        panic!("nothing moves to or from {address}")
    }
}

pub(crate) struct Listener {
    consumer: Arc<dyn shardline_backends::bus::Consumer>,
}

impl Listener {
    /// Events of an entity, until one has this ver.
    pub(crate) async fn until(&self, entity: u64, ver: u64) -> Vec<Event> {
        let mut events = Vec::new();
        let reading = async {
            while !events.iter().any(|event: &Event| event.ver == ver) {
                for record in self.consumer.next().await {
                    let batch = EventBatch::decode(record.payload).expect("a batch of events");
                    events.extend(batch.events.into_iter().filter(|one| one.entity == entity));
                    self.consumer.finished(record.partition, record.offset);
                }
            }
        };
        tokio::time::timeout(SOON, reading).await.expect("the event is published");
        events
    }
}

pub(crate) async fn answer(outcome: oneshot::Receiver<Outcome>) -> Outcome {
    tokio::time::timeout(SOON, outcome).await.expect("an answer in time").expect("an answer")
}

pub(crate) fn sent(outcome: Outcome) -> Sent {
    match outcome {
        Ok(Answer::Sent(sent)) => sent,
        other => panic!("not sent: {other:?}"),
    }
}

pub(crate) fn chat_view(outcome: Outcome) -> ChatView {
    match outcome {
        Ok(Answer::Chat(view)) => view,
        other => panic!("not a chat: {other:?}"),
    }
}

pub(crate) fn refused(outcome: Outcome, code: Code) {
    match outcome {
        Err(refusal) => assert_eq!(refusal.code(), code, "{refusal}"),
        Ok(answer) => panic!("not refused: {answer:?}"),
    }
}

pub(crate) fn user_id(number: u64) -> u64 {
    // Spread over slots, so over lanes.
    UserId::from_random(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).get()
}

pub(crate) fn new_group(members: &[u64], history: &str) -> (u64, CreateChat) {
    let client_chat_id = rand::random::<[u8; 16]>();
    let creator = UserId::new(members[0]).expect("an id");
    let create = CreateChat {
        creator: creator.get(),
        kind: "group".to_owned(),
        title: "Friends".to_owned(),
        history: history.to_owned(),
        client_chat_id: client_chat_id.to_vec(),
        members: members[1..].to_vec(),
    };
    (ChatId::of_group(creator, &client_chat_id, 0).get(), create)
}

pub(crate) fn text(message: client::Message) -> String {
    message.body.map(|body| body.text).unwrap_or_default()
}

/// Waits until the condition holds.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, condition: impl Fn() -> F) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, waiting).await.is_ok(), "in time: {what}");
}
