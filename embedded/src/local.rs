//! The ways between the parts in one process: calls instead of streams.

use async_trait::async_trait;
use parking_lot::RwLock;
use shardline_router::router::Router;
use shardline_shard_node::ShardNode;
use shardline_wire::call::{
    self, Done, NodeSink, RouterAccept, RouterConnect, Shard, ShardConnect,
};
use shardline_wire::internal::{
    Call, ChangedAnswer, ChangedRequest, DigestsAnswer, DigestsRequest, HeadsAnswer, HeadsRequest,
    MoveOrder, MoveReport, NodeHello, RouterInfo, RowsAnswer, RowsRequest, ShardDescription,
};
use shardline_wire::moves::{Moves, MovesConnect};
use shardline_wire::refusal::Refusal;
use std::collections::HashMap;
use std::sync::Arc;

type Nodes = Arc<RwLock<HashMap<String, Arc<ShardNode>>>>;

/// Shard-nodes by the address they would have.
#[derive(Clone, Default)]
pub(crate) struct LocalShards {
    nodes: Nodes,
}

impl LocalShards {
    pub(crate) fn add(&self, address: String, node: Arc<ShardNode>) {
        self.nodes.write().insert(address, node);
    }
}

impl MovesConnect for LocalShards {
    fn open(&self, address: &str) -> Arc<dyn Moves> {
        Arc::new(LocalShard { address: address.to_owned(), nodes: self.nodes.clone() })
    }
}

impl ShardConnect for LocalShards {
    fn open(&self, address: &str) -> Arc<dyn Shard> {
        Arc::new(LocalShard { address: address.to_owned(), nodes: self.nodes.clone() })
    }
}

/// Found at each call: a router may learn an address before its shard-node has started.
struct LocalShard {
    address: String,
    nodes: Nodes,
}

impl LocalShard {
    fn node(&self) -> Result<Arc<ShardNode>, Refusal> {
        let node = self.nodes.read().get(&self.address).cloned();
        node.ok_or_else(|| Refusal::try_again("the shard has not started", 100))
    }
}

#[async_trait]
impl Moves for LocalShard {
    async fn describe(&self) -> Result<ShardDescription, Refusal> {
        self.node()?.describe().await
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
