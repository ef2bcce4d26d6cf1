//! Two shards, a router and its coordinator on files in a folder; everything stops and starts again.

use parking_lot::Mutex;
use shardline_backends::bus::memory::MemoryBus;
use shardline_backends::presence::memory::MemoryPresence;
use shardline_daemon::health::Health;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::id::{ChatId, EntityId, NameId, ShardId, UserId};
use shardline_domain::placement::Share;
use shardline_domain::slot::{Partitions, Slot};
use shardline_router::catalog::migrate::Migrate;
use shardline_router::catalog::sqlite::SqliteCatalog;
use shardline_router::catalog::{CatalogStore, moves::MoveStore};
use shardline_router::catalog_service::CatalogService;
use shardline_router::checks::Checker;
use shardline_router::coordinator::{Coordinator, Reach};
use shardline_router::router::{Identity, Outside, Router};
use shardline_shard_node::store::sqlite::SqliteStore;
use shardline_shard_node::{Config, ShardNode};
use shardline_wire::call::{Answer, Outcome, Shard, ShardConnect};
use shardline_wire::checks::Checks;
use shardline_wire::client;
use shardline_wire::inspect::{Inspect, InspectConnect};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::{
    AddMembers, Call, CheckCatalogRequest, ClaimName, CreateChat, CreateUser, FsckAnswer,
    FsckFinding, FsckRequest, GetHistory, GetList, RemoveMember, Send,
};
use shardline_wire::moves::{Moves, MovesConnect};
use shardline_wire::refusal::Code;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

const PARTITIONS: u32 = 16;
pub(crate) const SHARDS: u32 = 2;
pub(crate) const SOON: Duration = Duration::from_secs(60);

#[derive(Clone, Default)]
struct Nodes(Arc<Mutex<HashMap<String, Arc<ShardNode>>>>);

impl Nodes {
    fn at(&self, address: &str) -> Arc<ShardNode> {
        self.0.lock().get(address).cloned().expect("nodes start before anybody asks for them")
    }
}

impl MovesConnect for Nodes {
    fn open(&self, address: &str) -> Arc<dyn Moves> {
        self.at(address)
    }
}

impl ShardConnect for Nodes {
    fn open(&self, address: &str) -> Arc<dyn Shard> {
        self.at(address)
    }
}

impl InspectConnect for Nodes {
    fn open(&self, address: &str) -> Arc<dyn Inspect> {
        self.at(address)
    }
}

pub(crate) struct World {
    nodes: Nodes,
    router: Arc<Router>,
    pub(crate) catalog: Arc<SqliteCatalog>,
    pub(crate) checks: Checker,
    shards: Lifecycle,
    routers: Lifecycle,
}

pub(crate) fn address(shard: u32) -> String {
    format!("shard-{shard}")
}

impl World {
    /// On a new folder, or on what an earlier world left there.
    pub(crate) async fn start(folder: &Path) -> World {
        let world = World::start_with(folder, SHARDS).await;
        world.serves().await;
        world
    }

    /// `initial`: shards of an empty catalog; 0: it stays empty.
    pub(crate) async fn start_with(folder: &Path, initial: u32) -> World {
        let file = folder.join("catalog.db");
        let catalog = SqliteCatalog::open(&file, Migrate::Always).await.expect("the catalog opens");
        let catalog = Arc::new(catalog);
        let mut stores = Vec::new();
        for shard in 0..SHARDS {
            let store = SqliteStore::open(&shard_file(folder, shard)).await;
            stores.push(Arc::new(store.expect("a shard's file opens")));
        }
        let (shards, routers, health) = (Lifecycle::new(), Lifecycle::new(), Health::new());
        let (bus, nodes) = (Arc::new(MemoryBus::new()), Nodes::default());
        let partitions = Partitions::new(PARTITIONS).expect("a power of two");
        let outside = Outside {
            catalog: catalog.clone(),
            shards: Arc::new(nodes.clone()),
            bus: bus.clone(),
            presence: Arc::new(MemoryPresence::new()),
        };
        let id = "router-1".to_owned();
        let identity = Identity { address: id.clone(), id, boot: 1 };
        // Nothing runs before the next wait: the nodes are there when the router asks for them.
        let router = Router::start(identity, partitions, outside, &routers, &health);
        let reach = Reach { moves: Arc::new(nodes.clone()), map: router.map.clone(), partitions };
        let service = Arc::new(CatalogService::new(catalog.clone(), router.clone()));
        for (shard, store) in (0..).zip(stores) {
            let config = Config::new(shard, format!("node-{shard}"), address(shard))
                .with_lanes(2)
                .and_then(|config| config.with_partitions(PARTITIONS))
                .expect("a good configuration");
            let peers = Arc::new(nodes.clone());
            let (bus, service) = (bus.clone(), service.clone());
            let node = ShardNode::start(config, store, bus, service, peers, &shards, &health);
            nodes.0.lock().insert(address(shard), node);
        }
        let share = |shard| Share { shard: ShardId(shard), weight: 100 };
        let initial = (0..initial).map(share).collect();
        let coordinator =
            Coordinator::new(catalog.clone(), reach.clone(), "router-1", rand::random(), initial);
        routers.run("coordinator", Arc::new(coordinator).run(routers.token()));
        let inspect = Arc::new(nodes.clone());
        let checks = Checker::new(catalog.clone(), reach, router.clone(), inspect);
        World { nodes, router, catalog, checks, shards, routers }
    }

    /// Waits until both shards write.
    pub(crate) async fn serves(&self) {
        let writes = || (0..SHARDS).all(|shard| self.nodes.at(&address(shard)).is_writer());
        eventually("both shards have writers", async || writes()).await;
    }

    pub(crate) async fn stop(self) {
        assert!(self.shards.finish(SOON).await, "shards stop");
        assert!(self.routers.finish(SOON).await, "the router stops");
    }

    pub(crate) async fn owner(&self, entity: u64) -> u32 {
        let slot = Slot::of(EntityId::new(entity).expect("an id"));
        let held = self.catalog.locate_slot(slot).await.expect("an answer");
        held.expect("it is placed").row.shard.0
    }

    /// Again, until it is answered for good.
    pub(crate) async fn call(&self, entity: u64, op: Op) -> Outcome {
        let calling = async {
            loop {
                let call = Call { entity, epoch: 0, op: Some(op.clone()) };
                match self.router.route(call).await {
                    Err(refusal)
                        if matches!(
                            refusal.code(),
                            Code::TryAgain | Code::Unavailable | Code::WrongRouter
                        ) => {}
                    outcome => return outcome,
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(SOON, calling).await.expect("an answer in time")
    }

    pub(crate) async fn user(&self, name: &str) -> u64 {
        let id = self.nameless(name).await;
        let claim = ClaimName { name: name.to_owned(), user: id };
        let entity = NameId::of_name(name, 0).get();
        self.call(entity, Op::ClaimName(claim)).await.expect("a free name");
        id
    }

    pub(crate) async fn nameless(&self, name: &str) -> u64 {
        let id = UserId::from_random(rand::random()).get();
        let create = CreateUser {
            name: name.to_owned(),
            display_name: name.to_owned(),
            password_hash: "hash".to_owned(),
        };
        self.call(id, Op::CreateUser(create)).await.expect("a new user");
        id
    }

    /// A group of these, the first its owner; it is on all their lists.
    pub(crate) async fn group(&self, members: &[u64]) -> u64 {
        let client_chat_id = rand::random::<[u8; 16]>();
        let creator = UserId::new(members[0]).expect("an id");
        let create = CreateChat {
            creator: creator.get(),
            kind: "group".to_owned(),
            title: "Friends".to_owned(),
            history: "all".to_owned(),
            client_chat_id: client_chat_id.to_vec(),
            members: members[1..].to_vec(),
        };
        let id = ChatId::of_group(creator, &client_chat_id, 0).get();
        self.call(id, Op::CreateChat(create)).await.expect("a new chat");
        for member in members {
            let listed = async || self.list(*member).await.contains(&id);
            eventually("the list shows the chat", listed).await;
        }
        id
    }

    pub(crate) async fn list(&self, user: u64) -> Vec<u64> {
        match self.call(user, Op::GetList(GetList::default())).await {
            Ok(Answer::List(page)) => page.rows.iter().map(|row| row.chat).collect(),
            other => panic!("not a list: {other:?}"),
        }
    }

    pub(crate) async fn send(&self, chat: u64, sender: u64, text: &str) -> u64 {
        let send = Send {
            sender,
            sender_name: "Somebody".to_owned(),
            client_msg_id: rand::random::<[u8; 16]>().to_vec(),
            body: Some(client::Body { text: text.to_owned() }),
            ..Send::default()
        };
        match self.call(chat, Op::Send(send)).await {
            Ok(Answer::Sent(sent)) => sent.seq,
            other => panic!("not sent: {other:?}"),
        }
    }

    pub(crate) async fn texts(&self, chat: u64, user: u64) -> Vec<String> {
        let get = GetHistory { user, limit: 200, ..GetHistory::default() };
        match self.call(chat, Op::GetHistory(get)).await {
            Ok(Answer::History(page)) => {
                let text = |message: client::Message| message.body.unwrap_or_default().text;
                page.messages.into_iter().map(text).collect()
            }
            other => panic!("not a page: {other:?}"),
        }
    }

    pub(crate) async fn add(&self, chat: u64, actor: u64, user: u64) {
        let op = AddMembers { actor, users: vec![user], ..AddMembers::default() };
        self.call(chat, Op::AddMembers(op)).await.expect("added");
    }

    pub(crate) async fn remove(&self, chat: u64, actor: u64, user: u64) {
        self.call(chat, Op::RemoveMember(RemoveMember { actor, user })).await.expect("removed");
    }

    /// A walk over all shards, page by page.
    pub(crate) async fn fsck(&self, deep: bool, repair: bool) -> Walked {
        let mut walked = Walked::default();
        for shard in 0..SHARDS {
            let mut place = None;
            loop {
                let by = "anna".to_owned();
                let request = FsckRequest { shard, place, slot: None, deep, repair, by };
                let page = self.checks.fsck(request).await.expect("a page");
                let FsckAnswer { findings, next, entities, compared, uncompared, .. } = page;
                walked.findings.extend(findings);
                walked.entities += entities;
                walked.compared += compared;
                walked.uncompared += uncompared;
                match next {
                    None => break,
                    next => place = next,
                }
            }
        }
        walked
    }

    /// How many entities a walk over one slot of a shard meets; it finds nothing.
    pub(crate) async fn fsck_slot(&self, shard: u32, slot: u32) -> u64 {
        let request = FsckRequest { shard, slot: Some(slot), ..FsckRequest::default() };
        let page = self.checks.fsck(request).await.expect("a page");
        assert_eq!((page.next, page.findings.len(), page.millionths), (None, 0, 1_000_000));
        page.entities
    }

    /// In words.
    pub(crate) async fn catalog_findings(&self) -> Vec<String> {
        let request = CheckCatalogRequest {};
        let answer = self.checks.check_catalog(request).await.expect("an answer");
        answer.findings.into_iter().map(|finding| finding.text).collect()
    }

    pub(crate) async fn changes(&self) -> Vec<(String, String)> {
        use shardline_router::catalog::operations::OperationStore;
        let rows = self.catalog.changes(100).await.expect("an answer");
        rows.into_iter().map(|row| (row.by, row.what)).collect()
    }

    pub(crate) async fn live_moves(&self) -> usize {
        use shardline_router::catalog::moves::Which;
        self.catalog.moves(Which::Live).await.expect("an answer").len()
    }
}

#[derive(Default, Debug)]
pub(crate) struct Walked {
    pub(crate) findings: Vec<FsckFinding>,
    pub(crate) entities: u64,
    pub(crate) compared: u64,
    pub(crate) uncompared: u64,
}

impl Walked {
    /// What was found, by kind, of this entity.
    pub(crate) fn of(&self, entity: u64) -> Vec<(&str, &str)> {
        let here = self.findings.iter().filter(|finding| finding.entity == entity);
        here.map(|finding| (finding.kind.as_str(), finding.state.as_str())).collect()
    }
}

pub(crate) fn shard_file(folder: &Path, shard: u32) -> PathBuf {
    folder.join(format!("shard-{shard}.db"))
}

pub(crate) async fn eventually(what: &str, condition: impl AsyncFn() -> bool) {
    let waiting = async {
        while !condition().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    assert!(tokio::time::timeout(SOON, waiting).await.is_ok(), "in time: {what}");
}
