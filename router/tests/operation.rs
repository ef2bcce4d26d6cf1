//! The coordinator, what shard-nodes get of the catalog, and what operators are told, around a real
//! catalog in a file.

use async_trait::async_trait;
use shardline_daemon::lifecycle::Lifecycle;
use shardline_domain::id::{EntityId, NameId, ShardId};
use shardline_domain::placement::{Owners, Share, plan};
use shardline_domain::slot::{Epoch, Partitions, Slot};
use shardline_router::admin::{Admin, ConnNodes};
use shardline_router::catalog::migrate::Migrate;
use shardline_router::catalog::sqlite::SqliteCatalog;
use shardline_router::catalog::{CatalogStore, Router, WholeCatalog};
use shardline_router::catalog_service::{CatalogService, Route};
use shardline_router::coordinator::{Coordinator, Reach};
use shardline_router::explain::Explain;
use shardline_wire::admin::AdminApi;
use shardline_wire::call::{Catalog, Outcome};
use shardline_wire::internal::call::Op;
use shardline_wire::internal::reply::Answer;
use shardline_wire::internal::{
    Call, ExplainAnswer, ExplainRequest, LanePosition, ListNodesRequest, ListShardsRequest,
    ListSlotsRequest, NameView, ShardReport, WhereRequest, WriterRequest,
};
use shardline_wire::link::{MoveLinks, Trust};
use shardline_wire::refusal::{Code, Refusal};
use std::sync::Arc;
use std::time::Duration;

const HOUR: Duration = Duration::from_secs(3600);
const SOON: Duration = Duration::from_secs(20);

fn shares() -> Vec<Share> {
    vec![Share { shard: ShardId(0), weight: 100 }, Share { shard: ShardId(1), weight: 50 }]
}

struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    fn new() -> Place {
        Place { folder: tempfile::tempdir().expect("a folder") }
    }

    /// As another process would open it.
    async fn open(&self) -> Arc<dyn WholeCatalog> {
        let file = self.folder.path().join("catalog.db");
        Arc::new(SqliteCatalog::open(&file, Migrate::IfEmpty).await.expect("the catalog opens"))
    }

    async fn coordinator(&self, router: &str, run: u64) -> (Arc<Coordinator>, Lifecycle) {
        let trust = Trust::parse("secret", None).expect("plain text");
        let reach = Reach {
            moves: Arc::new(MoveLinks::new(trust)),
            map: Arc::default(),
            partitions: Partitions::new(64).expect("a power of two"),
        };
        let coordinator = Coordinator::new(self.open().await, reach, router, run, shares());
        let (coordinator, lifecycle) = (Arc::new(coordinator), Lifecycle::new());
        lifecycle.run("coordinator", coordinator.clone().run(lifecycle.token()));
        (coordinator, lifecycle)
    }
}

/// Asks until the answer is there.
async fn eventually<T>(what: &str, mut ask: impl AsyncFnMut() -> Option<T>) -> T {
    let answer = tokio::time::timeout(SOON, async {
        loop {
            if let Some(answer) = ask().await {
                return answer;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    answer.await.unwrap_or_else(|_| panic!("never: {what}"))
}

async fn placed(catalog: &dyn CatalogStore) {
    eventually("slots are placed", async || {
        (!catalog.shards().await.expect("an answer").is_empty()).then_some(())
    })
    .await;
}

fn leads(coordinator: &Coordinator) -> Option<u64> {
    coordinator.leadership().filter(|seen| seen.mine).map(|seen| seen.term)
}

#[tokio::test]
async fn two_routers_that_start_at_once_place_the_slots_once() {
    let place = Place::new();
    let (one, two) = tokio::join!(place.coordinator("one", 1), place.coordinator("two", 1));
    let catalog = place.open().await;
    placed(catalog.as_ref()).await;
    eventually("both know who leads", async || {
        (one.0.leadership().is_some() && two.0.leadership().is_some()).then_some(())
    })
    .await;
    assert!(leads(&one.0).is_some() != leads(&two.0).is_some(), "one of them leads");

    let rows = catalog.slots_since(0).await.expect("an answer").slots;
    let moves = plan(&Owners::none(), &shares()).expect("good shares");
    assert_eq!(rows.len(), moves.len());
    for moved in moves {
        let held = catalog.locate_slot(moved.slot).await.expect("an answer");
        let row = held.expect("it is placed").row;
        assert_eq!((row.shard, row.epoch), (moved.to, Epoch(1)));
    }
    for (_, lifecycle) in [one, two] {
        lifecycle.stop();
        assert!(lifecycle.finish(SOON).await);
    }
}

#[tokio::test]
async fn when_the_leader_stops_another_leads_at_once_with_a_new_term() {
    let place = Place::new();
    let (one, ends) = place.coordinator("one", 1).await;
    let first = eventually("one leads", async || leads(&one)).await;
    let (two, other) = place.coordinator("two", 1).await;
    eventually("two knows who leads", async || two.leadership()).await;
    assert_eq!(leads(&two), None);
    ends.stop();
    assert!(ends.finish(SOON).await);
    // Sooner than the lease: it was given back.
    let second = tokio::time::timeout(Duration::from_secs(5), async {
        eventually("two leads", async || leads(&two)).await
    });
    assert!(first < second.await.expect("it need not wait for the lease"));
    other.stop();
    assert!(other.finish(SOON).await);
}

#[tokio::test]
async fn a_catalog_that_has_shards_is_left_as_it_is() {
    let place = Place::new();
    let catalog = place.open().await;
    let term = catalog.lead("somebody", HOUR).await.expect("an answer").term;
    let all: Vec<_> = Slot::all().map(|slot| (slot, ShardId(9))).collect();
    let shard = shardline_router::catalog::NewShard { shard: ShardId(9), weight: 1 };
    assert!(catalog.found(term, &[shard], &all).await.expect("an answer"));
    catalog.resign(term).await.expect("an answer");
    let (one, lifecycle) = place.coordinator("one", 1).await;
    eventually("one leads", async || leads(&one)).await;
    lifecycle.stop();
    assert!(lifecycle.finish(SOON).await);
    let shards = catalog.shards().await.expect("an answer");
    assert_eq!(shards.len(), 1);
}

/// Knows one name, whose first probe another name has taken.
struct Names;

#[async_trait]
impl Route for Names {
    async fn route(&self, call: Call) -> Outcome {
        let Some(Op::LookupName(lookup)) = call.op else {
            return Err(Refusal::internal("only names are known here"));
        };
        if call.entity == NameId::of_name("ann", 0).get() {
            return Err(Refusal::new(Code::IdClash, "another name"));
        }
        if call.entity == NameId::of_name("ann", 1).get() {
            return Ok(Answer::Name(NameView { name: lookup.name, user: ANN }));
        }
        Err(Refusal::new(Code::NotFound, "no such name"))
    }
}

const ANN: u64 = 0x1234_5678_9abc_def0;

#[async_trait]
impl Explain for Names {
    async fn explain(&self, _: ExplainRequest) -> Result<ExplainAnswer, Refusal> {
        Err(Refusal::new(Code::NotFound, "nobody wrote anything"))
    }
}

impl ConnNodes for Names {
    fn names(&self) -> Vec<String> {
        vec!["conn-node-1".to_owned()]
    }
}

async fn service(place: &Place) -> CatalogService {
    CatalogService::new(place.open().await, Arc::new(Names))
}

fn request(node: &str, term: u64) -> WriterRequest {
    let (node, address) = (node.to_owned(), format!("{node}:1"));
    WriterRequest { shard: 1, node, address, term, release: false }
}

fn report(term: u64, committed: u64) -> ShardReport {
    let lanes = vec![LanePosition { lane: 0, committed, relayed: 3 }];
    ShardReport { shard: 1, term, lanes, durability: "fsync".to_owned() }
}

#[tokio::test]
async fn a_shard_node_waits_for_its_shard_and_a_standby_for_the_lease() {
    let place = Place::new();
    let service = service(&place).await;
    let early = service.acquire_writer(request("a", 0)).await.expect_err("there is no shard yet");
    assert_eq!(early.code(), Code::TryAgain);
    assert_eq!(service.locate_slot(3).await.expect_err("not placed").code(), Code::TryAgain);

    let (_, lifecycle) = place.coordinator("one", 1).await;
    placed(place.open().await.as_ref()).await;
    let lease = service.acquire_writer(request("a", 0)).await.expect("an answer");
    assert!(lease.granted && 0 < lease.lasts_ms);
    assert_eq!(lease.reported, [], "nobody reported yet");
    let standby = service.acquire_writer(request("b", 0)).await.expect("an answer");
    assert_eq!((standby.granted, standby.holder.as_str()), (false, "a"));
    assert!(service.report(report(lease.term, 7)).await.expect("an answer").current);
    assert!(service.acquire_writer(request("a", lease.term)).await.expect("an answer").granted);

    let released = WriterRequest { release: true, ..request("a", lease.term) };
    assert!(!service.acquire_writer(released).await.expect("an answer").granted);
    let next = service.acquire_writer(request("b", 0)).await.expect("an answer");
    assert_eq!((next.granted, next.term), (true, lease.term + 1));
    let committed: Vec<_> = next.reported.iter().map(|at| (at.lane, at.committed)).collect();
    assert_eq!(committed, [(0, 7)], "what the writers before it reported, the highest");
    assert!(!service.report(report(lease.term, 99)).await.expect("an answer").current);
    assert!(!service.acquire_writer(request("a", lease.term)).await.expect("an answer").granted);

    let owned = service.owned_slots(1).await.expect("an answer");
    assert!((5461..=5462).contains(&owned.len()), "a third, by weight: {}", owned.len());
    assert_eq!(service.locate_slot(owned[0].slot).await.expect("an answer"), owned[0]);
    lifecycle.stop();
    assert!(lifecycle.finish(SOON).await);
}

#[tokio::test]
async fn what_a_shard_node_says_is_checked() {
    let place = Place::new();
    let service = service(&place).await;
    let code = |refusal: Refusal| refusal.code();
    let long = "x".repeat(256);
    let bad = service.acquire_writer(request(&long, 0)).await;
    assert_eq!(bad.map_err(code), Err(Code::BadRequest));
    assert_eq!(service.acquire_writer(request("", 0)).await.map_err(code), Err(Code::BadRequest));
    assert_eq!(service.locate_slot(16_384).await.map_err(code), Err(Code::BadRequest));
    let lanes = vec![LanePosition { lane: 70_000, ..LanePosition::default() }];
    let bad = service.report(ShardReport { lanes, ..report(1, 1) }).await;
    assert_eq!(bad.map_err(code), Err(Code::BadRequest));
    let bad = service.report(ShardReport { durability: long, ..report(1, 1) }).await;
    assert_eq!(bad.map_err(code), Err(Code::BadRequest));
}

#[tokio::test]
async fn an_operator_sees_shards_slots_nodes_and_where_things_are() {
    let place = Place::new();
    let (coordinator, lifecycle) = place.coordinator("router-1", 7).await;
    let catalog = place.open().await;
    placed(catalog.as_ref()).await;
    let address = "127.0.0.1:8111".to_owned();
    let router = Router { id: "router-1".to_owned(), address };
    catalog.heartbeat(&router, 1, HOUR).await.expect("an answer");
    let service = service(&place).await;
    let lease = service.acquire_writer(request("a", 0)).await.expect("an answer");
    service.report(report(lease.term, 7)).await.expect("an answer");
    let partitions = Partitions::new(64).expect("a power of two");
    let [route, conn_nodes, explain] = [Arc::new(Names), Arc::new(Names), Arc::new(Names)];
    let admin = Admin::new(catalog, route, conn_nodes, explain, coordinator.clone(), partitions);

    let shards = admin.list_shards(ListShardsRequest {}).await.expect("an answer").shards;
    assert_eq!(shards.iter().map(|shard| shard.slots).sum::<u32>(), 16_384);
    let one = &shards[1];
    assert_eq!((one.shard, one.weight, one.state.as_str()), (1, 50, "active"));
    assert_eq!((one.writer.as_str(), one.address.as_str()), ("a", "a:1"));
    assert_eq!(one.lanes, report(1, 7).lanes);
    assert_eq!((shards[0].writer.as_str(), shards[0].reported_ms_ago), ("", None));

    let all = admin.list_slots(ListSlotsRequest { shard: None }).await.expect("an answer").slots;
    assert!(all.iter().map(|row| row.slot).eq(0..16_384));
    let own = admin.list_slots(ListSlotsRequest { shard: Some(1) }).await.expect("an answer").slots;
    assert_eq!(own, service.owned_slots(1).await.expect("an answer"));
    let none = admin.list_slots(ListSlotsRequest { shard: Some(5) }).await;
    assert_eq!(none.expect_err("no such shard").code(), Code::NotFound);

    let by_id = WhereRequest { entity: ANN, name: String::new() };
    let found = admin.where_is(by_id).await.expect("an answer");
    let slot = Slot::of(EntityId::new(ANN).expect("an id"));
    assert_eq!((found.entity, found.slot), (ANN, u32::from(slot.get())));
    assert_eq!((found.partition, found.router.as_str()), (slot.partition(partitions), "router-1"));
    assert_eq!(found.epoch, 1);
    let by_name = WhereRequest { entity: 0, name: "ann".to_owned() };
    assert_eq!(admin.where_is(by_name).await.expect("an answer"), found);
    let nobody = WhereRequest { entity: 0, name: "bob".to_owned() };
    assert_eq!(admin.where_is(nobody).await.expect_err("nobody").code(), Code::NotFound);
    let nothing = admin.where_is(WhereRequest::default()).await;
    assert_eq!(nothing.expect_err("0 is no id").code(), Code::BadRequest);

    eventually("it leads", async || leads(&coordinator)).await;
    let nodes = admin.list_nodes(ListNodesRequest {}).await.expect("an answer").nodes;
    let seen: Vec<(&str, &str)> =
        nodes.iter().map(|node| (node.kind.as_str(), node.id.as_str())).collect();
    let expected = [("router", "router-1"), ("shard-node", "a"), ("conn-node", "conn-node-1")];
    assert_eq!(seen, expected);
    assert!(nodes[0].detail.starts_with("coordinator, term "), "{:?}", nodes[0]);
    lifecycle.stop();
    assert!(lifecycle.finish(SOON).await);
}
