INSERT OR REPLACE INTO users (
    user, name, display_name, about, password_hash, created_at_ms, trimmed_ver
) VALUES (?, ?, ?, ?, ?, ?, ?)
