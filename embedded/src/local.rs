//! The ways between the parts in one process: calls instead of streams.

use parking_lot::RwLock;
use shardline_router::router::Router;
use shardline_wire::call::{
    self, Done, NodeSink, RouterAccept, RouterConnect, Shard, ShardConnect,
};
use shardline_wire::internal::{Call, NodeHello, RouterInfo};
use shardline_wire::refusal::Refusal;
use std::collections::HashMap;
use std::sync::Arc;

/// Shard-nodes by the address they would have.
#[derive(Default)]
pub(crate) struct LocalShards {
    nodes: Arc<RwLock<HashMap<String, Arc<dyn Shard>>>>,
}

impl LocalShards {
    pub(crate) fn add(&self, address: String, node: Arc<dyn Shard>) {
        self.nodes.write().insert(address, node);
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
    nodes: Arc<RwLock<HashMap<String, Arc<dyn Shard>>>>,
}

impl Shard for LocalShard {
    fn submit(&self, call: Call, done: Done) {
        let node = self.nodes.read().get(&self.address).cloned();
        match node {
            Some(node) => node.submit(call, done),
            None => done.finish(Err(Refusal::try_again("the shard has not started", 100))),
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
