-- Which slots this shard owns, at which epoch.
CREATE TABLE IF NOT EXISTS slots (
    slot INTEGER NOT NULL,
    state INTEGER NOT NULL,
    epoch INTEGER NOT NULL,
    PRIMARY KEY (slot)
) STRICT
