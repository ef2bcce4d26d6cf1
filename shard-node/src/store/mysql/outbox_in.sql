SELECT chat, ver, user, joined, kind, created_at_ms FROM outbox
WHERE ? <= chat AND chat <= ?
    AND (? < chat OR (chat = ? AND (? < ver OR (ver = ? AND ? < user))))
ORDER BY chat, ver, user
LIMIT ?
