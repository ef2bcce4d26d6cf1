-- Numbers that operators set while everything runs.
CREATE TABLE IF NOT EXISTS settings (
    name VARCHAR(32) NOT NULL,
    value BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (name)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
