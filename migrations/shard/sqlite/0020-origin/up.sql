-- Where a writer last found its slots to be as the catalog has them, and its term. One row.
CREATE TABLE IF NOT EXISTS origin (
    id INTEGER NOT NULL,
    server TEXT NOT NULL,
    term INTEGER NOT NULL,
    PRIMARY KEY (id)
) STRICT
