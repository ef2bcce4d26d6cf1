//! Databases that go back in time, and a shard from start to start on one.

use crate::catalog::TestCatalog;
use crate::faults::FaultyStore;
use crate::node::{Node, chat_view, eventually};
use async_trait::async_trait;
use shardline_shard_node::store::Store;
use shardline_shard_node::store::sqlite::SqliteStore;
use shardline_wire::internal::GetChat;
use shardline_wire::internal::call::Op;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A database of which a copy can be made, and put back.
#[async_trait]
pub(super) trait Database: Send + Sync {
    async fn open(&self) -> Arc<dyn Store>;
    /// Nothing has it open.
    async fn copy(&self);
    async fn put_back(&self);
}

/// Each state that is put back is another file: threads of a store that was stopped may still be
/// closing the last one.
pub(super) struct File {
    dir: tempfile::TempDir,
    current: AtomicU64,
}

impl File {
    pub(super) fn new() -> File {
        let dir = tempfile::tempdir().expect("a temporary directory");
        File { dir, current: AtomicU64::new(0) }
    }

    fn path(&self) -> PathBuf {
        self.dir.path().join(format!("data-{}.db", self.current.load(Ordering::SeqCst)))
    }

    pub(super) fn copied(&self, to: &str) {
        copy(&self.path(), &self.dir.path().join(to));
    }

    pub(super) fn put_back(&self, from: &str) {
        self.current.fetch_add(1, Ordering::SeqCst);
        copy(&self.dir.path().join(from), &self.path());
    }
}

/// One consistent state, whoever else has the file open.
pub(super) fn copy(from: &Path, to: &Path) {
    let db = rusqlite::Connection::open(from).expect("the file opens");
    db.execute("VACUUM INTO ?", [to.to_str().expect("a plain path")]).expect("a copy");
}

#[async_trait]
impl Database for File {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.path()).await.expect("the file opens"))
    }
    async fn copy(&self) {
        self.copied("copy.db");
    }
    async fn put_back(&self) {
        self.put_back("copy.db");
    }
}

/// One shard from start to start.
pub(super) struct Place<'a> {
    pub(super) database: &'a dyn Database,
    pub(super) catalog: Arc<TestCatalog>,
}

impl Place<'_> {
    pub(super) fn of(database: &dyn Database) -> Place<'_> {
        Place { database, catalog: TestCatalog::new() }
    }

    pub(super) async fn start(&self, losses: &str) -> Node {
        self.start_dying_after(u64::MAX, losses).await
    }

    /// Commits after so many fail.
    pub(super) async fn start_dying_after(&self, commits: u64, losses: &str) -> Node {
        let store = FaultyStore::new(self.database.open().await);
        store.commits_max.store(commits, Ordering::SeqCst);
        let dir = tempfile::tempdir().expect("a temporary directory");
        Node::start_on(dir, store, self.catalog.clone(), losses)
    }
}

/// Stops once everything that was committed has been reported.
pub(super) async fn stop_when_reported(node: Node) {
    eventually("all is reported", async || {
        let positions = node.store.lane_positions().await.expect("a read");
        let committed: Vec<u64> = positions.iter().map(|lane| lane.committed).collect();
        let reports = node.catalog.reports.lock();
        let last = reports.last().map(|report| report.lanes.clone()).unwrap_or_default();
        last.iter().map(|lane| lane.committed).eq(committed.iter().copied())
    })
    .await;
    node.stop().await;
}

/// What /readyz tells the operator to set.
pub(super) async fn asked_for(node: &Node) -> String {
    let shown = || {
        let report = node.health.report();
        report.split_once("accept-loss = ").map(|(_, loss)| loss.trim().to_owned())
    };
    eventually("it says what it lacks", async || shown().is_some()).await;
    assert!(!node.shard.is_writer());
    shown().expect("it was there")
}

pub(super) async fn log_and_ver(node: &Node, chat: u64, user: u64) -> (String, u64) {
    let view = chat_view(node.call(chat, Op::GetChat(GetChat { user, min_ver: 0 })).await);
    let item = view.item.expect("an item");
    (item.log, item.head_ver)
}
