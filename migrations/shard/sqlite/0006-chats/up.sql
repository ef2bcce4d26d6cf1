CREATE TABLE IF NOT EXISTS chats (
    chat INTEGER NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    history TEXT NOT NULL,
    creator INTEGER NOT NULL,
    client_chat_id BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    settings_ver INTEGER NOT NULL,
    trimmed_seq INTEGER NOT NULL,
    trimmed_ver INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    PRIMARY KEY (chat)
) STRICT
