-- Facts that users on other shards have still to get.
CREATE TABLE IF NOT EXISTS outbox (
    chat BIGINT UNSIGNED NOT NULL,
    ver BIGINT UNSIGNED NOT NULL,
    user BIGINT UNSIGNED NOT NULL,
    joined TINYINT UNSIGNED NOT NULL,
    kind VARCHAR(32) NOT NULL,
    created_at_ms BIGINT NOT NULL,
    PRIMARY KEY (chat, ver, user)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
