//! Signals (typing, receipts, presence) from one conn-node to others: directly, never stored. When
//! too many wait, new ones are lost; no caller ever waits.

use crate::audience::Streams;
use crate::connections::Connections;
use crate::interest::Interest;
use crate::metrics::{SIGNALS, SIGNALS_DROPPED};
use crate::whereabouts::Whereabouts;
use shardline_domain::id::UserId;
use shardline_domain::limits::DIRECT_PUSH_MEMBERS_MAX;
use shardline_wire::call::Push;
use shardline_wire::internal::Signal;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// Signals waiting to be passed on: what a busy second brings. Older ones would be stale.
const WAITING_MAX: usize = 4_096;
/// Passed on together, with one look-up of presence.
const BATCH_MAX: usize = 256;

/// Where conn-nodes' streams put signals.
#[derive(Clone)]
pub(crate) struct Signals(mpsc::Sender<Signal>);

/// What passes them on.
pub(crate) struct SignalRelay {
    waiting: mpsc::Receiver<Signal>,
    pub(crate) connections: Arc<Connections>,
    pub(crate) interest: Arc<Interest>,
    pub(crate) whereabouts: Arc<Whereabouts>,
}

impl Signals {
    pub(crate) fn new(
        connections: Arc<Connections>,
        interest: Arc<Interest>,
        whereabouts: Arc<Whereabouts>,
    ) -> (Signals, SignalRelay) {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        (Signals(sender), SignalRelay { waiting, connections, interest, whereabouts })
    }

    /// Loses it if too many wait, or if it names more users than a chat may have for direct push.
    pub(crate) fn put(&self, signal: Signal) {
        let is_too_wide = DIRECT_PUSH_MEMBERS_MAX < signal.users.len();
        if is_too_wide || self.0.try_send(signal).is_err() {
            metrics::counter!(SIGNALS_DROPPED).increment(1);
        }
    }
}

impl SignalRelay {
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        let mut batch = Vec::new();
        loop {
            let taken = tokio::select! {
                () = stop.cancelled() => return,
                taken = self.waiting.recv_many(&mut batch, BATCH_MAX) => taken,
            };
            if taken == 0 {
                return;
            }
            self.pass_on(&batch).await;
            batch.clear();
        }
    }

    async fn pass_on(&self, signals: &[Signal]) {
        let users: BTreeSet<u64> =
            signals.iter().flat_map(|signal| &signal.users).copied().collect();
        let users: Vec<UserId> =
            users.into_iter().filter_map(|user| UserId::new(user).ok()).collect();
        let streams = Streams::as_of_now(&self.connections.load());
        let located = self.whereabouts.of(&users).await;
        let mut by_stream = vec![Vec::new(); streams.get().len()];
        for signal in signals {
            let needs = streams.for_signal(signal.chat, &signal.users, &self.interest, &located);
            for (stream, _) in needs.iter().enumerate().filter(|(_, needs)| **needs) {
                by_stream[stream].push(signal.clone());
            }
        }
        for (stream, signals) in streams.get().iter().zip(by_stream) {
            if !signals.is_empty() {
                self.connections.push(stream, Push::Signals(signals));
            }
        }
        metrics::counter!(SIGNALS).increment(signals.len() as u64);
    }
}
