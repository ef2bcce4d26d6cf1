//! A replica is behind for as long as it lacks a transaction that its primary had when it was asked. Both
//! flavours number transactions, and can wait for a number; a clock is not needed.

use super::Options;
use super::session::{Connector, Session, no_answer, parse};
use crate::store::{Replica, StoreError};
use async_trait::async_trait;
use mysql_async::prelude::Queryable;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use tokio::time::timeout;

/// What a server may take for its answer beyond what it was told to wait.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

pub(super) struct MySqlReplica {
    name: String,
    primary: Arc<Connector>,
    replica: Connector,
    /// Kept between questions: to the primary and to the replica.
    sessions: Mutex<(Option<Session>, Option<Session>)>,
}

impl MySqlReplica {
    pub(super) fn new(
        options: &Options,
        url: &str,
        primary: Arc<Connector>,
    ) -> Result<MySqlReplica, StoreError> {
        let given = parse(url)?;
        let name = format!("{}:{}", given.ip_or_hostname(), given.tcp_port());
        let replica = Connector::new(&Options { url: url.to_owned(), ..options.clone() })?;
        Ok(MySqlReplica { name, primary, replica, sessions: Mutex::default() })
    }
}

/// Asks on the session that is kept, or on a new one; it is kept again after a good answer.
async fn ask<T>(
    connector: &Connector,
    kept: &mut Option<Session>,
    within: Duration,
    question: impl AsyncFnOnce(&mut Session) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    // Another term may have left it, on a server that writes no more.
    let mut session = match kept.take().filter(|session| !connector.is_elsewhere(session)) {
        Some(session) => session,
        None => connector.open().await?,
    };
    let answer = timeout(within, question(&mut session)).await;
    let answer = answer.map_err(|_| no_answer("in time"))??;
    *kept = Some(session);
    Ok(answer)
}

async fn is_mariadb(session: &mut Session) -> Result<bool, StoreError> {
    let version: Option<String> = session.first("SELECT VERSION()").await?;
    Ok(version.is_some_and(|version| version.contains("MariaDB")))
}

#[async_trait]
impl Replica for MySqlReplica {
    fn name(&self) -> &str {
        &self.name
    }

    async fn goal(&self) -> Result<Option<String>, StoreError> {
        let mut sessions = self.sessions.lock().await;
        let (primary, replica) = &mut *sessions;
        let at = ask(&self.primary, primary, ANSWER_WITHIN, async |session: &mut Session| {
            let sql = if is_mariadb(session).await? {
                "SELECT @@global.gtid_binlog_pos"
            } else {
                "SELECT @@global.gtid_executed"
            };
            let goal: Option<String> = session.first(sql).await?;
            Ok((session.server.clone(), goal.unwrap_or_default()))
        });
        let (server, goal) = at.await?;
        let same = async |session: &mut Session| Ok(session.server == server);
        if ask(&self.replica, replica, ANSWER_WITHIN, same).await? {
            return Ok(None);
        }
        if goal.is_empty() {
            let reason =
                "the primary does not number its transactions: it needs gtid_mode, or a binlog";
            return Err(StoreError::Unavailable(reason.to_owned()));
        }
        // MySQL breaks the list into lines.
        Ok(Some(goal.replace('\n', "")))
    }

    async fn has(&self, goal: &str, within: Duration) -> Result<bool, StoreError> {
        let mut sessions = self.sessions.lock().await;
        let seconds = within.as_secs().max(1);
        let question = async |session: &mut Session| {
            let sql = if is_mariadb(session).await? {
                "SELECT MASTER_GTID_WAIT(?, ?)"
            } else {
                "SELECT WAIT_FOR_EXECUTED_GTID_SET(?, ?)"
            };
            // 0: all of it is there; anything else, or nothing: not in that time.
            let answer: Option<Option<i64>> = session.conn.exec_first(sql, (goal, seconds)).await?;
            Ok(answer.flatten() == Some(0))
        };
        ask(&self.replica, &mut sessions.1, within + ANSWER_WITHIN, question).await
    }
}
