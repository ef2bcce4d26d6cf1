//! Does what it is asked on one connection, one thing after another: a thread that owns it, or the
//! caller.

use crate::store::{CommitError, StoreError};
use parking_lot::Mutex;
use rusqlite::Connection;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use super::{BUSY_WAIT, STATEMENTS_KEPT};

/// Asked and not yet begun; further callers wait for their place.
const WAITING_MAX: usize = 64;
/// How long a caller waits for an answer, its place in the queue included.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

type Job = Box<dyn FnOnce(&mut Connection) + Send>;

pub(super) enum Worker {
    Thread(mpsc::Sender<Job>),
    /// Whoever asks does it: for a database in memory.
    Caller(Arc<Mutex<Connection>>),
}

impl Worker {
    /// The thread ends when the worker is dropped and what was asked is done.
    pub(super) fn start(name: &str, path: &Path) -> Result<Worker, StoreError> {
        let mut db = open(path)?;
        let (jobs, mut asked) = mpsc::channel::<Job>(WAITING_MAX);
        std::thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                while let Some(job) = asked.blocking_recv() {
                    job(&mut db);
                }
            })
            .map_err(|error| StoreError::Unavailable(format!("no thread: {error}")))?;
        Ok(Worker::Thread(jobs))
    }

    /// Work whose failure leaves nothing behind, or which may be repeated. A job is not taken back when
    /// its caller stops waiting.
    pub(super) async fn run<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<T, StoreError> + Send + 'static,
    {
        let jobs = match self {
            Worker::Thread(jobs) => jobs,
            Worker::Caller(db) => return work(&mut db.lock()),
        };
        let gone = |what: &str| StoreError::Unavailable(what.to_owned());
        let asked_and_answered = async {
            let (answer, answered) = oneshot::channel();
            let job: Job = Box::new(move |db| drop(answer.send(work(db))));
            jobs.send(job).await.map_err(|_| gone("its thread has ended"))?;
            answered.await.map_err(|_| gone("its thread has ended"))?
        };
        timeout(ANSWER_WITHIN, asked_and_answered)
            .await
            .unwrap_or_else(|_| Err(gone("no answer in time")))
    }

    /// A commit: unless it was never begun, a missing answer is an unknown outcome.
    pub(super) async fn commit<F>(&self, work: F) -> Result<(), CommitError>
    where
        F: FnOnce(&mut Connection) -> Result<(), CommitError> + Send + 'static,
    {
        let jobs = match self {
            Worker::Thread(jobs) => jobs,
            Worker::Caller(db) => return work(&mut db.lock()),
        };
        let (answer, answered) = oneshot::channel();
        let job: Job = Box::new(move |db| drop(answer.send(work(db))));
        match timeout(ANSWER_WITHIN, jobs.send(job)).await {
            Ok(Ok(())) => {}
            Ok(Err(_)) => return Err(CommitError::NotStored("its thread has ended".to_owned())),
            Err(_) => return Err(CommitError::NotStored("too much is waiting".to_owned())),
        }
        match timeout(ANSWER_WITHIN, answered).await {
            Ok(Ok(outcome)) => outcome,
            Ok(Err(_)) => Err(CommitError::Unknown("its thread ended meanwhile".to_owned())),
            Err(_) => Err(CommitError::Unknown("no answer in time".to_owned())),
        }
    }
}

/// A connection with what every one of ours has set.
pub(super) fn open(path: &Path) -> Result<Connection, StoreError> {
    let db = Connection::open(path)?;
    db.busy_timeout(BUSY_WAIT)?;
    db.pragma_update(None, "journal_mode", "wal")?;
    // A commit returns when the log is on disk.
    db.pragma_update(None, "synchronous", "full")?;
    db.pragma_update(None, "foreign_keys", "off")?;
    db.set_prepared_statement_cache_capacity(STATEMENTS_KEPT);
    Ok(db)
}
