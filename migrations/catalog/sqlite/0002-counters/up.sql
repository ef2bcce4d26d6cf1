-- Numbers that only grow: slots (the slot map's version), routers (the router list's number).
CREATE TABLE IF NOT EXISTS counters (
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (name)
) STRICT
