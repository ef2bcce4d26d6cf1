INSERT INTO outbox (chat, ver, user, joined, kind, created_at_ms) VALUES [[(?, ?, ?, ?, ?, ?)]]
ON DUPLICATE KEY UPDATE
    joined = VALUES(joined), kind = VALUES(kind), created_at_ms = VALUES(created_at_ms)
