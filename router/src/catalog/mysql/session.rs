//! Connections to the catalog's server, and transactions on them: bounded in time, tried again when
//! the server gave another one way.

use crate::catalog::CatalogError;
use mysql_async::{
    Conn, Opts, OptsBuilder, Pool, PoolConstraints, PoolOpts, Transaction, TxOpts,
    prelude::Queryable,
};
use std::time::Duration;
use tokio::time::{sleep, timeout};

/// A step of the catalog takes milliseconds; longer means that the server is away.
const STEP_TIME_MAX: Duration = Duration::from_secs(3);
/// Several routers write a handful of rows; each try lets at least one of them through.
const TRIES: u32 = 8;
/// One router asks little at a time; the rest waits in the pool.
const CONNECTIONS_MAX: usize = 8;
/// A session that says nothing for so long is ended by the server, and its transaction with it: a router
/// that hangs must not hold what others need to go on without it.
const SILENCE_MAX: &str = "SET SESSION wait_timeout = 3";
/// Unused connections are closed well before.
const UNUSED_MAX: Duration = Duration::from_secs(1);
const UNUSED_LOOK: Duration = Duration::from_millis(500);

const UNKNOWN_DATABASE: u16 = 1049;
const LOCK_WAIT_TIMEOUT: u16 = 1205;
const DEADLOCK: u16 = 1213;
/// No such table, unknown column, wrong value, too long: the schema is not ours.
const NOT_OUR_SCHEMA: [u16; 5] = [1054, 1146, 1264, 1366, 1406];

pub(super) type Tx = Transaction<'static>;

pub(super) struct Sessions {
    pool: Pool,
}

/// Why a step ended without a result.
pub(super) enum Failure {
    Server(mysql_async::Error),
    Says(CatalogError),
}

impl Failure {
    pub(super) fn corrupt(what: &str) -> Failure {
        Failure::Says(CatalogError::Corrupt(what.to_owned()))
    }

    fn code(&self) -> Option<u16> {
        match self {
            Failure::Server(mysql_async::Error::Server(error)) => Some(error.code),
            _ => None,
        }
    }

    fn gave_way(&self) -> bool {
        matches!(self.code(), Some(DEADLOCK | LOCK_WAIT_TIMEOUT))
    }
}

impl From<mysql_async::Error> for Failure {
    fn from(error: mysql_async::Error) -> Failure {
        Failure::Server(error)
    }
}

impl From<CatalogError> for Failure {
    fn from(error: CatalogError) -> Failure {
        Failure::Says(error)
    }
}

impl From<Failure> for CatalogError {
    fn from(failure: Failure) -> CatalogError {
        let ours = failure.code().is_some_and(|code| NOT_OUR_SCHEMA.contains(&code));
        match failure {
            Failure::Says(error) => error,
            Failure::Server(error) if ours => CatalogError::Corrupt(error.to_string()),
            Failure::Server(error) => CatalogError::Unavailable(error.to_string()),
        }
    }
}

impl Sessions {
    /// Makes sure that the server answers and the database is there.
    pub(super) async fn open(url: &str) -> Result<Sessions, CatalogError> {
        let opts = Opts::from_url(url)
            .map_err(|error| CatalogError::Refused(format!("the catalog's url: {error}")))?;
        if opts.db_name().is_none_or(str::is_empty) {
            return Err(CatalogError::Refused("the catalog's url names no database".to_owned()));
        }
        within(make_database(&opts)).await?;
        let limits = PoolConstraints::new(0, CONNECTIONS_MAX).expect("0 is not above the most");
        let pool = PoolOpts::default()
            .with_constraints(limits)
            .with_reset_connection(false)
            .with_inactive_connection_ttl(UNUSED_MAX)
            .with_ttl_check_interval(UNUSED_LOOK);
        let opts = OptsBuilder::from_opts(opts).pool_opts(pool).client_found_rows(true).init(vec![
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
            "SET SESSION innodb_lock_wait_timeout = 2",
            SILENCE_MAX,
            "SET SESSION sql_mode = 'STRICT_ALL_TABLES', time_zone = '+00:00'",
        ]);
        Ok(Sessions { pool: Pool::new(opts) })
    }

    pub(super) async fn connection(&self) -> Result<Conn, CatalogError> {
        within(async { Ok(self.pool.get_conn().await?) }).await
    }

    /// Runs a reading step outside a transaction: each statement sees one moment.
    pub(super) async fn read<T, F>(&self, step: impl FnOnce(Conn) -> F) -> Result<T, CatalogError>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        within(async { step(self.pool.get_conn().await?).await }).await
    }

    /// Runs a step as one transaction. The step hands the transaction back to have it committed; when
    /// it fails, all of it is undone.
    pub(super) async fn run<T, F>(&self, step: impl Fn(Tx) -> F) -> Result<T, CatalogError>
    where
        F: Future<Output = Result<(Tx, T), Failure>>,
    {
        within(async {
            for attempt in 1.. {
                let tried = async {
                    let (tx, value) =
                        step(self.pool.start_transaction(TxOpts::new()).await?).await?;
                    tx.commit().await?;
                    Ok(value)
                };
                match tried.await {
                    Err(failure) if Failure::gave_way(&failure) && attempt < TRIES => {
                        sleep(Duration::from_millis(rand::random_range(1..=20))).await;
                    }
                    other => return other,
                }
            }
            unreachable!("the last try returns")
        })
        .await
    }

    pub(super) async fn close(self) {
        // It was asked to end; that it could not say goodbye changes nothing.
        let _ = timeout(STEP_TIME_MAX, self.pool.disconnect()).await;
    }
}

async fn within<T>(step: impl Future<Output = Result<T, Failure>>) -> Result<T, CatalogError> {
    match timeout(STEP_TIME_MAX, step).await {
        Ok(result) => Ok(result?),
        Err(_) => Err(CatalogError::Unavailable(format!("no answer in {STEP_TIME_MAX:?}"))),
    }
}

async fn make_database(opts: &Opts) -> Result<(), Failure> {
    let missing = match Conn::new(opts.clone()).await {
        Ok(connection) => return Ok(connection.disconnect().await?),
        Err(error) => Failure::from(error),
    };
    if missing.code() != Some(UNKNOWN_DATABASE) {
        return Err(missing);
    }
    let name = opts.db_name().unwrap_or_default().replace('`', "``");
    let mut server =
        Conn::new(OptsBuilder::from_opts(opts.clone()).db_name(None::<String>)).await?;
    // A name cannot be bound.
    server.query_drop(format!("CREATE DATABASE IF NOT EXISTS `{name}`")).await?;
    Ok(server.disconnect().await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::Instant;

    #[expect(clippy::disallowed_methods, reason = "tests are told where servers are")]
    fn server(setting: &str) -> Option<String> {
        let url = std::env::var(setting).ok().filter(|url| !url.is_empty());
        let skips = std::env::var("SHARDLINE_TEST_SKIP_SERVICES").is_ok_and(|skips| skips == "1");
        assert!(url.is_some() || skips, "{setting} names no server; start it with make services");
        url
    }

    /// Who holds a row and says nothing any more, as a process that is stopped does.
    async fn who_is_silent_loses_its_transaction(setting: &str) {
        let Some(url) = server(setting) else { return };
        let name = format!("shardline_test_{:016x}", rand::random::<u64>());
        let sessions = Sessions::open(&format!("{url}/{name}")).await.expect("it opens");
        let mut conn = sessions.connection().await.expect("a connection");
        conn.query_drop("SET SESSION wait_timeout = 60").await.expect("it is patient");
        conn.query_drop("CREATE TABLE held (id INT PRIMARY KEY)").await.expect("a table");
        conn.query_drop("INSERT INTO held VALUES (1)").await.expect("a row");
        let lock = "SELECT id FROM held WHERE id = 1 FOR UPDATE";
        let mut silent =
            sessions.pool.start_transaction(TxOpts::new()).await.expect("a transaction");
        silent.query_drop(lock).await.expect("it is free");
        let until = Instant::now() + Duration::from_secs(15);
        let take = |mut tx: Tx| async move {
            tx.query_drop(lock).await?;
            Ok((tx, ()))
        };
        while let Err(error) = sessions.run(take).await {
            assert!(Instant::now() < until, "the row is held: {error}");
        }
        assert!(silent.commit().await.is_err(), "it was ended");
        conn.query_drop(format!("DROP DATABASE {name}")).await.expect("dropped");
        drop(conn);
        sessions.close().await;
    }

    #[tokio::test]
    async fn who_is_silent_loses_its_transaction_on_mysql() {
        who_is_silent_loses_its_transaction("SHARDLINE_TEST_MYSQL_URL").await;
    }

    #[tokio::test]
    async fn who_is_silent_loses_its_transaction_on_mariadb() {
        who_is_silent_loses_its_transaction("SHARDLINE_TEST_MARIADB_URL").await;
    }
}
