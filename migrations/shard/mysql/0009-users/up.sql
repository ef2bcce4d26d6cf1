CREATE TABLE IF NOT EXISTS users (
    user BIGINT UNSIGNED NOT NULL,
    name VARCHAR(255) NOT NULL,
    display_name VARCHAR(255) NOT NULL,
    about VARCHAR(2048) NOT NULL,
    password_hash VARCHAR(512) NOT NULL,
    created_at_ms BIGINT NOT NULL,
    trimmed_ver BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (user)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
