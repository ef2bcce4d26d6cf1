INSERT OR REPLACE INTO chats (
    chat, kind, title, history, creator, client_chat_id, created_at_ms, settings_ver, trimmed_seq,
    trimmed_ver, ended
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
