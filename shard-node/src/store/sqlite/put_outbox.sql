INSERT OR REPLACE INTO outbox (chat, ver, user, joined, kind, created_at_ms)
VALUES (?, ?, ?, ?, ?, ?)
