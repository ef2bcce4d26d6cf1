//! Bringing a SQLite catalog to its schema, and describing what is there.

use crate::catalog::CatalogError;
use crate::catalog::migrate::{COUNTERS, Migrate, SQLITE, to_run};
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};
use shardline_domain::release::RELEASE;

const TABLE: &str = "
    CREATE TABLE IF NOT EXISTS schema_steps (
        number INTEGER NOT NULL,
        name TEXT NOT NULL,
        PRIMARY KEY (number)
    ) STRICT";

const RELEASES: &str = "
    CREATE TABLE IF NOT EXISTS schema_releases (
        number INTEGER NOT NULL,
        PRIMARY KEY (number)
    ) STRICT";

/// All steps are one transaction: a second process waits, then finds them done.
pub(super) fn prepare(connection: &mut Connection, when: Migrate) -> Result<(), CatalogError> {
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    tx.execute(TABLE, [])?;
    let applied = super::all(&tx, "SELECT number FROM schema_steps", [], |row| row.get(0))?;
    tx.execute(RELEASES, [])?;
    let sql = "SELECT number FROM schema_releases ORDER BY number DESC LIMIT 1";
    let release: Option<u32> = tx.query_row(sql, [], |row| row.get(0)).optional()?;
    let steps = to_run(SQLITE, &applied, release, RELEASE, when)?;
    if release.is_none() || !steps.is_empty() {
        let sql = "INSERT OR IGNORE INTO schema_releases (number) VALUES (?)";
        tx.execute(sql, [RELEASE])?;
    }
    for step in steps {
        tx.execute(step.sql, [])?;
        let sql = "INSERT OR IGNORE INTO schema_steps (number, name) VALUES (?, ?)";
        tx.execute(sql, params![step.number, step.name])?;
        tracing::info!(step = step.name, "catalog schema changed");
    }
    for name in COUNTERS {
        tx.execute("INSERT OR IGNORE INTO counters (name, value) VALUES (?, 0)", [name])?;
    }
    let sql = "INSERT OR IGNORE INTO leaders (role, term, holder, until_ms) VALUES (?, 0, '', 0)";
    tx.execute(sql, [super::COORDINATOR])?;
    Ok(tx.commit()?)
}

pub(super) fn describe(tx: &Transaction<'_>) -> Result<String, CatalogError> {
    let lines: Vec<String> = super::all(tx, include_str!("columns.sql"), [], |row| row.get(0))?;
    Ok(lines.join("\n") + "\n")
}
