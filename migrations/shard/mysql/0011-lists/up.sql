-- A user's chats; a chat that is gone stays as a tombstone, so that a late fact cannot revive it.
CREATE TABLE IF NOT EXISTS lists (
    user BIGINT UNSIGNED NOT NULL,
    chat BIGINT UNSIGNED NOT NULL,
    kind VARCHAR(32) NOT NULL,
    pinned TINYINT UNSIGNED NOT NULL,
    muted TINYINT UNSIGNED NOT NULL,
    hidden_seq BIGINT UNSIGNED NOT NULL,
    gone TINYINT UNSIGNED NOT NULL,
    fact_ver BIGINT UNSIGNED NOT NULL,
    list_ver BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (user, chat)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
