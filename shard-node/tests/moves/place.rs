//! Where the shards' databases are.

use parking_lot::Mutex;
use shardline_shard_node::store::Store;
use shardline_shard_node::store::mysql::{MySqlStore, Options, create_database};
use shardline_shard_node::store::sqlite::SqliteStore;
use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) enum Place {
    Folder(Folder),
    Server(Server),
}

/// A database for each shard.
pub(crate) struct Server {
    pub(crate) url: String,
    /// What the names of the databases begin with.
    pub(crate) name: String,
    /// Another server that follows this one.
    pub(crate) replica: Option<String>,
}

/// A file for each shard; what is put back is another one.
pub(crate) struct Folder {
    dir: tempfile::TempDir,
    versions: Mutex<HashMap<u32, u32>>,
}

impl Folder {
    pub(crate) fn new() -> Folder {
        let dir = tempfile::tempdir().expect("a temporary directory");
        Folder { dir, versions: Mutex::default() }
    }

    pub(crate) fn file(&self, shard: u32) -> PathBuf {
        let version = self.versions.lock().get(&shard).copied().unwrap_or(0);
        self.dir.path().join(format!("shard-{shard}-{version}.db"))
    }

    fn kept(&self, shard: u32, name: &str) -> PathBuf {
        self.dir.path().join(format!("{name}-{shard}.db"))
    }

    /// Of the shard's file as it is now.
    pub(crate) fn copy(&self, shard: u32, name: &str) {
        copy(&self.file(shard), &self.kept(shard, name));
    }

    /// The copy is the shard's file from now on.
    pub(crate) fn put_back(&self, shard: u32, name: &str) {
        *self.versions.lock().entry(shard).or_default() += 1;
        copy(&self.kept(shard, name), &self.file(shard));
    }
}

impl Place {
    /// Where databases can be put back.
    pub(crate) fn folder(&self) -> &Folder {
        match self {
            Place::Folder(folder) => folder,
            Place::Server(_) => panic!("it is on a server"),
        }
    }

    pub(crate) fn url(&self, shard: u32) -> Option<String> {
        match self {
            Place::Folder(_) => None,
            Place::Server(Server { url, name, .. }) => Some(format!("{url}/{name}_{shard}")),
        }
    }

    fn replica(&self, shard: u32) -> Option<String> {
        let Place::Server(Server { name, replica: Some(replica), .. }) = self else { return None };
        Some(format!("{replica}/{name}_{shard}"))
    }

    pub(crate) async fn open(&self, shard: u32) -> Arc<dyn Store> {
        match (self, self.url(shard)) {
            (_, Some(url)) => {
                create_database(&url).await.expect("the test's user may make databases");
                let replicas = self.replica(shard).into_iter().collect();
                let options = Options { replicas, ..Options::new(&url) };
                let store = MySqlStore::open(&options).await;
                Arc::new(store.expect("the database opens"))
            }
            (Place::Folder(folder), None) => {
                Arc::new(SqliteStore::open(&folder.file(shard)).await.expect("the file opens"))
            }
            (Place::Server(_), None) => unreachable!("a server has addresses"),
        }
    }
}

/// One consistent state, whoever else has the file open.
fn copy(from: &Path, to: &Path) {
    let db = rusqlite::Connection::open(from).expect("the file opens");
    db.execute("VACUUM INTO ?", [to.to_str().expect("a plain path")]).expect("a copy");
}
