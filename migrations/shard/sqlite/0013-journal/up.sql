-- What each lane committed, in order: what the bus has still to get, and what a lost COMMIT is found by.
CREATE TABLE IF NOT EXISTS journal (
    lane INTEGER NOT NULL,
    position INTEGER NOT NULL,
    nonce INTEGER NOT NULL,
    entries BLOB NOT NULL,
    PRIMARY KEY (lane, position)
) STRICT, WITHOUT ROWID
