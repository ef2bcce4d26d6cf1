SELECT position, nonce, entries FROM journal
WHERE lane = ? AND ? < position
ORDER BY position
LIMIT ?
