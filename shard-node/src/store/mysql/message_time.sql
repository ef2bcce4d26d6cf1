SELECT seq, sent_at_ms FROM messages WHERE chat = ? AND seq <= ? ORDER BY seq DESC LIMIT 1
