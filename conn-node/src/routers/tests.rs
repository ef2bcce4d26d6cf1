//! A router list is taken, whoever holds what when it comes.

use super::*;
use shardline_wire::call::{Full, NodeSink, Push};
use shardline_wire::refusal::Refusal;

struct Nowhere;

impl Router for Nowhere {
    fn submit(&self, _: NodeOp, done: Done) {
        done.finish(Err(Refusal::try_again("nowhere", 1)));
    }

    fn is_connected(&self) -> bool {
        true
    }
}

impl RouterConnect for Nowhere {
    fn open(&self, _: &RouterInfo, _: NodeHello, _: Arc<dyn NodeSink>) -> Arc<dyn Router> {
        Arc::new(Nowhere)
    }
}

impl NodeSink for Nowhere {
    fn push(&self, _: Push) -> Result<(), Full> {
        Ok(())
    }
}

#[test]
fn a_list_that_comes_while_links_are_tended_is_taken() {
    let sink_of: SinkOf = Box::new(|_| Arc::new(Nowhere));
    let seeds = vec!["a:1".to_owned()];
    let routers = Routers::new(Arc::new(Nowhere), NodeHello::default(), seeds, sink_of);
    routers.open();
    let router = RouterInfo { id: "a".to_owned(), address: "a:1".to_owned() };
    let list = RouterList { number: 1, routers: vec![router], partitions: 4 };
    let tending = routers.lost_since.lock();
    assert!(routers.take_list(&list));
    drop(tending);
    assert!(!routers.has_list(), "it came while the table was held");
    routers.tend(Instant::now());
    assert!(routers.has_list());
}
