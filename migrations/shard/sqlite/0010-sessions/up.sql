CREATE TABLE IF NOT EXISTS sessions (
    user INTEGER NOT NULL,
    session INTEGER NOT NULL,
    device TEXT NOT NULL,
    generation INTEGER NOT NULL,
    nonce BLOB NOT NULL,
    previous_nonce BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    used_at_ms INTEGER NOT NULL,
    PRIMARY KEY (user, session)
) STRICT, WITHOUT ROWID
