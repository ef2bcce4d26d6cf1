-- Which move holds a slot now. The key is what keeps a slot from being held twice.
CREATE TABLE IF NOT EXISTS holds (
    slot INTEGER NOT NULL,
    move INTEGER NOT NULL,
    PRIMARY KEY (slot)
) STRICT
