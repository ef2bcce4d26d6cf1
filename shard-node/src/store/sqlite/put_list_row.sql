INSERT OR REPLACE INTO lists (
    user, chat, kind, pinned, muted, hidden_seq, gone, fact_ver, list_ver
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
