-- The slots of each move, and the epoch its source had them at when it was made. Each attempt takes one more.
CREATE TABLE IF NOT EXISTS move_slots (
    move BIGINT UNSIGNED NOT NULL,
    slot SMALLINT UNSIGNED NOT NULL,
    epoch BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (move, slot)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
