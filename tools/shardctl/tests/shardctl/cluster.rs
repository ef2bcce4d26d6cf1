//! A router's real server with a made-up cluster behind it, and the tool run against it.

use crate::checks::Checking;
use crate::moving::Moving;
use async_trait::async_trait;
use shardctl::Desk;
use shardline_wire::admin::AdminApi;
use shardline_wire::internal::{
    AppliedSeen, CommitSeen, DispatchSeen, ExplainAnswer, ExplainRequest, LanePosition,
    ListNodesAnswer, ListNodesRequest, ListShardsAnswer, ListShardsRequest, ListSlotsAnswer,
    ListSlotsRequest, MessageExplained, NamedUser, NodeInfo, NodeRecalled, RelayState,
    RouterRecalled, ShardInfo, SlotEntry, WhereAnswer, WhereRequest,
};
use shardline_wire::link::{AdminServer, CheckServer, OperationsServer, Secret, Trust};
use shardline_wire::refusal::{Code, Refusal};
use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use tokio_stream::wrappers::TcpListenerStream;

pub(crate) const SECRET: &str = "open-sesame";

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

    async fn explain(&self, request: ExplainRequest) -> Result<ExplainAnswer, Refusal> {
        match request.seq {
            3 => Ok(seen(request.chat)),
            4 => Ok(forgotten(request.chat)),
            _ => Err(Refusal::new(Code::NotFound, "chat 77 has no message 9, its newest is 4")),
        }
    }
}

const SENT_AT_MS: i64 = 951_782_400_000;

/// Everybody remembers it.
fn seen(chat: u64) -> ExplainAnswer {
    let message = MessageExplained {
        chat,
        seq: 3,
        ver: 5,
        changed_ver: 5,
        sender: 8,
        sent_at_ms: SENT_AT_MS,
        head_seq: 4,
        head_ver: 6,
        log: 1,
        slot: 12,
        shard: 1,
        epoch: 2,
        node: "shard-node-1".to_owned(),
        durability: "fsync".to_owned(),
        committed: 21,
        relayed: 20,
        relay: RelayState::OnTheBus.into(),
        position: Some(20),
        commit: Some(CommitSeen {
            queued_ms: SENT_AT_MS - 1,
            committed_ms: SENT_AT_MS + 4,
            relayed_ms: Some(SENT_AT_MS + 5),
            entities: 2,
        }),
        members: 3,
        read_count: 2,
        read_by: vec![8, 9],
        ..MessageExplained::default()
    };
    let dispatch = DispatchSeen {
        taken_ms: SENT_AT_MS + 6,
        dispatched_ms: SENT_AT_MS + 7,
        events: 4,
        nodes: vec!["conn-1".to_owned()],
        full: vec!["conn-2".to_owned()],
    };
    let applied = Some(AppliedSeen { queued_ms: SENT_AT_MS + 8, sessions: 2 });
    let node = |node: &str, answered, applied| NodeRecalled {
        node: node.to_owned(),
        answered,
        since_ms: 1,
        applied,
    };
    let router = RouterRecalled {
        router: "router-2".to_owned(),
        since_ms: 1,
        dispatch: Some(dispatch),
        nodes: vec![node("conn-1", true, applied), node("conn-2", false, None)],
    };
    let names = vec![NamedUser { user: 8, name: "ann".to_owned() }];
    ExplainAnswer {
        message: Some(message),
        partition: 3,
        router: Some(router),
        router_silent: String::new(),
        names,
    }
}

/// Nobody does, and the router does not answer.
fn forgotten(chat: u64) -> ExplainAnswer {
    let seen = seen(chat);
    let message = MessageExplained {
        commit: None,
        position: None,
        deleted: true,
        changed_ver: 6,
        ..seen.message.unwrap_or_default()
    };
    let silent = "router-2 did not answer: it did not answer in time".to_owned();
    ExplainAnswer {
        message: Some(message),
        router: None,
        router_silent: silent,
        names: Vec::new(),
        ..seen
    }
}

/// A router's server on a port of its own, until dropped.
pub(crate) struct Running {
    pub(crate) address: String,
    pub(crate) moving: Arc<Moving>,
    pub(crate) checking: Arc<Checking>,
    _tasks: JoinSet<()>,
}

pub(crate) async fn cluster() -> Running {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("its address").to_string();
    let trust = Trust::parse(SECRET, None).expect("a good secret");
    let moving = Arc::new(Moving::default());
    let checking = Arc::new(Checking::default());
    let (operations, checks) = (moving.clone(), checking.clone());
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        let admin = AdminServer::service(Arc::new(Cluster), &trust);
        let secret = Secret::new(SECRET).expect("a good secret");
        let operations = OperationsServer::service(operations, &secret);
        let checks = CheckServer::service(checks, &secret);
        let incoming = TcpListenerStream::new(listener);
        let mut server = trust.server().expect("no certificates");
        let server = server.add_service(admin).add_service(operations).add_service(checks);
        server.serve_with_incoming(incoming).await.expect("it serves");
    });
    Running { address, moving, checking, _tasks: tasks }
}

impl Running {
    pub(crate) async fn ask(&self, arguments: &[&str]) -> Ended {
        self.ask_until(arguments, None).await
    }

    /// With Ctrl-C after a while.
    pub(crate) async fn ask_until(&self, arguments: &[&str], interrupt: Option<Duration>) -> Ended {
        let to = ["--router", &self.address, "--admin-secret", SECRET, "--by", "anna"];
        run_until(&[arguments, &to].concat(), interrupt, false).await
    }

    pub(crate) async fn on_a_terminal(&self, arguments: &[&str]) -> Ended {
        let to = ["--router", &self.address, "--admin-secret", SECRET];
        run_until(&[arguments, &to].concat(), None, true).await
    }
}

pub(crate) struct Ended {
    pub(crate) code: u8,
    pub(crate) out: String,
    pub(crate) err: String,
}

pub(crate) async fn run(arguments: &[&str]) -> Ended {
    run_until(arguments, None, false).await
}

async fn run_until(arguments: &[&str], interrupt: Option<Duration>, is_terminal: bool) -> Ended {
    let arguments = ["shardctl"].iter().chain(arguments).map(OsString::from);
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let interrupted = Box::pin(async move {
        match interrupt {
            Some(after) => tokio::time::sleep(after).await,
            None => std::future::pending().await,
        }
    });
    let mut desk = Desk { out: &mut out, err: &mut err, is_terminal, interrupted };
    let code = shardctl::run(arguments, &mut desk).await;
    drop(desk);
    let text = |bytes| String::from_utf8(bytes).expect("it prints text");
    Ended { code, out: text(out), err: text(err) }
}

/// Of a cluster of its own, by its secret.
pub(crate) async fn ask(arguments: &[&str]) -> Ended {
    let cluster = cluster().await;
    let to = ["--router", &cluster.address, "--secret", SECRET];
    run(&[arguments, &to].concat()).await
}

pub(crate) async fn prints(arguments: &[&str], expected: &str) {
    let ended = ask(arguments).await;
    assert_eq!((ended.code, ended.err.as_str()), (0, ""));
    assert_eq!(ended.out, expected);
}

pub(crate) async fn ends(arguments: &[&str], code: u8, says: &[&str]) {
    let ended = ask(arguments).await;
    assert_eq!((ended.code, ended.out.as_str()), (code, ""), "{}", ended.err);
    for part in says {
        assert!(ended.err.contains(part), "{part:?} is not in {:?}", ended.err);
    }
}
