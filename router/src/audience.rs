//! Which streams need what. Pure: what presence, interest and the nodes themselves say comes in.
//!
//! Presence may add work, never remove a delivery: a node that has not said that all its sessions are
//! in presence gets every event that has receivers, and so does every node while presence is away.

use crate::connections::Stream;
use crate::interest::Interest;
use shardline_backends::presence::NodeId;
use shardline_daemon::sabotage::is_planted;
use shardline_domain::id::UserId;
use shardline_wire::internal::{Event, EventKind};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// The streams as they stood before presence was asked: a node that says later that all its sessions
/// are in presence may mean ones that the look-up did not see.
pub(crate) struct Streams {
    streams: Vec<Arc<Stream>>,
    is_complete: Vec<bool>,
    by_node: HashMap<String, Vec<usize>>,
}

/// Where users are; None while presence is away.
pub(crate) type Located = Option<HashMap<u64, Vec<NodeId>>>;

impl Streams {
    /// `streams` are ordered by number.
    pub(crate) fn as_of_now(streams: &[Arc<Stream>]) -> Streams {
        let mut by_node: HashMap<String, Vec<usize>> = HashMap::new();
        for (index, stream) in streams.iter().enumerate() {
            by_node.entry(stream.node.clone()).or_default().push(index);
        }
        Streams {
            streams: streams.to_vec(),
            is_complete: streams.iter().map(|stream| stream.is_complete()).collect(),
            by_node,
        }
    }

    pub(crate) fn get(&self) -> &[Arc<Stream>] {
        &self.streams
    }

    /// For each stream the indices of the events it needs, in order, each once.
    pub(crate) fn audience(
        &self,
        events: &[Event],
        interest: &Interest,
        located: &Located,
    ) -> Vec<Vec<usize>> {
        let mut needed = vec![Vec::new(); self.streams.len()];
        let mut needs = vec![false; self.streams.len()];
        for (index, event) in events.iter().enumerate() {
            needs.fill(event.kind() == EventKind::SessionEnded);
            self.add_nodes_of(receivers(event), located, &mut needs);
            self.add_interested(event.entity, interest, &mut needs);
            for (stream, _) in needs.iter().enumerate().filter(|(_, needs)| **needs) {
                needed[stream].push(index);
            }
        }
        needed
    }

    /// The streams for a signal to these users, and to those with an interest in the chat if it names
    /// none. While presence is away, only interest counts: signals may be lost, a flood must not be.
    pub(crate) fn for_signal(
        &self,
        chat: u64,
        users: &[u64],
        interest: &Interest,
        located: &Located,
    ) -> Vec<bool> {
        let mut needs = vec![false; self.streams.len()];
        if users.is_empty() || located.is_none() {
            self.add_interested(chat, interest, &mut needs);
        } else {
            self.add_nodes_of(users.iter().copied(), located, &mut needs);
        }
        needs
    }

    fn add_nodes_of(
        &self,
        users: impl Iterator<Item = u64>,
        located: &Located,
        needs: &mut [bool],
    ) {
        let mut users = users.peekable();
        if users.peek().is_none() {
            return;
        }
        let Some(located) = located else { return needs.fill(true) };
        for (needs, is_complete) in needs.iter_mut().zip(&self.is_complete) {
            *needs |= !is_complete && !is_planted("presence-removes-a-delivery");
        }
        for node in users.filter_map(|user| located.get(&user)).flatten() {
            for stream in self.by_node.get(node.as_str()).into_iter().flatten() {
                needs[*stream] = true;
            }
        }
    }

    fn add_interested(&self, chat: u64, interest: &Interest, needs: &mut [bool]) {
        interest.each(chat, |number| {
            if let Ok(stream) = self.streams.binary_search_by_key(&number, |s| s.number) {
                needs[stream] = true;
            }
        });
    }
}

/// Whom presence is asked for. In a wide chat only the subject: the others are there by interest.
pub(crate) fn receivers(event: &Event) -> impl Iterator<Item = u64> {
    let receivers = if event.wide { &[] } else { event.receivers.as_slice() };
    receivers.iter().copied().chain((event.subject != 0).then_some(event.subject))
}

/// All distinct receivers of some events.
pub(crate) fn all_receivers<'a>(events: impl Iterator<Item = &'a Event>) -> Vec<UserId> {
    let all: BTreeSet<u64> = events.flat_map(receivers).collect();
    all.into_iter().filter_map(|user| UserId::new(user).ok()).collect()
}

#[cfg(test)]
mod tests;
