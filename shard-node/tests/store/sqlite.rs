//! The suite on files.

use crate::conformance::{Database, Wire};
use async_trait::async_trait;
use shardline_shard_node::store::sqlite::{SqliteStore, apply, golden};
use shardline_shard_node::store::{Store, StoreError};
use std::path::PathBuf;
use std::sync::Arc;

struct File {
    _folder: tempfile::TempDir,
    path: PathBuf,
}

impl File {
    fn new() -> File {
        let folder = tempfile::tempdir().expect("a folder for a test");
        let path = folder.path().join("shard.db");
        File { _folder: folder, path }
    }
}

#[async_trait]
impl Database for File {
    async fn open(&self) -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(&self.path).await.expect("the file opens"))
    }

    async fn open_by_wire(&self) -> Option<(Arc<dyn Store>, Arc<dyn Wire>)> {
        None
    }

    async fn another(&self) -> Box<dyn Database> {
        Box::new(File::new())
    }
}

macro_rules! cases {
    ($($file:ident::$case:ident),* $(,)?) => {$(
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $case() {
            crate::conformance::$file::$case(&File::new()).await;
        }
    )*};
}

shardline_shard_node::store_conformance!(cases);

#[test]
fn the_schema_is_the_golden_one() {
    let file = File::new();
    apply(&file.path).expect("an empty file takes all steps");
    let once = golden(&file.path).expect("the schema is read");
    apply(&file.path).expect("steps may be applied again");
    assert_eq!(golden(&file.path).expect("the schema is read"), once);
    crate::check_golden("sqlite", &once);
}

#[tokio::test]
async fn a_file_of_another_schema_is_not_opened() {
    let file = File::new();
    drop(file.open().await);
    let db = rusqlite::Connection::open(&file.path).expect("the file opens");
    let next = "INSERT INTO schema_version (version, name)
                SELECT MAX(version) + 1, 'next' FROM schema_version";
    db.execute_batch(next).expect("a step of a later program");
    db.execute_batch(next).expect("another of the same");
    let release = "INSERT INTO schema_releases SELECT MAX(number) + 1 FROM schema_releases";
    db.execute_batch(release).expect("it is of the next release");
    drop(file.open().await);
    db.execute_batch(release).expect("a release after that");
    let refused = SqliteStore::open(&file.path).await.map(drop);
    let told = refused.expect_err("too new").to_string();
    assert!(told.contains("start a program of release 2 or later"), "{told}");
    db.execute_batch("DELETE FROM schema_releases WHERE 1 < number").expect("its own");
    db.execute_batch("DELETE FROM schema_version WHERE 13 <= version").expect("an older schema");
    let refused = SqliteStore::open(&file.path).await.map(drop);
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
}

#[tokio::test]
async fn what_was_committed_is_there_when_opened_again() {
    let file = File::new();
    crate::conformance::writing::everything_of_a_commit_is_there_afterwards(&file).await;
    let store = file.open().await;
    assert!(store.chat(77).await.expect("a read").is_some());
}
