SELECT entity, ver, kind, subject, at_ms FROM changes
WHERE entity = ? AND ? < ver
ORDER BY ver
LIMIT ?
