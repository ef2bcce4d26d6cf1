//! The suite on real servers, each case in a database of its own that is dropped afterwards.

use crate::conformance::{Cut, Database, Wire};
use crate::wire::CuttingWire;
use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts};
use parking_lot::Mutex;
use shardline_shard_node::store::mysql::{MySqlStore, Options, apply, create_database, golden};
use shardline_shard_node::store::{Store, StoreError, Writer};
use std::future::Future;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

/// A server's address, without a database; None if it was asked to do without servers.
fn server(setting: &str) -> Option<String> {
    match std::env::var(setting) {
        Ok(url) => Some(url.trim_end_matches('/').to_owned()),
        Err(_) if std::env::var("SHARDLINE_TEST_SKIP_SERVICES").is_ok_and(|skip| skip == "1") => {
            eprintln!("skipped: {setting} is not set");
            None
        }
        Err(_) => panic!("{setting} is not set: start it with make services"),
    }
}

struct OnServer {
    server: String,
    name: String,
    /// Every database of the case, this one included.
    all: Arc<Mutex<Vec<String>>>,
}

impl OnServer {
    async fn make(server: String, all: Arc<Mutex<Vec<String>>>) -> OnServer {
        let name = format!("test_{:016x}", rand::random::<u64>());
        all.lock().push(name.clone());
        let database = OnServer { server, name, all };
        create_database(&database.url()).await.expect("the test's user may make databases");
        database
    }

    fn url(&self) -> String {
        format!("{}/{}", self.server, self.name)
    }

    async fn root(&self) -> Conn {
        let options = Opts::from_url(&self.server).expect("the setting is an address");
        let options = mysql_async::OptsBuilder::from_opts(options).prefer_socket(false);
        Conn::new(options).await.expect("the server answers")
    }

    async fn sql(&self, sql: &str) {
        let mut root = self.root().await;
        root.query_drop(format!("USE {}", self.name)).await.expect("the database is there");
        root.query_drop(sql).await.expect("a statement of the test");
    }
}

/// Runs a case on a new database of the server that the setting names, and drops it.
async fn on<F: Future<Output = ()>>(setting: &str, case: impl FnOnce(Arc<OnServer>) -> F) {
    let Some(server) = server(setting) else { return };
    let database = Arc::new(OnServer::make(server, Arc::default()).await);
    case(database.clone()).await;
    let mut root = database.root().await;
    let names = std::mem::take(&mut *database.all.lock());
    for name in names {
        root.query_drop(format!("DROP DATABASE {name}")).await.expect("it can be dropped");
    }
}

#[async_trait]
impl Database for OnServer {
    async fn open(&self) -> Arc<dyn Store> {
        let store = MySqlStore::open(&Options::new(self.url())).await;
        Arc::new(store.expect("the database opens"))
    }

    async fn open_by_wire(&self) -> Option<(Arc<dyn Store>, Arc<dyn Wire>)> {
        let options = Opts::from_url(&self.server).expect("the setting is an address");
        let to = (options.ip_or_hostname().to_owned(), options.tcp_port());
        let wire = Arc::new(CuttingWire::start(to).await);
        let user = self.server.rsplit_once('@').map_or("mysql://root", |(user, _)| user);
        let url = format!("{user}@127.0.0.1:{}/{}", wire.port(), self.name);
        let store = MySqlStore::open(&Options::new(url)).await.expect("the database opens");
        let wire = ServerWire { wire, url: self.url(), name: self.name.clone() };
        Some((Arc::new(store), Arc::new(wire)))
    }

    async fn another(&self) -> Box<dyn Database> {
        Box::new(OnServer::make(self.server.clone(), self.all.clone()).await)
    }
}

struct ServerWire {
    wire: Arc<CuttingWire>,
    url: String,
    name: String,
}

#[async_trait]
impl Wire for ServerWire {
    fn cut(&self, at: Cut) {
        self.wire.cut(at);
    }

    async fn was_cut(&self) {
        self.wire.was_cut().await;
    }

    async fn end_sessions(&self) {
        let options = Opts::from_url(&self.url).expect("it was used before");
        let options = mysql_async::OptsBuilder::from_opts(options).prefer_socket(false);
        let mut conn = Conn::new(options).await.expect("the server answers");
        let sql = "SELECT id FROM information_schema.processlist
                   WHERE db = ? AND id <> CONNECTION_ID()";
        let ids: Vec<u64> = conn.exec(sql, (&self.name,)).await.expect("a read");
        for id in ids {
            // One that ended by itself meanwhile is as good.
            let _ended = conn.query_drop(format!("KILL {id}")).await;
        }
    }
}

macro_rules! cases {
    ($($file:ident::$case:ident),* $(,)?) => {
        mod mysql {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::on("SHARDLINE_TEST_MYSQL_URL", |database| async move {
                        crate::conformance::$file::$case(&*database).await;
                    })
                    .await;
                }
            )*
        }

        mod mariadb {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                async fn $case() {
                    super::on("SHARDLINE_TEST_MARIADB_URL", |database| async move {
                        crate::conformance::$file::$case(&*database).await;
                    })
                    .await;
                }
            )*
        }
    };
}

shardline_shard_node::store_conformance!(cases);

async fn check_schema(database: Arc<OnServer>) {
    let options = Options::new(database.url());
    apply(&options).await.expect("an empty database takes all steps");
    let once = golden(&options).await.expect("the schema is read");
    // As after a crash between a step and its record.
    database.sql("DELETE FROM schema_version").await;
    apply(&options).await.expect("steps may be applied again");
    assert_eq!(golden(&options).await.expect("the schema is read"), once);
    crate::check_golden("mysql", &once);
}

#[tokio::test]
async fn the_schema_on_mysql_is_the_golden_one() {
    on("SHARDLINE_TEST_MYSQL_URL", check_schema).await;
}

#[tokio::test]
async fn the_schema_on_mariadb_is_the_golden_one() {
    on("SHARDLINE_TEST_MARIADB_URL", check_schema).await;
}

async fn check_other_schemas(database: Arc<OnServer>) {
    let options = Options::new(database.url());
    let refused = async || {
        let opened = MySqlStore::open(&options).await.map(drop);
        assert!(matches!(opened, Err(StoreError::Corrupt(_))), "{opened:?}");
    };
    database.sql("CREATE TABLE somebody_elses (id INT PRIMARY KEY)").await;
    refused().await;
    database.sql("DROP TABLE somebody_elses").await;
    database.open().await;
    // Making it was interrupted, and nobody has used it.
    database.sql("DELETE FROM schema_version WHERE 5 <= version").await;
    database.sql("DROP TABLE lanes").await;
    database.sql("DELETE FROM schema_version WHERE version = 1").await;
    let store = database.open().await;
    let writer = Writer { term: 1, incarnation: 1 };
    store.take_over(writer, 1).await.expect("nobody has a higher term");
    let next = "INSERT INTO schema_version (version, name)
                SELECT MAX(version) + 1, 'next' FROM schema_version";
    database.sql(next).await;
    database.sql(next).await;
    let release = "INSERT INTO schema_releases SELECT MAX(number) + 1 FROM schema_releases";
    database.sql(release).await;
    database.open().await;
    database.sql(release).await;
    refused().await;
    database.sql("DELETE FROM schema_releases WHERE 1 < number").await;
    database.open().await;
    database.sql("DELETE FROM schema_version WHERE 13 <= version").await;
    refused().await;
}

#[tokio::test]
async fn a_database_of_another_schema_is_not_opened_on_mysql() {
    on("SHARDLINE_TEST_MYSQL_URL", check_other_schemas).await;
}

#[tokio::test]
async fn a_database_of_another_schema_is_not_opened_on_mariadb() {
    on("SHARDLINE_TEST_MARIADB_URL", check_other_schemas).await;
}

/// The process itself, with nothing else there.
fn process(database: &OnServer, migrate: bool) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_shardline-shard-node"));
    command.env_clear().args(["--profile", "local", "--secret", "of this test"]);
    command.args(["--shard", "0", "--name", "shard-node-0", "--listen", "127.0.0.1:0"]);
    command.args(["--ops-listen", "127.0.0.1:0", "--routers", "127.0.0.1:9"]);
    command.args(["--kafka", "127.0.0.1:9", "--database", &database.url()]);
    command.args(["--migrate", if migrate { "true" } else { "false" }]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

#[tokio::test]
async fn a_shard_node_brings_an_older_schema_up_to_date_when_told_to() {
    on("SHARDLINE_TEST_MARIADB_URL", async |database: Arc<OnServer>| {
        let writer = Writer { term: 1, incarnation: 1 };
        database.open().await.take_over(writer, 1).await.expect("nobody has a higher term");
        database.sql("DELETE FROM schema_version WHERE 20 <= version").await;
        let refused = process(&database, false).stderr(Stdio::piped()).output().expect("it ran");
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success() && told.contains("--migrate true"), "{told}");

        let mut migrating = process(&database, true).spawn().expect("it starts");
        let opens = async {
            while MySqlStore::open(&Options::new(database.url())).await.is_err() {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        let opens = tokio::time::timeout(Duration::from_secs(60), opens).await;
        migrating.kill().expect("it runs");
        migrating.wait().expect("it ended");
        opens.expect("the schema is of today");
    })
    .await;
}

#[tokio::test]
async fn a_server_that_is_not_there_is_an_answer() {
    let nobody = Options::new("mysql://root@127.0.0.1:9/shard");
    let refused = MySqlStore::open(&nobody).await.map(drop);
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let refused = MySqlStore::open(&Options::new("mysql://root@127.0.0.1:9")).await.map(drop);
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    let secret = Options::new("mysq://root:secret@127.0.0.1/x");
    let refused = MySqlStore::open(&secret).await.map(drop).expect_err("not an address");
    assert!(!refused.to_string().contains("secret"), "{refused}");
}
