//! Brings a file to the schema of this program, or finds that it must not. All steps are in one
//! IMMEDIATE transaction: two processes that start at once do it once, and a crash leaves nothing.

use crate::store::StoreError;
use crate::store::migrate::{Found, Opening, SQLITE, opening, own_schema, own_version, refusal};
use crate::store::sqlite::worker;
use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior};
use shardline_domain::release::RELEASE;
use std::path::Path;

/// Applies what is missing, whether the database is in use or not; for the operator's tool.
pub fn apply(path: &Path) -> Result<u32, StoreError> {
    let mut db = worker::open(path)?;
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    apply_missing(&transaction)?;
    transaction.commit()?;
    Ok(own_version(SQLITE))
}

/// The schema as the database holds it, in one order and writing, to compare with golden.sql.
pub fn golden(path: &Path) -> Result<String, StoreError> {
    let db = worker::open(path)?;
    let mut tables = db.prepare(
        "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite%' ORDER BY name",
    )?;
    let tables = tables.query_map([], |row| row.get::<_, String>(0))?;
    let tables = tables.collect::<Result<Vec<_>, _>>()?;
    Ok(tables.into_iter().map(|table| table + ";\n").collect())
}

pub(super) fn prepare(db: &mut Connection) -> Result<(), StoreError> {
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let (found, own) = (found(&transaction)?, own_schema(SQLITE));
    match opening(found, own) {
        Opening::Run => {}
        Opening::ApplyFirst => apply_missing(&transaction)?,
        Opening::Refuse => return Err(refusal(found, own)),
    }
    Ok(transaction.commit()?)
}

fn found(db: &Connection) -> Result<Found, StoreError> {
    let tables: u32 = db.query_row("SELECT COUNT(*) FROM sqlite_master", [], |row| row.get(0))?;
    if tables == 0 {
        return Ok(Found { version: 0, release: 1, used: false });
    }
    let has = |table: &str| {
        let sql = "SELECT 1 FROM sqlite_master WHERE name = ?";
        Ok::<bool, StoreError>(db.query_row(sql, [table], |_| Ok(())).optional()?.is_some())
    };
    let number = |sql: &str| Ok::<u32, StoreError>(db.query_row(sql, [], |row| row.get(0))?);
    let version = match has("schema_version")? {
        true => number("SELECT COALESCE(MAX(version), 0) FROM schema_version")?,
        false => 0,
    };
    let release = match has("schema_releases")? {
        true => number("SELECT COALESCE(MAX(number), 1) FROM schema_releases")?,
        false => 1,
    };
    // All steps are one transaction here, so there is no half-made database.
    Ok(Found { version, release, used: true })
}

fn apply_missing(db: &Transaction<'_>) -> Result<(), StoreError> {
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_version (
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (version)
) STRICT",
    )?;
    db.execute_batch(
        "CREATE TABLE IF NOT EXISTS schema_releases (
    number INTEGER NOT NULL,
    PRIMARY KEY (number)
) STRICT",
    )?;
    db.execute("INSERT OR IGNORE INTO schema_releases (number) VALUES (?)", [RELEASE])?;
    for step in SQLITE {
        let applied = db
            .query_row("SELECT 1 FROM schema_version WHERE version = ?", [step.number], |_| Ok(()))
            .optional()?;
        if applied.is_none() {
            db.execute_batch(step.sql)?;
            db.execute(
                "INSERT INTO schema_version (version, name) VALUES (?, ?)",
                (step.number, step.name),
            )?;
        }
    }
    Ok(())
}
