-- The hot path: one clustered insert and one unique key per message.
CREATE TABLE IF NOT EXISTS messages (
    chat INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    ver INTEGER NOT NULL,
    changed_ver INTEGER NOT NULL,
    sender INTEGER NOT NULL,
    sender_name TEXT NOT NULL,
    client_msg_id BLOB NOT NULL,
    body_hash BLOB NOT NULL,
    text TEXT NOT NULL,
    reply_to INTEGER NULL,
    sent_at_ms INTEGER NOT NULL,
    edited_at_ms INTEGER NULL,
    deleted INTEGER NOT NULL,
    PRIMARY KEY (chat, seq),
    UNIQUE (chat, sender, client_msg_id)
) STRICT, WITHOUT ROWID
