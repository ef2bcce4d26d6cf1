INSERT INTO users (
    user, name, display_name, about, password_hash, created_at_ms, trimmed_ver
) VALUES [[(?, ?, ?, ?, ?, ?, ?)]]
ON DUPLICATE KEY UPDATE
    name = VALUES(name),
    display_name = VALUES(display_name),
    about = VALUES(about),
    password_hash = VALUES(password_hash),
    created_at_ms = VALUES(created_at_ms),
    trimmed_ver = VALUES(trimmed_ver)
