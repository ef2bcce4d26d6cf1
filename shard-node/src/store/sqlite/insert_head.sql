INSERT INTO heads (entity, seq, ver, log, activity_ms) VALUES (?1, ?2, ?3, ?4, ?5)
