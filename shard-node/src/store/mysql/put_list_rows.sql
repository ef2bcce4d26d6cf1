INSERT INTO lists (
    user, chat, kind, pinned, muted, hidden_seq, gone, fact_ver, list_ver
) VALUES [[(?, ?, ?, ?, ?, ?, ?, ?, ?)]]
ON DUPLICATE KEY UPDATE
    kind = VALUES(kind),
    pinned = VALUES(pinned),
    muted = VALUES(muted),
    hidden_seq = VALUES(hidden_seq),
    gone = VALUES(gone),
    fact_ver = VALUES(fact_ver),
    list_ver = VALUES(list_ver)
