-- Members of a chat, also those who left: read cursors and the span of vers they may see.
CREATE TABLE IF NOT EXISTS members (
    chat BIGINT UNSIGNED NOT NULL,
    user BIGINT UNSIGNED NOT NULL,
    role VARCHAR(32) NOT NULL,
    joined_ver BIGINT UNSIGNED NOT NULL,
    joined_seq BIGINT UNSIGNED NOT NULL,
    left_ver BIGINT UNSIGNED NULL,
    read_seq BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (chat, user)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
