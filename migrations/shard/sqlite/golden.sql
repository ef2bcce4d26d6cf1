CREATE TABLE changes (
    entity INTEGER NOT NULL,
    ver INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (entity, ver)
) STRICT, WITHOUT ROWID
;
CREATE TABLE chats (
    chat INTEGER NOT NULL,
    kind TEXT NOT NULL,
    title TEXT NOT NULL,
    history TEXT NOT NULL,
    creator INTEGER NOT NULL,
    client_chat_id BLOB NOT NULL,
    created_at_ms INTEGER NOT NULL,
    settings_ver INTEGER NOT NULL,
    trimmed_seq INTEGER NOT NULL,
    trimmed_ver INTEGER NOT NULL,
    ended INTEGER NOT NULL,
    PRIMARY KEY (chat)
) STRICT
;
CREATE TABLE heads (
    entity INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    ver INTEGER NOT NULL,
    log INTEGER NOT NULL,
    activity_ms INTEGER NOT NULL,
    PRIMARY KEY (entity)
) STRICT
;
CREATE TABLE imports (
    slot INTEGER NOT NULL,
    move_id INTEGER NOT NULL,
    attempt INTEGER NOT NULL,
    step INTEGER NOT NULL,
    entity INTEGER NOT NULL,
    continuation BLOB NOT NULL,
    copied_rows INTEGER NOT NULL,
    copied_bytes INTEGER NOT NULL,
    PRIMARY KEY (slot)
) STRICT
;
CREATE TABLE journal (
    lane INTEGER NOT NULL,
    position INTEGER NOT NULL,
    nonce INTEGER NOT NULL,
    entries BLOB NOT NULL,
    PRIMARY KEY (lane, position)
) STRICT, WITHOUT ROWID
;
CREATE TABLE lanes (
    lane INTEGER NOT NULL,
    term INTEGER NOT NULL,
    incarnation INTEGER NOT NULL,
    PRIMARY KEY (lane)
) STRICT
;
CREATE TABLE lists (
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
;
CREATE TABLE members (
    chat INTEGER NOT NULL,
    user INTEGER NOT NULL,
    role TEXT NOT NULL,
    joined_ver INTEGER NOT NULL,
    joined_seq INTEGER NOT NULL,
    left_ver INTEGER NULL,
    read_seq INTEGER NOT NULL,
    PRIMARY KEY (chat, user)
) STRICT, WITHOUT ROWID
;
CREATE TABLE messages (
    chat INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    ver INTEGER NOT NULL,
    changed_ver INTEGER NOT NULL,
    sender INTEGER NOT NULL,
    sender_name TEXT NOT NULL,
    client_msg_id BLOB NOT NULL,
    body_hash BLOB NOT NULL,
    text TEXT NOT NULL,
    reply_to INTEGER NULL,
    sent_at_ms INTEGER NOT NULL,
    edited_at_ms INTEGER NULL,
    deleted INTEGER NOT NULL,
    PRIMARY KEY (chat, seq),
    UNIQUE (chat, sender, client_msg_id)
) STRICT, WITHOUT ROWID
;
CREATE TABLE names (
    entity INTEGER NOT NULL,
    name TEXT NOT NULL,
    user INTEGER NOT NULL,
    PRIMARY KEY (entity),
    UNIQUE (name, entity)
) STRICT
;
CREATE TABLE origin (
    id INTEGER NOT NULL,
    server TEXT NOT NULL,
    term INTEGER NOT NULL,
    PRIMARY KEY (id)
) STRICT
;
CREATE TABLE outbox (
    chat INTEGER NOT NULL,
    ver INTEGER NOT NULL,
    user INTEGER NOT NULL,
    joined INTEGER NOT NULL,
    kind TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    PRIMARY KEY (chat, ver, user)
) STRICT, WITHOUT ROWID
;
CREATE TABLE positions (
    lane INTEGER NOT NULL,
    relayed INTEGER NOT NULL,
    covered INTEGER NOT NULL,
    PRIMARY KEY (lane)
) STRICT
;
CREATE TABLE schema_releases (
    number INTEGER NOT NULL,
    PRIMARY KEY (number)
) STRICT;
CREATE TABLE schema_version (
    version INTEGER NOT NULL,
    name TEXT NOT NULL,
    PRIMARY KEY (version)
) STRICT;
CREATE TABLE sessions (
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
;
CREATE TABLE slots (
    slot INTEGER NOT NULL,
    state INTEGER NOT NULL,
    epoch INTEGER NOT NULL, move_id INTEGER NOT NULL DEFAULT 0, attempt INTEGER NOT NULL DEFAULT 0, leader_term INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (slot)
) STRICT
;
CREATE TABLE tallies (
    lane INTEGER NOT NULL,
    tally INTEGER NOT NULL,
    PRIMARY KEY (lane)
) STRICT
;
CREATE TABLE users (
    user INTEGER NOT NULL,
    name TEXT NOT NULL,
    display_name TEXT NOT NULL,
    about TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    created_at_ms INTEGER NOT NULL,
    trimmed_ver INTEGER NOT NULL,
    PRIMARY KEY (user)
) STRICT
;
