-- Who changed what, written with the change.
CREATE TABLE IF NOT EXISTS changes (
    n BIGINT UNSIGNED NOT NULL,
    at_ms BIGINT NOT NULL,
    who VARCHAR(255) NOT NULL,
    what VARCHAR(1024) NOT NULL,
    PRIMARY KEY (n)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
