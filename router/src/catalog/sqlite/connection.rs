//! One connection, one step at a time: of a file, or of a database in memory.

use super::schema;
use crate::catalog::CatalogError;
use crate::catalog::migrate::Migrate;
use parking_lot::Mutex;
use rusqlite::{Connection, ErrorCode, Transaction, TransactionBehavior};
use shardline_daemon::clock::Stopwatch;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How long a step waits for another process on the same file.
const WAIT_MAX: Duration = Duration::from_secs(3);
const WAIT_STEP: Duration = Duration::from_millis(5);

pub struct SqliteCatalog {
    connection: Arc<Mutex<Connection>>,
    /// Steps are done at once, by whoever asks.
    at_once: bool,
}

/// A catalog's database that outlives whoever opens it, as a disk does.
#[derive(Clone, Debug)]
pub struct Memory(Arc<Mutex<Connection>>);

impl Memory {
    /// An empty one.
    pub fn new() -> Result<Memory, CatalogError> {
        Ok(Memory(Arc::new(Mutex::new(Connection::open_in_memory()?))))
    }
}

impl SqliteCatalog {
    /// Opens the file, or makes it; its tables as `migrate` says.
    pub async fn open(file: &Path, migrate: Migrate) -> Result<SqliteCatalog, CatalogError> {
        let file = file.to_owned();
        let open = move || -> Result<Connection, CatalogError> {
            let mut connection = Connection::open(file)?;
            connection.busy_timeout(WAIT_MAX)?;
            write_ahead(&connection)?;
            connection.pragma_update(None, "synchronous", "FULL")?;
            schema::prepare(&mut connection, migrate)?;
            Ok(connection)
        };
        let connection = blocking(open).await?;
        Ok(SqliteCatalog { connection: Arc::new(Mutex::new(connection)), at_once: false })
    }

    /// The catalog in memory. What it is asked is done at once, by whoever asks: nothing runs beside a
    /// simulation.
    pub fn on(memory: &Memory) -> Result<SqliteCatalog, CatalogError> {
        schema::prepare(&mut memory.0.lock(), Migrate::IfEmpty)?;
        Ok(SqliteCatalog { connection: memory.0.clone(), at_once: true })
    }

    /// The columns and keys that are there, one a line.
    pub async fn describe(&self) -> Result<String, CatalogError> {
        self.run(schema::describe).await
    }

    /// Runs a step as one transaction, undone if it fails.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        step: impl FnOnce(&Transaction<'_>) -> Result<T, CatalogError> + Send + 'static,
    ) -> Result<T, CatalogError> {
        let connection = self.connection.clone();
        let whole = move || {
            let mut connection = connection.lock();
            let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let value = step(&tx)?;
            tx.commit()?;
            Ok(value)
        };
        if self.at_once { whole() } else { blocking(whole).await }
    }
}

/// A file's first change to its write-ahead log does not wait for others by itself, unlike everything
/// later.
fn write_ahead(connection: &Connection) -> Result<(), CatalogError> {
    let waiting = Stopwatch::start();
    loop {
        match connection.pragma_update(None, "journal_mode", "WAL") {
            Err(error)
                if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy)
                    && waiting.elapsed() < WAIT_MAX =>
            {
                #[expect(clippy::disallowed_methods, reason = "on a thread that may block")]
                std::thread::sleep(WAIT_STEP);
            }
            changed => return Ok(changed?),
        }
    }
}

/// Away from the threads that must not wait for a disk.
async fn blocking<T: Send + 'static>(
    step: impl FnOnce() -> Result<T, CatalogError> + Send + 'static,
) -> Result<T, CatalogError> {
    match tokio::task::spawn_blocking(step).await {
        Ok(result) => result,
        Err(error) => Err(CatalogError::Unavailable(error.to_string())),
    }
}

impl From<rusqlite::Error> for CatalogError {
    fn from(error: rusqlite::Error) -> CatalogError {
        use rusqlite::ErrorCode::{ConstraintViolation, DatabaseCorrupt, NotADatabase, Unknown};
        match error.sqlite_error_code() {
            Some(ConstraintViolation | DatabaseCorrupt | NotADatabase | Unknown) | None => {
                CatalogError::Corrupt(error.to_string())
            }
            Some(_) => CatalogError::Unavailable(error.to_string()),
        }
    }
}
