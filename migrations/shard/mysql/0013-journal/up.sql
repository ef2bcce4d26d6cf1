-- What each lane committed, in order: what the bus has still to get, and what a lost COMMIT is found by.
CREATE TABLE IF NOT EXISTS journal (
    lane SMALLINT UNSIGNED NOT NULL,
    position BIGINT UNSIGNED NOT NULL,
    nonce BIGINT UNSIGNED NOT NULL,
    entries MEDIUMBLOB NOT NULL,
    PRIMARY KEY (lane, position)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
