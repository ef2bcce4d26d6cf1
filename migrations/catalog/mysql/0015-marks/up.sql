-- What a shard's database is known to have seen: the newest term that reported, and the highest tally of
-- moves that a flip rested on.
CREATE TABLE IF NOT EXISTS marks (
    shard INT UNSIGNED NOT NULL,
    term BIGINT UNSIGNED NOT NULL,
    tally BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (shard)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
