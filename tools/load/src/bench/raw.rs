//! The raw limit: one writer that stores what a shard-node's lane stores, and nothing else.
//!
//! The same tables and the same statements in the same order as a lane's commit on MySQL: the fence in
//! share mode, heads by compare-and-set, messages by one prepared multi-row insert, one journal row,
//! then COMMIT as its own packet (tests compare tables and statements with the shard-node's). A batch is messages of sixteen chats, sixteen of each, as senders with
//! sixteen in flight make it. Nothing is decided, nothing acknowledged, nobody told.

use crate::measure::{Percentiles, latencies, micros, percentiles};
use crate::phase::per_second;
use anyhow::{Context, Result, ensure};
use hdrhistogram::Histogram;
use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Opts, OptsBuilder, Params, Statement, Value};
use serde::Serialize;
use std::collections::HashMap;
use std::time::Duration;
use tokio::time::Instant;

const CHATS: u64 = 200;
/// Messages of one chat that stand together in a batch.
const RUN: u64 = 16;
const WARM_UP_BATCHES: u32 = 50;
const BODY_MAX: usize = 16 * 1024;

const TABLES: [&str; 4] = [
    "CREATE TABLE lanes (
        lane SMALLINT UNSIGNED NOT NULL,
        term BIGINT UNSIGNED NOT NULL,
        incarnation BIGINT UNSIGNED NOT NULL,
        PRIMARY KEY (lane)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
    "CREATE TABLE heads (
        entity BIGINT UNSIGNED NOT NULL,
        seq BIGINT UNSIGNED NOT NULL,
        ver BIGINT UNSIGNED NOT NULL,
        log BIGINT UNSIGNED NOT NULL,
        activity_ms BIGINT NOT NULL,
        previous_ver BIGINT UNSIGNED NOT NULL,
        PRIMARY KEY (entity)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
    "CREATE TABLE messages (
        chat BIGINT UNSIGNED NOT NULL,
        seq BIGINT UNSIGNED NOT NULL,
        ver BIGINT UNSIGNED NOT NULL,
        changed_ver BIGINT UNSIGNED NOT NULL,
        sender BIGINT UNSIGNED NOT NULL,
        sender_name VARCHAR(255) NOT NULL,
        client_msg_id BINARY(16) NOT NULL,
        body_hash BINARY(16) NOT NULL,
        text MEDIUMBLOB NOT NULL,
        reply_to BIGINT UNSIGNED NULL,
        sent_at_ms BIGINT NOT NULL,
        edited_at_ms BIGINT NULL,
        deleted TINYINT UNSIGNED NOT NULL,
        PRIMARY KEY (chat, seq),
        UNIQUE KEY dedupe (chat, sender, client_msg_id)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
    "CREATE TABLE journal (
        lane SMALLINT UNSIGNED NOT NULL,
        position BIGINT UNSIGNED NOT NULL,
        nonce BIGINT UNSIGNED NOT NULL,
        entries MEDIUMBLOB NOT NULL,
        PRIMARY KEY (lane, position)
    ) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin",
];

const FENCE: &str = "BEGIN; SELECT term, incarnation FROM lanes WHERE lane = 0 LOCK IN SHARE MODE";
const INSERT_MESSAGES: &str = "INSERT INTO messages (
    chat, seq, ver, changed_ver, sender, sender_name, client_msg_id, body_hash, text, reply_to,
    sent_at_ms, edited_at_ms, deleted
) VALUES ";
const INSERT_HEADS: &str =
    "INSERT INTO heads (entity, seq, ver, log, activity_ms, previous_ver) VALUES ";
const CHANGE_HEADS: &str = " ON DUPLICATE KEY UPDATE
    seq = IF(ver = VALUES(previous_ver), VALUES(seq), seq),
    log = IF(ver = VALUES(previous_ver), VALUES(log), log),
    activity_ms = IF(ver = VALUES(previous_ver), VALUES(activity_ms), activity_ms),
    previous_ver = IF(ver = VALUES(previous_ver), VALUES(previous_ver), previous_ver),
    ver = IF(ver = VALUES(previous_ver), VALUES(ver), ver)";
const INSERT_JOURNAL: &str =
    "INSERT INTO journal (lane, position, nonce, entries) VALUES (0, ?, ?, ?)";

#[derive(Clone, Copy, Debug, Serialize)]
pub struct RawMeasured {
    pub rows: u64,
    pub rows_per_second: f64,
    pub commits_per_second: f64,
    /// A whole transaction, from BEGIN to COMMIT's answer.
    pub commit_ms: Percentiles,
}

/// A scratch database with one connection that writes.
pub struct Raw {
    conn: Conn,
    database: String,
    text: Vec<u8>,
    prepared: HashMap<(&'static str, usize), Statement>,
    /// seq of each chat; ver is one more (its making).
    seqs: Vec<u64>,
    next_chat: usize,
    position: u64,
}

impl Raw {
    pub async fn create(url: &str, body_bytes: usize) -> Result<Raw> {
        // The error's text might hold the address with its password.
        let given = Opts::from_url(url).ok().context("the address is not like mysql://…")?;
        let database = format!("shardline_bench_{:016x}", rand::random::<u64>());
        let session = ["SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED"];
        let options = OptsBuilder::from_opts(given)
            .db_name(None::<String>)
            .prefer_socket(false)
            .client_found_rows(false)
            .setup(session.to_vec());
        let mut conn = Conn::new(options).await?;
        conn.query_drop(format!("CREATE DATABASE {database}")).await?;
        let mut raw = Raw {
            conn,
            database,
            text: vec![b'x'; body_bytes.min(BODY_MAX)],
            prepared: HashMap::new(),
            seqs: vec![0; usize::try_from(CHATS)?],
            next_chat: 0,
            position: 0,
        };
        if let Err(error) = raw.fill().await {
            let _ = raw.drop_database().await;
            return Err(error);
        }
        Ok(raw)
    }

    pub async fn drop_database(mut self) -> Result<()> {
        self.conn.query_drop(format!("DROP DATABASE {}", self.database)).await?;
        self.conn.disconnect().await?;
        Ok(())
    }

    /// Commits batches of `rows` messages for this long.
    pub async fn measure(&mut self, time: Duration, rows: usize) -> Result<RawMeasured> {
        for _ in 0..WARM_UP_BATCHES {
            self.commit(rows).await?;
        }
        let (began, mut commits, mut latency) = (Instant::now(), 0, latencies());
        while began.elapsed() < time {
            self.timed_commit(rows, &mut latency).await?;
            commits += 1;
        }
        let took = began.elapsed();
        let stored = commits * u64::try_from(rows)?;
        Ok(RawMeasured {
            rows: stored,
            rows_per_second: per_second(stored, took),
            commits_per_second: per_second(commits, took),
            commit_ms: percentiles(&latency),
        })
    }

    async fn timed_commit(&mut self, rows: usize, latency: &mut Histogram<u64>) -> Result<()> {
        let began = Instant::now();
        self.commit(rows).await?;
        latency.saturating_record(micros(began.elapsed()));
        Ok(())
    }

    async fn fill(&mut self) -> Result<()> {
        self.conn.query_drop(format!("USE {}", self.database)).await?;
        for table in TABLES {
            self.conn.query_drop(table).await?;
        }
        self.conn.query_drop("INSERT INTO lanes VALUES (0, 1, 1)").await?;
        for chat in 0..CHATS {
            let sql = format!("{INSERT_HEADS} ({}, 0, 1, 1, 0, 0)", entity(chat));
            self.conn.query_drop(sql).await?;
        }
        Ok(())
    }

    async fn commit(&mut self, rows: usize) -> Result<()> {
        let mut left = u64::try_from(rows)?;
        let mut heads: Vec<(u64, u64, u64)> = Vec::new();
        while 0 < left {
            let run = left.min(RUN);
            let index = self.next_chat;
            self.next_chat = (index + 1) % self.seqs.len();
            heads.push((entity(u64::try_from(index)?), self.seqs[index], run));
            self.seqs[index] += run;
            left -= run;
        }
        heads.sort_unstable();
        self.fence().await?;
        let changed = self.change_heads(&heads).await?;
        ensure!(changed == 2 * u64::try_from(heads.len())?, "a head was not as expected");
        self.insert_messages(&heads).await?;
        self.insert_journal(&heads).await?;
        self.conn.query_drop("COMMIT").await?;
        Ok(())
    }

    async fn fence(&mut self) -> Result<()> {
        let mut answers = self.conn.query_iter(FENCE).await?;
        let _begun: Vec<mysql_async::Row> = answers.collect().await?;
        let stands: Vec<(u64, u64)> = answers.collect().await?;
        answers.drop_result().await?;
        ensure!(stands == [(1, 1)], "the lane's row is not as expected");
        Ok(())
    }

    async fn change_heads(&mut self, heads: &[(u64, u64, u64)]) -> Result<u64> {
        let mut values = Vec::with_capacity(6 * heads.len());
        for (entity, seq, run) in heads {
            let row = [*entity, seq + run, seq + run + 1, 1, 1, seq + 1];
            values.extend(row.map(Value::from));
        }
        self.write(INSERT_HEADS, 6, CHANGE_HEADS, heads.len(), values).await
    }

    async fn insert_messages(&mut self, heads: &[(u64, u64, u64)]) -> Result<()> {
        let rows: usize = heads.iter().map(|(_, _, run)| usize::try_from(*run).unwrap_or(0)).sum();
        let mut values = Vec::with_capacity(13 * rows);
        for (chat, before, run) in heads {
            for seq in before + 1..=before + run {
                let (id, hash): (u128, u128) = (rand::random(), rand::random());
                values.extend([
                    Value::from(*chat),
                    seq.into(),
                    (seq + 1).into(),
                    (seq + 1).into(),
                    (chat ^ 1).into(),
                    "a sender's name".into(),
                    id.to_be_bytes().to_vec().into(),
                    hash.to_be_bytes().to_vec().into(),
                    self.text.clone().into(),
                    Value::NULL,
                    1_700_000_000_000_i64.into(),
                    Value::NULL,
                    0.into(),
                ]);
            }
        }
        self.write(INSERT_MESSAGES, 13, "", rows, values).await?;
        Ok(())
    }

    async fn insert_journal(&mut self, heads: &[(u64, u64, u64)]) -> Result<()> {
        self.position += 1;
        // About as many bytes as a lane writes: the entity, and its vers in a few bytes.
        let mut entries = vec![1];
        for (entity, seq, run) in heads {
            entries.extend_from_slice(&entity.to_be_bytes());
            entries.extend_from_slice(&seq.to_be_bytes()[6..]);
            entries.extend_from_slice(&run.to_be_bytes()[7..]);
        }
        let values = vec![self.position.into(), rand::random::<u64>().into(), entries.into()];
        self.write(INSERT_JOURNAL, 0, "", 0, values).await?;
        Ok(())
    }

    /// Rows changed by a prepared statement with `rows` times `columns` values.
    async fn write(
        &mut self,
        begin: &'static str,
        columns: usize,
        end: &str,
        rows: usize,
        values: Vec<Value>,
    ) -> Result<u64> {
        if !self.prepared.contains_key(&(begin, rows)) {
            let row = format!("({})", vec!["?"; columns].join(", "));
            let sql = format!("{begin}{}{end}", vec![row; rows].join(", "));
            let statement = self.conn.prep(sql).await?;
            self.prepared.insert((begin, rows), statement);
        }
        let statement = &self.prepared[&(begin, rows)];
        self.conn.exec_drop(statement, Params::Positional(values)).await?;
        Ok(self.conn.affected_rows())
    }
}

/// Spread over the id space, as real chats are.
fn entity(chat: u64) -> u64 {
    (chat + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    fn file(path: &str) -> String {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        std::fs::read_to_string(root.join(path)).expect(path)
    }

    /// Without comments, and however it is laid out.
    fn bare(sql: &str) -> String {
        let lines = sql.lines().filter(|line| !line.trim_start().starts_with("--"));
        let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
        words.join(" ").replace("( ", "(").replace(" )", ")")
    }

    fn row(columns: usize) -> String {
        format!("[[({})]]", vec!["?"; columns].join(", "))
    }

    #[test]
    fn the_tables_are_the_shard_nodes() {
        for (table, name) in
            TABLES.iter().zip(["0001-lanes", "0004-heads", "0005-messages", "0013-journal"])
        {
            let migration = file(&format!("migrations/shard/mysql/{name}/up.sql"));
            assert_eq!(bare(table), bare(&migration.replace(" IF NOT EXISTS", "")), "{name}");
        }
    }

    #[test]
    fn the_statements_are_the_shard_nodes() {
        let theirs = |name: &str| bare(&file(&format!("shard-node/src/store/mysql/{name}.sql")));
        let messages = format!("{INSERT_MESSAGES}{}", row(13));
        assert_eq!(bare(&messages), theirs("insert_messages"));
        let heads = format!("{INSERT_HEADS}{}{CHANGE_HEADS}", row(6));
        assert_eq!(bare(&heads), theirs("change_heads"));
        let journal = INSERT_JOURNAL.replace("(0,", "(?,");
        assert_eq!(bare(&journal), theirs("insert_journal"));
    }
}
