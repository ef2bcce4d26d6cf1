CREATE TABLE IF NOT EXISTS users (
    user INTEGER NOT NULL,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    about TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    trimmed_ver INTEGER NOT NULL,
    PRIMARY KEY (user)
) STRICT
