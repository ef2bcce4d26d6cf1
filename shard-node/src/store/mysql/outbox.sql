SELECT chat, ver, user, joined, kind, created_at_ms FROM outbox ORDER BY chat, ver, user LIMIT ?
