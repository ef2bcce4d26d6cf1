INSERT INTO changes (entity, ver, kind, subject, at_ms) VALUES [[(?, ?, ?, ?, ?)]]
ON DUPLICATE KEY UPDATE
    kind = VALUES(kind), subject = VALUES(subject), at_ms = VALUES(at_ms)
