//! Bringing a MySQL catalog to its schema, and describing what is there.

use super::session::{Failure, Sessions};
use crate::catalog::migrate::{COUNTERS, MYSQL, Migrate, to_run};
use crate::catalog::{CatalogError, mysql::MysqlCatalog};
use mysql_async::{Conn, Row, prelude::Queryable};
use shardline_domain::release::RELEASE;

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS schema_steps (
        number INT UNSIGNED NOT NULL,
        name VARCHAR(64) NOT NULL,
        PRIMARY KEY (number)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin";
const RELEASES: &str = "
    CREATE TABLE IF NOT EXISTS schema_releases (
        number INT UNSIGNED NOT NULL,
        PRIMARY KEY (number)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin";
/// One at a time: two routers may start on an empty database together. The lock's name is the
/// server's, so it says which database; it may have 64 characters.
const LOCK: &str = "SELECT GET_LOCK(CONCAT('shardline/', SHA1(DATABASE())), ?)";
/// All steps on a slow server.
const LOCK_SECONDS: u32 = 30;

pub(super) async fn prepare(sessions: &Sessions, when: Migrate) -> Result<(), CatalogError> {
    // A step of its own each: a schema change may take longer than any other step.
    let mut db = sessions.connection().await?;
    let done = locked(&mut db, when).await;
    // The lock goes with the connection, in any case.
    drop(db.disconnect().await);
    Ok(done?)
}

async fn locked(db: &mut Conn, when: Migrate) -> Result<(), Failure> {
    let lock: Option<Option<u8>> = db.exec_first(LOCK, (LOCK_SECONDS,)).await?;
    if lock.flatten() != Some(1) {
        let busy = "another process is changing its schema".to_owned();
        return Err(CatalogError::Unavailable(busy).into());
    }
    db.query_drop(TABLE).await?;
    let applied: Vec<u32> = db.query("SELECT number FROM schema_steps").await?;
    db.query_drop(RELEASES).await?;
    let release = db.query_first("SELECT number FROM schema_releases ORDER BY number DESC LIMIT 1");
    let release: Option<u32> = release.await?;
    let steps = to_run(MYSQL, &applied, release, RELEASE, when)?;
    if release.is_none() || !steps.is_empty() {
        // Before the steps: who finds some of them knows whose they are.
        let sql = "INSERT IGNORE INTO schema_releases (number) VALUES (?)";
        db.exec_drop(sql, (RELEASE,)).await?;
    }
    for step in steps {
        db.query_drop(step.sql).await?;
        let sql = "INSERT IGNORE INTO schema_steps (number, name) VALUES (?, ?)";
        db.exec_drop(sql, (step.number, step.name)).await?;
        tracing::info!(step = step.name, "catalog schema changed");
    }
    let sql = "INSERT IGNORE INTO counters (name, value) VALUES (?, 0)";
    db.exec_batch(sql, COUNTERS.map(|name| (name,))).await?;
    let sql = "INSERT IGNORE INTO leaders (role, term, holder, until_ms) VALUES (?, 0, '', 0)";
    Ok(db.exec_drop(sql, (super::COORDINATOR,)).await?)
}

/// The columns and keys that are there, one a line, in a form that MySQL and MariaDB share.
pub async fn describe(catalog: &MysqlCatalog) -> Result<String, CatalogError> {
    let step = |mut db: Conn| async move {
        let mut lines: Vec<String> = Vec::new();
        for row in db.query::<Row, _>(include_str!("columns.sql")).await? {
            lines.push(mysql_async::from_row::<(String,)>(row).0);
        }
        Ok(lines.join("\n") + "\n")
    };
    catalog.sessions.read(step).await
}
