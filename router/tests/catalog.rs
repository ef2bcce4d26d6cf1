//! The catalog on the real databases: what every form promises, and that the schema is as recorded.

use shardline_router::catalog::CatalogStore;
use shardline_router::catalog::migrate::Migrate;
use shardline_router::catalog::mysql::{MysqlCatalog, describe};
use shardline_router::catalog::sqlite::SqliteCatalog;
use shardline_router::catalog_checks;
use std::path::PathBuf;

/// A database of a test's own, gone with it.
struct Database {
    server: mysql_async::Opts,
    name: String,
}

impl Database {
    /// On the server that the variable names; None if there is none and that is allowed.
    fn on(variable: &str) -> Option<Database> {
        let Some(url) = read(variable) else {
            assert_eq!(
                read("SHARDLINE_TEST_SKIP_SERVICES").as_deref(),
                Some("1"),
                "{variable} names no server; start it with make services"
            );
            eprintln_skipped(variable);
            return None;
        };
        let server = mysql_async::Opts::from_url(&url).expect("a mysql url");
        Some(Database { server, name: format!("shardline_test_{:016x}", rand::random::<u64>()) })
    }

    fn url(&self) -> String {
        let (host, port) = (self.server.ip_or_hostname(), self.server.tcp_port());
        let user = self.server.user().unwrap_or("root");
        let password = self.server.pass().map(|pass| format!(":{pass}")).unwrap_or_default();
        format!("mysql://{user}{password}@{host}:{port}/{}", self.name)
    }

    async fn open(&self) -> MysqlCatalog {
        MysqlCatalog::open(&self.url(), Migrate::IfEmpty).await.expect("the catalog opens")
    }

    async fn drop(self) {
        use mysql_async::prelude::Queryable;
        let mut server = mysql_async::Conn::new(self.server).await.expect("the server answers");
        server.query_drop(format!("DROP DATABASE `{}`", self.name)).await.expect("dropped");
        server.disconnect().await.expect("a goodbye");
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "tests are told by the environment where servers are"
)]
fn read(variable: &str) -> Option<String> {
    std::env::var(variable).ok().filter(|value| !value.is_empty())
}

#[expect(clippy::print_stderr, reason = "whoever runs the tests must see what was left out")]
fn eprintln_skipped(variable: &str) {
    eprintln!("skipped: {variable} is not set");
}

macro_rules! on_server {
    ($module:ident, $variable:literal: $($check:ident)+) => {
        mod $module {
            $(#[tokio::test]
            async fn $check() {
                let Some(database) = super::Database::on($variable) else { return };
                let (a, b) = (database.open().await, database.open().await);
                shardline_router::catalog::conformance::$check(&a, &b).await;
                a.close().await;
                b.close().await;
                database.drop().await;
            })+
        }
    };
}

macro_rules! on_mysql {
    ($($check:ident)+) => { on_server!(mysql, "SHARDLINE_TEST_MYSQL_URL": $($check)+); };
}

macro_rules! on_mariadb {
    ($($check:ident)+) => { on_server!(mariadb, "SHARDLINE_TEST_MARIADB_URL": $($check)+); };
}

macro_rules! on_sqlite {
    ($($check:ident)+) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $check() {
                let folder = tempfile::tempdir().expect("a folder");
                let (a, b) = (super::sqlite_in(&folder).await, super::sqlite_in(&folder).await);
                shardline_router::catalog::conformance::$check(&a, &b).await;
            })+
        }
    };
}

catalog_checks!(on_mysql);
catalog_checks!(on_mariadb);
catalog_checks!(on_sqlite);

async fn sqlite_in(folder: &tempfile::TempDir) -> SqliteCatalog {
    let file = folder.path().join("catalog.db");
    SqliteCatalog::open(&file, Migrate::IfEmpty).await.expect("the catalog opens")
}

fn golden(flavour: &str) -> String {
    let file = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("../migrations/catalog")
        .join(flavour)
        .join("schema.golden");
    std::fs::read_to_string(file).expect("the recorded schema")
}

#[tokio::test]
async fn migrations_lead_to_the_recorded_schema_on_mysql_and_mariadb() {
    for variable in ["SHARDLINE_TEST_MYSQL_URL", "SHARDLINE_TEST_MARIADB_URL"] {
        let Some(database) = Database::on(variable) else { continue };
        let catalog = database.open().await;
        let described = describe(&catalog).await.expect("a description");
        catalog.close().await;
        database.drop().await;
        assert_eq!(described, golden("mysql"), "on {variable}");
    }
}

#[tokio::test]
async fn migrations_lead_to_the_recorded_schema_on_sqlite() {
    let folder = tempfile::tempdir().expect("a folder");
    let described = sqlite_in(&folder).await.describe().await.expect("a description");
    assert_eq!(described, golden("sqlite"));
}

#[tokio::test]
async fn migrations_may_be_run_twice_and_by_two_at_once() {
    // New files: who comes first to one is left to chance.
    for _ in 0..30 {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("catalog.db");
        for _ in 0..2 {
            let (a, b) = tokio::join!(
                SqliteCatalog::open(&file, Migrate::Always),
                SqliteCatalog::open(&file, Migrate::IfEmpty),
            );
            a.and(b).expect("both open");
        }
    }
    for variable in ["SHARDLINE_TEST_MYSQL_URL", "SHARDLINE_TEST_MARIADB_URL"] {
        let Some(database) = Database::on(variable) else { continue };
        let url = database.url();
        for _ in 0..2 {
            let (a, b) = tokio::join!(
                MysqlCatalog::open(&url, Migrate::Always),
                MysqlCatalog::open(&url, Migrate::IfEmpty),
            );
            a.expect("one opens").close().await;
            b.expect("the other opens").close().await;
        }
        database.drop().await;
    }
}

/// What a failed migration leaves: the step was done, but not noted.
#[tokio::test]
async fn a_migration_that_was_cut_off_is_finished() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(sqlite_in(&folder).await);
    let file = folder.path().join("catalog.db");
    let raw = rusqlite::Connection::open(&file).expect("the file");
    raw.execute("DELETE FROM schema_steps WHERE number > 3", []).expect("deleted");
    drop(raw);
    let error = SqliteCatalog::open(&file, Migrate::IfEmpty).await.err().expect("not by itself");
    assert!(error.to_string().contains("0004-slots"), "{error}");
    let catalog = SqliteCatalog::open(&file, Migrate::Always).await.expect("when told to");
    assert_eq!(catalog.describe().await.expect("a description"), golden("sqlite"));
}

/// Steps that this router does not know, of the next release and of the one after.
#[tokio::test]
async fn a_catalog_of_the_next_release_is_opened_and_no_newer_one() {
    let folder = tempfile::tempdir().expect("a folder");
    drop(sqlite_in(&folder).await);
    let file = folder.path().join("catalog.db");
    let raw = rusqlite::Connection::open(&file).expect("the file");
    let steps = "INSERT INTO schema_steps (number, name) VALUES (90, '0090-a'), (91, '0091-b')";
    raw.execute_batch(steps).expect("two steps");
    let release = "INSERT INTO schema_releases SELECT MAX(number) + 1 FROM schema_releases";
    raw.execute_batch(release).expect("of the next release");
    SqliteCatalog::open(&file, Migrate::IfEmpty).await.expect("it only adds");
    raw.execute_batch(release).expect("of the one after");
    for when in [Migrate::IfEmpty, Migrate::Always] {
        let told = SqliteCatalog::open(&file, when).await.err().expect("too new").to_string();
        assert!(told.contains("start a router of release 2 or later"), "{told}");
    }
    for variable in ["SHARDLINE_TEST_MYSQL_URL", "SHARDLINE_TEST_MARIADB_URL"] {
        use mysql_async::prelude::Queryable;
        let Some(database) = Database::on(variable) else { continue };
        database.open().await.close().await;
        let url = mysql_async::Opts::from_url(&database.url()).expect("a mysql url");
        let mut raw = mysql_async::Conn::new(url).await.expect("the server answers");
        raw.query_drop(steps).await.expect("two steps");
        raw.query_drop(release).await.expect("of the next release");
        database.open().await.close().await;
        raw.query_drop(release).await.expect("of the one after");
        let opened = MysqlCatalog::open(&database.url(), Migrate::IfEmpty).await;
        let told = opened.err().expect("too new").to_string();
        assert!(told.contains("start a router of release 2 or later"), "{told}");
        raw.disconnect().await.expect("a goodbye");
        database.drop().await;
    }
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable_and_says_so_in_time() {
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = nobody.local_addr().expect("its address").port();
    // It accepts and never answers.
    let url = format!("mysql://root@127.0.0.1:{port}/catalog");
    let error = MysqlCatalog::open(&url, Migrate::IfEmpty).await.err().expect("nobody is there");
    assert!(error.to_string().contains("unavailable"), "{error}");
}

#[tokio::test]
async fn sqlite_keeps_everything_over_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = sqlite_in(&folder).await;
    let hour = std::time::Duration::from_secs(3600);
    let term = first.lead("one", hour).await.expect("an answer").term;
    drop(first);
    let second = sqlite_in(&folder).await.lead("two", hour).await.expect("an answer");
    assert_eq!((second.mine, second.term, second.holder.as_str()), (false, term, "one"));
}
