-- Facts that users on other shards have still to get.
CREATE TABLE IF NOT EXISTS outbox (
    chat INTEGER NOT NULL,
    ver INTEGER NOT NULL,
    user INTEGER NOT NULL,
    joined INTEGER NOT NULL,
    kind TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (chat, ver, user)
) STRICT, WITHOUT ROWID
