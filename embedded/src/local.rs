//! The ways between the parts in one process: calls instead of streams.

use crate::shards::{Look, Number};
use async_trait::async_trait;
use parking_lot::RwLock;
use shardline_router::router::Router;
use shardline_shard_node::ShardNode;
use shardline_wire::call::{
    self, Done, NodeSink, RouterAccept, RouterAsk, RouterConnect, Shard, ShardConnect,
};
use shardline_wire::inspect::{Inspect, InspectConnect};
use shardline_wire::internal::{
    Call, ChangedAnswer, ChangedRequest, DigestsAnswer, DigestsRequest, HeadsAnswer, HeadsRequest,
    LookAnswer, LookRequest, MoveOrder, MoveReport, NodeHello, RecallRequest, RouterInfo,
    RouterRecalled, RowsAnswer, RowsRequest, ScanAnswer, ScanRequest, ShardDescription,
    SurveyAnswer, SurveyRequest,
};
use shardline_wire::moves::{Moves, MovesConnect};
use shardline_wire::refusal::{Code, Refusal};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};

/// The shard-nodes that run.
pub(crate) type Nodes = Arc<RwLock<BTreeMap<Number, Arc<ShardNode>>>>;

/// Shard-nodes by the address they have here, like `shard-2`.
#[derive(Clone)]
pub(crate) struct LocalShards {
    nodes: Nodes,
    /// Who is not in the catalog is asked after there.
    looks: mpsc::Sender<Look>,
}

impl LocalShards {
    pub(crate) fn new(nodes: Nodes, looks: mpsc::Sender<Look>) -> LocalShards {
        LocalShards { nodes, looks }
    }

    fn open(&self, address: &str) -> Arc<LocalShard> {
        Arc::new(LocalShard { number: Number::parse(address), shards: self.clone() })
    }
}

impl MovesConnect for LocalShards {
    fn open(&self, address: &str) -> Arc<dyn Moves> {
        self.open(address)
    }
}

impl InspectConnect for LocalShards {
    fn open(&self, address: &str) -> Arc<dyn Inspect> {
        self.open(address)
    }
}

impl ShardConnect for LocalShards {
    fn open(&self, address: &str) -> Arc<dyn Shard> {
        self.open(address)
    }
}

/// Found at each call: a router may learn an address before its shard-node has started. An address that
/// is none answers every call with why.
struct LocalShard {
    number: Result<Number, Refusal>,
    shards: LocalShards,
}

impl LocalShard {
    fn find(&self) -> Result<Option<Arc<ShardNode>>, Refusal> {
        let number = self.number.clone()?;
        Ok(self.shards.nodes.read().get(&number).cloned())
    }

    fn node(&self) -> Result<Arc<ShardNode>, Refusal> {
        self.find()?.ok_or_else(|| Refusal::try_again("the shard has not started", 100))
    }
}

#[async_trait]
impl Moves for LocalShard {
    async fn describe(&self) -> Result<ShardDescription, Refusal> {
        if let Some(node) = self.find()? {
            return node.describe().await;
        }
        let (answer, answered) = oneshot::channel();
        let look = Look { number: self.number.clone()?, answer };
        let asked = self.shards.looks.try_send(look);
        asked.map_err(|_| Refusal::try_again("too many ask at once", 100))?;
        let gone = |_| Refusal::new(Code::Unavailable, "the process is stopping");
        answered.await.map_err(gone)?
    }

    async fn order(&self, order: MoveOrder) -> Result<MoveReport, Refusal> {
        self.node()?.order(order).await
    }

    async fn changed(&self, request: ChangedRequest) -> Result<ChangedAnswer, Refusal> {
        self.node()?.changed(request).await
    }

    async fn heads(&self, request: HeadsRequest) -> Result<HeadsAnswer, Refusal> {
        self.node()?.heads(request).await
    }

    async fn rows(&self, request: RowsRequest) -> Result<RowsAnswer, Refusal> {
        self.node()?.rows(request).await
    }

    async fn digests(&self, request: DigestsRequest) -> Result<DigestsAnswer, Refusal> {
        self.node()?.digests(request).await
    }
}

#[async_trait]
impl Inspect for LocalShard {
    async fn survey(&self, request: SurveyRequest) -> Result<SurveyAnswer, Refusal> {
        self.node()?.survey(request).await
    }

    async fn scan(&self, request: ScanRequest) -> Result<ScanAnswer, Refusal> {
        self.node()?.scan(request).await
    }

    async fn look(&self, request: LookRequest) -> Result<LookAnswer, Refusal> {
        self.node()?.look(request).await
    }

    async fn ask_catalog(&self) -> Result<(), Refusal> {
        self.node()?.ask_catalog().await
    }
}

impl Shard for LocalShard {
    fn submit(&self, call: Call, done: Done) {
        match self.node() {
            Ok(node) => node.submit(call, done),
            Err(refusal) => done.finish(Err(refusal)),
        }
    }
}

/// The one router.
pub(crate) struct LocalRouter(pub(crate) Arc<Router>);

impl RouterConnect for LocalRouter {
    fn open(
        &self,
        _: &RouterInfo,
        hello: NodeHello,
        sink: Arc<dyn NodeSink>,
    ) -> Arc<dyn call::Router> {
        self.0.accept(hello, sink)
    }
}

/// It is the only one.
pub(crate) struct NoOther;

#[async_trait]
impl RouterAsk for NoOther {
    async fn recall(&self, _: &str, _: RecallRequest) -> Result<RouterRecalled, Refusal> {
        Err(Refusal::new(Code::Unavailable, "there is no other router"))
    }
}
