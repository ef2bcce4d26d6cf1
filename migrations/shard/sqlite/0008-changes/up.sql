-- Durable changes that are not new messages: what clients resume from.
CREATE TABLE IF NOT EXISTS changes (
    entity INTEGER NOT NULL,
    ver INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    subject INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    PRIMARY KEY (entity, ver)
) STRICT, WITHOUT ROWID
