//! One connection of ours, and how it is made.

use crate::store::mysql::Options;
use crate::store::mysql::dialect;
use crate::store::mysql::failure::is_no_such_session;
use crate::store::{StoreError, Writer};
use mysql_async::prelude::{FromRow, Queryable};
use mysql_async::{Conn, Opts, OptsBuilder, Params, Row, Statement, Value};
use parking_lot::Mutex;
use shardline_daemon::sabotage::is_planted;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// More than we have different statements, so that the driver never closes one that is still used.
const STATEMENTS_MAX: usize = 512;
/// How often to look whether an ended session is gone.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Opens sessions, and knows which are this process's own.
#[derive(Debug)]
pub(super) struct Connector {
    options: Opts,
    own: Arc<Mutex<HashSet<u32>>>,
    /// The only server that sessions may lead to, once a term began there.
    server: Mutex<Option<String>>,
    connect_within: Duration,
    pub(super) answer_within: Duration,
}

impl Connector {
    pub(super) fn new(options: &Options) -> Result<Connector, StoreError> {
        let given = parse(&options.url)?;
        if given.db_name().is_none() {
            return Err(StoreError::Unavailable("the address names no database".to_owned()));
        }
        let wait = options.lock_wait.as_secs().max(1);
        let session = [
            "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED".to_owned(),
            // Metadata locks wait as rows do; text that does not fit is an error, not cut.
            format!(
                "SET SESSION autocommit = 1, innodb_lock_wait_timeout = {wait}, \
                 lock_wait_timeout = {wait}, \
                 sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'"
            ),
        ];
        let options_with_ours = OptsBuilder::from_opts(given)
            // A local socket would go around an address that was given.
            .prefer_socket(false)
            // Counts of changed rows prove compare-and-set: an unchanged row must not count.
            .client_found_rows(false)
            .stmt_cache_size(STATEMENTS_MAX)
            .setup(session.to_vec());
        Ok(Connector {
            options: options_with_ours.into(),
            own: Arc::default(),
            server: Mutex::default(),
            connect_within: options.connect_within,
            answer_within: options.answer_within,
        })
    }

    pub(super) async fn open(&self) -> Result<Session, StoreError> {
        let connected = timeout(self.connect_within, Conn::new(self.options.clone())).await;
        let mut conn = connected.map_err(|_| no_answer("to a new connection"))??;
        let server = timeout(self.connect_within, server_of(&mut conn)).await;
        let server = server.map_err(|_| no_answer("to a new connection"))??;
        self.own.lock().insert(conn.id());
        let session = Session { conn, prepared: HashMap::new(), own: self.own.clone(), server };
        if self.is_elsewhere(&session) {
            let server = &session.server;
            tracing::warn!(server, "the database is on another server than this term began on");
            return Err(StoreError::Fenced { term: 0 });
        }
        Ok(session)
    }

    /// Whether the session leads to another server than the term's.
    pub(super) fn is_elsewhere(&self, session: &Session) -> bool {
        self.server.lock().as_ref().is_some_and(|server| *server != session.server)
    }

    /// None: to whichever server the address leads.
    pub(super) fn stay_on(&self, server: Option<String>) {
        *self.server.lock() = server;
    }

    /// Does something under the deadline on a connection of its own, closed afterwards.
    pub(super) async fn on_own_session<T>(
        &self,
        work: impl AsyncFnOnce(&mut Session) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let mut session = self.open().await?;
        let answer = timeout(self.answer_within, work(&mut session)).await;
        answer.map_err(|_| no_answer("in time"))?
    }

    /// Whether a session of ours with this number lives.
    pub(super) fn is_own(&self, id: u32) -> bool {
        self.own.lock().contains(&id)
    }

    /// Ends sessions of this user in this database and waits until the server has none of them. Our
    /// own live ones are left alone: after a restart of the server an old number may be a new one's.
    pub(super) async fn end(&self, sessions: &[u32]) -> Result<(), StoreError> {
        let mut left: Vec<u32> = {
            let own = self.own.lock();
            sessions.iter().copied().filter(|id| !own.contains(id)).collect()
        };
        if left.is_empty() {
            return Ok(());
        }
        let mut session = self.open().await?;
        let ending = async {
            let alive = session.others().await?;
            left.retain(|id| alive.contains(id));
            for id in &left {
                match session.conn.query_drop(format!("KILL CONNECTION {id}")).await {
                    Err(error) if !is_no_such_session(&error) => return Err(error),
                    _ => {}
                }
            }
            while !left.is_empty() {
                let alive = session.others().await?;
                left.retain(|id| alive.contains(id));
                if !left.is_empty() {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
            }
            Ok(())
        };
        let ended = timeout(self.answer_within, ending).await;
        Ok(ended.map_err(|_| no_answer("that the old session is gone"))??)
    }

    /// All sessions of this user in this database that are not this process's.
    pub(super) async fn foreign_sessions(
        &self,
        session: &mut Session,
    ) -> Result<Vec<u32>, StoreError> {
        let mut others = session.others().await?;
        let own = self.own.lock();
        others.retain(|id| !own.contains(id));
        Ok(others)
    }
}

/// What a server has that no replica and no copy elsewhere has: its uuid on MySQL; on MariaDB, which
/// has none, its number among replicas with where it runs.
async fn server_of(conn: &mut Conn) -> Result<String, mysql_async::Error> {
    let rows: Vec<(String, String)> = conn
        .query(
            "SHOW VARIABLES WHERE Variable_name IN
            ('server_uuid', 'server_id', 'hostname', 'port', 'datadir')",
        )
        .await?;
    let of = |name: &str| {
        rows.iter().find(|(found, _)| found == name).map_or("", |(_, value)| value.as_str())
    };
    Ok(match of("server_uuid") {
        "" => {
            let (id, host, port, data) =
                (of("server_id"), of("hostname"), of("port"), of("datadir"));
            format!("{id}@{host}:{port}{data}")
        }
        uuid => uuid.to_owned(),
    })
}

pub(super) fn parse(url: &str) -> Result<Opts, StoreError> {
    // The error's text might hold the address with its password.
    Opts::from_url(url)
        .map_err(|_| StoreError::Unavailable("the address is not like mysql://…".to_owned()))
}

pub(super) fn no_answer(what: &str) -> StoreError {
    StoreError::Unavailable(format!("no answer {what}"))
}

/// A connection with its prepared statements. One that failed, or on which an answer was not awaited,
/// is not used again.
pub(super) struct Session {
    pub(super) conn: Conn,
    /// By the statement's text (where it is, it is ours for ever) and how many rows it is for.
    prepared: HashMap<(usize, usize), Statement>,
    own: Arc<Mutex<HashSet<u32>>>,
    /// Which server it leads to.
    pub(super) server: String,
}

impl Drop for Session {
    fn drop(&mut self) {
        self.own.lock().remove(&self.conn.id());
    }
}

impl Session {
    pub(super) fn id(&self) -> u32 {
        self.conn.id()
    }

    /// How many rows were changed: an inserted one counts once, one updated instead twice.
    pub(super) async fn write(
        &mut self,
        template: &'static str,
        rows: usize,
        values: Vec<Value>,
    ) -> Result<u64, mysql_async::Error> {
        let statement = self.statement(template, rows).await?;
        self.conn.exec_drop(&statement, parameters(values)).await?;
        Ok(self.conn.affected_rows())
    }

    pub(super) async fn rows(
        &mut self,
        template: &'static str,
        rows: usize,
        values: Vec<Value>,
    ) -> Result<Vec<Row>, mysql_async::Error> {
        let statement = self.statement(template, rows).await?;
        self.conn.exec(&statement, parameters(values)).await
    }

    async fn statement(
        &mut self,
        template: &'static str,
        rows: usize,
    ) -> Result<Statement, mysql_async::Error> {
        let key = (template.as_ptr().addr(), rows);
        if let Some(statement) = self.prepared.get(&key) {
            return Ok(statement.clone());
        }
        let statement = self.conn.prep(dialect::for_rows(template, rows)).await?;
        self.prepared.insert(key, statement.clone());
        Ok(statement)
    }

    /// Begins a transaction whose first statement locks a lane's row, and says who stands there.
    pub(super) async fn begin_with_lane(
        &mut self,
        lane: u16,
        lock: LaneLock,
    ) -> Result<Option<Writer>, mysql_async::Error> {
        // One packet.
        let sql = format!("BEGIN; {}", lock.of_lane(lane));
        let mut answers = self.conn.query_iter(sql).await?;
        let _begun: Vec<Row> = answers.collect().await?;
        let stands: Vec<(u64, u64)> = answers.collect().await?;
        answers.drop_result().await?;
        Ok(stands.first().map(|&(term, incarnation)| Writer { term, incarnation }))
    }

    pub(super) async fn first<T: FromRow + Send + 'static>(
        &mut self,
        sql: &str,
    ) -> Result<Option<T>, mysql_async::Error> {
        self.conn.query_first(sql).await
    }

    /// This user's other sessions in this database.
    async fn others(&mut self) -> Result<Vec<u32>, mysql_async::Error> {
        let ids: Vec<u64> = self.conn.query(include_str!("sessions_of_this_user.sql")).await?;
        // The protocol says 32 bits.
        Ok(ids.into_iter().filter_map(|id| u32::try_from(id).ok()).collect())
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum LaneLock {
    Shared,
    Exclusive,
}

impl LaneLock {
    /// The statement that locks this lane's row. A number cannot be anything but a number.
    pub(super) fn of_lane(self, lane: u16) -> String {
        let lock = match self {
            LaneLock::Shared if is_planted("fences-without-a-lock") => "",
            LaneLock::Shared => "LOCK IN SHARE MODE",
            LaneLock::Exclusive => "FOR UPDATE",
        };
        format!("SELECT term, incarnation FROM lanes WHERE lane = {lane} {lock}")
    }
}

fn parameters(values: Vec<Value>) -> Params {
    if values.is_empty() { Params::Empty } else { Params::Positional(values) }
}

pub(super) fn must_be(stands: Option<Writer>, me: Writer) -> Result<(), StoreError> {
    if stands == Some(me) {
        return Ok(());
    }
    Err(StoreError::Fenced { term: stands.map_or(0, |stands| stands.term) })
}
