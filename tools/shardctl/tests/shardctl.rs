//! The tool against a router's real server: what it prints, and how it ends.

use async_trait::async_trait;
use shardline_wire::admin::AdminApi;
use shardline_wire::internal::{
    LanePosition, ListNodesAnswer, ListNodesRequest, ListShardsAnswer, ListShardsRequest,
    ListSlotsAnswer, ListSlotsRequest, NodeInfo, ShardInfo, SlotEntry, WhereAnswer, WhereRequest,
};
use shardline_wire::link::{AdminServer, Trust};
use shardline_wire::refusal::{Code, Refusal};
use std::ffi::OsString;
use std::sync::Arc;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;

const SECRET: &str = "open-sesame";

struct Cluster;

#[async_trait]
impl AdminApi for Cluster {
    async fn list_shards(&self, _: ListShardsRequest) -> Result<ListShardsAnswer, Refusal> {
        let written = ShardInfo {
            shard: 0,
            weight: 100,
            state: "active".to_owned(),
            slots: 3,
            writer_term: 7,
            writer: "shard-node-0".to_owned(),
            address: "127.0.0.1:8121".to_owned(),
            reported_ms_ago: Some(480),
            lanes: vec![LanePosition { lane: 0, committed: 12, relayed: 10 }],
            durability: "fsync".to_owned(),
        };
        let fresh =
            ShardInfo { shard: 1, weight: 50, state: "active".to_owned(), ..ShardInfo::default() };
        Ok(ListShardsAnswer { shards: vec![written, fresh] })
    }

    async fn list_slots(&self, request: ListSlotsRequest) -> Result<ListSlotsAnswer, Refusal> {
        if request.shard == Some(9) {
            return Err(Refusal::new(Code::NotFound, "there is no shard 9"));
        }
        let entry =
            |slot: u32| SlotEntry { slot, shard: u32::from(slot == 3), epoch: 1, held: None };
        let mut slots: Vec<SlotEntry> = [0, 1, 2, 3, 5].map(entry).into();
        slots.retain(|slot| request.shard.is_none_or(|shard| shard == slot.shard));
        Ok(ListSlotsAnswer { slots })
    }

    async fn where_is(&self, request: WhereRequest) -> Result<WhereAnswer, Refusal> {
        match (request.entity, request.name.as_str()) {
            (entity, "") => Ok(WhereAnswer {
                entity,
                slot: 4,
                shard: 1,
                epoch: 2,
                partition: 0,
                router: "router-2".to_owned(),
                shard_address: String::new(),
            }),
            (0, "ann") => Ok(WhereAnswer { entity: u64::MAX >> 1, ..WhereAnswer::default() }),
            (_, "busy") => Err(Refusal::try_again("the catalog is unavailable", 500)),
            _ => Err(Refusal::new(Code::NotFound, "there is no user @bob")),
        }
    }

    async fn list_nodes(&self, _: ListNodesRequest) -> Result<ListNodesAnswer, Refusal> {
        let router = NodeInfo {
            kind: "router".to_owned(),
            id: "router-1".to_owned(),
            address: "127.0.0.1:8111".to_owned(),
            detail: "coordinator, term 3".to_owned(),
        };
        Ok(ListNodesAnswer { nodes: vec![router] })
    }
}

/// A router's server on a port of its own, until dropped.
struct Running {
    address: String,
    _tasks: JoinSet<()>,
}

async fn cluster() -> Running {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let trust = Trust::parse(SECRET, None).expect("a good secret");
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let admin = AdminServer::service(Arc::new(Cluster), &trust);
        let incoming = TcpListenerStream::new(listener);
        let mut server = trust.server().expect("no certificates");
        server.add_service(admin).serve_with_incoming(incoming).await.expect("it serves");
    });
    Running { address, _tasks: tasks }
}

struct Ended {
    code: u8,
    out: String,
    err: String,
}

async fn run(arguments: &[&str]) -> Ended {
    let arguments = ["shardctl"].iter().chain(arguments).map(OsString::from);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let code = shardctl::run(arguments, &mut out, &mut err).await;
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    Ended { code, out: text(out), err: text(err) }
}

async fn ask(arguments: &[&str]) -> Ended {
    let cluster = cluster().await;
    let to = ["--router", &cluster.address, "--secret", SECRET];
    run(&[arguments, &to].concat()).await
}

async fn prints(arguments: &[&str], expected: &str) {
    let ended = ask(arguments).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(ended.out, expected);
}

#[tokio::test]
async fn shards_are_a_table() {
    let expected = "\
SHARD  STATE   WEIGHT  SLOTS  WRITER        TERM  ADDRESS         REPORTED   TO RELAY  DURABILITY
    0  active     100      3  shard-node-0     7  127.0.0.1:8121  0.4 s ago         2  fsync
    1  active      50      0  -                0  -               never             0  -
";
    prints(&["shard", "list"], expected).await;
}

#[tokio::test]
async fn slots_are_ranges() {
    let expected = "\
SHARD  SLOTS  EPOCH  RANGES
    0      4      1  0-2, 5
    1      1      1  3
";
    prints(&["slots"], expected).await;
    prints(&["slots", "--shard", "0"], "4 slots, epoch 1\n0-2, 5\n").await;
    prints(&["slots", "--shard", "7"], "the shard has no slots\n").await;
}

#[tokio::test]
async fn a_place_says_everything_on_the_way() {
    let expected = "\
entity      77
slot        4
shard       1
epoch       2
written at  -
partition   0
router      router-2
";
    prints(&["where", "77"], expected).await;
}

#[tokio::test]
async fn everything_is_also_json() {
    for arguments in [&["shard", "list"][..], &["slots"], &["where", "@ann"], &["nodes"]] {
        let ended = ask(&[arguments, &["--json"]].concat()).await;
        assert_eq!((ended.code, ended.err.as_str()), (0, ""), "{arguments:?}");
        let value: serde_json::Value = serde_json::from_str(&ended.out).expect("it is JSON");
        assert!(value.is_object(), "{value}");
        if arguments[0] == "where" {
            assert_eq!(value["entity"], "9223372036854775807", "ids are strings");
        }
        if arguments[0] == "shard" {
            assert_eq!(value["shards"][1]["reported_ms_ago"], serde_json::Value::Null);
        }
    }
}

async fn ends(arguments: &[&str], code: u8, says: &[&str]) {
    let ended = ask(arguments).await;
    assert_eq!((ended.code, ended.out.as_str()), (code, ""), "{}", ended.err);
    for part in says {
        assert!(ended.err.contains(part), "{part:?} is not in {:?}", ended.err);
    }
}

#[tokio::test]
async fn what_a_router_refuses_ends_with_1_and_its_words() {
    ends(&["where", "@bob"], 1, &["there is no user @bob"]).await;
    ends(&["slots", "--shard", "9"], 1, &["there is no shard 9"]).await;
    ends(&["where", "@busy"], 1, &["the catalog is unavailable", "try again"]).await;
}

#[tokio::test]
async fn a_wrong_secret_says_which_to_give() {
    let cluster = cluster().await;
    for secret in [&["--secret", "wrong"][..], &["--secret", ""]] {
        let ended = run(&[&["nodes", "--router", &cluster.address], secret].concat()).await;
        assert_eq!(ended.code, 1, "{}", ended.err);
        assert!(ended.err.contains("SHARDLINE_SECRET"), "{}", ended.err);
        assert!(!ended.err.contains("wrong"), "a secret is not repeated: {}", ended.err);
    }
}

#[tokio::test]
async fn nobody_there_ends_with_2_and_the_addresses_tried() {
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = free.local_addr().expect("its address").to_string();
    drop(free);
    let ended = run(&["nodes", "--router", &address]).await;
    assert_eq!((ended.code, ended.out.as_str()), (2, ""), "{}", ended.err);
    assert!(ended.err.contains(&address) && ended.err.contains("--router"), "{}", ended.err);

    let cluster = cluster().await;
    let both = format!("{address},{}", cluster.address);
    let ended = run(&["nodes", "--router", &both, "--secret", SECRET]).await;
    assert_eq!(ended.code, 0, "the next one answers: {}", ended.err);
}

#[tokio::test]
async fn a_router_that_does_not_answer_is_not_waited_for_long() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = silent.local_addr().expect("its address").to_string();
    let ended = run(&["nodes", "--router", &address, "--timeout", "1"]).await;
    assert_eq!(ended.code, 2, "{}", ended.err);
}

#[tokio::test]
async fn what_is_not_understood_ends_with_64() {
    for arguments in [
        &["frobnicate"][..],
        &[],
        &["slots", "--shard", "x"],
        &["where", "0"],
        &["where", "ann"],
        &["where", "@"],
        &["nodes", "--router", "http://[", "--timeout", "1"],
        &["nodes", "--timeout", "0"],
    ] {
        let ended = run(arguments).await;
        assert_eq!((ended.code, ended.out.as_str()), (64, ""), "{arguments:?}: {}", ended.err);
        assert!(!ended.err.is_empty(), "it says what was wrong");
    }
    assert!(run(&["where", "ann"]).await.err.contains("@ann"), "a hint");
}

#[tokio::test]
async fn help_and_completions_need_no_router() {
    let help = run(&["--help"]).await;
    assert_eq!(help.code, 0);
    assert!(help.out.contains("Exit codes"), "{}", help.out);
    for shell in ["bash", "zsh", "fish"] {
        let script = run(&["completions", shell]).await;
        assert_eq!(script.code, 0);
        assert!(script.out.contains("shardctl"), "{shell}");
    }
}
