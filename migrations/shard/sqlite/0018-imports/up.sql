-- How far each slot's import has come; changes with the rows it brought.
CREATE TABLE IF NOT EXISTS imports (
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
