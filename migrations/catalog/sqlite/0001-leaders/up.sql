-- Who leads, by role. until_ms is judged by this machine's clock; 0: released.
CREATE TABLE IF NOT EXISTS leaders (
    role TEXT NOT NULL,
    term INTEGER NOT NULL,
    holder TEXT NOT NULL,
    until_ms INTEGER NOT NULL,
    PRIMARY KEY (role)
) STRICT
