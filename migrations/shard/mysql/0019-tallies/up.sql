-- How many transactions of each lane changed slots or brought rows in: they have no place in the journal.
CREATE TABLE IF NOT EXISTS tallies (
    lane SMALLINT UNSIGNED NOT NULL,
    tally BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (lane)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
