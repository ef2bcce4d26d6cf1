-- Where a writer last found its slots to be as the catalog has them, and its term. One row.
CREATE TABLE IF NOT EXISTS origin (
    id TINYINT UNSIGNED NOT NULL,
    server VARCHAR(768) NOT NULL,
    term BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
