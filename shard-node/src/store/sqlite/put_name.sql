INSERT OR REPLACE INTO names (entity, name, user) VALUES (?, ?, ?)
