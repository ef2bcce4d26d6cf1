-- The highest journal positions a shard's writers reported, by lane. A start that finds less in the
-- shard's database is a restore.
CREATE TABLE IF NOT EXISTS positions (
    shard INT UNSIGNED NOT NULL,
    lane SMALLINT UNSIGNED NOT NULL,
    committed BIGINT UNSIGNED NOT NULL,
    relayed BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (shard, lane)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
