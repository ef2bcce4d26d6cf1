SELECT COUNT(*), COALESCE(MIN(seq), 0), COALESCE(MAX(seq), 0), COALESCE(MAX(changed_ver), 0)
FROM messages
WHERE chat = ? AND ? < seq AND seq <= ?
