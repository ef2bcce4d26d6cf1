-- Who changed what, written with the change.
CREATE TABLE IF NOT EXISTS changes (
    n INTEGER NOT NULL,
    at_ms INTEGER NOT NULL,
    who TEXT NOT NULL,
    what TEXT NOT NULL,
    PRIMARY KEY (n)
) STRICT
