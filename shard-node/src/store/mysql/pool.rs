//! A few shared connections for reads and for the journal's positions.

use crate::store::StoreError;
use crate::store::mysql::session::{Connector, Session, no_answer};
use mysql_async::prelude::Queryable;
use parking_lot::Mutex;
use std::ops::{Deref, DerefMut};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

/// A session that was idle for longer is asked whether it lives before it is used.
const FRESH_FOR: Duration = Duration::from_secs(5);
const PING_WITHIN: Duration = Duration::from_secs(1);

pub(super) struct Pool {
    connector: Arc<Connector>,
    permits: Semaphore,
    idle: Mutex<Vec<(Session, Instant)>>,
}

impl Pool {
    pub(super) fn new(connector: Arc<Connector>, size: usize) -> Pool {
        Pool { connector, permits: Semaphore::new(size.max(1)), idle: Mutex::new(Vec::new()) }
    }

    pub(super) fn answer_within(&self) -> Duration {
        self.connector.answer_within
    }

    /// Sessions that nobody uses now are closed.
    pub(super) fn forget(&self) {
        self.idle.lock().clear();
    }

    pub(super) async fn take(&self) -> Result<Lease<'_>, StoreError> {
        let permit = timeout(self.answer_within(), self.permits.acquire()).await;
        let permit = permit.map_err(|_| no_answer("from any of the connections that read"))?;
        let permit = permit.expect("the semaphore is never closed");
        loop {
            let newest = self.idle.lock().pop();
            let session = match newest {
                // Another term may have left it, on a server that writes no more.
                Some((session, _)) if self.connector.is_elsewhere(&session) => continue,
                Some((session, since)) if since.elapsed() < FRESH_FOR => session,
                Some((mut session, _)) => match timeout(PING_WITHIN, session.conn.ping()).await {
                    Ok(Ok(())) => session,
                    _ => continue,
                },
                None => self.connector.open().await?,
            };
            return Ok(Lease { session, pool: self, _permit: permit });
        }
    }
}

/// Dropped without `give_back`, its connection is closed: an answer may still be on its way.
pub(super) struct Lease<'a> {
    session: Session,
    pool: &'a Pool,
    _permit: SemaphorePermit<'a>,
}

impl Lease<'_> {
    /// Hands the answer on. Only after a good one is the connection used again; when the server was
    /// not there, the idle ones are no better.
    pub(super) fn give_back<T>(
        self,
        answer: Result<Result<T, StoreError>, Elapsed>,
    ) -> Result<T, StoreError> {
        match answer.unwrap_or_else(|_| Err(no_answer("in time"))) {
            Ok(answer) => {
                self.pool.idle.lock().push((self.session, Instant::now()));
                Ok(answer)
            }
            Err(error) => {
                if matches!(error, StoreError::Unavailable(_)) {
                    let dropped = std::mem::take(&mut *self.pool.idle.lock());
                    drop(dropped);
                }
                Err(error)
            }
        }
    }
}

impl Deref for Lease<'_> {
    type Target = Session;

    fn deref(&self) -> &Session {
        &self.session
    }
}

impl DerefMut for Lease<'_> {
    fn deref_mut(&mut self) -> &mut Session {
        &mut self.session
    }
}
