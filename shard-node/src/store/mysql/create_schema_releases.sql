CREATE TABLE IF NOT EXISTS schema_releases (
    number INT UNSIGNED NOT NULL,
    PRIMARY KEY (number)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
