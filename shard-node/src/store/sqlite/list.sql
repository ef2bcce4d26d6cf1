SELECT user, chat, kind, pinned, muted, hidden_seq, gone, fact_ver, list_ver
FROM lists
WHERE user = ? AND ? < chat
ORDER BY chat
LIMIT ?
