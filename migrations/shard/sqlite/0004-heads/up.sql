-- An entity's latest position.
CREATE TABLE IF NOT EXISTS heads (
    entity INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    ver INTEGER NOT NULL,
    log INTEGER NOT NULL,
    activity_ms INTEGER NOT NULL,
    PRIMARY KEY (entity)
) STRICT
