//! What a copy leaves to others: the rest of the time after each page, more of it while people feel it, all of
//! it while a replica is behind, and what the operator's limit asks for. Where writes wait for the copy,
//! nothing.

use super::{Halt, Work};
use crate::metrics::COPY_SHARE;
use crate::mover::orders::Order;
use crate::pressure::Strain;
use shardline_daemon::clock::Stopwatch;
use shardline_domain::placement::transfer::Task;
use shardline_wire::internal::PullScope;
use std::time::Duration;

/// How often to look whether a replica has caught up.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// In the present round: it says nothing about the difference.
#[derive(Clone, Copy, Default)]
pub(super) struct HeldBack {
    pub(super) rested: Duration,
    /// By more than what is always left to others.
    pub(super) strained: bool,
}

impl Work<'_> {
    /// After a page that took so long here.
    pub(super) async fn rest(&self, order: &Order, took: Duration) -> Result<(), Halt> {
        let pressure = &self.mover.pressure;
        while !self.settles() {
            let now = self.mover.fence.now();
            let source = *self.source_commits.lock();
            let strain = pressure.look(now, source);
            metrics::gauge!(COPY_SHARE).set(pressure.share());
            self.held_back.lock().strained |= strain != Strain::None;
            self.part.give_way(match &strain {
                Strain::None => String::new(),
                Strain::Commits => {
                    "slower than it could: commits take longer than usual".to_owned()
                }
                Strain::Replica(name) => format!("the replica {name} is behind"),
            });
            if !matches!(strain, Strain::Replica(_)) {
                self.pause(pressure.rest_after(took)).await;
                break;
            }
            self.pause(LOOK_EVERY).await;
            self.goes_on(order)?;
        }
        if !pressure.is_gentle() {
            pressure.disturb(self.mover.fence.now());
        }
        Ok(())
    }

    /// After so many bytes, by the operator's limit.
    pub(super) async fn rest_by_limit(&self, order: &Order, bytes: u64) {
        let now = self.mover.fence.now();
        let pause = self.throttle.lock().take(bytes, order.bytes_per_second, now);
        self.pause(pause).await;
    }

    /// At most so long: it ends as soon as writes wait for this copy.
    async fn pause(&self, time: Duration) {
        let stopwatch = Stopwatch::start();
        let mut changes = self.part.changes();
        let settles = async { while !self.settles() && changes.changed().await.is_ok() {} };
        // Not waited for to the end: writes wait.
        drop(tokio::time::timeout(time, settles).await);
        self.held_back.lock().rested += stopwatch.elapsed();
    }

    /// Writes wait for this copy, whatever was ordered when it began.
    fn settles(&self) -> bool {
        self.part.order().is_none_or(|order| order.task == Task::Settle)
    }

    /// Of this work's questions.
    pub(super) fn scope(&self, order: &Order) -> PullScope {
        order.scope(self.mover.pressure.is_gentle())
    }
}
