-- Claimed names. The second key is for prefixes; it holds the entity because names here need not be unique.
CREATE TABLE IF NOT EXISTS names (
    entity INTEGER NOT NULL,
    name TEXT NOT NULL,
    user INTEGER NOT NULL,
    PRIMARY KEY (entity),
    UNIQUE (name, entity)
) STRICT
