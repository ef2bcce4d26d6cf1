CREATE TABLE changes (
    entity bigint unsigned NOT NULL,
    ver bigint unsigned NOT NULL,
    kind tinyint unsigned NOT NULL,
    subject bigint unsigned NOT NULL,
    at_ms bigint NOT NULL,
    PRIMARY KEY (entity, ver)
);
CREATE TABLE chats (
    chat bigint unsigned NOT NULL,
    kind varchar(32) COLLATE utf8mb4_bin NOT NULL,
    title varchar(1024) COLLATE utf8mb4_bin NOT NULL,
    history varchar(32) COLLATE utf8mb4_bin NOT NULL,
    creator bigint unsigned NOT NULL,
    client_chat_id binary(16) NOT NULL,
    created_at_ms bigint NOT NULL,
    settings_ver bigint unsigned NOT NULL,
    trimmed_seq bigint unsigned NOT NULL,
    trimmed_ver bigint unsigned NOT NULL,
    ended tinyint unsigned NOT NULL,
    PRIMARY KEY (chat)
);
CREATE TABLE heads (
    entity bigint unsigned NOT NULL,
    seq bigint unsigned NOT NULL,
    ver bigint unsigned NOT NULL,
    log bigint unsigned NOT NULL,
    activity_ms bigint NOT NULL,
    previous_ver bigint unsigned NOT NULL,
    PRIMARY KEY (entity)
);
CREATE TABLE imports (
    slot smallint unsigned NOT NULL,
    move_id bigint unsigned NOT NULL,
    attempt int unsigned NOT NULL,
    step bigint unsigned NOT NULL,
    entity bigint unsigned NOT NULL,
    continuation varbinary(255) NOT NULL,
    copied_rows bigint unsigned NOT NULL,
    copied_bytes bigint unsigned NOT NULL,
    PRIMARY KEY (slot)
);
CREATE TABLE journal (
    lane smallint unsigned NOT NULL,
    position bigint unsigned NOT NULL,
    nonce bigint unsigned NOT NULL,
    entries mediumblob NOT NULL,
    PRIMARY KEY (lane, position)
);
CREATE TABLE lanes (
    lane smallint unsigned NOT NULL,
    term bigint unsigned NOT NULL,
    incarnation bigint unsigned NOT NULL,
    PRIMARY KEY (lane)
);
CREATE TABLE lists (
    user bigint unsigned NOT NULL,
    chat bigint unsigned NOT NULL,
    kind varchar(32) COLLATE utf8mb4_bin NOT NULL,
    pinned tinyint unsigned NOT NULL,
    muted tinyint unsigned NOT NULL,
    hidden_seq bigint unsigned NOT NULL,
    gone tinyint unsigned NOT NULL,
    fact_ver bigint unsigned NOT NULL,
    list_ver bigint unsigned NOT NULL,
    PRIMARY KEY (user, chat)
);
CREATE TABLE members (
    chat bigint unsigned NOT NULL,
    user bigint unsigned NOT NULL,
    role varchar(32) COLLATE utf8mb4_bin NOT NULL,
    joined_ver bigint unsigned NOT NULL,
    joined_seq bigint unsigned NOT NULL,
    left_ver bigint unsigned NULL,
    read_seq bigint unsigned NOT NULL,
    PRIMARY KEY (chat, user)
);
CREATE TABLE messages (
    chat bigint unsigned NOT NULL,
    seq bigint unsigned NOT NULL,
    ver bigint unsigned NOT NULL,
    changed_ver bigint unsigned NOT NULL,
    sender bigint unsigned NOT NULL,
    sender_name varchar(255) COLLATE utf8mb4_bin NOT NULL,
    client_msg_id binary(16) NOT NULL,
    body_hash binary(16) NOT NULL,
    text mediumblob NOT NULL,
    reply_to bigint unsigned NULL,
    sent_at_ms bigint NOT NULL,
    edited_at_ms bigint NULL,
    deleted tinyint unsigned NOT NULL,
    PRIMARY KEY (chat, seq),
    UNIQUE KEY dedupe (chat, sender, client_msg_id)
);
CREATE TABLE names (
    entity bigint unsigned NOT NULL,
    name varbinary(255) NOT NULL,
    user bigint unsigned NOT NULL,
    PRIMARY KEY (entity),
    KEY by_name (name)
);
CREATE TABLE origin (
    id tinyint unsigned NOT NULL,
    server varchar(768) COLLATE utf8mb4_bin NOT NULL,
    term bigint unsigned NOT NULL,
    PRIMARY KEY (id)
);
CREATE TABLE outbox (
    chat bigint unsigned NOT NULL,
    ver bigint unsigned NOT NULL,
    user bigint unsigned NOT NULL,
    joined tinyint unsigned NOT NULL,
    kind varchar(32) COLLATE utf8mb4_bin NOT NULL,
    created_at_ms bigint NOT NULL,
    PRIMARY KEY (chat, ver, user)
);
CREATE TABLE positions (
    lane smallint unsigned NOT NULL,
    relayed bigint unsigned NOT NULL,
    covered bigint unsigned NOT NULL,
    PRIMARY KEY (lane)
);
CREATE TABLE schema_releases (
    number int unsigned NOT NULL,
    PRIMARY KEY (number)
);
CREATE TABLE schema_version (
    version int unsigned NOT NULL,
    name varchar(255) COLLATE utf8mb4_bin NOT NULL,
    PRIMARY KEY (version)
);
CREATE TABLE sessions (
    user bigint unsigned NOT NULL,
    session bigint unsigned NOT NULL,
    device varchar(255) COLLATE utf8mb4_bin NOT NULL,
    generation bigint unsigned NOT NULL,
    nonce binary(16) NOT NULL,
    previous_nonce binary(16) NOT NULL,
    created_at_ms bigint NOT NULL,
    used_at_ms bigint NOT NULL,
    PRIMARY KEY (user, session)
);
CREATE TABLE slots (
    slot smallint unsigned NOT NULL,
    state tinyint unsigned NOT NULL,
    epoch bigint unsigned NOT NULL,
    move_id bigint unsigned NOT NULL,
    attempt int unsigned NOT NULL,
    leader_term bigint unsigned NOT NULL,
    PRIMARY KEY (slot)
);
CREATE TABLE tallies (
    lane smallint unsigned NOT NULL,
    tally bigint unsigned NOT NULL,
    PRIMARY KEY (lane)
);
CREATE TABLE users (
    user bigint unsigned NOT NULL,
    name varchar(255) COLLATE utf8mb4_bin NOT NULL,
    display_name varchar(255) COLLATE utf8mb4_bin NOT NULL,
    about varchar(2048) COLLATE utf8mb4_bin NOT NULL,
    password_hash varchar(512) COLLATE utf8mb4_bin NOT NULL,
    created_at_ms bigint NOT NULL,
    trimmed_ver bigint unsigned NOT NULL,
    PRIMARY KEY (user)
);
