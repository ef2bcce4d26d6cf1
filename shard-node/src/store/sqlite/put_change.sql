INSERT OR REPLACE INTO changes (entity, ver, kind, subject, at_ms) VALUES (?, ?, ?, ?, ?)
