//! Brings a database to the schema of this program, or finds that it must not. A named lock of the
//! server lets one process at a time do it; DDL is not transactional, so each step is safe to repeat.

use crate::store::StoreError;
use crate::store::migrate::{Found, MYSQL, Opening, opening, own_schema, own_version, refusal};
use crate::store::mysql::Options;
use crate::store::mysql::failure::{is_done_before, is_no_such_table};
use crate::store::mysql::session::{Connector, Session, parse};
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, OptsBuilder};
use shardline_domain::release::RELEASE;
use std::fmt::Write as _;
use std::time::Duration;
use tokio::time::timeout;

/// The whole course: waiting for another process that does it, then doing it.
const WITHIN: Duration = Duration::from_secs(120);

const LOCK: &str = "SELECT GET_LOCK(CONCAT('shardline.schema.', MD5(DATABASE())), 60)";

/// Makes the database of the address if it is not there and we may.
pub async fn create_database(url: &str) -> Result<(), StoreError> {
    let given = parse(url)?;
    let name = given.db_name().unwrap_or_default().replace('`', "``");
    let server = OptsBuilder::from_opts(given).db_name(None::<String>).prefer_socket(false);
    let creating = async {
        let mut conn = Conn::new(server).await?;
        conn.query_drop(format!("CREATE DATABASE IF NOT EXISTS `{name}`")).await?;
        conn.disconnect().await
    };
    let created = timeout(WITHIN, creating).await;
    Ok(created.map_err(|_| StoreError::Unavailable("no answer in time".to_owned()))??)
}

/// Applies what is missing, whether the database is in use or not; for the operator's tool.
pub async fn apply(options: &Options) -> Result<u32, StoreError> {
    let connector = Connector::new(options)?;
    locked(&connector, async |session| apply_missing(session).await).await?;
    Ok(own_version(MYSQL))
}

pub(super) async fn prepare(connector: &Connector) -> Result<(), StoreError> {
    let own = own_schema(MYSQL);
    let judged = connector.on_own_session(async |session| found(session).await).await?;
    if opening(judged, own) == Opening::Run {
        return Ok(());
    }
    locked(connector, async |session| {
        // Another process may have done it meanwhile.
        let judged = found(session).await?;
        match opening(judged, own) {
            Opening::Run => Ok(()),
            Opening::ApplyFirst => apply_missing(session).await,
            Opening::Refuse => Err(refusal(judged, own)),
        }
    })
    .await
}

/// The lock ends with the session.
async fn locked(
    connector: &Connector,
    work: impl AsyncFnOnce(&mut Session) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut session = connector.open().await?;
    let working = async {
        let locked: Option<Option<u64>> = session.first(LOCK).await?;
        if locked.flatten() != Some(1) {
            let why = "another process has been changing the schema for a minute";
            return Err(StoreError::Unavailable(why.to_owned()));
        }
        work(&mut session).await
    };
    let worked = timeout(WITHIN, working).await;
    worked.unwrap_or_else(|_| Err(StoreError::Unavailable("no answer in time".to_owned())))
}

/// A database whose lanes nobody took over is unused, also when making it was interrupted.
async fn found(session: &mut Session) -> Result<Found, StoreError> {
    let tables: Vec<String> = session
        .conn
        .query("SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
        .await?;
    let version = "SELECT COALESCE(MAX(version), 0) FROM schema_version";
    let version = match session.first::<u32>(version).await {
        Ok(version) => version.unwrap_or(0),
        Err(error) if is_no_such_table(&error) => {
            return Ok(Found { version: 0, release: 1, used: !tables.is_empty() });
        }
        Err(error) => return Err(error.into()),
    };
    let taken = match session.first::<u64>("SELECT COUNT(*) FROM lanes").await {
        Ok(lanes) => lanes.unwrap_or(0),
        Err(error) if is_no_such_table(&error) => 0,
        Err(error) => return Err(error.into()),
    };
    let release =
        match session.first::<u32>("SELECT COALESCE(MAX(number), 1) FROM schema_releases").await {
            Ok(release) => release.unwrap_or(1),
            Err(error) if is_no_such_table(&error) => 1,
            Err(error) => return Err(error.into()),
        };
    Ok(Found { version, release, used: 0 < taken })
}

async fn apply_missing(session: &mut Session) -> Result<(), StoreError> {
    let conn = &mut session.conn;
    conn.query_drop(include_str!("create_schema_version.sql")).await?;
    conn.query_drop(include_str!("create_schema_releases.sql")).await?;
    // Before the steps: who finds some of them knows whose they are.
    conn.exec_drop("INSERT IGNORE INTO schema_releases (number) VALUES (?)", (RELEASE,)).await?;
    let applied: Vec<u32> = conn.query("SELECT version FROM schema_version").await?;
    for step in MYSQL.iter().filter(|step| !applied.contains(&step.number)) {
        match conn.query_drop(step.sql).await {
            Err(error) if !is_done_before(&error) => return Err(error.into()),
            _ => {}
        }
        let row = (step.number, step.name);
        conn.exec_drop("INSERT INTO schema_version (version, name) VALUES (?, ?)", row).await?;
    }
    Ok(())
}

/// The schema as the database holds it, to compare with golden.sql: in one order and writing whatever
/// the server (widths of integers are shown by some and mean nothing).
pub async fn golden(options: &Options) -> Result<String, StoreError> {
    let connector = Connector::new(options)?;
    connector.on_own_session(async |session| describe(session).await).await
}

async fn describe(session: &mut Session) -> Result<String, StoreError> {
    type Column = (String, String, String, Option<String>, String);
    type Key = (String, String, String, u64);
    let columns: Vec<Column> = session.conn.query(include_str!("golden_columns.sql")).await?;
    let keys: Vec<Key> = session.conn.query(include_str!("golden_keys.sql")).await?;
    let mut tables: Vec<&str> = columns.iter().map(|column| column.0.as_str()).collect();
    tables.dedup();
    let mut schema = String::new();
    for table in tables {
        let mut lines = Vec::new();
        for (_, name, kind, collation, nullable) in columns.iter().filter(|c| c.0 == table) {
            let mut line = format!("    {name} {}", without_width(kind));
            if let Some(collation) = collation {
                let _ = write!(line, " COLLATE {collation}");
            }
            line.push_str(if nullable == "YES" { " NULL" } else { " NOT NULL" });
            lines.push(line);
        }
        for (_, name, columns, duplicates) in keys.iter().filter(|key| key.0 == table) {
            lines.push(match (name.as_str(), duplicates) {
                ("PRIMARY", _) => format!("    PRIMARY KEY ({columns})"),
                (name, 0) => format!("    UNIQUE KEY {name} ({columns})"),
                (name, _) => format!("    KEY {name} ({columns})"),
            });
        }
        let _ = write!(schema, "CREATE TABLE {table} (\n{}\n);\n", lines.join(",\n"));
    }
    Ok(schema)
}

fn without_width(kind: &str) -> String {
    match (kind.find("int("), kind.find(')')) {
        (Some(start), Some(end)) => format!("{}{}", &kind[..start + 3], &kind[end + 1..]),
        _ => kind.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_integers_lose_their_width() {
        assert_eq!(without_width("bigint(20) unsigned"), "bigint unsigned");
        assert_eq!(without_width("tinyint(3)"), "tinyint");
        assert_eq!(without_width("binary(16)"), "binary(16)");
        assert_eq!(without_width("varchar(255)"), "varchar(255)");
    }
}
