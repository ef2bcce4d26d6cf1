//! Asks the conn-nodes with a stream to this router what they remember of an event. Whoever says nothing
//! in time is shown as silent: nobody waits for a stuck one.

use crate::connections::Connections;
use parking_lot::Mutex;
use shardline_wire::call::Push;
use shardline_wire::internal::{NodeRecalled, Recall, RecallRequest, Recalled};
use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

const ANSWER_TIME_MAX: Duration = Duration::from_millis(700);
/// Questions at once: operators ask seldom.
const QUESTIONS_MAX: usize = 64;

#[derive(Default)]
pub(crate) struct Recalls {
    last: AtomicU64,
    waiting: Mutex<HashMap<u64, mpsc::Sender<NodeRecalled>>>,
}

impl Recalls {
    /// Each conn-node once, by name.
    pub(crate) async fn ask(
        &self,
        connections: &Connections,
        event: RecallRequest,
    ) -> Vec<NodeRecalled> {
        let streams = connections.load().to_vec();
        let silent = |node: &str| NodeRecalled { node: node.to_owned(), ..Default::default() };
        let mut nodes: BTreeMap<String, NodeRecalled> =
            streams.iter().map(|stream| (stream.node.clone(), silent(&stream.node))).collect();
        let number = self.last.fetch_add(1, Ordering::Relaxed) + 1;
        let (said, mut heard) = mpsc::channel(streams.len().max(1));
        {
            let mut waiting = self.waiting.lock();
            if QUESTIONS_MAX <= waiting.len() {
                return nodes.into_values().collect();
            }
            waiting.insert(number, said);
        }
        // Also when whoever asks goes away.
        let _asked = Asked { recalls: self, number };
        for stream in &streams {
            let recall = Recall { number, event: Some(event) };
            connections.push(stream, Push::Recall(recall));
        }
        let deadline = Instant::now() + ANSWER_TIME_MAX;
        while nodes.values().any(|node| !node.answered) {
            let Ok(Some(said)) = timeout_at(deadline, heard.recv()).await else { break };
            nodes.insert(said.node.clone(), said);
        }
        nodes.into_values().collect()
    }

    /// What the node with this name said.
    pub(crate) fn answered(&self, node: &str, recalled: Recalled) {
        let waiting = self.waiting.lock();
        if let (Some(said), Some(asker)) = (recalled.said, waiting.get(&recalled.number)) {
            let said = NodeRecalled { node: node.to_owned(), answered: true, ..said };
            // Full: it said so more often than it was asked.
            drop(asker.try_send(said));
        }
    }
}

struct Asked<'a> {
    recalls: &'a Recalls,
    number: u64,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.recalls.waiting.lock().remove(&self.number);
    }
}
