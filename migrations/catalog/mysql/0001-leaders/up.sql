-- Who leads, by role. until_ms is judged by this server's clock; 0: released.
CREATE TABLE IF NOT EXISTS leaders (
    role VARCHAR(32) NOT NULL,
    term BIGINT UNSIGNED NOT NULL,
    holder VARCHAR(255) NOT NULL,
    until_ms BIGINT NOT NULL,
    PRIMARY KEY (role)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
