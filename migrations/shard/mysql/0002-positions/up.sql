-- How far each lane's journal went out. Apart from lanes, whose rows only change hands.
CREATE TABLE IF NOT EXISTS positions (
    lane SMALLINT UNSIGNED NOT NULL,
    relayed BIGINT UNSIGNED NOT NULL,
    covered BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (lane)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
