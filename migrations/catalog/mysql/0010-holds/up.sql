-- Which move holds a slot now. The key is what keeps a slot from being held twice.
CREATE TABLE IF NOT EXISTS holds (
    slot SMALLINT UNSIGNED NOT NULL,
    move BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (slot),
    KEY by_move (move)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
