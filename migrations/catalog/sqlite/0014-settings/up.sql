-- Numbers that operators set while everything runs.
CREATE TABLE IF NOT EXISTS settings (
    name TEXT NOT NULL,
    value INTEGER NOT NULL,
    PRIMARY KEY (name)
) STRICT
