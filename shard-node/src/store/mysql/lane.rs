//! A lane's connection, and the course of one commit on it.

use crate::store::mysql::control;
use crate::store::mysql::failure::describe;
use crate::store::mysql::session::{Connector, LaneLock, Session};
use crate::store::mysql::write;
use crate::store::*;
use mysql_async::prelude::Queryable;
use shardline_daemon::sabotage::is_planted;
use tokio::time::timeout;

pub(super) struct Lane {
    number: u16,
    /// Between commits; None before the first and after a failure.
    session: Option<Session>,
    /// A session on which the server may still hold a transaction of ours. It is ended before another
    /// takes its place, so that at most one transaction of a lane exists.
    suspect: Option<u32>,
    /// A COMMIT was sent and nobody knows yet what became of it.
    unsettled: bool,
}

impl Lane {
    pub(super) fn new(number: u16) -> Lane {
        Lane { number, session: None, suspect: None, unsettled: false }
    }

    /// BEGIN with the fence, everything else, then COMMIT as a packet of its own. Until COMMIT is sent
    /// nothing can be stored; from then on only a clean answer counts. Dropped half-way, it leaves the
    /// session suspect.
    pub(super) async fn commit(
        &mut self,
        connector: &Connector,
        me: Writer,
        writes: &WriteSet,
    ) -> Result<(), CommitError> {
        if self.unsettled {
            let why = "what became of the commit before is not known";
            return Err(CommitError::NotStored(why.to_owned()));
        }
        let (mut session, stands) = self.begin(connector).await?;
        let writing = async {
            match stands {
                Some(stands) if stands == me => {
                    write::write(&mut session, self.number, writes).await
                }
                stands => Err(CommitError::Fenced { term: stands.map_or(0, |stands| stands.term) }),
            }
        };
        let written = timeout(connector.answer_within, writing).await;
        if let Err(refusal) = written.unwrap_or_else(|_| Err(not_stored("no answer in time"))) {
            let rolled_back = session.conn.query_drop("ROLLBACK");
            if let Ok(Ok(())) = timeout(connector.answer_within, rolled_back).await {
                self.keep(session);
            }
            return Err(refusal);
        }
        self.unsettled = true;
        let committed = timeout(connector.answer_within, session.conn.query_drop("COMMIT")).await;
        match committed {
            Ok(Ok(())) => {
                self.unsettled = false;
                self.keep(session);
                Ok(())
            }
            Ok(Err(error)) => Err(CommitError::Unknown(describe(&error))),
            Err(_) => Err(CommitError::Unknown("no answer in time".to_owned())),
        }
    }

    /// Ends the session that sent the COMMIT and looks for its journal row.
    pub(super) async fn settle(
        &mut self,
        connector: &Connector,
        me: Writer,
        position: u64,
        nonce: u64,
    ) -> Result<bool, StoreError> {
        if !is_planted("settles-before-the-session-ended") {
            self.end_suspect(connector).await?;
        }
        let lane = self.number;
        let looking = async |session: &mut Session| {
            control::find_commit(session, me, lane, position, nonce).await
        };
        let stored = connector.on_own_session(looking).await?;
        self.unsettled = false;
        Ok(stored)
    }

    /// Nothing of this lane runs afterwards.
    pub(super) async fn end(&mut self, connector: &Connector) -> Result<(), StoreError> {
        if let Some(session) = self.session.take() {
            self.suspect = Some(session.id());
        }
        self.end_suspect(connector).await
    }

    async fn end_suspect(&mut self, connector: &Connector) -> Result<(), StoreError> {
        if let Some(suspect) = self.suspect {
            connector.end(&[suspect]).await?;
            self.suspect = None;
        }
        Ok(())
    }

    /// A session with a transaction that holds this lane's row, and who stands there. A session that
    /// died while it was idle costs nothing: nothing was sent on it yet.
    async fn begin(
        &mut self,
        connector: &Connector,
    ) -> Result<(Session, Option<Writer>), CommitError> {
        if let Some(mut session) = self.session.take() {
            self.suspect = Some(session.id());
            let fence = session.begin_with_lane(self.number, LaneLock::Shared);
            match timeout(connector.answer_within, fence).await {
                Ok(Ok(stands)) => return Ok((session, stands)),
                Ok(Err(error)) if is_lock_timeout(&error) => return Err(error.into()),
                Ok(Err(_)) => {}
                Err(_) => return Err(not_stored("no answer in time")),
            }
        }
        self.end_suspect(connector).await.map_err(|error| not_stored(&error.to_string()))?;
        let opened = connector.open().await;
        let mut session = opened.map_err(|error| not_stored(&error.to_string()))?;
        self.suspect = Some(session.id());
        let fence = session.begin_with_lane(self.number, LaneLock::Shared);
        match timeout(connector.answer_within, fence).await {
            Ok(stands) => {
                let stands = stands?;
                Ok((session, stands))
            }
            Err(_) => Err(not_stored("no answer in time")),
        }
    }

    /// It has no transaction and no answer to come.
    fn keep(&mut self, session: Session) {
        self.suspect = None;
        self.session = Some(session);
    }
}

fn not_stored(why: &str) -> CommitError {
    CommitError::NotStored(why.to_owned())
}

fn is_lock_timeout(error: &mysql_async::Error) -> bool {
    const LOCK_WAIT_TIMEOUT: u16 = 1205;
    matches!(error, mysql_async::Error::Server(error) if error.code == LOCK_WAIT_TIMEOUT)
}
