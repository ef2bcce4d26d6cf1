INSERT INTO names (entity, name, user) VALUES [[(?, ?, ?)]]
ON DUPLICATE KEY UPDATE name = VALUES(name), user = VALUES(user)
