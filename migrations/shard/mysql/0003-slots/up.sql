-- Which slots this shard owns, at which epoch.
CREATE TABLE IF NOT EXISTS slots (
    slot SMALLINT UNSIGNED NOT NULL,
    state TINYINT UNSIGNED NOT NULL,
    epoch BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (slot)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
