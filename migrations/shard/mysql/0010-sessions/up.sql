CREATE TABLE IF NOT EXISTS sessions (
    user BIGINT UNSIGNED NOT NULL,
    session BIGINT UNSIGNED NOT NULL,
    device VARCHAR(255) NOT NULL,
    generation BIGINT UNSIGNED NOT NULL,
    nonce BINARY(16) NOT NULL,
    previous_nonce BINARY(16) NOT NULL,
    created_at_ms BIGINT NOT NULL,
    used_at_ms BIGINT NOT NULL,
    PRIMARY KEY (user, session)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
