//! What routers say without being asked, taken on the thread that brings it: it is short, and a
//! router that says more than we can take waits at its own end.

use crate::metrics::{DELIVERY_SECONDS, EVENTS_IN};
use crate::node::Node;
use crate::routers::Line;
use shardline_daemon::clock;
use shardline_wire::call::{Full, NodeOp, NodeSink, Push};
use shardline_wire::internal::{Event, NodeRecalled, Recall, Recalled};
use std::sync::{Arc, Weak};

/// This node's end of one router's line.
pub(crate) struct RouterSink {
    node: Weak<Node>,
    line: Arc<Line>,
}

impl RouterSink {
    pub(crate) fn new(node: Weak<Node>, line: Arc<Line>) -> RouterSink {
        RouterSink { node, line }
    }
}

impl NodeSink for RouterSink {
    fn push(&self, push: Push) -> Result<(), Full> {
        // Without a node the process is ending: nobody is there to miss it.
        let Some(node) = self.node.upgrade() else { return Ok(()) };
        match push {
            Push::Events(events) => take_events(&node, events),
            Push::Signals(signals) => {
                for signal in signals {
                    node.hub.on_signal(signal);
                }
            }
            Push::Behind => node.routers.on_stream(&self.line),
            Push::Routers(list) => drop(node.routers.take_list(&list)),
            Push::Recall(recall) => answer(&node, &self.line, recall),
        }
        Ok(())
    }
}

fn take_events(node: &Node, events: Vec<Event>) {
    metrics::counter!(EVENTS_IN).increment(events.len() as u64);
    let last_committed_at = events.last().map(|event| event.committed_at_ms);
    for session in node.hub.on_events(events) {
        node.revoked.add(session, clock::now_ms());
    }
    // Once a batch: the last one waited least, but a batch is short.
    if let Some(committed_at_ms) = last_committed_at.filter(|at| 0 < *at) {
        let taken_ms = u32::try_from(clock::now_ms() - committed_at_ms).unwrap_or_default();
        metrics::histogram!(DELIVERY_SECONDS).record(f64::from(taken_ms) / 1000.0);
    }
}

/// What this node did with an event, as far as it remembers.
fn answer(node: &Node, line: &Line, recall: Recall) {
    let Some(event) = recall.event else { return };
    let (applied, since_ms) = node.hub.remembered.find(event.entity, event.ver);
    let name = node.config.node.clone();
    let said = NodeRecalled { node: name, answered: true, since_ms, applied };
    let recalled = Recalled { number: recall.number, said: Some(said) };
    node.routers.tell(line, NodeOp::Recalled(recalled));
}
