-- Members of a chat, also those who left: read cursors and the span of vers they may see.
CREATE TABLE IF NOT EXISTS members (
    chat INTEGER NOT NULL,
    user INTEGER NOT NULL,
    role TEXT NOT NULL,
    joined_ver INTEGER NOT NULL,
    joined_seq INTEGER NOT NULL,
    left_ver INTEGER NULL,
    read_seq INTEGER NOT NULL,
    PRIMARY KEY (chat, user)
) STRICT, WITHOUT ROWID
