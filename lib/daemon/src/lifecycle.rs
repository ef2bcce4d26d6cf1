//! Named tasks that stop together: asked by a token, awaited under a deadline. A task that panics
//! takes the whole process down in order: half a process is worse than none.

use crate::metrics::TASKS;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{error, warn};

/// A group of tasks; cheap to clone.
#[derive(Clone, Debug)]
pub struct Lifecycle {
    token: CancellationToken,
    tasks: TaskTracker,
    failure: Arc<Failure>,
}

/// The first thing that went wrong, shared by a lifecycle and its children.
#[derive(Debug, Default)]
struct Failure {
    reason: OnceLock<String>,
    happened: CancellationToken,
}

impl Lifecycle {
    #[expect(clippy::new_without_default, reason = "a second one is a decision: see `child`")]
    pub fn new() -> Lifecycle {
        Lifecycle {
            token: CancellationToken::new(),
            tasks: TaskTracker::new(),
            failure: Arc::default(),
        }
    }

    /// A group that is stopped and awaited by its owner, in the owner's own order; only failures
    /// are shared.
    pub fn child(&self) -> Lifecycle {
        Lifecycle { failure: Arc::clone(&self.failure), ..Lifecycle::new() }
    }

    /// Cancelled when this group is stopping.
    pub fn token(&self) -> CancellationToken {
        self.token.clone()
    }

    /// Starts a task. It may end at any time, and must end soon after the token is cancelled. If it
    /// panics, the process stops with an error. The name also labels a metric: few different ones.
    pub fn run<F>(&self, name: &'static str, task: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let running = Running::new(name, self.clone());
        self.tasks.spawn(async move {
            // Dropped when the task ends, is dropped, or unwinds.
            let _running = running;
            task.await;
        });
    }

    /// Asks every task of this group to end.
    pub fn stop(&self) {
        self.token.cancel();
    }

    /// Stops the process for this reason, as a panicking task does.
    pub fn fail(&self, reason: impl Into<String>) {
        let reason = reason.into();
        if let Err(later) = self.failure.reason.set(reason) {
            warn!(reason = later, "something else failed while the process was stopping");
        }
        self.failure.happened.cancel();
    }

    /// Why the process must stop, as soon as there is a reason.
    pub async fn failed(&self) -> String {
        self.failure.happened.cancelled().await;
        self.failure().unwrap_or_default()
    }

    pub fn failure(&self) -> Option<String> {
        self.failure.reason.get().cloned()
    }

    /// Stops, then waits until all tasks have ended, or the deadline has passed (false).
    pub async fn finish(&self, deadline: Duration) -> bool {
        self.stop();
        self.tasks.close();
        tokio::time::timeout(deadline, self.tasks.wait()).await.is_ok()
    }
}

/// Counts a task while it lives and notices if it ends by a panic.
struct Running {
    name: &'static str,
    lifecycle: Lifecycle,
}

impl Running {
    fn new(name: &'static str, lifecycle: Lifecycle) -> Running {
        metrics::gauge!(TASKS, "task" => name).increment(1.0);
        Running { name, lifecycle }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        metrics::gauge!(TASKS, "task" => self.name).decrement(1.0);
        if std::thread::panicking() {
            error!(task = self.name, "a task panicked; the process stops");
            self.lifecycle.fail(format!("task {} panicked", self.name));
        }
    }
}

/// Resolves at the first SIGTERM or Ctrl-C. Created, it already listens: nothing is missed between.
///
/// # Panics
/// If the operating system refuses to install a signal handler.
pub fn stop_signal() -> impl Future<Output = ()> {
    use tokio::signal::unix::{SignalKind, signal};
    let mut terminate = signal(SignalKind::terminate()).expect("SIGTERM can be handled");
    let mut interrupt = signal(SignalKind::interrupt()).expect("SIGINT can be handled");
    async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::oneshot;

    const SOON: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn tasks_are_asked_to_stop_and_awaited() {
        let lifecycle = Lifecycle::new();
        let token = lifecycle.token();
        let (ended, has_ended) = oneshot::channel();
        lifecycle.run("waits for the token", async move {
            token.cancelled().await;
            ended.send(()).expect("the test waits");
        });
        assert!(lifecycle.finish(SOON).await);
        has_ended.await.expect("the task ran to its end");
        assert_eq!(lifecycle.failure(), None);
    }

    #[tokio::test]
    async fn a_task_that_does_not_end_is_reported() {
        let lifecycle = Lifecycle::new();
        lifecycle.run("deaf", std::future::pending());
        assert!(!lifecycle.finish(Duration::from_millis(10)).await);
    }

    #[tokio::test]
    async fn a_panicking_task_stops_the_process_also_from_a_child() {
        let lifecycle = Lifecycle::new();
        lifecycle.child().run("fragile", async { panic!("on purpose") });
        let reason = tokio::time::timeout(SOON, lifecycle.failed()).await;
        assert_eq!(reason.as_deref(), Ok("task fragile panicked"));
    }

    #[tokio::test]
    async fn a_child_stops_on_its_own() {
        let parent = Lifecycle::new();
        let child = parent.child();
        assert!(child.finish(SOON).await);
        assert!(!parent.token().is_cancelled());
    }

    #[tokio::test]
    async fn the_first_reason_is_kept() {
        let lifecycle = Lifecycle::new();
        lifecycle.fail("the term was lost");
        lifecycle.fail("then this");
        assert_eq!(lifecycle.failed().await, "the term was lost");
    }
}
