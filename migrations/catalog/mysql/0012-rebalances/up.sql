-- What operators asked for: that slots be where shards and weights say. One at most is running.
CREATE TABLE IF NOT EXISTS rebalances (
    rebalance BIGINT UNSIGNED NOT NULL,
    state TINYINT UNSIGNED NOT NULL,
    window_ms BIGINT UNSIGNED NOT NULL,
    started_by VARCHAR(255) NOT NULL,
    started_ms BIGINT NOT NULL,
    note VARCHAR(1024) NOT NULL,
    PRIMARY KEY (rebalance)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
