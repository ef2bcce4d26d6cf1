-- A user's chats; a chat that is gone stays as a tombstone, so that a late fact cannot revive it.
CREATE TABLE IF NOT EXISTS lists (
    user INTEGER NOT NULL,
    chat INTEGER NOT NULL,
    kind TEXT NOT NULL,
    pinned INTEGER NOT NULL,
    muted INTEGER NOT NULL,
    hidden_seq INTEGER NOT NULL,
    gone INTEGER NOT NULL,
    fact_ver INTEGER NOT NULL,
    list_ver INTEGER NOT NULL,
    PRIMARY KEY (user, chat)
) STRICT, WITHOUT ROWID
