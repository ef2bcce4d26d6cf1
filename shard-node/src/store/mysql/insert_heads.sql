INSERT INTO heads (entity, seq, ver, log, activity_ms, previous_ver)
VALUES [[(?, ?, ?, ?, ?, ?)]]
