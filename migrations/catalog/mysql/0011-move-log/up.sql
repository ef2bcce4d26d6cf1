-- Every step of every move, written with the step. term is the coordinator's; 0 for an operator's wish.
CREATE TABLE IF NOT EXISTS move_log (
    move BIGINT UNSIGNED NOT NULL,
    n INT UNSIGNED NOT NULL,
    at_ms BIGINT NOT NULL,
    from_phase TINYINT UNSIGNED NULL,
    to_phase TINYINT UNSIGNED NOT NULL,
    attempt INT UNSIGNED NOT NULL,
    term BIGINT UNSIGNED NOT NULL,
    detail VARCHAR(1024) NOT NULL,
    PRIMARY KEY (move, n)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
