-- The hot path: one clustered insert and one unique key per message. Text is bytes, kept as they came.
CREATE TABLE IF NOT EXISTS messages (
    chat BIGINT UNSIGNED NOT NULL,
    seq BIGINT UNSIGNED NOT NULL,
    ver BIGINT UNSIGNED NOT NULL,
    changed_ver BIGINT UNSIGNED NOT NULL,
    sender BIGINT UNSIGNED NOT NULL,
    sender_name VARCHAR(255) NOT NULL,
    client_msg_id BINARY(16) NOT NULL,
    body_hash BINARY(16) NOT NULL,
    text MEDIUMBLOB NOT NULL,
    reply_to BIGINT UNSIGNED NULL,
    sent_at_ms BIGINT NOT NULL,
    edited_at_ms BIGINT NULL,
    deleted TINYINT UNSIGNED NOT NULL,
    PRIMARY KEY (chat, seq),
    UNIQUE KEY dedupe (chat, sender, client_msg_id)
) ENGINE = InnoDB DEFAULT CHARSET = utf8mb4 COLLATE = utf8mb4_bin
