-- The shards, and who may write each. A writer_term is granted once. until_ms is judged by this
-- server's clock; 0: released.
CREATE TABLE IF NOT EXISTS shards (
    shard INT UNSIGNED NOT NULL,
    weight INT UNSIGNED NOT NULL,
    state TINYINT UNSIGNED NOT NULL,
    writer_term BIGINT UNSIGNED NOT NULL,
    writer VARCHAR(255) NOT NULL,
    address VARCHAR(255) NOT NULL,
    until_ms BIGINT NOT NULL,
    reported_ms BIGINT NULL,
    durability VARCHAR(255) NOT NULL,
    PRIMARY KEY (shard)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
