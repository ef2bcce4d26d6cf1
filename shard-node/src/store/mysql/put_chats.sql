INSERT INTO chats (
    chat, kind, title, history, creator, client_chat_id, created_at_ms, settings_ver, trimmed_seq,
    trimmed_ver, ended
) VALUES [[(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)]]
ON DUPLICATE KEY UPDATE
    kind = VALUES(kind),
    title = VALUES(title),
    history = VALUES(history),
    creator = VALUES(creator),
    client_chat_id = VALUES(client_chat_id),
    created_at_ms = VALUES(created_at_ms),
    settings_ver = VALUES(settings_ver),
    trimmed_seq = VALUES(trimmed_seq),
    trimmed_ver = VALUES(trimmed_ver),
    ended = VALUES(ended)
